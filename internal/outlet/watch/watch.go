package watch

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/store/keep"
)

// An Own is a sending IP of ours.
type Own struct {
	IP   netip.Addr
	EHLO string // that kanmon says from it
}

// A List is a public list that is asked.
type List struct {
	Name string // as it is told
	Zone string // as it is asked: it may have a key in it that is nobody's business
}

// Settings are what is watched.
type Settings struct {
	IPs      []Own
	Lists    []List
	Names    bool // of the IPs, too
	Every    time.Duration
	Resolver string // address of the server that is asked; "": those of the system
}

// Options are what a Watch is made with.
type Options struct {
	Resolve func(server string) (Answerer, error) // nil: NewResolver
	Store   keep.Store                            // nil: nothing outlives the process
	Tell    func(event.Sighting)                  // what has changed
	Looked  func(Seen)                            // each answer of a list about an IP, changed or not
	Log     *slog.Logger
}

// A Seen is how something is seen.
type Seen struct {
	IP    netip.Addr // the zero Addr: it is about the list
	List  string     // "": it is about the names of the IP
	State event.Sight
	Since time.Time // when that was seen first
	Asked time.Time // when there was an answer last
	Names []string
	Codes []string
	Why   string // it is bad
	News  bool   // with Looked: it has just become so
	Fails string // why there was no answer, if there was none when it was asked last
}

// Answered is what lists have said.
type Answered struct {
	List   string
	Result string // "yes", "no", "error", "unbelieved"
}

// about is what something is known of.
type about struct {
	ip   netip.Addr
	list string
}

// A Watch watches.
type Watch struct {
	o Options

	change sync.Mutex // held by Configure and Close
	end    context.CancelFunc
	ended  sync.WaitGroup

	mu       sync.Mutex
	settings Settings
	seen     map[about]*Seen
	counts   map[Answered]uint64
	started  time.Time
	unsaved  bool // the store has failed, and that was told
}

// New makes a Watch that asks nobody yet. What a process before has seen is known, where a store has it.
func New(o Options) *Watch {
	if o.Resolve == nil {
		o.Resolve = func(server string) (Answerer, error) { return NewResolver(server) }
	}
	w := &Watch{o: o, seen: map[about]*Seen{}, counts: map[Answered]uint64{}, started: time.Now()}
	w.load()
	return w
}

// Configure has watched what the settings say, from now on. What nobody watches any more is told to be unknown, if it was bad.
func (w *Watch) Configure(s Settings) {
	w.change.Lock()
	defer w.change.Unlock()
	w.mu.Lock()
	same := w.end != nil && reflect.DeepEqual(s, w.settings)
	w.mu.Unlock()
	if same {
		return
	}
	w.stop()
	w.mu.Lock()
	w.settings = s
	w.mu.Unlock()
	w.dropUnwatched(s)
	if !s.Names && len(s.Lists) == 0 {
		return
	}
	resolver, err := w.o.Resolve(s.Resolver)
	if err != nil {
		w.o.Log.Error("nobody is asked about the sending IPs", "error", err)
		return
	}
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	r := &round{w: w, Settings: s, resolver: resolver}
	r.IPs = slices.DeleteFunc(slices.Clone(s.IPs), func(o Own) bool { return !isPublic(o.IP) })
	if len(r.IPs) == 0 {
		return
	}
	for _, l := range s.Lists {
		w.ended.Go(func() { r.watchList(ctx, l) })
	}
	if s.Names {
		w.ended.Go(func() { r.watchNames(ctx) })
	}
}

// isPublic reports whether others can see an address as it is: of those behind a translation they see another.
func isPublic(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !shared.Contains(ip)
}

var shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func (w *Watch) stop() {
	if w.end != nil {
		w.end()
		w.ended.Wait()
		w.end = nil
	}
}

// Close ends the questions. What was seen is in the store already.
func (w *Watch) Close() error {
	w.change.Lock()
	defer w.change.Unlock()
	w.stop()
	return nil
}

// Seen gives all that is watched: of each IP its names, then the lists; the lists themselves first.
func (w *Watch) Seen() (all []Seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.seen {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Seen) int {
		return cmp.Or(bytes.Compare(a.IP.AsSlice(), b.IP.AsSlice()), cmp.Compare(a.List, b.List))
	})
	return all
}

// Counts says what lists have answered since the Watch was made.
func (w *Watch) Counts() map[Answered]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.counts)
}

func (w *Watch) count(list, result string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[Answered{list, result}]++
}

// note takes an answer, and tells if it has changed something. What was unknown and is fine is no news.
func (w *Watch) note(now Seen) {
	now.Since, now.Asked = time.Now(), time.Now()
	w.mu.Lock()
	at := about{now.IP, now.List}
	was := w.seen[at]
	if was == nil {
		was = &Seen{}
	}
	names, codes := slices.Equal(was.Names, now.Names), slices.Equal(was.Codes, now.Codes)
	if was.State == now.State {
		now.Since = was.Since
	}
	w.seen[at] = &now
	before := *was
	w.mu.Unlock()
	if before.State != now.State || !names || !codes {
		w.save(at, &now)
		if before.State != event.SightUnknown || now.State.Bad() {
			w.tell(&before, &now)
		}
	}
	if now.List != "" && now.IP.IsValid() {
		looked := now // what is seen by others is not written any more
		looked.News = before.State != now.State
		w.o.Looked(looked)
	}
}

func (w *Watch) tell(was, now *Seen) {
	n := event.Sighting{IP: now.IP, List: now.List, State: now.State, Was: was.State, Names: now.Names, Codes: now.Codes, Why: now.Why}
	if !slices.Equal(was.Names, now.Names) {
		n.Before = was.Names
	}
	w.o.Tell(n)
}

// silent notes that there was no answer. What was known holds for a day.
func (w *Watch) silent(at about, why string) {
	w.mu.Lock()
	s := w.seen[at]
	if s == nil {
		s = &Seen{IP: at.ip, List: at.list}
		w.seen[at] = s
	}
	s.Fails = why
	last := s.Asked
	if w.started.After(last) {
		last = w.started
	}
	over := s.State != event.SightUnknown && time.Since(last) >= keptFor
	before := *s
	w.mu.Unlock()
	if over {
		w.forget(at, &before, "there has been no answer for a day: "+why)
	}
}

// forget makes unknown what was known.
func (w *Watch) forget(at about, was *Seen, why string) {
	now := Seen{IP: at.ip, List: at.list, Since: time.Now(), Asked: was.Asked, Fails: was.Fails}
	w.mu.Lock()
	w.seen[at] = &now
	w.mu.Unlock()
	w.save(at, &now)
	if was.State.Bad() {
		told := now
		told.Why = why
		w.tell(was, &told)
	}
	if at.list != "" && at.ip.IsValid() {
		w.o.Looked(now)
	}
}

// dropUnwatched forgets what the settings do not name.
func (w *Watch) dropUnwatched(s Settings) {
	watched := map[about]bool{}
	for _, l := range s.Lists {
		watched[about{list: l.Name}] = true
		for _, own := range s.IPs {
			watched[about{own.IP, l.Name}] = true
		}
	}
	for _, own := range s.IPs {
		watched[about{ip: own.IP}] = s.Names
	}
	for _, seen := range w.Seen() {
		at := about{seen.IP, seen.List}
		if watched[at] {
			continue
		}
		w.forget(at, &seen, "nobody asks any more")
		w.mu.Lock()
		delete(w.seen, at)
		w.mu.Unlock()
	}
}

// keptFor is for how long what was seen counts without an answer.
const keptFor = 24 * time.Hour

// A round is what asks, by one set of settings.
type round struct {
	w *Watch
	Settings
	resolver Answerer
}

// gap is how long is waited between two IPs: an interval has room for all of them. The first time they come faster.
func (r *round) gap(first bool) time.Duration {
	gap := r.Every / time.Duration(len(r.IPs)+1)
	if first {
		return min(gap, time.Second)
	}
	return gap
}

// rest waits for what is left of an interval, and a little: lists that are asked at once would drift apart.
func (r *round) rest(ctx context.Context, began time.Time) bool {
	return pause(ctx, max(0, r.Every-time.Since(began))+rand.N(r.Every/20)) //nolint:gosec // nobody has to guess it
}

// pause reports false where there is nothing more to wait for.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
