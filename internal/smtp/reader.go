package smtp

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// Sizes of what a Reader holds, in octets.
const (
	lineBuffer = 8 << 10  // commands and replies; also the longest pipelined group taken at once
	bodyBuffer = 64 << 10 // while a body flows, for the first maxBodyBuffers of the process
	dripBuffer = 4 << 10  // while a body flows, for all others: they are many because MXs are slow, and speed is not theirs to have
	tlsBuffer  = 1 << 10  // replies inside TLS: held while waiting, since crypto/tls cannot be asked to wait
	stashMax   = 512      // octets of an unfinished line kept, while waiting, outside a pooled buffer
)

// ErrBufferFull is returned by Fill when a caller asks for more octets although the buffer has no room: it did not
// consume what is there.
var ErrBufferFull = errors.New("smtp: buffer full")

// A Reader reads one leg through a buffer that it holds only while octets are in it.
// It is not safe for concurrent use. It never reads past what it was asked for on a connection that turns
// into TLS: see [Reader.Empty].
type Reader struct {
	conn net.Conn
	raw  syscall.RawConn // nil: conn cannot be read without a buffer at hand
	wait waiter          // nil: likewise
	try  func(uintptr) bool

	buf   []byte // borrowed; nil when nothing is buffered or all of it is in stash
	stash []byte // unfinished octets kept while waiting; nil when buf is held
	r, w  int    // buf[r:w] is unread
	body  bool   // borrow large buffers

	skipping bool // inside a line that was too long
	fed      bool // in which an LF without a CR has been skipped

	total int64 // octets read from conn
	n     int   // result of the last try
	err   error
}

// waiter is a connection that can wait for octets without a buffer to put them in.
type waiter interface {
	// WaitRead returns nil once Read would not block.
	WaitRead() error
}

// NewReader gives a Reader of conn. TCP connections are read without holding a buffer while waiting.
func NewReader(conn net.Conn) *Reader {
	r := &Reader{conn: conn}
	switch c := conn.(type) {
	case *net.TCPConn:
		if raw, err := c.SyscallConn(); err == nil {
			r.raw = raw
			r.try = r.tryRead // bound once: a method value allocates
		}
	case waiter:
		r.wait = c
	}
	return r
}

// Buffered gives the octets read and not yet consumed. They are valid until the next Fill or Park.
func (r *Reader) Buffered() []byte {
	if r.buf == nil {
		return r.stash
	}
	return r.buf[r.r:r.w]
}

// Empty says whether nothing is buffered. It must hold when a leg turns into TLS (RFC 3207 §4.2, I8).
func (r *Reader) Empty() bool { return len(r.Buffered()) == 0 }

// Total is the number of octets read so far.
func (r *Reader) Total() int64 { return r.total }

// Discard consumes n octets of Buffered.
func (r *Reader) Discard(n int) {
	if r.buf == nil {
		r.stash = r.stash[n:]
		if len(r.stash) == 0 {
			r.stash = nil
		}
		return
	}
	r.r += n
}

// Park gives back what the Reader holds beyond an unfinished line. Call it before waiting for somebody else;
// slices of Buffered and Commands are invalid afterwards.
func (r *Reader) Park() { r.putStash() }

// BodyMode borrows large buffers from now on (true), or small ones again (false).
func (r *Reader) BodyMode(on bool) { r.body = on }

// Close gives back what the Reader holds. It does not close the connection.
func (r *Reader) Close() {
	r.stash = nil
	r.release()
}

// Fill reads at least one octet more, waiting for it under the connection's read deadline.
func (r *Reader) Fill() error {
	if r.buf != nil && r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	if r.buf != nil && r.w == len(r.buf) && !r.grow() {
		return ErrBufferFull
	}
	switch {
	case r.raw != nil:
		if err := r.raw.Read(r.try); err != nil {
			return err
		}
	case r.wait != nil:
		r.putStash()
		if err := r.wait.WaitRead(); err != nil {
			return err
		}
		r.borrow()
		r.n, r.err = r.conn.Read(r.buf[r.w:])
	default:
		r.borrow()
		r.n, r.err = r.conn.Read(r.buf[r.w:])
	}
	r.w += r.n
	r.total += int64(r.n)
	if r.n > 0 {
		return nil // an error that came with octets comes again with the next Fill
	}
	if r.err == nil {
		return io.ErrNoProgress
	}
	return r.err
}

// tryRead is called by the runtime's poller: once at once, and again whenever the socket turned readable.
// It reports false to wait again, holding no buffer then.
func (r *Reader) tryRead(fd uintptr) bool {
	r.borrow()
	for {
		n, err := syscall.Read(int(fd), r.buf[r.w:])
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if errors.Is(err, syscall.EAGAIN) {
			r.putStash()
			return false
		}
		r.n, r.err = max(n, 0), err
		if n == 0 && err == nil {
			r.err = io.EOF
		}
		return true
	}
}

// borrow takes a buffer from the pool, if none is held, and puts the stash into it.
func (r *Reader) borrow() {
	if r.buf != nil {
		return
	}
	switch {
	case r.body:
		r.buf = borrowBody()
	case r.raw == nil && r.wait == nil && len(r.stash) < tlsBuffer/2:
		r.buf = tlsBuffers.Get().(*[tlsBuffer]byte)[:]
	default:
		r.buf = lineBuffers.Get().(*[lineBuffer]byte)[:]
	}
	r.r, r.w = 0, copy(r.buf, r.stash)
	r.stash = nil
}

// putStash gives the buffer back before a wait, unless too much is in it to be worth moving.
func (r *Reader) putStash() {
	if r.buf == nil || r.w-r.r > stashMax {
		return
	}
	if r.w > r.r {
		r.stash = append([]byte(nil), r.buf[r.r:r.w]...)
	}
	r.release()
}

// grow replaces a full buffer by the next size up and says whether there is one.
func (r *Reader) grow() bool {
	var bigger []byte
	switch len(r.buf) {
	case tlsBuffer, dripBuffer:
		bigger = lineBuffers.Get().(*[lineBuffer]byte)[:]
	default:
		return false
	}
	n := copy(bigger, r.buf[r.r:r.w])
	r.release()
	r.buf, r.r, r.w = bigger, 0, n
	return true
}

func (r *Reader) release() {
	switch len(r.buf) {
	case bodyBuffer:
		bodyBuffers.Put((*[bodyBuffer]byte)(r.buf))
		bodyBuffersOut.Add(-1)
	case dripBuffer:
		dripBuffers.Put((*[dripBuffer]byte)(r.buf))
	case lineBuffer:
		lineBuffers.Put((*[lineBuffer]byte)(r.buf))
	case tlsBuffer:
		tlsBuffers.Put((*[tlsBuffer]byte)(r.buf))
	}
	r.buf, r.r, r.w = nil, 0, 0
}

// Shared by all Readers of the process: what one session gives back the next one takes.
var (
	lineBuffers = sync.Pool{New: func() any { return new([lineBuffer]byte) }}
	bodyBuffers = sync.Pool{New: func() any { return new([bodyBuffer]byte) }}
	dripBuffers = sync.Pool{New: func() any { return new([dripBuffer]byte) }}
	tlsBuffers  = sync.Pool{New: func() any { return new([tlsBuffer]byte) }}

	bodyBuffersOut atomic.Int32
)

// maxBodyBuffers bounds what bodies that wait for slow MXs can hold: 64 × 64 KiB, then 4 KiB each.
const maxBodyBuffers = 64

func borrowBody() []byte {
	if bodyBuffersOut.Add(1) <= maxBodyBuffers {
		return bodyBuffers.Get().(*[bodyBuffer]byte)[:]
	}
	bodyBuffersOut.Add(-1)
	return dripBuffers.Get().(*[dripBuffer]byte)[:]
}
