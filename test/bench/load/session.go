package load

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ready serves a session whose socket has become readable or writable.
func (l *loop) ready(s *session, events uint32) {
	if s.step == stepIdle {
		return // closed by an earlier event of the same batch
	}
	if len(s.left) > 0 && events&unix.EPOLLOUT != 0 {
		l.flush(s)
	}
	if s.step == stepIdle || events&(unix.EPOLLIN|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
		return
	}
	n, err := unix.Read(s.fd, l.in)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil:
		l.fail(s, fmt.Errorf("read: %w", err))
		return
	case n == 0:
		l.fail(s, errClosed)
		return
	}
	got, err := s.replies.read(l.in[:n])
	if err != nil {
		l.fail(s, err)
		return
	}
	s.want -= got
	if s.want < 0 {
		l.fail(s, errors.New("more replies than commands"))
		return
	}
	if s.want == 0 && got > 0 {
		l.advance(s)
	}
}

// advance goes to the next step of a session whose replies are complete.
func (l *loop) advance(s *session) {
	switch s.step {
	case stepBanner:
		l.send(s, stepEHLO, 1, l.plan.ehlo)
	case stepEHLO:
		l.opening--
		l.nextMessage(s)
	case stepGroup:
		l.send(s, stepBody, 1, l.plan.next())
	case stepBody:
		l.acknowledged(s)
	case stepQuit:
		l.close(s)
	}
}

func (l *loop) acknowledged(s *session) {
	now := l.plan.clock.Now()
	s.messages++
	l.plan.acked(l.tally, now, s.began, s.replies.sent, s.connected, s.messages == 1)
	spec := &l.plan.spec
	s.next = s.began + spec.Pace
	switch {
	case s.messages == spec.Messages || l.plan.over(now):
		l.send(s, stepQuit, 1, l.plan.quit)
	case now < s.next:
		s.step = stepPace
	default:
		l.nextMessage(s)
	}
}

// nextMessage begins a message, or ends a session that had to wait until the run was over.
func (l *loop) nextMessage(s *session) {
	s.began = l.plan.clock.Now()
	if l.plan.over(s.began) {
		l.send(s, stepQuit, 1, l.plan.quit)
		return
	}
	l.send(s, stepGroup, 3, l.plan.group)
}

func (l *loop) send(s *session, to step, replies int, octets []byte) {
	s.step, s.want, s.left = to, replies, octets
	if l.write(s) && len(s.left) > 0 {
		l.watch(s, unix.EPOLLIN|unix.EPOLLOUT)
	}
}

func (l *loop) flush(s *session) {
	if l.write(s) && len(s.left) == 0 {
		l.watch(s, unix.EPOLLIN)
	}
}

// write gives the socket what it takes now. It says whether the session still lives.
func (l *loop) write(s *session) bool {
	n, err := unix.Write(s.fd, s.left)
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		l.fail(s, fmt.Errorf("write: %w", err))
		return false
	}
	s.left = s.left[max(n, 0):]
	return true
}

func (l *loop) watch(s *session, events uint32) {
	event := unix.EpollEvent{Events: events, Fd: l.slot(s)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, s.fd, &event); err != nil {
		l.fail(s, fmt.Errorf("watch socket: %w", err))
	}
}

// slot finds the number of a session; only long writes need it.
func (l *loop) slot(s *session) int32 {
	for i := range l.sessions {
		if &l.sessions[i] == s {
			return int32(i)
		}
	}
	return -1
}
