package netns

import (
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
	"kanmon/test/netlab"
)

// TestSourcePortOfARedirectedConnection has an MSA connect to two MXs from one port. To kanmon both come to one address, so the kernel gives the second
// another port: what is on record is what this host sees, and of a connection that shares its port with none that is the MSA's own.
//
// audit-D18
func TestSourcePortOfARedirectedConnection(t *testing.T) {
	w := newPooledWorld(t)
	must(t, w.kanmon.Start())
	const port = 40000
	var conns []net.Conn
	for _, mx := range []netip.Addr{netlab.MXAddr(1, false), netlab.MXAddr(99, false)} {
		must(t, w.MSAs[0].Do(func() error {
			from := net.Dialer{LocalAddr: &net.TCPAddr{Port: port}, Timeout: 5 * time.Second, Control: sharedPort}
			conn, err := from.Dial("tcp4", netip.AddrPortFrom(mx, 25).String())
			conns = append(conns, conn)
			return err
		}))
	}
	for _, conn := range conns {
		must(t, conn.Close())
	}
	var seen []*event.Entry
	eventually(t, "both sessions on record", func() bool {
		seen = nil
		for e, err := range event.NewReader(strings.NewReader(w.kanmon.Records())).All() {
			if err == nil && e.Type == "session" {
				seen = append(seen, e)
			}
		}
		return len(seen) == 2
	})
	for _, e := range seen {
		source, err := netip.ParseAddrPort(e.Source)
		must(t, err)
		own := e.Destination.Addr() == netlab.MXAddr(1, false)
		if want := conns[0].LocalAddr().(*net.TCPAddr).AddrPort().Addr(); source.Addr() != want || own != (source.Port() == port) {
			t.Errorf("to %s from %s: the MSA is %s, and has port %d", e.Destination, source, want, port)
		}
	}
}

// sharedPort lets a socket have a port that another connection has, to another destination.
func sharedPort(_, _ string, c syscall.RawConn) (err error) {
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}
