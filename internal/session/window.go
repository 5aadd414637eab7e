package session

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// How long an MX's window keeps octets of a message from being written is the time that the socket has no room for them. What is copied or
// encrypted meanwhile, and what an MSA is waited for, is not: so only the kernel's "not now" begins it, and only its "go on" ends it.

// push writes to a connection, and gives for how long there was no room.
func push(conn net.Conn, of prober, p []byte) (n int, full time.Duration, err error) {
	if tcp, isTCP := of.(*tcpProbe); isTCP {
		return pushTCP(conn, tcp.raw, p)
	}
	begun := time.Now()
	n, err = conn.Write(p)
	return n, time.Since(begun), err
}

// pushTCP is push where the kernel can be asked.
func pushTCP(conn net.Conn, raw syscall.RawConn, p []byte) (n int, full time.Duration, err error) {
	w := pushes.Get().(*pushing)
	w.left = p
	err = raw.Write(w.try)
	w.room()
	if err == nil {
		err = w.err
	}
	n, full = len(p)-len(w.left), w.full
	*w = pushing{try: w.try}
	pushes.Put(w)
	if err != nil {
		err = asWrite(conn, err)
	}
	return n, full, err
}

// asWrite gives the error that the connection's own Write would have.
func asWrite(conn net.Conn, err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	return &net.OpError{Op: "write", Net: "tcp", Source: conn.LocalAddr(), Addr: conn.RemoteAddr(), Err: err}
}

// A pushing is a write under way.
type pushing struct {
	try   func(uintptr) bool // bound once: a method value allocates
	left  []byte
	err   error
	since time.Time // from when on there is no room; zero: there is
	full  time.Duration
}

var pushes = sync.Pool{New: func() any {
	w := new(pushing)
	w.try = w.write
	return w
}}

// write is called by the runtime's poller: once at once, and again whenever there may be room. It reports false to wait for that.
func (w *pushing) write(fd uintptr) bool {
	w.room()
	for len(w.left) > 0 {
		n, err := syscall.Write(int(fd), w.left)
		switch {
		case n > 0:
			w.left = w.left[n:]
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			w.since = time.Now()
			return false
		default:
			w.err = os.NewSyscallError("write", err)
			return true
		}
	}
	return true
}

// room ends the time without room.
func (w *pushing) room() {
	if !w.since.IsZero() {
		w.full += time.Since(w.since)
		w.since = time.Time{}
	}
}
