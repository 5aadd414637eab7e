package smtptest

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// A Network is a set of listeners that can be dialled. The zero value is an empty one, where every dial is refused.
type Network struct {
	mu        sync.Mutex
	listeners map[netip.AddrPort]*Listener
	dropped   map[netip.AddrPort]bool
	lastPort  uint16
}

// firstEphemeral is the first port given to a dialler that asked for none.
const firstEphemeral = 32768

// Listen opens a listener at an address. Its error wraps syscall.EADDRINUSE.
func (n *Network) Listen(at netip.AddrPort) (*Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	if n.listeners == nil {
		n.listeners = make(map[netip.AddrPort]*Listener)
	}
	l := &Listener{network: n, addr: at}
	l.arrived.L = &l.mu
	n.listeners[at] = l
	return l, nil
}

// Drop makes dials to an address unanswered from now on, as by a firewall: they last until their context ends.
func (n *Network) Drop(at netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dropped == nil {
		n.dropped = make(map[netip.AddrPort]bool)
	}
	n.dropped[at] = true
}

// Dial connects from an address, with port 0 for any port, to a listener. It does not wait for Accept. Its
// [*net.OpError] wraps syscall.ECONNREFUSED if nobody listens there, and the context's error if that ends first.
func (n *Network) Dial(ctx context.Context, from, to netip.AddrPort) (*Conn, error) {
	l, dropped, from := n.route(from, to)
	fail := func(err error) (*Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Source: net.TCPAddrFromAddrPort(from), Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	if ctx.Err() != nil {
		return fail(ctx.Err())
	}
	if dropped {
		<-ctx.Done()
		return fail(ctx.Err())
	}
	near, far := Pair(from, to)
	if l == nil || !l.offer(far) {
		return fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	return near, nil
}

func (n *Network) route(from, to netip.AddrPort) (*Listener, bool, netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if from.Port() == 0 {
		n.lastPort = max(n.lastPort+1, firstEphemeral)
		from = netip.AddrPortFrom(from.Addr(), n.lastPort)
	}
	return n.listeners[to], n.dropped[to], from
}

// A Listener implements [net.Listener] on a [Network]. Its queue of connections not yet accepted has no limit.
type Listener struct {
	network *Network
	addr    netip.AddrPort

	mu      sync.Mutex
	arrived sync.Cond
	queue   []*Conn
	closed  bool
}

// offer queues a connection; it reports false if the listener is closed.
func (l *Listener) offer(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.queue = append(l.queue, c)
	l.arrived.Signal()
	return true
}

// Accept implements [net.Listener]; the connection is a [*Conn]. Its error wraps net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && len(l.queue) == 0 {
		l.arrived.Wait()
	}
	if l.closed {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	return c, nil
}

// Close implements [net.Listener]. Connections not yet accepted are reset.
func (l *Listener) Close() error {
	l.network.mu.Lock()
	if l.network.listeners[l.addr] == l {
		delete(l.network.listeners, l.addr)
	}
	l.network.mu.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.closed = true
	for _, c := range l.queue {
		c.Reset()
	}
	l.queue = nil
	l.arrived.Broadcast()
	return nil
}

// Addr implements [net.Listener].
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }
