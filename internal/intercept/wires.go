package intercept

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wireEvery is how long an interface that has come up may go without sockets of its own: its connections are refused as long.
const wireEvery = 2 * time.Second

// maxWires is how many interfaces a Listener has sockets of their own for: each takes descriptors that sessions need.
// More of them are links of single customers, which have a route each.
const maxWires = 100

// A wire is an interface that a Listener has sockets for. A socket of a wire, and all that it accepts, receives and sends by that interface
// alone. The zero wire stands for all interfaces, and for the way that the host's routes know.
type wire struct {
	name  string
	index int // an interface that is made anew has another one, and the sockets of the old one get nothing
}

// String names the wire behind an address.
func (w wire) String() string {
	if w.name == "" {
		return ""
	}
	return " of " + w.name
}

// SetWires names the interfaces ("ppp*" matches a prefix) that connections come in by, and are answered over, whatever the host's routes
// say: MSAs on several wires may have the same addresses. None: they come by any. It is for a Dedicated Listener that opens its sockets
// itself, and may be called at any time.
func (l *Listener) SetWires(patterns []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.patterns = patterns
	select {
	case l.poke <- struct{}{}:
	default: // nobody listens yet, or it is known already
	}
}

// wanted returns the wires that there should be sockets for.
func (l *Listener) wanted() ([]wire, error) {
	l.mu.Lock()
	patterns := l.patterns
	l.mu.Unlock()
	if len(patterns) == 0 || l.unbound {
		return []wire{{}}, nil
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("read the interfaces of this host: %w", err)
	}
	var list []wire
	for _, i := range interfaces {
		if slices.ContainsFunc(patterns, func(p string) bool { return Meets(p, i.Name) }) {
			list = append(list, wire{i.Name, i.Index})
		}
	}
	if len(list) > maxWires {
		return []wire{{}}, nil
	}
	return list, nil
}

// Meets reports whether an interface can have both of two names, each of which may be a pattern: "msa*" is of all that begin so.
func Meets(a, b string) bool {
	x, anyX := strings.CutSuffix(a, "*")
	y, anyY := strings.CutSuffix(b, "*")
	switch {
	case anyX && anyY:
		return strings.HasPrefix(x, y) || strings.HasPrefix(y, x)
	case anyX:
		return strings.HasPrefix(y, x)
	case anyY:
		return strings.HasPrefix(x, y)
	default:
		return x == y
	}
}

// openOn opens a socket for each address, on each wire: all or none.
func (l *Listener) openOn(ctx context.Context, addresses []netip.AddrPort, on []wire) (opened []socket, err error) {
	for _, w := range on {
		for _, a := range addresses {
			ln, err := l.open(ctx, a, networkFor(a, addresses), w)
			if err != nil {
				closeSockets(opened)
				return nil, err
			}
			opened = append(opened, socket{TCPListener: ln, addr: unmap(ln.Addr()), on: w})
		}
	}
	return opened, nil
}

func closeSockets(list []socket) {
	for _, s := range list {
		_ = s.Close() // nothing waits there that could be saved
	}
}

// tendWires has the right sockets as interfaces come and go, until the Listener is closed.
func (l *Listener) tendWires() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tick := time.NewTicker(wireEvery)
	defer tick.Stop()
	for told := ""; ; {
		select {
		case <-l.closed:
			return
		case <-l.poke:
		case <-tick.C:
		}
		err := l.changeWires(ctx)
		switch {
		case err == nil:
			told = ""
		case err.Error() != told:
			told = err.Error()
			l.log().Error("an interface has no listener, its mail is refused", "error", err)
		}
	}
}

// changeWires opens what is missing, and closes what belongs to an interface that has gone, or is not wanted any more.
func (l *Listener) changeWires(ctx context.Context) error {
	want, err := l.wanted()
	if err != nil {
		return err
	}
	l.mu.Lock()
	sockets, addresses := slices.Clone(l.sockets), l.addresses
	l.mu.Unlock()
	if addresses == nil { // all are systemd's
		return nil
	}
	var errs []error
	var opened []socket
	for _, w := range want {
		if slices.ContainsFunc(sockets, func(s socket) bool { return s.on == w }) {
			continue
		}
		more, err := l.openOn(ctx, addresses, []wire{w})
		if errs = append(errs, err); l.cannotBind(err) {
			return nil // the next time for all together
		}
		opened = append(opened, more...)
	}
	gone := slices.DeleteFunc(sockets, func(s socket) bool { return slices.Contains(want, s.on) })
	l.exchange(opened, gone)
	return errors.Join(errs...)
}

// exchange takes sockets into use, and others out of it. Connections that these have accepted go on.
func (l *Listener) exchange(opened, gone []socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	closeSockets(gone)
	l.sockets = slices.DeleteFunc(l.sockets, func(s socket) bool {
		return slices.ContainsFunc(gone, func(g socket) bool { return g.TCPListener == s.TCPListener })
	})
	select {
	case <-l.closed:
		closeSockets(opened)
		return
	default:
	}
	for _, s := range opened {
		l.take(s)
	}
}

// cannotBind reports whether a kernel lets none but the privileged bind a socket to an interface: then one socket must do for all.
func (l *Listener) cannotBind(err error) bool {
	if !errors.Is(err, errBind) {
		return false
	}
	l.unbound = true
	l.log().Warn("connections of all interfaces are answered by the host's routes, not over the interface that they came in by", "error", err)
	return true
}

var errBind = errors.New("a socket may not be bound to an interface (it needs Linux 5.7, or CAP_NET_RAW)")

// bindTo prepares a socket of a dedicated port. Two of one user may listen on one address: while one is exchanged for the other.
func bindTo(c syscall.RawConn, on wire) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		if failed == nil && on.name != "" {
			failed = os.NewSyscallError("setsockopt SO_BINDTODEVICE", unix.BindToDevice(int(fd), on.name))
		}
	})
	if errors.Is(failed, unix.EPERM) {
		failed = fmt.Errorf("%w: %w", errBind, failed)
	}
	return errors.Join(err, failed)
}
