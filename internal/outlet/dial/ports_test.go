package dial

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/session"
)

// newNetwork moves the test's thread into a network namespace of its own, which has nothing but a loopback interface with
// the given addresses, and ends with the thread. Sockets that the test's own goroutine opens belong to it.
func newNetwork(t *testing.T, addresses ...string) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread, and with it the namespace, ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare: %v (this test needs root)", err)
	}
	commands := [][]string{{"link", "set", "lo", "up"}}
	for _, a := range addresses {
		command := []string{"address", "add", a, "dev", "lo"}
		if strings.Contains(a, ":") {
			command = append(command, "nodad") // else it cannot be used for a moment
		}
		commands = append(commands, command)
	}
	for _, args := range commands {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	for _, a := range addresses {
		awaitRoute(t, netip.MustParsePrefix(a).Addr())
	}
}

// awaitRoute connects to an address of this host until that works: for a moment behind its making the kernel may lose a connection to an
// IPv6 address, and then call the network unreachable.
func awaitRoute(t *testing.T, address netip.Addr) {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", l.Addr().String(), time.Second)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// Each MX must have the whole port range of a sending IP, and the end of it must be told from an address that is not there.
func TestSourcePortsAreExhaustedPerDestination(t *testing.T) {
	const ports = 20
	for name, tc := range map[string]struct {
		from    string // "": the kernel chooses
		network string
		mxs     []string
	}{
		"ipv4":         {"10.0.0.1", "tcp4", []string{"10.0.1.1:25", "10.0.1.2:25", "10.0.1.3:25"}},
		"ipv6":         {"fd00::1", "tcp6", []string{"[fd00:1::1]:25", "[fd00:1::2]:25", "[fd00:1::3]:25"}},
		"ipv4 observe": {"", "tcp4", []string{"10.0.1.1:25", "10.0.1.2:25", "10.0.1.3:25"}},
		"ipv6 observe": {"", "tcp6", []string{"[fd00:1::1]:25", "[fd00:1::2]:25", "[fd00:1::3]:25"}},
	} {
		t.Run(name, func(t *testing.T) {
			newNetwork(t, "10.0.0.1/32", "10.0.1.1/32", "10.0.1.2/32", "10.0.1.3/32",
				"fd00::1/128", "fd00:1::1/128", "fd00:1::2/128", "fd00:1::3/128")
			// /proc/sys/net is that of the thread's namespace.
			if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40019"), 0); err != nil {
				t.Fatal(err)
			}
			d, from := New(Config{}), kernels
			if tc.from != "" {
				from = netip.MustParseAddr(tc.from)
			}
			for _, address := range tc.mxs {
				mx := listen(t, tc.network, address)
				for i := range ports {
					out, err := d.DialFrom(t.Context(), from, mx)
					if err != nil {
						t.Fatalf("%s: connection %d of %d: %v", mx, i+1, ports, err)
					}
					t.Cleanup(func() { out.Conn.Close() })
				}
				out, err := d.DialFrom(t.Context(), from, mx)
				if err == nil {
					out.Conn.Close()
				}
				if !errors.Is(err, session.ErrPortsExhausted) {
					t.Fatalf("%s: connection %d: %v, want ErrPortsExhausted", mx, ports+1, err)
				}
			}
		})
	}
}

// A sending IP that is not there: the mail stays, whatever other address the host has.
func TestNeverLeavesFromAnotherAddress(t *testing.T) {
	newNetwork(t, "10.0.0.1/32", "10.0.1.1/32")
	mx := listen(t, "tcp4", "10.0.1.1:25")
	out, err := New(Config{}).DialFrom(t.Context(), netip.MustParseAddr("10.0.0.2"), mx)
	if err == nil {
		out.Conn.Close()
	}
	if !errors.Is(err, session.ErrNotOnHost) {
		t.Fatalf("dial from 10.0.0.2, which the host does not have: %v, want ErrNotOnHost", err)
	}
}
