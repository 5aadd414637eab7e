package intercept

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/session"
)

func TestOpenOpensAllOrNothing(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	l := &Listener{Loops: new(Loops)}
	err = l.Open(t.Context(), addrPorts(free.Addr().String(), taken.Addr().String()))
	if err == nil || !strings.HasPrefix(err.Error(), "listen on "+taken.Addr().String()+": ") || !strings.HasSuffix(err.Error(), "address already in use") {
		t.Errorf("a taken address: %v", err)
	}
	if len(l.Addrs()) != 0 {
		t.Errorf("listening on %v", l.Addrs())
	}
	again, err := net.Listen("tcp4", free.Addr().String())
	if err != nil {
		t.Fatalf("the free address was not given back: %v", err)
	}
	again.Close()
}

func TestOpenBothWildcards(t *testing.T) {
	l := &Listener{Loops: new(Loops)}
	if err := l.Open(t.Context(), addrPorts("0.0.0.0:0")); err != nil {
		t.Fatal(err)
	}
	port := l.Addrs()[0].Port()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	both := []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), port), netip.AddrPortFrom(netip.IPv4Unspecified(), port)}
	l = &Listener{Loops: new(Loops)}
	if err := l.Open(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := l.Addrs(); len(got) != 2 || got[0] != both[0] || got[1] != both[1] {
		t.Errorf("listening on %v, want %v", got, both)
	}
}

func TestAdoptRefusesOtherSockets(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := new(Listener).Adopt(ln); err == nil || !strings.HasSuffix(err.Error(), "not a TCP socket but *net.UnixListener") {
		t.Errorf("a Unix socket: %v", err)
	}
}

func TestCloseLetsConnectionsGoOn(t *testing.T) {
	l := &Listener{
		Mode:  TProxy,
		Loops: new(Loops),
		Refuse: func(conn *net.TCPConn, _ session.Origin, _ session.Refusal) {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		},
	}
	if err := l.Open(t.Context(), addrPorts("127.0.0.1:0")); err != nil {
		t.Fatalf("%v (this test needs CAP_NET_RAW)", err)
	}
	served := make(chan struct{})
	go func() { l.Serve(); close(served) }()
	conn, err := net.Dial("tcp", l.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	echo := func(line string) {
		t.Helper()
		if _, err := io.WriteString(conn, line); err != nil {
			t.Fatal(err)
		}
		if got, err := bufio.NewReader(conn).ReadString('\n'); got != line {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	echo("before\n")
	for range 2 { // the second does nothing
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	<-served
	echo("after\n")
}

// With a NAT rule in the kernel, SO_ORIGINAL_DST of a direct connection is the listener's own address. That must be enough
// to refuse it: at the limit of descriptors the host's addresses cannot be read.
func TestDirectConnectionIsRefusedWithoutTheHostsAddresses(t *testing.T) {
	runtime.LockOSThread() // the namespace ends with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare: %v (this test needs root)", err)
	}
	for _, command := range []string{"link set lo up", "address add 10.0.0.1/32 dev lo", "address add fd00::1/128 dev lo"} {
		if _, err := run(t.Context(), "", append([]string{"ip"}, strings.Fields(command)...)...); err != nil {
			t.Fatal(err)
		}
	}
	rules := Rules{Listen: addrPorts("[::]:10025"), Local: true, Mark: 0x2525}
	withoutInput := strings.Replace(rules.Text(), "ct status & dnat == 0 counter reject with tcp reset", "accept", 1)
	if _, err := run(t.Context(), withoutInput, "nft", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	loops := new(Loops)
	loops.host.list = func() ([]net.Addr, error) { return nil, unix.EMFILE }
	outcome := make(chan string, 1)
	l := &Listener{
		Loops: loops,
		Handle: func(conn *net.TCPConn, _ session.Origin) {
			outcome <- "handled"
			conn.Close()
		},
		Refuse: func(conn *net.TCPConn, _ session.Origin, why session.Refusal) {
			outcome <- fmt.Sprint("refused ", why)
			conn.Close()
		},
	}
	if err := l.Open(t.Context(), rules.Listen); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go l.Serve()
	for _, address := range []string{"10.0.0.1:10025", "[fd00::1]:10025"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := <-outcome, fmt.Sprint("refused ", session.RefuseNotIntercepted); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
		conn.Close()
	}
}

// A peer that vanished is found the same way on every connection, whoever opened the listening socket.
func TestKeepAlive(t *testing.T) {
	for _, adopted := range []bool{false, true} {
		got := make(chan [4]int, 1)
		l := &Listener{
			Loops: new(Loops),
			Refuse: func(conn *net.TCPConn, _ session.Origin, _ session.Refusal) {
				defer conn.Close()
				got <- keepAliveOf(t, conn)
			},
		}
		if adopted {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Adopt(ln); err != nil {
				t.Fatal(err)
			}
		} else if err := l.Open(t.Context(), addrPorts("127.0.0.1:0")); err != nil {
			t.Fatal(err)
		}
		go l.Serve()
		conn, err := net.Dial("tcp", l.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		if options, want := <-got, [4]int{1, 40, 35, 4}; options != want {
			t.Errorf("adopted %t: on, idle, interval and count are %v, want %v", adopted, options, want)
		}
		_ = conn.Close()
		_ = l.Close()
	}
}

func keepAliveOf(t *testing.T, conn *net.TCPConn) (options [4]int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Error(err)
		return options
	}
	_ = raw.Control(func(fd uintptr) {
		options[0], _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		for i, option := range []int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT} {
			options[i+1], _ = unix.GetsockoptInt(int(fd), unix.SOL_TCP, option)
		}
	})
	return options
}
