package session

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/share"
	"kanmon/internal/who/witness"
)

// Live knows all running sessions. It outlives the Engines of reloads. The zero Live is ready.
type Live struct {
	drain atomic.Bool
	kill  atomic.Bool
	idles atomic.Int64  // nanoseconds that a session may idle, while another process takes what is new; 0: as ever
	last  atomic.Uint64 // the ID given last
	certs certificates
	odd   oddities

	// Strained says whether there has been more work since it was asked last than can be done at once; nil: there never is.
	Strained func() bool
	pace     pace

	bodies  bodies // messages that are kept in case their dot is refused
	hangUps hangUps

	tls       tlsMemory                  // what the TLS of MXs cannot do
	redials   [2]atomic.Uint64           // that were made for another name, and for a handshake without a ticket
	offersTLS memo[netip.Addr, struct{}] // MXs that have offered TLS

	// Busy is called when there is a session where there was none. It must not wait. Nil: nobody wants to know.
	Busy func()

	running running
	facts   knownFacts // what they show

	mu       sync.Mutex
	sessions int
	sources  share.Places[netip.Prefix]
	holders  share.Places[holder]
	sharers  share.Places[holder]       // the same places, by who has a part of them
	refused  *share.Map[holder, uint64] // sessions that were too many
	orders   map[event.ID]*order        // for sessions to end, until they have
	turned   uint64                     // all of them
	waiting  share.Places[holder]       // refused connections that have a moment to read why
	killBy   time.Time                  // when an MSA that does not read is let go of
	empty    chan struct{}              // closed when the last session has gone; nil if nobody waits
}

// newID makes an ID of the time in microseconds and random bits below. IDs sort by time; of sessions that begin in the same microsecond,
// or behind a step of the clock backwards, each has the number behind the one before it.
func (l *Live) newID(now time.Time) event.ID {
	id := uint64(now.UnixMicro())<<12 | uint64(rand.Uint32N(1<<12))
	for {
		last := l.last.Load()
		id = max(id, last+1)
		if l.last.CompareAndSwap(last, id) {
			return event.ID(id)
		}
	}
}

// Count is the number of running sessions.
func (l *Live) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions
}

// Kept is the memory of the messages that are kept in case their dot is refused.
func (l *Live) Kept() int64 { return l.bodies.octets() }

// Refused is how many sessions were too many, since the start.
func (l *Live) Refused() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turned
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

// Leave lets all sessions go on, mail by mail, until they end by themselves or have idled for so long: another process takes what is new.
// It returns when there are none, with the context's error when that has ended before.
func (l *Live) Leave(ctx context.Context, idle time.Duration) error {
	l.idles.Store(int64(max(idle, 1)))
	tick := time.NewTicker(min(max(idle/4, pokeEvery), leavePoke))
	defer tick.Stop()
	for l.Count() > 0 {
		l.poke()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// leavePoke is how often idle sessions are looked at meanwhile.
const leavePoke = 2 * time.Second

// lastWords is how long an MSA may take to read that its session is cut.
const lastWords = 2 * time.Second

// pokeEvery is how often waiting sessions are woken while draining, to see that they should end.
const pokeEvery = 100 * time.Millisecond

// poke makes every wait of every session look around. Sessions take a deadline that passes early for the end of a slice.
func (l *Live) poke() {
	past := time.Unix(1, 0)
	kill := l.kill.Load()
	l.mu.Lock()
	killBy := l.killBy
	l.mu.Unlock()
	for s := range l.running.all() {
		_ = s.msa.base.SetReadDeadline(past) // fails where it has ended meanwhile
		if kill {
			_ = s.msa.base.SetWriteDeadline(killBy)
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
		if l.sessions == 0 {
			close(l.empty)
		}
	}
	return l.empty
}

// enter takes a session in, unless there are too many of them; then it says of whom.
func (l *Live) enter(s *session) (why Refusal, full bool) {
	limits, source := &s.e.Limits, s.source()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := share.Bounds{Most: limits.sessions(), Reserve: limits.SessionsReserve}
	switch {
	case l.sharers.All() >= all.Most:
		return RefuseLimit, true
	case !l.sources.Take(source, share.Bounds{Most: all.Most, Each: limits.sessionsPerSource()}):
		return RefuseSource, true
	case !l.sharers.Take(s.sharer(), all):
		l.sources.Give(source)
		return RefuseTenant, true
	}
	l.holders.Take(s.holder(), share.Bounds{Most: all.Most})
	l.running.add(s)
	if l.sessions++; l.sessions == 1 && l.Busy != nil {
		l.Busy()
	}
	return 0, false
}

// A Holding is what a tenant, or a source that is of none, has of the sessions.
type Holding struct {
	Tenant   string       // "": not known
	Source   netip.Prefix // without a tenant
	Sessions int          // now
	Refused  uint64       // because they were too many, since the start
	Slowed   bool         // having more than a part of too much work
}

// Holdings returns those who have most of the sessions, or were refused some: so many at most.
func (l *Live) Holdings(most int) []Holding {
	of := map[holder]Holding{}
	for _, h := range l.holdings() {
		whose := holder{h.Tenant, h.Source}
		h.Slowed = l.pace.slowed(whose) || whose.tenant == "" && l.pace.slowed(holder{}) // strangers among tenants are one
		h.Sessions, h.Refused = h.Sessions+of[whose].Sessions, h.Refused+of[whose].Refused
		of[whose] = h
	}
	list := slices.SortedFunc(maps.Values(of), func(a, b Holding) int {
		return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(b.Refused, a.Refused), cmp.Compare(a.Tenant, b.Tenant), a.Source.Compare(b.Source))
	})
	return list[:min(most, len(list))]
}

// holdings copies what there is, some of it in two parts: sessions begin and end meanwhile only as long as it is being looked through.
func (l *Live) holdings() (all []Holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for whose, n := range l.holders.Each() {
		all = append(all, Holding{Tenant: whose.tenant, Source: whose.source, Sessions: n})
	}
	for whose, n := range l.refused.All() {
		all = append(all, Holding{Tenant: whose.tenant, Source: whose.source, Refused: n})
	}
	return all
}

// turnedAway counts a session that was too much.
func (l *Live) turnedAway(whose holder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turned++
	if l.refused == nil {
		l.refused = share.NewMap[holder, uint64](maxMemo)
	}
	n, _ := l.refused.Get(whose)
	l.refused.Put(whose, n+1, whose.tenant)
}

// waits reports whether a refused connection may have a moment to read why. It holds a descriptor, as a session does, and is none.
func (l *Live) waits(whose holder) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting.Take(whose, share.Bounds{Most: maxWaiting, Reserve: maxWaiting})
}

func (l *Live) waited(whose holder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting.Give(whose)
}

// maxWaiting is how many refused connections wait at once: half of the descriptors that are not for sessions (package config's check).
const maxWaiting = 500

// A holder is who holds sessions: a tenant, or where that is not known a source.
type holder struct {
	tenant string
	source netip.Prefix // of no tenant
}

func (h holder) text() string {
	if h.tenant == "" && h.source.IsValid() {
		return h.source.String()
	}
	return h.tenant
}

func (s *session) holder() holder {
	if s.e.Tenant != nil {
		if name := s.e.Tenant(s.origin()); name != "" {
			return holder{tenant: name}
		}
	}
	return holder{source: s.source()}
}

// sharer is whose part a session is of. Where there are tenants, all sources that are of none are together as one of them: a network that
// nobody has named has any number of addresses, and would be any number of owners.
func (s *session) sharer() holder {
	whose := s.holder()
	if s.e.Tenant != nil && whose.tenant == "" {
		whose = holder{}
	}
	return whose
}

func (s *session) source() netip.Prefix { return witness.SourceBlock(s.info.Source.Addr()) }

func (l *Live) leave(s *session) {
	source, whose, sharer := s.source(), s.holder(), s.sharer()
	l.running.remove(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions--
	delete(l.orders, s.info.ID)
	l.sources.Give(source)
	l.holders.Give(whose)
	l.sharers.Give(sharer)
	if l.sessions == 0 && l.empty != nil && l.drain.Load() {
		select {
		case <-l.empty:
		default:
			close(l.empty)
		}
	}
}

// stopping reports that no new transaction may begin; cutting that none may go on.
func (l *Live) stopping() bool { return l.drain.Load() }
func (l *Live) cutting() bool  { return l.kill.Load() }
