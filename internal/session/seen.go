package session

import (
	"cmp"
	"hash/maphash"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
)

// A running session is looked at from outside: what it does, since when, and whose it is. It says so in two words that it alone writes
// and anybody may read, so that a look costs it nothing, and stops nobody.

// A Seen is what a running session does, as others see it.
type Seen struct {
	ID          event.ID
	Start       time.Time
	Source      netip.AddrPort // the MSA
	Destination netip.AddrPort // the MX
	Tenant      string         // of the mail at hand, or of the last one; else by the MSA's address; "": not known
	Account     string         // likewise; "": not known yet
	Provider    string         // whose MX it is known to be
	Pool        string
	SendingIP   netip.Addr     // or where there are none the address that it was dialled from; invalid: it is not connected yet
	Doing       event.Spending // what its time is spent on
	Phase       event.Phase    // the last step that was waited in
	Since       time.Duration  // when this wait, or this work, began, since Start
}

// Held reports whether the MSA waits: for the MX, or for kanmon.
func (s *Seen) Held() bool {
	switch s.Doing {
	case event.SpentOnMSA, event.SpentOnBodyMSA, event.SpentPassing:
		return false
	}
	return true
}

// shown is what a session shows of itself.
type shown struct {
	doing atomic.Uint64         // what, the phase, and since when: of 8, 8 and 48 bits
	whose atomic.Pointer[facts] // shared with sessions alike; nil: nothing is known
}

const sinceBits = 16 // the microseconds stand above these

// waits shows what is waited for, and in which phase.
func (w *shown) waits(on event.Spending, phase event.Phase, since time.Duration) {
	w.doing.Store(uint64(since.Microseconds())<<sinceBits | uint64(phase)<<8 | uint64(on)) //nolint:gosec // it is behind the session's beginning
}

// does shows what is done behind a wait.
func (w *shown) does(on event.Spending, now time.Duration) {
	w.waits(on, event.Phase(w.doing.Load()>>8), now) //nolint:gosec // the eight bits of a phase
}

// facts are what sessions that are alike share. They do not change.
type facts struct {
	way       *event.Way // nil: not known
	sendingIP netip.Addr
	tenant    string // that the mail is of; "": the way has it
	account   string
}

// knownFacts have sessions that are alike share what they show. Where there are many, which ones are known is left to chance.
type knownFacts [4096]atomic.Pointer[facts]

var factsSeed = maphash.MakeSeed()

func (k *knownFacts) of(f *facts) *facts {
	at := &k[maphash.Comparable(factsSeed, *f)%uint64(len(k))]
	known := at.Load()
	if known == nil || *known != *f {
		own := *f
		known = &own
		at.Store(known)
	}
	return known
}

// showsLeg shows whence the session leaves now.
func (s *session) showsLeg() {
	f := s.shown.facts()
	if f.sendingIP = s.mx.info.SendingIP; !f.sendingIP.IsValid() {
		f.sendingIP = s.mx.info.Local.Addr()
	}
	f.way = s.mx.info.Way
	s.shows(&f)
}

// showsMail shows whose the mail at hand is.
func (s *session) showsMail(tenant, account string) {
	f := s.shown.facts()
	f.tenant, f.account = tenant, account
	s.shows(&f)
}

func (w *shown) facts() (f facts) {
	if now := w.whose.Load(); now != nil {
		f = *now
	}
	return f
}

func (s *session) shows(f *facts) {
	if now := s.shown.whose.Load(); now == nil || *now != *f {
		s.shown.whose.Store(s.e.Live.facts.of(f))
	}
}

// seen is what others see of the session.
func (s *session) seen(seen *Seen) {
	doing := s.shown.doing.Load()
	*seen = Seen{
		ID: s.info.ID, Start: s.info.Start, Source: s.info.Source, Destination: s.info.Destination,
		Doing: event.Spending(doing), Phase: event.Phase(doing >> 8), Since: time.Duration(doing>>sinceBits) * time.Microsecond, //nolint:gosec // eight bits each, and 48
	}
	if f := s.shown.whose.Load(); f != nil {
		if f.way != nil {
			seen.Tenant, seen.Provider, seen.Pool = f.way.Tenant, f.way.Provider, f.way.Pool
		}
		seen.SendingIP, seen.Account, seen.Tenant = f.sendingIP, f.account, cmp.Or(f.tenant, seen.Tenant)
	}
	if seen.Tenant == "" {
		seen.Tenant = s.holder().tenant
	}
}

// running are the sessions that there are, in parts, so that whoever looks at all of them stops a few for a moment.
type running [64]struct {
	mu sync.Mutex
	of map[*session]struct{}
	_  [48]byte // another part lies in another cache line
}

func (r *running) add(s *session) {
	part := &r[s.info.ID%event.ID(len(r))]
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.of == nil {
		part.of = make(map[*session]struct{})
	}
	part.of[s] = struct{}{}
}

func (r *running) remove(s *session) {
	part := &r[s.info.ID%event.ID(len(r))]
	part.mu.Lock()
	defer part.mu.Unlock()
	delete(part.of, s)
}

// find gives the one with an ID; nil: it does not run, or no more.
func (r *running) find(id event.ID) *session {
	part := &r[id%event.ID(len(r))]
	part.mu.Lock()
	defer part.mu.Unlock()
	for s := range part.of {
		if s.info.ID == id {
			return s
		}
	}
	return nil
}

// all gives those that run now. Nothing is locked while one of them is looked at: it may end meanwhile.
func (r *running) all() iter.Seq[*session] {
	return func(yield func(*session) bool) {
		var some []*session
		for i := range r {
			some = r.copied(some[:0], i)
			for _, s := range some {
				if !yield(s) {
					return
				}
			}
			clear(some)
		}
	}
}

func (r *running) copied(to []*session, i int) []*session {
	part := &r[i]
	part.mu.Lock()
	defer part.mu.Unlock()
	for s := range part.of {
		to = append(to, s)
	}
	return to
}

// All gives all sessions that run now, in no order. Each is good until the next.
func (l *Live) All() iter.Seq[*Seen] {
	return func(yield func(*Seen) bool) {
		seen := new(Seen)
		for s := range l.running.all() {
			if s.seen(seen); !yield(seen) {
				return
			}
		}
	}
}
