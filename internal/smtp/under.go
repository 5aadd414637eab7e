package smtp

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// An Under is the connection below a layer: TLS. A [Reader] of the layer that waits long has it read what is there, and
// waits for more where the layer is not on the stack: so it holds no buffer, and little stack. A short wait is cheaper
// inside.
type Under struct {
	net.Conn
	layer net.Conn        // once a Reader reads it
	raw   syscall.RawConn // nil: the layer itself waits
	fd    int             // of it, while a Reader reads that does not wait here; else none
}

const none = -1

// Below returns what stands below a layer of conn. The layer reads and writes that, and nothing else reads conn.
func Below(conn net.Conn) *Under {
	u := &Under{Conn: conn, fd: none}
	if c, isTCP := conn.(*net.TCPConn); isTCP {
		u.raw, _ = c.SyscallConn() // fails only for a closed one, whose reads will
	}
	return u
}

// Read implements [net.Conn]. Where a Reader reads, an error that says that there is nothing yet is one that the layer
// forgets: so it does with deadlines.
func (u *Under) Read(p []byte) (int, error) {
	if u.fd == none {
		return u.Conn.Read(p)
	}
	for {
		n, err := syscall.Read(u.fd, p)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case !errors.Is(err, syscall.EINTR):
			return 0, err
		}
	}
}

// Over returns the Reader of a layer that takes the place of this one, which must be empty. It counts on.
func (r *Reader) Over(layer net.Conn, under *Under) *Reader {
	r.Close()
	under.layer = layer
	over := &Reader{raw: under.raw, layer: under, total: r.total}
	over.try = over.tryLayer
	return over
}

// tryLayer is tryRead through a layer.
func (r *Reader) tryLayer(fd uintptr) bool {
	if r.dry && nothingToRead(int(fd)) { //nolint:gosec // a descriptor
		return false
	}
	r.borrow()
	r.layer.fd = int(fd) //nolint:gosec // a descriptor
	defer func() { r.layer.fd = none }()
	if r.read(); r.n == 0 && errors.Is(r.err, syscall.EAGAIN) {
		r.putStash()
		r.dry = true
		return false
	}
	return true
}

// nothingToRead asks the kernel. It costs no stack, as the layer does, where a wait is only looked at.
func nothingToRead(fd int) bool {
	var one [1]byte
	_, _, err := syscall.Recvfrom(fd, one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return errors.Is(err, syscall.EAGAIN)
}
