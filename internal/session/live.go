package session

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Live knows all running sessions. It outlives the Engines of reloads. The zero Live is ready.
type Live struct {
	drain atomic.Bool
	kill  atomic.Bool
	certs certificates
	odd   oddities

	keptOctets atomic.Int64 // of all messages that are kept in case their dot is refused

	tls tlsMemory // what the TLS of MXs cannot do

	mu       sync.Mutex
	sessions map[*session]struct{}
	sources  map[netip.Addr]int
	killBy   time.Time     // when an MSA that does not read is let go of
	empty    chan struct{} // closed when the last session has gone; nil if nobody waits
}

// Count is the number of running sessions.
func (l *Live) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sessions)
}

// Drain lets transactions finish: sessions between transactions end now, the next MAIL gets 421. When ctx ends,
// what is left is cut (the MX never sees a dot that the MSA did not send). It returns when no session is left:
// nil, or ctx's error if sessions had to be cut.
func (l *Live) Drain(ctx context.Context) error {
	l.drain.Store(true)
	gone := l.whenEmpty()
	tick := time.NewTicker(pokeEvery)
	defer tick.Stop()
	done := ctx.Done()
	for {
		l.poke()
		select {
		case <-gone:
			return ctx.Err()
		case <-tick.C:
		case <-done:
			l.mu.Lock()
			l.killBy = time.Now().Add(lastWords)
			l.mu.Unlock()
			l.kill.Store(true)
			done = nil
		}
	}
}

// lastWords is how long an MSA may take to read that its session is cut.
const lastWords = 2 * time.Second

// pokeEvery is how often waiting sessions are woken while draining, to see that they should end.
const pokeEvery = 100 * time.Millisecond

// poke makes every wait of every session look around. Sessions take a deadline that passes early for the end of a slice.
func (l *Live) poke() {
	past := time.Unix(1, 0)
	kill := l.kill.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.sessions {
		_ = s.msa.base.SetReadDeadline(past)
		if kill {
			_ = s.msa.base.SetWriteDeadline(l.killBy)
		}
		if mx := s.cuts.Load(); kill && mx != nil {
			_ = (*mx).SetDeadline(past)
		}
	}
}

func (l *Live) whenEmpty() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.empty == nil {
		l.empty = make(chan struct{})
		if len(l.sessions) == 0 {
			close(l.empty)
		}
	}
	return l.empty
}

// enter takes a session in, unless there are too many in all or from its source.
func (l *Live) enter(s *session, limits Limits) bool {
	source := s.info.Source.Addr()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sessions) >= limits.sessions() || l.sources[source] >= limits.sessionsPerSource() {
		return false
	}
	if l.sessions == nil {
		l.sessions = make(map[*session]struct{})
		l.sources = make(map[netip.Addr]int)
	}
	l.sessions[s] = struct{}{}
	l.sources[source]++
	return true
}

func (l *Live) leave(s *session) {
	source := s.info.Source.Addr()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sessions, s)
	if l.sources[source]--; l.sources[source] == 0 {
		delete(l.sources, source)
	}
	if len(l.sessions) == 0 && l.empty != nil && l.drain.Load() {
		select {
		case <-l.empty:
		default:
			close(l.empty)
		}
	}
}

// stopping says that no new transaction may begin; cutting that none may go on.
func (l *Live) stopping() bool { return l.drain.Load() }
func (l *Live) cutting() bool  { return l.kill.Load() }
