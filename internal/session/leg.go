package session

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/smtp"
)

// A leg is one side of a session.
type leg struct {
	conn    net.Conn     // what is read and written: base, or TLS over it
	base    net.Conn     // the connection itself
	in      *smtp.Reader // octets of conn
	out     []byte       // to be written with the next flush; nil when empty
	probe   prober
	armed   deadline // of reads, in force
	armedW  deadline // of writes, in force
	written int64
}

// prober tells about a connection without reading from it.
type prober interface {
	// HungUp reports whether the peer has sent FIN or RST, even with unread octets in front of it.
	HungUp() bool
	// Broken reports whether the connection was reset: then nothing counts any more of what came before.
	Broken() bool
	// Quiet is how long ago the last octets came in.
	Quiet() time.Duration
	// Unheard is how many octets have been written that the peer's host has not acknowledged.
	Unheard() int
	// Pending is more than 0 if octets, or the peer's hang-up, can be read without waiting.
	Pending() int
	// Room says whether, when Pending or HungUp was last asked, a write of a few kilobytes would not have had to wait.
	Room() bool
}

func newLeg(conn net.Conn) leg {
	l := leg{conn: conn, base: conn, in: smtp.NewReader(conn)}
	switch c := conn.(type) {
	case *net.TCPConn:
		l.probe = newTCPProbe(c)
	case prober:
		l.probe = c
	}
	return l
}

// startTLS replaces the conversation by one inside TLS. The Reader before it must be empty (I8).
func (l *leg) startTLS(conn *tls.Conn, under *smtp.Under) {
	l.conn, l.in = conn, l.in.Over(conn, under)
}

func (l *leg) open() bool { return l.conn != nil }

// hungUp reports whether the peer has sent FIN or RST.
func (l *leg) hungUp() bool { return l.probe != nil && l.probe.HungUp() }

// An ending is what a look at a leg says of its peer's end.
type ending uint8

const (
	endNone   ending = iota // the peer has not hung up
	endBehind               // it has closed its sending side behind octets that have not been read
	endFIN                  // it has closed its sending side, and all it sent has been read
	endRST                  // the connection is broken
)

// ending looks for the peer's end, where n octets of what it sent are buffered and count as read. It may read: slices of Buffered
// are invalid then.
func (l *leg) ending(n int) ending {
	switch {
	case !l.hungUp():
		return endNone
	case l.probe.Broken():
		return endRST
	case len(l.in.Buffered()) > n:
		return endBehind
	}
	behind := l.unread() > 0
	if l.isTLS() {
		// It may be a command, or only the close_notify that comes before a FIN.
		l.arm(time.Now().Add(time.Millisecond))
		err := l.in.Fill()
		behind = err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, smtp.ErrBufferFull)
	}
	if behind {
		return endBehind
	}
	return endFIN
}

func (l *leg) isTLS() bool {
	_, isTLS := l.conn.(*tls.Conn)
	return isTLS
}

// unread is how many octets have been received and not read from the connection.
func (l *leg) unread() int {
	if c, ok := l.base.(*net.TCPConn); ok {
		return unreadOctets(c)
	}
	if l.probe != nil {
		return l.probe.Pending()
	}
	return 0
}

// pending reports whether the peer has sent something that was not asked for.
func (l *leg) pending() bool {
	if !l.in.Empty() {
		return true
	}
	if l.probe == nil || l.probe.Pending() == 0 {
		return false
	}
	if !l.isTLS() {
		return true
	}
	// Octets on the wire may be a record without content (a session ticket): only crypto/tls can tell.
	l.arm(time.Now().Add(time.Millisecond))
	err := l.in.Fill()
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// saysMore reports whether the peer has sent octets that nobody has read. It may wait for a millisecond; a hang-up is not one.
func (l *leg) saysMore() bool {
	if !l.in.Empty() {
		return true
	}
	l.arm(time.Now().Add(time.Millisecond))
	return l.in.Fill() == nil
}

// A deadline is a point in time in eight octets: by the monotonic clock, since the process began. The zero deadline has passed.
type deadline time.Duration

var processBegan = time.Now()

func deadlineAt(t time.Time) deadline { return deadline(t.Sub(processBegan)) }

// left is how long it is until the deadline.
func (d deadline) left(now time.Time) time.Duration {
	return time.Duration(d) - now.Sub(processBegan)
}

// lookTogether is how far the looks of sessions that wait long are put off, to be at one time: a processor that is
// woken up for each of them does more for that than for the look.
const lookTogether = 100 * time.Millisecond

// untilOthers is how long it is from the deadline to the next time at which all look.
func (d deadline) untilOthers() time.Duration {
	past := time.Duration(d) % lookTogether
	if past <= 0 { // a clock that is not the process' own
		return -past
	}
	return lookTogether - past
}

// arm sets the read deadline.
func (l *leg) arm(t time.Time) {
	l.armed = deadlineAt(t)
	_ = l.conn.SetReadDeadline(t) // fails only on a closed connection: then the read does, too
}

// armWriteAt sets the write deadline, of TLS or of the connection under it.
func (l *leg) armWriteAt(t time.Time, of net.Conn) {
	l.armedW = deadlineAt(t)
	_ = of.SetWriteDeadline(t)
}

// flush writes what has been gathered, in one write.
func (l *leg) flush(timeout time.Duration) error { return l.flushAt(timeout, time.Now()) }

// flushAt is flush where it is known what time it is.
func (l *leg) flushAt(timeout time.Duration, now time.Time) error {
	if len(l.out) == 0 {
		return nil
	}
	err := l.writeAt(l.out, timeout, now)
	putOut(l.out)
	l.out = nil
	return err
}

func (l *leg) write(p []byte, timeout time.Duration) error { return l.writeAt(p, timeout, time.Now()) }

func (l *leg) writeAt(p []byte, timeout time.Duration, now time.Time) error {
	if l.armedW.left(now) < timeout*9/10 {
		l.armWriteAt(now.Add(timeout), l.conn)
	}
	n, err := l.conn.Write(p)
	l.written += int64(n)
	return err
}

// buffer returns the slice to append output to.
func (l *leg) buffer() []byte {
	if l.out == nil {
		l.out = outBuffers.Get().(*[outBuffer]byte)[:0]
	}
	return l.out
}

// room makes room for so many octets more of output, where they are many.
func (l *leg) room(n int) {
	if need := len(l.out) + n; need <= outBuffer || need > largeOut || need <= cap(l.out) {
		return
	}
	larger := append(largeOuts.Get().(*[largeOut]byte)[:0], l.out...)
	putOut(l.out)
	l.out = larger
}

// park gives back what the leg holds while somebody else is waited for.
func (l *leg) park() {
	if l.in != nil {
		l.in.Park()
	}
}

func (l *leg) total() int64 { return l.in.Total() }

// close closes the connection as it is: what was not flushed is dropped, so no abort can complete a message (I4).
func (l *leg) close() {
	if l.conn == nil {
		return
	}
	l.in.Close()
	putOut(l.out)
	l.out = nil
	l.conn = nil
	_ = l.base.Close() // not through TLS: a close_notify would wait for a peer that may be stuck
}

// sayEnd tells a peer inside TLS that the stream ends here and was not cut (RFC 8446 §6.1). It is for a peer that reads: else it may take
// crypto/tls's five seconds.
func (l *leg) sayEnd() {
	if conn, isTLS := l.conn.(*tls.Conn); isTLS {
		_ = conn.CloseWrite()
	}
}

// reset closes the connection with a RST.
func (l *leg) reset() {
	if c, ok := l.base.(interface{ SetLinger(int) error }); ok {
		_ = c.SetLinger(0) // fails only where the peer has gone
	}
	l.close()
}

// closeGently lets the peer read what was written last: closing a socket with unread octets sends RST, which can destroy it.
func (l *leg) closeGently(wait time.Duration) {
	if c, ok := l.conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // the peer sees the end at once
	}
	l.arm(time.Now().Add(wait))
	l.in.BodyMode(false)
	for dropped := 0; dropped < maxLingered; {
		dropped += len(l.in.Buffered())
		l.in.Discard(len(l.in.Buffered()))
		if l.in.Fill() != nil {
			return
		}
	}
}

// maxLingered bounds what is read only to be dropped.
const maxLingered = 1 << 20

// What output is gathered in. The large ones are for the longest reply, behind those that came in one buffer with its beginning.
const (
	outBuffer = 8 << 10
	largeOut  = 84 << 10
)

var (
	outBuffers = sync.Pool{New: func() any { return new([outBuffer]byte) }}
	largeOuts  = sync.Pool{New: func() any { return new([largeOut]byte) }}
)

func putOut(b []byte) {
	switch cap(b) {
	case outBuffer:
		outBuffers.Put((*[outBuffer]byte)(b[:outBuffer]))
	case largeOut:
		largeOuts.Put((*[largeOut]byte)(b[:largeOut]))
	}
}

// tcpProbe asks the kernel about a TCP connection with one poll(2), and with the same about another one, if that is wanted.
type tcpProbe struct {
	raw          syscall.RawConn
	ask          func(uintptr)
	beside       int32 // descriptor of another connection; 0: none
	events       int16
	besideEvents int16
}

func newTCPProbe(c *net.TCPConn) prober {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	p := &tcpProbe{raw: raw}
	p.ask = p.poll // bound once: a method value allocates
	return p
}

func (p *tcpProbe) HungUp() bool { return p.get()&hasHungUp != 0 }

// What is seen of a peer that has hung up, and of one of which there is something to be read.
const (
	hasHungUp = unix.POLLRDHUP | unix.POLLHUP | unix.POLLERR
	hasSaid   = unix.POLLIN | unix.POLLHUP | unix.POLLERR
)

func (p *tcpProbe) Broken() bool { return p.get()&(unix.POLLHUP|unix.POLLERR) != 0 }

func (p *tcpProbe) Quiet() (quiet time.Duration) {
	_ = p.raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			quiet = time.Duration(info.Last_data_recv) * time.Millisecond
		}
	})
	return quiet
}

func (p *tcpProbe) Unheard() (octets int) {
	_ = p.raw.Control(func(fd uintptr) { octets, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return octets
}

func (p *tcpProbe) Pending() int {
	if p.get()&hasSaid != 0 {
		return 1
	}
	return 0
}

func (p *tcpProbe) Room() bool { return p.events&unix.POLLOUT != 0 }

// getWith asks about another connection, too, which stays open meanwhile. ok is false where this one is closed: then nobody was asked.
func (p *tcpProbe) getWith(descriptor int32) (events, others int16, ok bool) {
	p.beside, p.besideEvents = descriptor, unix.POLLNVAL
	events = p.get()
	p.beside = 0
	return events, p.besideEvents, p.besideEvents != unix.POLLNVAL
}

func (p *tcpProbe) get() int16 {
	p.events = unix.POLLERR // a closed connection has hung up
	_ = p.raw.Control(p.ask)
	return p.events
}

func (p *tcpProbe) poll(fd uintptr) {
	const events = unix.POLLIN | unix.POLLRDHUP | unix.POLLOUT
	fds := [2]unix.PollFd{{Fd: int32(fd), Events: events}, {Fd: p.beside, Events: events}}
	asked := fds[:1]
	if p.beside > 0 {
		asked = fds[:]
	}
	for {
		_, err := unix.Poll(asked, 0)
		if err == unix.EINTR {
			continue
		}
		p.events, p.besideEvents = fds[0].Revents, fds[1].Revents
		return
	}
}

// unreadOctets is how much a TCP connection has received that was not read.
func unreadOctets(c *net.TCPConn) int {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return n
}
