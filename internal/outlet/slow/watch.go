package slow

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/timing"
	"kanmon/internal/store/keep"
	"kanmon/internal/who/witness"
)

// A Watch has the detector, and what follows of what it finds. It is there for as long as the process. It is safe for concurrent use.
type Watch struct {
	log   *slog.Logger
	clock func() time.Time
	tell  func(Found)

	settings atomic.Pointer[Settings] // nil: off
	thin     *thinner
	samples  chan sample
	hasten   chan struct{} // the samples are to be taken before their time
	seen     atomic.Uint64
	lost     atomic.Uint64

	shares atomic.Pointer[map[Key]float64] // asked with each mail; nil: time speaks against nobody

	stop  chan struct{}
	tasks sync.WaitGroup

	history history

	mu       sync.Mutex // not held by whoever sends mail, nor while anything is told
	detector *timing.Detector
	eyed     map[Key]*eyed
	names    map[netip.Addr]string // of sending IPs
	told     []Found               // that is to be told
	day      int64                 // since 1970 in UTC, on which what stands was told last
	still    time.Time             // when what something follows from was
	late     []keep.Row            // to be written although it is switched off
}

// Options are what a [Watch] is made from.
type Options struct {
	Tell  func(Found)      // told of what begins, ends and changes, on a goroutine of the Watch's own
	Store keep.Store       // of what is usual; nil: it does not outlive the process
	Log   *slog.Logger     // nil: slog.Default()
	Clock func() time.Time // nil: time.Now
}

// Mails wait for the detector, so many at most, and are taken together: waking for each would cost more than the detector does. It takes a few µs for one.
const (
	queued   = 512
	together = 50 * time.Millisecond
)

// again is how often it is looked whether what was found still stands, where no mail says so.
const again = time.Minute

// New makes a Watch that is off until [Watch.Configure].
func New(o Options) *Watch {
	w := &Watch{log: o.Log, clock: o.Clock, tell: o.Tell, thin: newThinner(), samples: make(chan sample, queued), hasten: make(chan struct{}, 1), stop: make(chan struct{})}
	if w.log == nil {
		w.log = slog.Default()
	}
	if w.clock == nil {
		w.clock = time.Now
	}
	w.forget()
	w.tasks.Go(w.run)
	if o.Store != nil {
		w.history = history{store: o.Store, rows: map[string]struct{}{}}
		w.tasks.Go(w.saveLoop)
	}
	return w
}

// Close ends it, and writes what has not been written. What stands is not told to have ended: only this process has.
func (w *Watch) Close() error {
	close(w.stop)
	w.tasks.Wait()
	return w.save()
}

// Configure says what holds from now on. With [Off] everything is forgotten but what the store has.
func (w *Watch) Configure(s Settings) {
	s.Internal = slices.Clone(s.Internal)
	if s.Act != Off && !w.On() {
		w.load()
	}
	defer w.tellAll()
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Act == Off {
		w.settings.Store(nil)
		w.endAll()
		return
	}
	w.settings.Store(&s)
	w.judge()
}

// On reports whether anything is measured.
func (w *Watch) On() bool { return w.settings.Load() != nil }

// Hear takes what the facts tell of how soon MXs answer. It does not wait, and keeps nothing of them.
func (w *Watch) Hear(f *event.Facts) {
	set := w.settings.Load()
	if set == nil || f.Session == nil || !f.Session.Destination.IsValid() || set.internal(f.Session.Destination.Addr()) {
		return
	}
	var s sample
	if wait, of := f.News.(event.Wait); of && s.ofWait(f, &wait) {
		w.put(&s)
		return
	}
	if f.Transaction != nil && s.ofMail(f) {
		w.put(&s)
	}
	if f.End != nil {
		w.hearEnd(f)
	}
}

// hearEnd takes what no mail has told: connections that were refused, or that no mail came over.
func (w *Watch) hearEnd(f *event.Facts) {
	for i := range f.End.Legs {
		var s sample
		if s.ofLeg(f, &f.End.Legs[i]) {
			w.put(&s)
		}
	}
}

func (s *Settings) internal(mx netip.Addr) bool {
	return slices.ContainsFunc(s.Internal, func(n netip.Prefix) bool { return n.Contains(mx.Unmap()) })
}

func (w *Watch) put(s *sample) {
	if !w.thin.takes(s, w.clock()) {
		return
	}
	select {
	case w.samples <- *s:
	default:
		w.lost.Add(1)
	}
	if len(w.samples) > queued/2 {
		select {
		case w.hasten <- struct{}{}:
		default:
		}
	}
}

// Counts gives how much mail the detector has seen, and how much it has not for want of room.
func (w *Watch) Counts() (seen, lost uint64) { return w.seen.Load(), w.lost.Load() }

func (w *Watch) run() {
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		select {
		case s := <-w.samples:
			w.safely(func() { w.takeAll(&s) })
			if !w.rests() {
				return
			}
		case <-tick.C:
			w.safely(w.look)
		case <-w.stop:
			return
		}
	}
}

// rests lets mails come together. It is false at the end.
func (w *Watch) rests() bool {
	rest := time.NewTimer(together)
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-w.hasten:
	case <-w.stop:
		return false
	}
	return true
}

// safely does something with the detector and tells what has come of it. A panic ends the measuring, and nothing else: mail does not need it.
func (w *Watch) safely(do func()) {
	defer func() {
		if p := recover(); p != nil {
			w.settings.Store(nil)
			w.shares.Store(nil)
			w.mu.Lock()
			w.forget() // who switches it on again begins anew
			w.told = nil
			w.mu.Unlock()
			w.log.Error("timing is switched off: it panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.On() {
			do()
		}
	}()
	w.tellAll()
}

// takeAll feeds the detector with a mail and what has come behind it.
func (w *Watch) takeAll(s *sample) {
	for {
		w.take(s)
		select {
		case *s = <-w.samples:
		default:
			return
		}
	}
}

// take feeds the detector.
func (w *Watch) take(s *sample) {
	w.seen.Add(1)
	k := s.key()
	o := timing.Observation{
		At: w.clock(), ID: s.id, IP: w.nameOf(k.IP), Provider: k.Provider, Host: s.mx.String(), Tenant: witness.Tenant(s.tenant, s.source),
		New: s.opened, Size: int(s.size), Dripped: s.dripped, Refused: s.refused, BadRecipient: s.badRecipient, Stalled: s.stalled, Waits: s.waits,
	}
	for f, took := range s.took {
		o.Took[f] = timing.Absent
		if took != absent {
			o.Took[f] = took.Duration().Seconds()
		}
	}
	if s.instead.IsValid() {
		o.SplitFrom = w.nameOf(s.instead.Unmap())
	}
	found := w.detector.Observe(&o)
	for i := range found {
		w.found(&found[i])
	}
	if w.eye(k, s) || len(found) > 0 {
		w.judge()
	}
}

// stillEvery is how often is told that something still follows from what stands: whoever heeds that lets go when it is not told any more.
const stillEvery = 10 * time.Minute

// look is what is done where no mail is: what stands is judged anew, and told to whoever goes by days, and by hours where anything follows.
func (w *Watch) look() {
	w.judge()
	now := w.clock()
	day := now.Unix() / 86400
	anew, due := day != w.day, now.Sub(w.still) >= stillEvery
	if w.day = day; due {
		w.still = now
	}
	for k, e := range w.eyed {
		if e.finding.Scope != 0 && (anew || due && e.did >= Slowed) {
			w.told = append(w.told, Found{Finding: e.finding, Key: k, Did: e.did, Still: true})
		}
	}
}

// nameOf gives the text of a sending IP: there are few.
func (w *Watch) nameOf(ip netip.Addr) string {
	name, known := w.names[ip]
	if !known {
		if len(w.names) >= timing.MaxKeys {
			clear(w.names)
		}
		name = ip.String()
		w.names[ip] = name
	}
	return name
}

// forget begins anew.
func (w *Watch) forget() {
	w.detector, w.eyed, w.names = timing.New(), map[Key]*eyed{}, map[netip.Addr]string{}
}

// tellAll tells what there is to tell, without holding anything.
func (w *Watch) tellAll() {
	w.mu.Lock()
	told := w.told
	w.told = nil
	w.mu.Unlock()
	if w.tell == nil {
		return
	}
	for _, f := range told {
		w.tell(f)
	}
}
