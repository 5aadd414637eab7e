package smtptest

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// DefaultBuffer is how many octets fit on the way in one direction before a write blocks.
const DefaultBuffer = 64 << 10

// A Conn is one end of an in-memory connection that behaves as TCP does on Linux. It implements [net.Conn]; any
// number of goroutines may use it. It starts no goroutine and, while no octets are on their way, holds no buffer.
//
// One thing is harsher than Linux: a reset by [Conn.Reset], or by a Close with unread octets, destroys what the peer
// has not read yet. On a real network it does so whenever the RST overtakes a lost segment.
type Conn struct {
	link  *link
	peer  *Conn
	local netip.AddrPort

	// All below is guarded by link.mu.
	wake     sync.Cond // something happened that a Read, Write or WaitRead of this end may wait for
	in       buffer
	limit    int   // of in
	void     int   // octets sent to this end that went lost in a stall and fill the window
	fin      bool  // the peer's FIN stands behind in
	rst      bool  // a RST stands behind in
	writeErr error // why a write fails, once the peer has refused octets
	peerGone bool  // the peer has closed: the next octets will be refused
	shut     bool  // CloseWrite
	closed   bool
	gentle   bool // CloseNeverResets
	harsh    bool // SetLinger(0)

	lastCame time.Time     // octets from the peer
	acksIn   time.Duration // see AcksLate
	tell     func()        // of the peer's hang-up; nil: nobody wants to know

	readBy, writeBy      alarm
	readTotal, sentTotal int
	tap                  *tap // nil unless the test asked for Chunk, Record or a cut
}

// A link is what both ends of a connection share.
type link struct {
	mu      sync.Mutex
	ends    [2]Conn
	stalled bool // nothing passes any more, in neither direction
}

// Pair returns the two ends of a connection between the addresses a and b.
func Pair(a, b netip.AddrPort) (*Conn, *Conn) {
	l := new(link)
	for i, addr := range []netip.AddrPort{a, b} {
		l.ends[i] = Conn{link: l, peer: &l.ends[1-i], local: addr, limit: DefaultBuffer}
		l.ends[i].wake.L = &l.mu
	}
	return &l.ends[0], &l.ends[1]
}

// Read implements [net.Conn]. Its errors are io.EOF after the peer's FIN, and [*net.OpError] of
// syscall.ECONNRESET after a RST, os.ErrDeadlineExceeded, and net.ErrClosed after Close.
func (c *Conn) Read(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if err := c.waitReadable(); err != nil {
		return 0, err
	}
	if c.in.len() == 0 {
		return 0, io.EOF
	}
	n := c.in.pop(p[:c.tap.readLimit(len(p), c.readTotal)])
	c.readTotal += n
	if c.tap != nil {
		c.tap.saw(p[:n])
		c.cutIfDue()
	}
	c.peer.wake.Broadcast()
	return n, nil
}

// WaitRead blocks, without a buffer, until Read would not: octets or the FIN are there. It honours the read deadline; its errors are Read's, but never io.EOF.
func (c *Conn) WaitRead() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.waitReadable()
}

// waitReadable returns nil when octets or the FIN can be read.
func (c *Conn) waitReadable() error {
	for {
		switch {
		case c.closed:
			return c.fail("read", net.ErrClosed)
		case c.readBy.passed():
			return c.fail("read", os.ErrDeadlineExceeded)
		case c.in.len() > 0:
			return nil
		case c.rst:
			return c.fail("read", os.NewSyscallError("read", syscall.ECONNRESET))
		case c.fin:
			return nil
		}
		c.wait(&c.readBy)
	}
}

// Write implements [net.Conn]. It blocks while the peer's buffer is full. The first write after the peer has closed
// succeeds, its octets are lost, and later ones fail with syscall.EPIPE, as with TCP.
func (c *Conn) Write(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	sent := 0
	for {
		switch {
		case c.closed:
			return sent, c.fail("write", net.ErrClosed)
		case c.writeBy.passed():
			return sent, c.fail("write", os.ErrDeadlineExceeded)
		case c.shut:
			return sent, c.fail("write", os.NewSyscallError("write", syscall.EPIPE))
		case c.writeErr != nil:
			return sent, c.fail("write", os.NewSyscallError("write", c.writeErr))
		case sent == len(p):
			return sent, nil
		case c.peerGone:
			c.writeErr = syscall.EPIPE // the RST that answers these octets meets a socket that has seen the FIN
			return len(p), nil
		}
		n := c.send(p[sent:])
		sent += n
		switch {
		case c.cutIfDue():
			return len(p), nil
		case sent == len(p):
			return sent, nil
		case n == 0:
			c.wait(&c.writeBy)
		}
	}
}

// send moves octets toward the peer and says how many it took; 0 if the peer's window is full.
func (c *Conn) send(p []byte) int {
	p = p[:c.tap.writeLimit(len(p), c.sentTotal)]
	to := c.peer
	room := to.limit - to.void
	var n int
	if c.link.stalled {
		n = max(0, min(len(p), room-to.in.len()))
		to.void += n
	} else {
		if n = to.in.push(p, room); n > 0 {
			to.lastCame = time.Now()
		}
		to.wake.Broadcast()
	}
	c.sentTotal += n
	return n
}

// Close implements [net.Conn]. Octets already written still reach the peer, followed by a FIN; but if this end has
// not read all it was sent, the peer gets a RST instead, as from Linux.
func (c *Conn) Close() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	if c.harsh || c.in.len() > 0 && !c.gentle {
		c.reset()
		return nil
	}
	c.finish()
	c.closed = true
	c.in.drop()
	c.wake.Broadcast()
	return nil
}

// finish lets the peer see that this end has closed.
func (c *Conn) finish() {
	if c.link.stalled {
		return
	}
	c.peer.fin, c.peer.peerGone = true, true
	c.peer.hangsUp()
}

// CloseWrite sends a FIN; this end can go on reading.
func (c *Conn) CloseWrite() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	c.shut = true
	if !c.link.stalled {
		c.peer.fin = true
		c.peer.hangsUp()
	}
	c.wake.Broadcast()
	return nil
}

// Reset closes this end with a RST: the peer's reads and writes fail with syscall.ECONNRESET, and what it has not read is lost.
func (c *Conn) Reset() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if !c.closed {
		c.reset()
	}
}

func (c *Conn) reset() {
	c.closed = true
	c.in.drop()
	c.wake.Broadcast()
	if c.link.stalled {
		return
	}
	c.peer.in.drop()
	c.peer.refused()
}

// refused lets this end see a RST, behind what it can still read.
func (c *Conn) refused() {
	c.rst, c.writeErr = true, syscall.ECONNRESET
	c.hangsUp()
}

// hangsUp lets whoever waits at this end know that its peer has hung up.
func (c *Conn) hangsUp() {
	c.wake.Broadcast()
	if c.tell != nil {
		c.tell()
		c.tell = nil
	}
}

// TellHangUp has a function called once, when the peer sends a FIN or a RST, or at once where it has: it must wait for nothing, and not use
// this connection. Nil: nobody wants to know any more.
func (c *Conn) TellHangUp(tell func()) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.tell = tell; tell != nil && (c.rst || c.fin) {
		c.hangsUp()
	}
}

// CloseNeverResets makes Close send a FIN even if octets are unread.
func (c *Conn) CloseNeverResets() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.gentle = true
}

// SetLinger does what that of [net.TCPConn] does for 0: Close then sends a RST, whether anything is unread or not.
func (c *Conn) SetLinger(seconds int) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.harsh = seconds == 0
	return nil
}

// HungUp reports whether the peer has sent a FIN or a RST, even if octets before it are unread. It is true after Close.
func (c *Conn) HungUp() bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.closed || c.rst || c.fin && !c.tap.cutsBefore(c.readTotal+c.in.len())
}

// Broken reports whether the connection was reset, or the peer has answered octets with a RST because it has closed. It is true after Close.
func (c *Conn) Broken() bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.closed || c.rst || c.writeErr != nil
}

// Room reports whether the peer's buffer is half empty.
func (c *Conn) Room() bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.peer.in.len()+c.peer.void < c.peer.limit/2
}

// Quiet is how long ago the last octets from the peer came in, read or not.
func (c *Conn) Quiet() time.Duration {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return time.Since(c.lastCame)
}

// Unheard is about how many octets sent by this end its peer has not acknowledged: those that went lost in a stall, and the last ones as
// long as the peer's host keeps its acknowledgement back.
func (c *Conn) Unheard() int {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	n := c.peer.void
	if time.Since(c.peer.lastCame) < c.peer.acksIn {
		n++
	}
	return n
}

// AcksLate has this end's host acknowledge octets so long behind their coming (RFC 1122 §4.2.3.2 allows half a second).
func (c *Conn) AcksLate(by time.Duration) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.acksIn = by
}

// Pending is the number of octets that can be read now.
func (c *Conn) Pending() int {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.tap.beforeCut(c.in.len(), c.readTotal)
}

// SetReadBuffer sets how many octets sent to this end may be unread before the peer's writes block; 0 is a closed window.
func (c *Conn) SetReadBuffer(octets int) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.limit = octets
	c.peer.wake.Broadcast()
	return nil
}

// LocalAddr implements [net.Conn]; it is a [*net.TCPAddr].
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements [net.Conn]; it is a [*net.TCPAddr].
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer.local) }

// fail wraps an error as package net does.
func (c *Conn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.readBy, &c.writeBy) }

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.readBy) }

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writeBy) }

func (c *Conn) setDeadlines(t time.Time, alarms ...*alarm) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.fail("set", net.ErrClosed)
	}
	for _, a := range alarms {
		a.at = t
	}
	c.wake.Broadcast() // whoever waits judges and arms anew
	return nil
}

// An alarm is a deadline. Its timer is made by the first call that has to wait for it.
type alarm struct {
	at      time.Time
	timer   *time.Timer
	waiting int
}

func (a *alarm) passed() bool { return !a.at.IsZero() && time.Until(a.at) <= 0 }

// wait returns when something happened at this end or the alarm rings.
func (c *Conn) wait(a *alarm) {
	if !a.at.IsZero() {
		if a.timer == nil {
			a.timer = time.AfterFunc(time.Until(a.at), c.ring)
		} else {
			a.timer.Reset(time.Until(a.at))
		}
	}
	a.waiting++
	c.wake.Wait()
	a.waiting--
	if a.waiting == 0 && a.timer != nil {
		a.timer.Stop()
	}
}

func (c *Conn) ring() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.wake.Broadcast()
}
