package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// errClosed is the failure of a session whose peer closed the connection too early.
var errClosed = errors.New("connection closed by the peer")

// errCut is the failure of a session that had not ended when the run had to.
var errCut = errors.New("session did not end in time")

// runLoops shares the sessions among event loops.
func runLoops(ctx context.Context, p *plan) (*tally, error) {
	n := loops(p.spec.Sessions)
	tallies := make([]tally, n)
	var g errgroup.Group
	for i := range n {
		sessions := p.spec.Sessions / n
		if i < p.spec.Sessions%n {
			sessions++
		}
		g.Go(func() error {
			l := loop{plan: p, tally: &tallies[i], sessions: make([]session, sessions), first: i}
			return l.run(ctx)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	total := new(tally)
	for i := range tallies {
		total.add(&tallies[i])
	}
	return total, nil
}

// A loop drives a share of the sessions on one thread.
type loop struct {
	plan     *plan
	tally    *tally
	sessions []session
	first    int // number of this loop, so that loops begin with different source addresses
	epoll    int
	in       []byte
	dialled  int // connections opened so far
	opening  int // sessions not yet past EHLO
	live     int // sessions with a connection
}

// step is what a session waits for.
type step uint8

const (
	stepIdle step = iota // no connection
	stepPace             // the time of the next message
	stepBanner
	stepEHLO
	stepGroup // replies to MAIL, RCPT and DATA
	stepBody
	stepQuit
)

type session struct {
	fd        int
	step      step
	want      int           // replies still missing in this step
	messages  int           // acknowledged in this session
	left      []byte        // octets that the socket has not taken yet
	connected time.Duration // when connect was called
	began     time.Duration // when the present message was
	next      time.Duration // when the next action may happen, in stepIdle and stepPace
	replies   replies
}

// retry keeps a slot whose session failed from spinning.
const retry = 20 * time.Millisecond

func (l *loop) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("make event loop: %w", err)
	}
	defer l.shut()
	l.in = make([]byte, 64<<10)
	l.spread()
	events := make([]unix.EpollEvent, 256)
	due := true // whether a slot waits for a time rather than for an octet
	for {
		now := l.plan.clock.Now()
		if due {
			due = l.start(now)
		}
		if l.plan.over(now) && l.live == 0 {
			return nil
		}
		if ctx.Err() != nil {
			if l.plan.spec.Window > 0 {
				l.cut()
			}
			return nil
		}
		wait := 100
		if due {
			wait = 1
		}
		n, err := unix.EpollWait(l.epoll, events, wait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for events: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			l.ready(&l.sessions[e.Fd], e.Events)
			due = due || l.waits(&l.sessions[e.Fd])
		}
	}
}

// spread lets paced sessions begin evenly over the first interval instead of all at once.
func (l *loop) spread() {
	if l.plan.spec.Pace == 0 {
		return
	}
	now := l.plan.clock.Now()
	for i := range l.sessions {
		l.sessions[i].next = now + l.plan.spec.Pace*time.Duration(i)/time.Duration(len(l.sessions))
	}
}

func (l *loop) waits(s *session) bool { return s.step == stepIdle || s.step == stepPace }

// start begins what is due and says whether slots still wait for their time.
func (l *loop) start(now time.Duration) bool {
	over, waiting := l.plan.over(now), false
	for i := range l.sessions {
		s := &l.sessions[i]
		if !l.waits(s) || s.step == stepIdle && over {
			continue
		}
		limit := l.plan.spec.Opening
		if now < s.next && !over || s.step == stepIdle && limit > 0 && l.opening >= limit {
			waiting = true
			continue
		}
		if s.step == stepPace {
			l.nextMessage(s)
		} else if err := l.connect(s, i); err != nil {
			l.fail(s, err)
		}
		waiting = waiting || l.waits(s)
	}
	return waiting
}

func (l *loop) connect(s *session, slot int) error {
	spec := &l.plan.spec
	family := unix.AF_INET
	if spec.Target.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make socket: %w", err)
	}
	*s = session{fd: fd, step: stepBanner, want: 1, next: s.next, connected: l.plan.clock.Now()}
	l.live++
	l.opening++
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	if len(spec.From) > 0 {
		// The port is chosen at connect, when the kernel knows the whole four-tuple.
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return fmt.Errorf("set IP_BIND_ADDRESS_NO_PORT: %w", err)
		}
		from := spec.From[(l.first+l.dialled)%len(spec.From)]
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))); err != nil {
			return fmt.Errorf("bind %v: %w", from, err)
		}
	}
	l.dialled++
	if err := unix.Connect(fd, sockaddr(spec.Target)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect to %v: %w", spec.Target, err)
	}
	// The slot's number, not the descriptor, comes back with the event.
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(slot)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("watch socket: %w", err)
	}
	return nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

func (l *loop) fail(s *session, err error) {
	l.tally.fail(err)
	l.close(s)
	s.next = l.plan.clock.Now() + retry
}

func (l *loop) close(s *session) {
	if s.step == stepIdle {
		return
	}
	_ = unix.Close(s.fd)
	if s.step == stepBanner || s.step == stepEHLO {
		l.opening--
	}
	l.live--
	s.step, s.left = stepIdle, nil
}

// cut ends what is left when time is up; each such session is a failure.
func (l *loop) cut() {
	for i := range l.sessions {
		if l.sessions[i].step != stepIdle {
			l.fail(&l.sessions[i], errCut)
		}
	}
}

func (l *loop) shut() {
	for i := range l.sessions {
		l.close(&l.sessions[i])
	}
	_ = unix.Close(l.epoll)
}
