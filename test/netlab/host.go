package netlab

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Host is a machine of the lab: a network, mount and host name space of its own, held by one thread of this program
// for as long as the lab lives.
type Host struct {
	Name string // host name, such as "mx1"
	Dir  string // folder of the host in the lab's folder

	lab   *Lab
	calls chan func()
	tid   int
	wires int
}

// Host adds a host. It has a loopback interface and nothing else.
func (l *Lab) Host(name string) (*Host, error) {
	h := &Host{Name: name, Dir: filepath.Join(l.Dir, name), lab: l, calls: make(chan func())}
	if err := os.Mkdir(h.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	ready := make(chan error)
	go h.hold(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	l.Cleanup(func() error { close(h.calls); return nil })
	return h, h.IP("link set lo up")
}

// hold owns the host's thread. The thread is never unlocked, so that it ends, and its namespaces with it, when hold
// returns.
func (h *Host) hold(ready chan<- error) {
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS)
	if err == nil {
		err = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Sethostname([]byte(h.Name))
	}
	h.tid = unix.Gettid()
	ready <- err
	if err != nil {
		return
	}
	for call := range h.calls {
		call()
	}
}

// Do runs fn on the host: sockets opened, files opened and programs started by fn itself (not by goroutines that it
// starts) are the host's. Other calls wait meanwhile, so fn must be quick.
func (h *Host) Do(fn func() error) error {
	done := make(chan error, 1)
	h.calls <- func() { done <- fn() }
	return <-done
}

// Listen listens on a TCP address of the host, in digits.
func (h *Host) Listen(address string) (listener net.Listener, err error) {
	err = h.Do(func() error {
		listener, err = net.Listen("tcp", address)
		return err
	})
	return listener, err
}

// ListenPacket listens on a UDP address of the host, in digits.
func (h *Host) ListenPacket(address string) (conn net.PacketConn, err error) {
	err = h.Do(func() error {
		conn, err = net.ListenPacket("udp", address)
		return err
	})
	return conn, err
}

// Dial connects from the host to a TCP address in digits.
func (h *Host) Dial(address string, timeout time.Duration) (conn net.Conn, err error) {
	err = h.Do(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// WaitListening waits until something on the host listens on a TCP port, without connecting to it.
func (h *Host) WaitListening(port int, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return waitFor(ctx, fmt.Sprintf("port %d of %s is open", port, h.Name), func() bool { return h.listening(port) })
}

// listening looks for the port in state 0A (LISTEN) in the kernel's list of sockets.
func (h *Host) listening(port int) bool {
	var sockets []byte
	_ = h.Do(func() error {
		for _, file := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			sockets = append(sockets, content...)
		}
		return nil
	})
	for line := range strings.Lines(string(sockets)) {
		fields := strings.Fields(line)
		if len(fields) > 3 && fields[3] == "0A" && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			return true
		}
	}
	return false
}

// Sysctl sets a kernel parameter of the host's network, such as "net.ipv4.ip_forward". Others than net.* would be
// the machine's and are refused.
func (h *Host) Sysctl(name, value string) error {
	if !strings.HasPrefix(name, "net.") {
		return fmt.Errorf("sysctl %s is not the host's own", name)
	}
	return h.Do(func() error {
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0o644)
	})
}

// Overlay lays content over a file, for this host alone.
func (h *Host) Overlay(path, content string) error {
	source := filepath.Join(h.Dir, filepath.Base(path))
	return h.Do(func() error { return bindFile(source, path, []byte(content)) })
}

// IP runs `ip` with the arguments, which are separated by spaces.
func (h *Host) IP(arguments string) error {
	_, err := h.Run(append([]string{"ip"}, strings.Fields(arguments)...)...)
	return err
}

// netns is the path by which `ip` finds the host's network namespace.
func (h *Host) netns() string {
	return fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), h.tid)
}
