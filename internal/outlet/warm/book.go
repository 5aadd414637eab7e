package warm

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options make a [Book].
type Options struct {
	Store  Store                        // nil: nothing survives the process
	Clock  func() time.Time             // nil: time.Now
	Log    *slog.Logger                 // nil: silence
	Shares func(map[netip.Addr]float64) // hears of what each warming IP may have of its senders, whenever that changes; nil of all that are warm
	News   func(News)                   // hears of each step, in a goroutine of its own
}

// A Store keeps states beyond the process. Save writes each in place of what it has of the IP. One goroutine calls it at a time; whoever opened
// it closes it, after the Book.
type Store interface {
	Load() ([]State, error)
	Save(changed []State) error
}

// ErrNotKept is seen where a person's order holds, and the store does not take it.
var ErrNotKept = errors.New("the change is active but not saved; a restart may lose it")

// ErrNoPlan is seen for an IP that has none.
var ErrNoPlan = errors.New("the sending IP has no warm_up")

// A Book has the states of all IPs with a plan. It is safe for concurrent use. The nil Book has none.
type Book struct {
	o       Options
	members atomic.Pointer[map[netip.Addr]*member] // nil: no IP has a plan
	tight   atomic.Bool                            // somebody has been told today that there is no room

	disk sync.Mutex // held while the store is used, and taken before the others

	mu      sync.Mutex              // of what follows; taken before a member's
	kept    map[netip.Addr]State    // of IPs without a plan, as the store has them
	unsaved map[netip.Addr]struct{} // of kept
	shares  map[netip.Addr]float64  // as they were told last
	started bool

	news  chan News
	stop  chan struct{}
	tasks sync.WaitGroup
	once  sync.Once
}

// A member is an IP with a plan, and its state.
type member struct {
	b *Book

	mu sync.Mutex
	Member
	State
	dirty bool
	gone  bool // by a reload: it has no plan any more
}

// New makes a Book and reads what the store has.
func New(o Options) (*Book, error) {
	b := &Book{o: o, kept: map[netip.Addr]State{}, unsaved: map[netip.Addr]struct{}{}, news: make(chan News, 256), stop: make(chan struct{})}
	if b.o.Clock == nil {
		b.o.Clock = time.Now
	}
	if b.o.Log == nil {
		b.o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Store == nil {
		return b, nil
	}
	all, err := o.Store.Load()
	if err != nil {
		return nil, fmt.Errorf("read how far sending IPs have warmed up: %w", err)
	}
	for _, s := range all {
		b.kept[s.IP] = s
	}
	return b, nil
}

// Configure says which IPs have a plan. What is known of an IP stays; of one whose start is another one than before, the new one decides.
func (b *Book) Configure(list []Member) {
	today := DayOf(b.o.Clock())
	b.mu.Lock()
	before, next := b.all(), make(map[netip.Addr]*member, len(list))
	for _, one := range list {
		one.IP = one.IP.Unmap()
		m := before[one.IP]
		if m == nil {
			_, unsaved := b.unsaved[one.IP]
			m = &member{b: b, State: b.kept[one.IP], dirty: unsaved}
			delete(b.kept, one.IP)
		}
		m.mu.Lock()
		m.Member = one
		switch {
		case m.State.Start != one.Start:
			m.begin(&m.Member, today)
			m.dirty = true
		case !m.Done && m.isThrough(one.Plan):
			m.finish()
			m.dirty = true
			b.tellLater(News{IP: m.clone(), Steps: len(one.Plan.Steps), Kind: Ended, Why: "its plan has no more steps"})
		}
		m.mu.Unlock()
		next[one.IP] = m
	}
	for ip, m := range before {
		if next[ip] == nil {
			b.kept[ip], b.unsaved[ip] = m.leave(), struct{}{}
		}
	}
	if b.members.Store(&next); len(next) == 0 {
		b.members.Store(nil)
	}
	begins := len(next) > 0 && !b.started
	b.started = b.started || begins
	b.mu.Unlock()
	b.Tick()
	if begins {
		b.tasks.Go(b.loop)
		b.tasks.Go(b.tellLoop)
	}
}

// leave ends a member, and gives what is kept of it. What leaves from it from now on is not seen.
func (m *member) leave() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	s := m.clone()
	s.Used = 0
	return s
}

func (b *Book) all() map[netip.Addr]*member {
	if b == nil {
		return nil
	}
	if all := b.members.Load(); all != nil {
		return *all
	}
	return nil
}

// of gives an IP with a plan; nil if it has none.
func (b *Book) of(ip netip.Addr) *member {
	all := b.all()
	if all == nil {
		return nil
	}
	return all[ip.Unmap()]
}

// Tight reports whether anybody has been told today that an IP has no room. Where not, nothing has gone another way.
func (b *Book) Tight() bool { return b.tight.Load() }

// Any reports whether any IP has a plan.
func (b *Book) Any() bool { return b.all() != nil }

// Knows reports whether an IP has a plan, be it warm or not.
func (b *Book) Knows(ip netip.Addr) bool { return b.of(ip) != nil }

// Today gives the day that it is.
func (b *Book) Today() Day { return DayOf(b.o.Clock()) }

// Tick brings all IPs up to date, as the loop does every minute.
func (b *Book) Tick() {
	now := b.o.Clock()
	for _, m := range b.all() {
		m.mu.Lock()
		m.upToDate(now)
		m.mu.Unlock()
	}
	b.tellShares()
}

// upToDate judges the days that are over. It is called with mu held.
func (m *member) upToDate(now time.Time) {
	today := DayOf(now)
	if today == m.Day {
		return
	}
	news, told := m.turn(&m.Member, today)
	m.dirty = true
	m.b.tight.Store(false)
	if told {
		m.b.tellLater(news)
	}
}

// tellLater has the log hear of something, which may be stuck.
func (b *Book) tellLater(n News) {
	select {
	case b.news <- n:
	default:
	}
}

// tellShares says what each warming IP may have of its senders, where that is not what was said before.
func (b *Book) tellShares() {
	if b.o.Shares == nil {
		return
	}
	var shares map[netip.Addr]float64
	for ip, m := range b.all() {
		m.mu.Lock()
		share := m.share(m.Plan)
		m.mu.Unlock()
		if share < 1 {
			if shares == nil {
				shares = map[netip.Addr]float64{}
			}
			shares[ip] = share
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !maps.Equal(shares, b.shares) {
		b.shares = shares
		b.o.Shares(shares)
	}
}

// An Entry is how far along an IP is, to be shown.
type Entry struct {
	State
	Plan *Plan
}

// List gives all IPs with a plan, in their order.
func (b *Book) List() (list []Entry) {
	now := b.o.Clock()
	for _, m := range b.all() {
		m.mu.Lock()
		m.upToDate(now)
		list = append(list, Entry{m.clone(), m.Plan})
		m.mu.Unlock()
	}
	slices.SortFunc(list, func(x, y Entry) int { return x.IP.Compare(y.IP) })
	return list
}

// Get gives one of them.
func (b *Book) Get(ip netip.Addr) (e Entry, found bool) {
	m := b.of(ip)
	if m == nil {
		return e, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upToDate(b.o.Clock())
	return Entry{m.clone(), m.Plan}, true
}

// GoTo puts an IP at a step, or behind the last one: then it is warm. It is a person's order, and in the store when this returns.
func (b *Book) GoTo(ip netip.Addr, step int, why string) error {
	m := b.of(ip)
	if m == nil {
		return fmt.Errorf("%s: %w", ip, ErrNoPlan)
	}
	now := b.o.Clock()
	m.mu.Lock()
	m.upToDate(now)
	m.goTo(min(max(step, 1), len(m.Plan.Steps)+1), &m.Member, DayOf(now))
	kind := Began
	if m.Done {
		kind = Ended
	}
	news := News{IP: m.clone(), Steps: len(m.Plan.Steps), Kind: kind, Why: why}
	m.Why, m.dirty = why, true
	m.mu.Unlock()
	b.tellShares()
	b.tellLater(news)
	if _, err := b.save(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}

func (b *Book) tellLoop() {
	for {
		select {
		case n := <-b.news:
			b.tell(n)
		case <-b.stop:
			for {
				select {
				case n := <-b.news:
					b.tell(n)
				default:
					return
				}
			}
		}
	}
}

func (b *Book) tell(n News) {
	step := min(n.IP.Step, n.Steps)
	switch n.Kind {
	case Repeated:
		b.o.Log.Info("warm-up: a step is repeated", "ip", n.IP.IP, "step", step, "of", n.Steps, "why", n.Why)
	case Ended:
		b.o.Log.Info("warm-up: the sending IP is warm", "ip", n.IP.IP, "why", cmp.Or(n.Why, "it is through with its plan"))
	default:
		b.o.Log.Info("warm-up: a step begins", "ip", n.IP.IP, "step", step, "of", n.Steps, "why", n.Why)
	}
	if b.o.News != nil {
		b.o.News(n)
	}
}

// Close writes what has not been written, and ends the Book's goroutines.
func (b *Book) Close() error {
	if b == nil {
		return nil
	}
	b.once.Do(func() { close(b.stop) })
	b.tasks.Wait()
	if _, err := b.save(); err != nil {
		return fmt.Errorf("write how far sending IPs have warmed up: %w", err)
	}
	return nil
}
