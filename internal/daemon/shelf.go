package daemon

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"kanmon/internal/intercept"
)

// A shelf is where copies of the listeners lie while kanmon runs, for the one that is started where this one has died: systemd's file descriptor
// store (sd_pid_notify_with_fds(3)). MSAs that connect meanwhile wait in the kernel's queues. Where a socket unit holds the listeners they need no
// shelf, and without systemd there is none. An end in order clears it: MSAs are refused then, and turn to others at once.
type shelf struct {
	say   func(state string, files ...int) bool // to systemd; false: nobody listens
	found map[string]net.Listener               // what the one before has left, and nobody has taken yet
	lies  map[string]bool                       // what lies there now
}

const shelfPrefix = "kanmon-listens-" // of names that systemd knows them by

func newShelf() *shelf {
	return &shelf{say: saySystemd, found: map[string]net.Listener{}, lies: map[string]bool{}}
}

// inherit returns the sockets that a socket unit has opened, and finds what lies on the shelf.
func (s *shelf) inherit() (given []net.Listener, err error) {
	all, err := activation.ListenersWithNames()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !strings.HasPrefix(name, shelfPrefix) {
			given = append(given, all[name]...)
			continue
		}
		s.lies[name] = true
		for _, l := range all[name] {
			if l != nil && s.found[name] == nil {
				s.found[name] = l
			} else if l != nil {
				err = errors.Join(err, l.Close())
			}
		}
	}
	return given, err
}

func shelfName(mode intercept.Mode, a netip.AddrPort) string {
	return shelfPrefix + mode.String() + "-" + strings.NewReplacer(":", ".", "[", "", "]", "").Replace(a.String())
}

// has reports whether a listener lies there still.
func (s *shelf) has(a netip.AddrPort) bool {
	for _, l := range s.found {
		if addressOf(l) == a {
			return true
		}
	}
	return false
}

// keepOnly clears the shelf of what these doors do not want as it is: it may stand in the way of theirs.
func (s *shelf) keepOnly(mode intercept.Mode, doors [][]netip.AddrPort) {
	wanted := map[string]bool{}
	for _, addresses := range doors {
		whole := true
		for _, a := range addresses {
			whole = whole && s.found[shelfName(mode, a)] != nil
		}
		for _, a := range addresses {
			wanted[shelfName(mode, a)] = whole
		}
	}
	cleared := false
	for name := range s.lies {
		if !wanted[name] {
			s.clear(name)
			cleared = true
		}
	}
	if cleared {
		s.settle()
	}
}

// take has a door adopt what lies there for it. It reports whether there was something.
func (s *shelf) take(o *door) (bool, error) {
	taken := false
	for _, a := range o.addresses {
		name := shelfName(o.listener.Mode, a)
		l := s.found[name]
		if l == nil {
			continue
		}
		delete(s.found, name)
		if err := o.listener.Adopt(l); err != nil {
			return taken, errors.Join(err, l.Close())
		}
		taken = true
	}
	return taken, nil
}

// lay lays copies of the sockets of all doors there, and clears it of others. Sockets that are bound to an interface are left out: the next kanmon
// finds out itself which interfaces there are.
func (s *shelf) lay(doors []*door) {
	wanted := map[string]bool{}
	for _, o := range doors {
		o.listener.Unbound(func(a netip.AddrPort, fd int) {
			name := shelfName(o.listener.Mode, a)
			wanted[name] = true
			if !s.lies[name] {
				s.lies[name] = s.say("FDSTORE=1\nFDNAME="+name, fd)
			}
		})
	}
	for name := range s.lies {
		if !wanted[name] {
			s.clear(name)
		}
	}
}

// empty clears the shelf.
func (s *shelf) empty() error {
	for name := range s.lies {
		s.clear(name)
	}
	return closeAll(slices.Collect(maps.Values(s.found)))
}

func (s *shelf) clear(name string) {
	if l := s.found[name]; l != nil {
		_ = l.Close() // this process's copy of what it has no use for
		delete(s.found, name)
	}
	s.say("FDSTOREREMOVE=1\nFDNAME=" + name)
	delete(s.lies, name)
}

// shelfPatience is how long systemd may take to hear what it has been told.
const shelfPatience = 2 * time.Second

// settle waits until systemd has heard everything (BARRIER=1): an address is free only when its last copy is closed.
func (s *shelf) settle() {
	ends := make([]int, 2)
	if unix.Pipe2(ends, unix.O_CLOEXEC) != nil {
		return
	}
	s.say("BARRIER=1", ends[1])
	_ = unix.Close(ends[1])
	closed := []unix.PollFd{{Fd: int32(ends[0])}} //nolint:gosec // a descriptor
	_, _ = unix.Poll(closed, int(shelfPatience.Milliseconds()))
	_ = unix.Close(ends[0])
}

// saySystemd tells systemd something, with files.
func saySystemd(state string, files ...int) bool {
	address := &net.UnixAddr{Name: os.Getenv("NOTIFY_SOCKET"), Net: "unixgram"}
	if address.Name == "" {
		return false
	}
	conn, err := net.DialUnix(address.Net, nil, address)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(shelfPatience))
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	raw, err := conn.SyscallConn() // package net sends no descriptors by a socket that is connected
	if err != nil {
		return false
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		failed = unix.Sendmsg(int(fd), []byte(state), rights, nil, 0)
		return !errors.Is(failed, unix.EAGAIN)
	})
	return err == nil && failed == nil
}
