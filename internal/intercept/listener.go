package intercept

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event/word"
	"kanmon/internal/session"
)

// Mode says how connections come to the listener.
type Mode uint8

// The modes.
const (
	Redirect Mode = iota // NAT: nftables "redirect"
	TProxy               // transparent sockets: nftables "tproxy"
)

var modes = word.List[Mode]("mode", "redirect", "tproxy")

// String returns the mode as the configuration has it.
func (m Mode) String() string { return modes.Text(m) }

// MarshalText writes the mode as String does.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads a mode.
func (m *Mode) UnmarshalText(text []byte) error { return modes.Read(text, m) }

// Words returns the modes.
func (Mode) Words() []string { return modes.Words() }

// A Listener accepts intercepted connections. Its fields are set before Open and Adopt, these are called before Serve, and
// never after.
type Listener struct {
	Mode  Mode
	Loops *Loops // shared with the dialler

	// Handle gets an intercepted connection, in a goroutine of its own. It closes the connection.
	Handle func(conn *net.TCPConn, origin session.Origin)
	// Refuse gets a connection that must not be handled, in a goroutine of its own. It closes the connection. The origin's
	// destination is the zero AddrPort if it could not be found out.
	Refuse func(conn *net.TCPConn, origin session.Origin, why session.Refusal)

	Log *slog.Logger // nil: slog.Default()

	Dedicated bool // the port is for some interfaces alone, see SetWires

	ports     map[uint16]struct{} // listened on; not changed once Serve runs
	accepting sync.WaitGroup
	mu        sync.Mutex
	serving   bool
	over      bool
	addresses []netip.AddrPort // of Open
	patterns  []string         // of SetWires
	poke      chan struct{}    // they have changed
	unbound   bool             // no socket can be bound to an interface
	sockets   []socket
	closed    chan struct{} // made by the first Open or Adopt
}

// A socket is one address that a Listener listens on.
type socket struct {
	*net.TCPListener
	addr    netip.AddrPort
	adopted bool
	on      wire
}

// A peer that vanished without a word is found after 40 + 4×35 s. The first probe goes out before conntrack forgets an MSA that has closed
// its sending side and waits for the MX's answer, 60 s: NAT would not know the answer any more.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 40 * time.Second, Interval: 35 * time.Second, Count: 4}

// Open listens on the addresses. The IPv6 wildcard address takes IPv4 too, unless the IPv4 wildcard address with the same
// port is among the addresses. If one cannot be opened, none is.
func (l *Listener) Open(ctx context.Context, addresses []netip.AddrPort) error {
	want, err := l.wanted()
	if err != nil {
		return err
	}
	opened, err := l.openOn(ctx, addresses, want)
	if l.cannotBind(err) {
		opened, err = l.openOn(ctx, addresses, []wire{{}})
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prepare(addresses)
	l.addresses = append(l.addresses, addresses...)
	for _, s := range opened {
		l.ports[s.addr.Port()] = struct{}{}
		l.take(s)
	}
	return nil
}

// networkFor returns package net's name of the network to listen on. Plain "tcp" would make even 0.0.0.0 an IPv6 socket.
func networkFor(a netip.AddrPort, all []netip.AddrPort) string {
	if a.Addr().Unmap().Is4() {
		return "tcp4"
	}
	if !a.Addr().IsUnspecified() || hasWildcard4(all, a.Port()) {
		return "tcp6"
	}
	return "tcp"
}

func hasWildcard4(all []netip.AddrPort, port uint16) bool {
	for _, a := range all {
		if a == netip.AddrPortFrom(netip.IPv4Unspecified(), port) {
			return true
		}
	}
	return false
}

func (l *Listener) open(ctx context.Context, a netip.AddrPort, network string, on wire) (*net.TCPListener, error) {
	lc := net.ListenConfig{KeepAlive: -1} // connections inherit what the control function sets
	// On a connection that the MSA opened with MPTCP, SO_ORIGINAL_DST fails (EOPNOTSUPP).
	lc.SetMultipathTCP(false)
	lc.Control = func(network, _ string, c syscall.RawConn) error {
		err := setKeepAlive(c, keepAlive)
		if l.Mode == TProxy {
			err = errors.Join(err, setTransparent(c, network == "tcp6"))
		}
		if l.Dedicated {
			err = errors.Join(err, bindTo(c, on))
		}
		return err
	}
	ln, err := lc.Listen(ctx, network, a.String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s%s: %w", a, on, err)
	}
	return ln.(*net.TCPListener), nil
}

// Adopt takes a listening TCP socket that somebody else opened (systemd socket activation). In tproxy mode it must be
// transparent already, or kanmon must be allowed to make it so.
func (l *Listener) Adopt(ln net.Listener) error {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return fmt.Errorf("adopt %s: not a TCP socket but %T", ln.Addr(), ln)
	}
	if l.Mode == TProxy {
		raw, err := tcp.SyscallConn()
		if err == nil {
			err = ensureTransparent(raw, tcp.Addr().(*net.TCPAddr).IP.To4() == nil)
		}
		if err != nil {
			return fmt.Errorf("adopt %s: %w", ln.Addr(), err)
		}
	}
	s := socket{TCPListener: tcp, addr: unmap(tcp.Addr()), adopted: true}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prepare([]netip.AddrPort{s.addr})
	l.take(s)
	return nil
}

// prepare makes what the first addresses need.
func (l *Listener) prepare(addresses []netip.AddrPort) {
	if l.closed == nil {
		l.closed = make(chan struct{})
		l.poke = make(chan struct{}, 1)
		l.ports = make(map[uint16]struct{})
	}
	for _, a := range addresses {
		l.ports[a.Port()] = struct{}{}
	}
}

// take has a socket accept, if the others do.
func (l *Listener) take(s socket) {
	l.sockets = append(l.sockets, s)
	if l.serving {
		l.accepting.Go(func() { l.accept(s) })
	}
}

// Addrs returns the addresses listened on, on whatever wires.
func (l *Listener) Addrs() []netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []netip.AddrPort
	for _, s := range l.sockets {
		if !slices.Contains(list, s.addr) {
			list = append(list, s.addr)
		}
	}
	return list
}

// Unbound calls do with each socket that is on whatever wires.
func (l *Listener) Unbound(do func(a netip.AddrPort, fd int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sockets {
		raw, err := s.SyscallConn()
		if err != nil || s.on != (wire{}) {
			continue
		}
		_ = raw.Control(func(fd uintptr) { do(s.addr, int(fd)) }) // fails only where it is closed
	}
}

// Serve accepts connections until Close, and then returns.
func (l *Listener) Serve() {
	l.mu.Lock()
	l.serving = true
	for _, s := range l.sockets {
		l.accepting.Go(func() { l.accept(s) })
	}
	l.mu.Unlock()
	if l.Dedicated {
		l.tendWires()
	}
	l.accepting.Wait()
}

// Close stops accepting. Connections waiting in the kernel's queues are reset; those accepted go on.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, s := range l.sockets {
		errs = append(errs, s.Close())
	}
	if l.closed != nil && !l.over {
		close(l.closed)
		l.sockets, l.over = nil, true
	}
	return errors.Join(errs...)
}

func (l *Listener) accept(s socket) {
	trouble := trouble{log: l.log(), addr: s.addr}
	for {
		conn, err := s.AcceptTCP()
		switch {
		case err == nil:
			trouble.over()
			if s.adopted { // package net has set its own
				_ = conn.SetKeepAliveConfig(keepAlive) // fails only if the peer is gone, and then everything else will
			}
			go l.admit(conn, s.addr.Port())
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, unix.ECONNABORTED):
			// The MSA was faster in giving up. Nothing is wrong here.
		default:
			select {
			case <-l.closed:
				return
			case <-time.After(trouble.pause(err)):
			}
		}
	}
}

// admit finds out where the connection was going and hands it on. The port is the one that took it: with tproxy the connection
// itself does not tell.
func (l *Listener) admit(conn *net.TCPConn, port uint16) {
	local := unmap(conn.LocalAddr())
	origin := session.Origin{Source: unmap(conn.RemoteAddr()), Port: port}
	var err error
	if origin.Destination, err = l.destination(conn, local); err != nil {
		l.log().Warn("original destination unknown", "source", origin.Source, "local", local, "error", err)
		l.Refuse(conn, origin, session.RefuseNotIntercepted)
		return
	}
	switch {
	case !origin.Destination.IsValid() || l.isOwn(origin.Destination):
		l.Refuse(conn, origin, session.RefuseNotIntercepted)
	case l.Loops.Own(origin.Source, origin.Destination):
		l.Refuse(conn, origin, session.RefuseLoop)
	default:
		l.Handle(conn, origin)
	}
}

// destination returns where the peer wanted to go: the zero AddrPort if here.
func (l *Listener) destination(conn *net.TCPConn, local netip.AddrPort) (netip.AddrPort, error) {
	if l.Mode == TProxy {
		return local, nil
	}
	destination, err := originalDestination(conn, local.Addr().Is4())
	// Without a NAT rule in the kernel a direct connection has no original destination; with one, it has its own.
	if errors.Is(err, unix.ENOENT) || destination == local {
		return netip.AddrPort{}, nil
	}
	return destination, err
}

// isOwn reports whether the destination is this host. The rules never intercept such a connection; mail for this host's own
// MX that foreign rules brought here would come back here.
func (l *Listener) isOwn(destination netip.AddrPort) bool {
	if l.Loops.host.has(destination.Addr()) {
		return true
	}
	// An address just added must not open the way to a loop.
	_, listening := l.ports[destination.Port()]
	return listening && l.Loops.host.hasNow(destination.Addr())
}

func (l *Listener) log() *slog.Logger {
	if l.Log == nil {
		return slog.Default()
	}
	return l.Log
}

// unmap returns a TCP address with an IPv4-mapped IPv6 address as the IPv4 address it is.
func unmap(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
