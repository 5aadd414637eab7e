package mx

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A loop serves plain sessions on one thread.
type loop struct {
	server   *Server
	sockets  sockets
	epoll    int
	bell     int // eventfd: look at released and stopped
	stopped  atomic.Bool
	sessions map[int]*session
	in, out  []byte
	released int64 // releases already carried out
}

type session struct {
	dialogue
	fd     int
	unread []byte // of a held session
	held   bool
	dripee *dripee // of a session that is dripped to
}

func newLoop(server *Server, open sockets) (*loop, error) {
	l := &loop{server: server, sockets: open, sessions: make(map[int]*session), in: make([]byte, 256<<10), out: make([]byte, 0, 4096)}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make event loop: %w", err)
	}
	if l.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("make event loop: %w", err), unix.Close(l.epoll))
	}
	err = l.watch(l.bell, unix.EPOLLIN)
	for fd := range open {
		// Exclusive: a new connection wakes one loop, not all.
		err = errors.Join(err, l.watch(fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE))
	}
	return l, err
}

func (l *loop) watch(fd int, events uint32) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// wake cannot fail but by a counter that is full, and then the loop is awake already.
func (l *loop) wake() { _, _ = unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

func (l *loop) stop() {
	l.stopped.Store(true)
	l.wake()
}

func (l *loop) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, 256)
	for !l.stopped.Load() {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for events: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			l.ready(int(e.Fd))
		}
	}
	return nil
}

func (l *loop) ready(fd int) {
	if s := l.sessions[fd]; s != nil {
		l.read(s)
		return
	}
	if listener := l.sockets[fd]; listener != nil {
		l.accept(fd, listener)
		return
	}
	if fd == l.bell {
		l.answerBell()
	}
}

// accept takes a few connections; the others come with the next event.
func (l *loop) accept(fd int, listener *Listener) {
	for range 16 {
		conn, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		s := &session{dialogue: dialogue{server: l.server, listener: listener}, fd: conn}
		l.sessions[conn] = s
		l.server.sessions.Add(1)
		if l.watch(conn, unix.EPOLLIN) != nil || !l.write(s, []byte(banner)) {
			l.close(s)
		}
	}
}

func (l *loop) read(s *session) {
	n, err := unix.Read(s.fd, l.in)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil || n == 0:
		l.close(s)
		return
	case s.dripee != nil:
		return // whatever the peer says, the reply goes on
	case s.held:
		s.unread = append(s.unread, l.in[:n]...)
		return
	}
	l.take(s, l.in[:n])
}

// take feeds the dialogue and does what it asks for.
func (l *loop) take(s *session, in []byte) {
	out, rest, do := s.step(in, l.out[:0])
	if len(out) > 0 && !l.write(s, out) || do == actClose {
		l.close(s)
		return
	}
	switch do {
	case actHold:
		s.held, s.unread = true, rest
		l.server.held.Add(1)
	case actDrip:
		s.dripee = l.server.wheel.add(s.listener.Drip, fdWriter(s.fd))
		l.server.held.Add(1)
	}
}

// write says whether the socket took everything. Replies are small: a socket that is full has a peer that does not read.
func (l *loop) write(s *session, octets []byte) bool {
	n, err := unix.Write(s.fd, octets)
	return err == nil && n == len(octets)
}

func (l *loop) close(s *session) {
	if s.dripee != nil {
		s.dripee.stop()
	}
	if s.dripee != nil || s.held {
		l.server.held.Add(-1)
	}
	delete(l.sessions, s.fd)
	_ = unix.Close(s.fd)
}

func (l *loop) answerBell() {
	var count [8]byte
	_, _ = unix.Read(l.bell, count[:])
	if now := l.server.released.Load(); now > l.released {
		l.released = now
		for _, s := range l.sessions {
			if s.held {
				s.held = false
				l.server.held.Add(-1)
				l.take(s, s.unread)
			}
		}
	}
}

func (l *loop) shut() {
	for _, s := range l.sessions {
		l.close(s)
	}
	_ = unix.Close(l.epoll)
	_ = unix.Close(l.bell)
}

// A fdWriter writes to a descriptor that somebody else closes.
type fdWriter int

func (w fdWriter) Write(octets []byte) (int, error) { return unix.Write(int(w), octets) }
