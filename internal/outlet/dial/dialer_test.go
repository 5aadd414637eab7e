package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/session"
)

// listen opens a server that keeps what it accepts until the test ends, and gives its address.
func listen(t *testing.T, network, address string) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

var kernels netip.Addr // the kernel chooses

func TestDialLeavesFromTheSendingIP(t *testing.T) {
	mx := listen(t, "tcp4", "127.0.0.1:0")
	mapped := netip.AddrPortFrom(netip.AddrFrom16(mx.Addr().As16()), mx.Port())
	for _, destination := range []netip.AddrPort{mx, mapped} {
		out, err := New(Config{}).DialFrom(t.Context(), netip.MustParseAddr("127.0.0.77"), destination)
		if err != nil {
			t.Fatal(err)
		}
		conn, ok := out.Conn.(*net.TCPConn)
		if !ok {
			t.Fatalf("the connection is a %T, want *net.TCPConn", out.Conn)
		}
		defer conn.Close()
		want := netip.MustParseAddr("127.0.0.77")
		if got := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(); got != want || out.SendingIP != want {
			t.Errorf("left from %s, SendingIP %s, want %s", got, out.SendingIP, want)
		}
		if out.Name != "" || out.Closed != nil {
			t.Errorf("name %q, Closed nil: %t", out.Name, out.Closed == nil)
		}
		if p := socketOption(t, conn, unix.SOL_SOCKET, unix.SO_PROTOCOL); p != unix.IPPROTO_TCP {
			t.Errorf("protocol %d, want plain TCP", p)
		}
	}
}

func TestDialInObserveMode(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		mx := listen(t, "tcp", address)
		out, err := New(Config{}).DialFrom(t.Context(), kernels, mx)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Conn.Close()
		if out.SendingIP.IsValid() || out.Name != "" {
			t.Errorf("%s: sending IP %s, name %q, want none", mx, out.SendingIP, out.Name)
		}
		if got := out.Conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); got != mx.Addr() {
			t.Errorf("%s: left from %s", mx, got)
		}
	}
}

func TestDialSetsTheMark(t *testing.T) {
	mx := listen(t, "tcp4", "127.0.0.1:0")
	out, err := New(Config{Mark: 0x2525}).DialFrom(t.Context(), kernels, mx)
	if err != nil {
		t.Fatalf("%v (this test needs CAP_NET_RAW)", err)
	}
	defer out.Conn.Close()
	if mark := socketOption(t, out.Conn.(*net.TCPConn), unix.SOL_SOCKET, unix.SO_MARK); mark != 0x2525 {
		t.Errorf("mark %#x, want 0x2525", mark)
	}
}

func socketOption(t *testing.T, conn *net.TCPConn, level, option int) int {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var value int
	var failed error
	if err := raw.Control(func(fd uintptr) { value, failed = unix.GetsockoptInt(int(fd), level, option) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return value
}

func TestDialErrors(t *testing.T) {
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for name, tc := range map[string]struct {
		ctx  context.Context
		from string // "": the kernel chooses
		mx   string
		is   []error
		not  error
		text string // the whole text
	}{
		"refused": {
			t.Context(), "127.0.0.77", "127.0.0.1:1",
			[]error{syscall.ECONNREFUSED},
			session.ErrPortsExhausted,
			"dial 127.0.0.1:1 from 127.0.0.77: connect: connection refused",
		},
		"refused in observe mode": {
			t.Context(), "", "[::1]:1",
			[]error{syscall.ECONNREFUSED},
			session.ErrPortsExhausted,
			"dial [::1]:1 from the kernel's choice: connect: connection refused",
		},
		"address not on this host": {
			t.Context(), "203.0.113.10", "127.0.0.1:1",
			[]error{session.ErrNotOnHost, syscall.EADDRNOTAVAIL},
			session.ErrPortsExhausted,
			"dial 127.0.0.1:1 from 203.0.113.10: sending IP is not an address of this host: bind: cannot assign requested address",
		},
		"IPv6 address not on this host": {
			t.Context(), "2001:db8::25", "[::1]:1",
			[]error{session.ErrNotOnHost, syscall.EADDRNOTAVAIL},
			session.ErrPortsExhausted,
			"dial [::1]:1 from 2001:db8::25: sending IP is not an address of this host: bind: cannot assign requested address",
		},
		"time is up": {
			expired, "", "127.0.0.1:1",
			[]error{context.DeadlineExceeded},
			session.ErrPortsExhausted,
			"dial 127.0.0.1:1 from the kernel's choice: i/o timeout",
		},
	} {
		from := kernels
		if tc.from != "" {
			from = netip.MustParseAddr(tc.from)
		}
		out, err := New(Config{}).DialFrom(tc.ctx, from, netip.MustParseAddrPort(tc.mx))
		if err == nil {
			out.Conn.Close()
			t.Errorf("%s: the dial succeeded", name)
			continue
		}
		for _, want := range tc.is {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v is not %v", name, err, want)
			}
		}
		if errors.Is(err, tc.not) {
			t.Errorf("%s: %v is %v", name, err, tc.not)
		}
		if err.Error() != tc.text {
			t.Errorf("%s:\n got %s\nwant %s", name, err, tc.text)
		}
	}
}

// events writes down what a Guard is told.
type events []string

func (e *events) Dialling(source netip.Addr, destination netip.AddrPort) func(netip.AddrPort) func() {
	*e = append(*e, "dialling "+source.String()+" "+destination.Addr().String())
	return func(local netip.AddrPort) func() {
		*e = append(*e, "landed "+local.Addr().String())
		if !local.IsValid() {
			return nil
		}
		return func() { *e = append(*e, "closed") }
	}
}

func TestGuardIsToldOfEveryDial(t *testing.T) {
	mx := listen(t, "tcp4", "127.0.0.1:0")
	var told events
	d, from := New(Config{Guard: &told}), netip.MustParseAddr("127.0.0.77")
	out, err := d.DialFrom(t.Context(), from, mx)
	if err != nil {
		t.Fatal(err)
	}
	out.Conn.Close()
	out.Closed()
	if _, err = d.DialFrom(t.Context(), from, netip.MustParseAddrPort("127.0.0.1:1")); err == nil {
		t.Fatal("port 1 answered")
	}
	want := "dialling 127.0.0.77 127.0.0.1, landed 127.0.0.77, closed, dialling 127.0.0.77 127.0.0.1, landed invalid IP"
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func BenchmarkDial(b *testing.B) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	d, from, mx := New(Config{}), netip.MustParseAddr("127.0.0.77"), ln.Addr().(*net.TCPAddr).AddrPort()
	b.ReportAllocs()
	for b.Loop() {
		out, err := d.DialFrom(context.Background(), from, mx)
		if err != nil {
			b.Fatal(err)
		}
		out.Conn.(*net.TCPConn).SetLinger(0) // leave no TIME_WAIT behind
		out.Conn.Close()
	}
}
