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
	tlsBuffer  = 1 << 10  // replies inside TLS: held for as long as the wait may be a short one
	stashMax   = 512      // octets of an unfinished line kept, while waiting, outside a pooled buffer
)

// ErrBufferFull is returned by Fill when a caller asks for more octets although the buffer has no room: it did not
// consume what is there.
var ErrBufferFull = errors.New("smtp: buffer full")

// A Reader reads one leg through a buffer that it holds only while octets are in it.
// It is not safe for concurrent use. It never reads past what it was asked for on a connection that turns
// into TLS: see [Reader.Empty].
type Reader struct {
	raw   syscall.RawConn    // nil: it cannot be read without a buffer at hand
	try   func(uintptr) bool // reads it
	layer *Under             // above it, or in place of it; nil: there is none

	buf   []byte // borrowed; nil when nothing is buffered or all of it is in stash
	stash []byte // unfinished octets kept while waiting; nil when buf is held
	r, w  int32  // buf[r:w] is unread
	n     int32  // result of the last try
	body  bool   // borrow large buffers

	skipping bool // inside a line that was too long
	fed      bool // in which an LF without a CR has been skipped
	long     bool // the wait for more is
	dry      bool // the layer has given all that it had

	total int64 // octets read from conn
	err   error // of the last try
}

// waiter is a connection that can wait for octets without a buffer to put them in.
type waiter interface {
	// WaitRead returns nil once Read would not block.
	WaitRead() error
}

// NewReader returns a Reader of conn. TCP connections are read without holding a buffer while waiting.
func NewReader(conn net.Conn) *Reader {
	r := new(Reader)
	if c, isTCP := conn.(*net.TCPConn); isTCP {
		if raw, err := c.SyscallConn(); err == nil {
			r.raw = raw
			r.try = r.tryRead // bound once: a method value allocates
			return r
		}
	}
	r.layer = &Under{layer: conn}
	return r
}

// Buffered returns the octets read and not yet consumed. They are valid until the next Fill or Park.
func (r *Reader) Buffered() []byte {
	if r.buf == nil {
		return r.stash
	}
	return r.buf[r.r:r.w]
}

// Empty reports whether nothing is buffered. It must hold when a leg turns into TLS (RFC 3207 §4.2, I8).
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
	r.r += int32(n) //nolint:gosec // of what is buffered
}

// Park gives back what the Reader holds beyond an unfinished line. Call it before waiting for somebody else;
// slices of Buffered and Commands are invalid afterwards.
func (r *Reader) Park() { r.putStash() }

// WaitsLong tells, behind a Fill that has met its deadline, that it may be long until there is more: Fill then holds
// nothing meanwhile, also not inside TLS.
func (r *Reader) WaitsLong() {
	r.putStash()
	r.long = true
}

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
		r.w = int32(copy(r.buf, r.buf[r.r:r.w])) //nolint:gosec // as below
		r.r = 0
	}
	if r.buf != nil && int(r.w) == len(r.buf) && !r.grow() {
		return ErrBufferFull
	}
	switch {
	case r.raw != nil && (r.layer == nil || r.long):
		if err := r.raw.Read(r.try); err != nil {
			return err
		}
	default:
		if c, waits := r.layer.layer.(waiter); waits {
			r.putStash()
			if err := c.WaitRead(); err != nil {
				return err
			}
		}
		r.borrow()
		r.read()
	}
	r.w += r.n
	r.total += int64(r.n)
	if r.n > 0 {
		r.long, r.dry = false, false
		return nil // an error that came with octets comes again with the next Fill
	}
	if r.err == nil {
		return io.ErrNoProgress
	}
	return r.err
}

// read reads the layer.
func (r *Reader) read() {
	n, err := r.layer.layer.Read(r.buf[r.w:])
	r.n, r.err = int32(n), err //nolint:gosec // at most bodyBuffer
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
		r.n, r.err = int32(max(n, 0)), err //nolint:gosec // as above
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
	case r.raw != nil && r.layer != nil && !r.long && len(r.stash) < tlsBuffer/2:
		r.buf = tlsBuffers.Get().(*[tlsBuffer]byte)[:]
	default:
		r.buf = lineBuffers.Get().(*[lineBuffer]byte)[:]
	}
	r.r, r.w = 0, int32(copy(r.buf, r.stash)) //nolint:gosec // at most bodyBuffer
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
	if len(r.buf) != dripBuffer && len(r.buf) != tlsBuffer {
		return false
	}
	bigger := lineBuffers.Get().(*[lineBuffer]byte)[:]
	n := copy(bigger, r.buf[r.r:r.w])
	r.release()
	r.buf, r.r, r.w = bigger, 0, int32(n) //nolint:gosec // less than lineBuffer
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
