package event

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Stream takes what happens, and tells it to whoever listens. It is there for as long as the process: a reload exchanges what is behind
// it, and sessions under way are heard by the new one. The zero Stream is ready, and nobody listens.
//
// Two kinds listen. Subscribers hear of facts at once, on the goroutine of whoever tells; all of them together may take less than a
// microsecond. A [Later] gets the record, and does its work elsewhere.
type Stream struct {
	Log   *slog.Logger // told of subscribers that were switched off; nil: slog.Default()
	Pulse Pulse        // by which it says of what it tells for how long this process stood still meanwhile

	now atomic.Pointer[[]*subscriber]

	wanted   atomic.Uint32 // of later's answers, and how often they, or who gives them, have changed: one word, so that nobody sees half of a change
	off      atomic.Uint64
	findings atomic.Uint64

	mu    sync.RWMutex // held over nothing that waits
	later Later
	over  int // how many overhear the dialogue
}

// In Stream.wanted.
const (
	wantsDialogue = 1 << iota
	wantsIdentity
	wantedChanged
)

// A Later keeps records and works on them behind the session's back.
type Later interface {
	// Record takes a record over and must not wait. It calls [Record.Release] when it is done with it.
	Record(*Record)
	// Dialogue reports whether it wants what was said, and not only the facts. The answer is always the same.
	Dialogue() bool
	// Identity reports whether it wants to know how others name a message. The answer is always the same.
	Identity() bool
}

// Facts are what a subscriber is told: a record without its dialogue. Nothing of it may be kept, or changed.
type Facts struct {
	Session     *Session
	Actions     []Action
	Decisions   []Decided
	Transaction *Transaction   // nil if none ended
	Spent       *Spent         // what its time went to
	Recipients  []Recipient    // of the transaction; nil where there are more than [MostRecipients]: Results tells of them, and Transaction.Recipients has all on record
	Results     [FateCount]int // of all recipients, also of those that the record does not list
	End         *End           // nil if no session ended
	News        News           // nil if it is about a session's work
	Tenant      string         // whose mail it is, as far as is known

	texts Texts
}

// MostRecipients is how many a subscriber sees one by one.
const MostRecipients = 50

// Text returns the octets of a span of the facts.
func (f *Facts) Text(s Span) []byte { return f.texts.Of(s) }

type subscriber struct {
	name string
	hear func(*Facts)
	off  atomic.Bool
}

// Subscribe has a function called with all facts from now on, until leave is called. It must not wait, and it must keep nothing. One that
// panics is switched off.
func (s *Stream) Subscribe(name string, hear func(*Facts)) (leave func()) {
	sub := &subscriber{name: name, hear: hear}
	s.exchange(func(list []*subscriber) []*subscriber { return append(list, sub) })
	return func() {
		s.exchange(func(list []*subscriber) []*subscriber {
			return slices.DeleteFunc(list, func(other *subscriber) bool { return other == sub })
		})
	}
}

func (s *Stream) exchange(change func([]*subscriber) []*subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*subscriber
	if was := s.now.Load(); was != nil {
		list = slices.Clone(*was)
	}
	list = change(list)
	if len(list) == 0 {
		s.now.Store(nil)
		return
	}
	s.now.Store(&list)
}

// Off is how many subscribers have been switched off.
func (s *Stream) Off() uint64 { return s.off.Load() }

// Findings is how many findings by timing have begun.
func (s *Stream) Findings() uint64 { return s.findings.Load() }

// Replace has everything from now on go to another Later, or to none. No record is lost between them: what has gone to the one before has
// been taken by it when Replace returns.
func (s *Stream) Replace(later Later) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.later = later
	s.wantAnew()
}

// Overhear has what is said told to the Later, whether it wants that by itself or not, until leave is called.
func (s *Stream) Overhear() (leave func()) {
	change := func(by int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.over += by
		s.wantAnew()
	}
	change(1)
	return func() { change(-1) }
}

// wantAnew is called with mu held when what is wanted may have changed, or by whom.
func (s *Stream) wantAnew() {
	wanted := s.wanted.Load() &^ (wantsDialogue | wantsIdentity)
	if s.over > 0 || s.later != nil && s.later.Dialogue() {
		wanted |= wantsDialogue
	}
	if s.later != nil && s.later.Identity() {
		wanted |= wantsIdentity
	}
	s.wanted.Store(wanted + wantedChanged)
}

// Dialogue reports whether anybody wants what is said, and not only the facts.
func (s *Stream) Dialogue() bool { return s.wanted.Load()&wantsDialogue != 0 }

// Listeners changes whenever others listen, or to more: they have heard nothing of what was told before. Whoever sees that the dialogue
// is wanted sees that change, too.
func (s *Stream) Listeners() uint16 { return uint16(s.wanted.Load() / wantedChanged) } //nolint:gosec // that it differs is all that counts

// Identity reports whether anybody wants to know how others name a message.
func (s *Stream) Identity() bool { return s.wanted.Load()&wantsIdentity != 0 }

// Record tells a session's record, and takes it over. It does not wait.
func (s *Stream) Record(r *Record) {
	r.At = time.Now()
	s.Pulse.marks(r)
	s.tellNow(r)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.later == nil {
		r.Release()
		return
	}
	s.later.Record(r)
}

// Tell tells news. It does not wait.
func (s *Stream) Tell(n News) {
	r := NewRecord()
	r.News = n
	r.Session.ID = n.cause().Session
	switch of := n.(type) {
	case Changed:
		r.Tenant = cmp.Or(of.Tenant, of.Owner)
	case Judged:
		r.Tenant, r.Account = of.Tenant, of.Account
	case Finding:
		r.Tenant = of.Tenant
		if of.Did == FindingBegun {
			s.findings.Add(1)
		}
	}
	s.Record(r)
}

func (s *Stream) tellNow(r *Record) {
	list := s.now.Load()
	if list == nil {
		return
	}
	f := &r.facts
	*f = Facts{Session: &r.Session, Actions: r.Actions, Decisions: r.Decisions, Transaction: r.Transaction, Spent: &r.Spent, End: r.End, News: r.News, Tenant: r.Tenant, texts: r.Texts}
	if f.nothing() {
		return
	}
	if t := r.Transaction; t != nil {
		f.Results = t.Results()
		if len(t.Recipients) <= MostRecipients && t.MoreRcpts == 0 {
			f.Recipients = t.Recipients
		}
	}
	for _, sub := range *list {
		if !sub.off.Load() {
			s.tellOne(sub, f)
		}
	}
}

// nothing reports whether a record is of dialogue alone.
func (f *Facts) nothing() bool {
	return len(f.Actions)+len(f.Decisions) == 0 && f.Transaction == nil && f.End == nil && f.News == nil
}

func (s *Stream) tellOne(sub *subscriber, f *Facts) {
	defer func() {
		if p := recover(); p != nil && sub.off.CompareAndSwap(false, true) {
			s.off.Add(1)
			s.logger().Error("listener switched off: it panicked", "listener", sub.name, "panic", fmt.Sprint(p))
		}
	}()
	sub.hear(f)
}

func (s *Stream) logger() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}
