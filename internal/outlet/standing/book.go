package standing

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/who/share"
)

// Settings are what a reload may change. A Book keeps them as they are: nothing in them may be changed afterwards.
type Settings struct {
	Numbers    *Numbers            // nil: DefaultNumbers
	Providers  map[string]*Numbers // whole policies of providers that need their own
	Neighbours []netip.Addr        // the configured sending IPs
	Block      Block               // how near they must be
}

// Options make a [Book].
type Options struct {
	Settings
	Store   Store            // nil: nothing survives the process
	Check   Check            // nil: no listing is ever confirmed, and so none reaches another provider
	Clock   func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: silence
	Changed func(Change)     // hears of every change, in order, in a goroutine of its own
	MaxKeys int              // 0: DefaultMaxKeys; with more than 50 sending IPs 200 for each of them
}

// DefaultMaxKeys bounds how many keys are remembered. One costs about 1 KB with a refusal, mostly for the replies that
// are shown, and 5 KB with as many as are kept (go test -bench Standings); 32 KB if every text in them is as long as it
// may be.
const DefaultMaxKeys = 10_000

// keysOfIP is for how many providers there is room for each sending IP, where these are many: who has them has the memory for them.
const keysOfIP = 200

// A Book has the standing of all keys. It is safe for concurrent use.
type Book struct {
	store   Store
	check   Check
	clock   func() time.Time
	log     *slog.Logger
	changed func(Change)
	maxKeys int

	disk sync.Mutex // held while the store is used, and taken before mu; no session waits for it

	changes atomic.Uint64 // of what Blameless and InParts answer

	mu       sync.RWMutex
	settings Settings
	ips      map[netip.Addr]*address
	count    int    // of entries
	probes   uint64 // that were begun
	queues   [ranks]*share.Order[*entry]
	dirty    map[Key]struct{}
	hearing  uint64 // the session whose evidence is being looked at; 0: none
	checks   checks
	counts   Counts
	unsaved  atomic.Uint64
	batches  atomic.Uint64 // that the store has taken

	news    chan Change
	unheard int                              // news that did not fit
	lines   *share.Map[string, *share.Lines] // of the log, about strangers, by tenant

	stop  chan struct{}
	tasks sync.WaitGroup
	once  sync.Once
}

// New makes a Book and reads what the store has. It does not close the store.
func New(o Options) (*Book, error) {
	b := &Book{
		store: o.Store, check: o.Check, clock: o.Clock, log: o.Log, changed: o.Changed, maxKeys: o.MaxKeys,
		ips: map[netip.Addr]*address{}, dirty: map[Key]struct{}{}, checks: newChecks(),
		news: make(chan Change, 1024), lines: share.NewMap[string, *share.Lines](mostTold), stop: make(chan struct{}),
	}
	if b.clock == nil {
		b.clock = time.Now
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.maxKeys <= 0 {
		b.maxKeys = DefaultMaxKeys
	}
	for r := range b.queues {
		b.queues[r] = share.NewOrder[*entry](b.maxKeys)
	}
	if err := b.Configure(o.Settings); err != nil {
		return nil, err
	}
	if b.store != nil {
		if err := b.load(); err != nil {
			return nil, fmt.Errorf("read the standing of the sending IPs: %w", err)
		}
		b.tasks.Go(b.saveLoop)
	}
	if b.check != nil {
		b.tasks.Go(b.checkLoop)
	}
	b.tasks.Go(b.tellLoop)
	return b, nil
}

// Configure exchanges the settings. What has been decided stays.
func (b *Book) Configure(s Settings) error {
	if s.Numbers == nil {
		s.Numbers = DefaultNumbers()
	}
	wrong := []error{s.Numbers.Validate()}
	for name, p := range s.Providers {
		if p == nil {
			wrong = append(wrong, fmt.Errorf("provider %s: no policy", name))
		} else if err := p.Validate(); err != nil {
			wrong = append(wrong, fmt.Errorf("provider %s: %w", name, err))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return fmt.Errorf("standing: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settings = s
	b.maxKeys = max(b.maxKeys, keysOfIP*len(s.Neighbours)) // a reload takes no room away
	for _, q := range b.queues {
		q.Grow(b.maxKeys)
	}
	return nil
}

func (b *Book) policy(provider string) *Numbers {
	provider, _ = Split(provider)
	if p := b.settings.Providers[provider]; p != nil {
		return p
	}
	return b.settings.Numbers
}

// May says whether a session may use the key. Ask only about a key that is used if it may be: a Probe is given to one
// session, which holds it until it ends it.
func (b *Book) May(k Key) Permit { return b.answer(k, true) }

// Peek is May for who will perhaps not use the key, or does already: it gives no probe away. Where May would, the answer is Probe
// without a number.
func (b *Book) Peek(k Key) Permit { return b.answer(k, false) }

func (b *Book) answer(k Key, use bool) Permit {
	k = k.normal()
	b.mu.RLock()
	easy := true
	if at := b.ips[k.IP]; at != nil {
		easy = at.blameless(at.keys[k.Provider])
	}
	b.mu.RUnlock()
	if easy {
		return permitted
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.decide(k, b.clock(), use)
}

// Blameless reports that nothing stands against an IP at a provider: Peek would give leave for everything. It takes no [Key] because
// it is asked for every mail, and the text of one would have to be made each time.
func (b *Book) Blameless(ip netip.Addr, provider []byte) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	at := b.ips[ip.Unmap()]
	return at == nil || at.blameless(at.keys[string(provider)])
}

// Changes returns a number that is another one whenever Blameless or InParts may answer otherwise than before.
func (b *Book) Changes() uint64 { return b.changes.Load() }

// Spotless reports that nothing stands against an IP anywhere. Like Blameless it is asked for mail.
func (b *Book) Spotless(ip netip.Addr) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	at := b.ips[ip.Unmap()]
	if at == nil {
		return true
	}
	for _, e := range at.keys {
		if !at.blameless(e) {
			return false
		}
	}
	return at.blameless(nil)
}

// InParts reports that an IP may be suspended at parts of providers: who knows the recipient must ask about those, too ([Key.At]).
func (b *Book) InParts(ip netip.Addr) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	at := b.ips[ip.Unmap()]
	return at != nil && at.parts > 0
}

// Probing reports whether the probe of that number is under way still: neither its end nor an operator's word has come between.
func (b *Book) Probing(k Key, probe uint64) bool {
	k = k.normal()
	b.mu.Lock()
	defer b.mu.Unlock()
	if whole := b.wholeOf(k.IP, b.clock()); whole != nil && whole.byHand() {
		return false
	}
	e := b.entry(k)
	return e != nil && e.State == Probing && e.probe == probe
}

// Barred reports whether an operator has suspended or stopped the key, or the whole IP.
func (b *Book) Barred(k Key) bool {
	k = k.normal()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	if whole := b.wholeOf(k.IP, now); whole != nil && whole.byHand() {
		return true
	}
	e := b.entry(k)
	return e != nil && e.byHand() && (e.State == Stopped || e.State == Suspended && now.Before(e.Until))
}

func (b *Book) decide(k Key, now time.Time, use bool) Permit {
	if w := b.wholeOf(k.IP, now); w != nil {
		if w.byHand() {
			return refusal(w)
		}
		if k.valid() && !k.part() && !b.policy(k.Provider).IgnoreLists {
			b.judge(b.entryFor(k, now), now)
		}
	}
	e := b.entry(k)
	if e == nil {
		return permitted
	}
	b.adjust(e, now)
	b.endPart(e, now)
	switch e.State {
	case Active:
		return permitted
	case Slowed:
		b.riseQuietly(e, now)
		return Permit{Answer: Yes, State: e.State, Share: e.Share, Why: e.Reason}
	case Suspended, Probing:
		if now.Before(e.Until) {
			return refusal(e)
		}
		if !use {
			return Permit{Answer: Probe, State: e.State, Share: 1, Why: e.Reason}
		}
		b.set(e, now, Probing, b.policy(k.Provider).ProbeTime)
		b.probes++
		e.probe = b.probes
		return Permit{Answer: Probe, State: Probing, Share: 1, Why: e.Reason, Probe: e.probe}
	}
	return refusal(e)
}

func refusal(e *entry) Permit {
	return Permit{Answer: No, State: e.State, Until: e.Until, Why: e.Reason}
}

// set changes the state, for span from now; 0 is for ever. A suspension of no length may be probed at once.
func (b *Book) set(e *entry, now time.Time, s State, span time.Duration) {
	e.State, e.Since, e.Until, e.sole = s, now, now.Add(span), nil
	switch s {
	case Active:
		e.Share, e.Until = 1, time.Time{}
	case Stopped:
		e.Share, e.Until = 0, time.Time{}
	case Suspended, Probing:
		e.Share = 0
	}
	b.changes.Add(1)
	b.note(e, now)
}

// adjust keeps what was set for a time from lasting longer when the clock is set back: it lasts that time from now, at
// most (docs/engine.md 2.4, "Time").
func (b *Book) adjust(e *entry, now time.Time) {
	if !now.Before(e.Since) {
		return
	}
	if !e.Until.IsZero() {
		e.Until = now.Add(e.Until.Sub(e.Since))
	}
	e.Since = now
	b.markDirty(e.Key)
}

// Close writes what has not been written, and ends the Book's goroutines. It gives a dead disk a few seconds, and a slow one, which
// goes on taking standings, what it needs.
func (b *Book) Close() error {
	b.once.Do(func() { close(b.stop) })
	ended := make(chan struct{})
	go func() { b.tasks.Wait(); close(ended) }()
	for written, open := b.batches.Load(), true; open; {
		select {
		case <-ended:
			open = false
		case <-time.After(closePatience):
			if written == b.batches.Load() {
				return errors.New("standing: not everything was written: the disk, the resolver or the log does not answer")
			}
			written = b.batches.Load()
		}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if len(b.dirty) > 0 && b.store != nil {
		return fmt.Errorf("standing: %d standings could not be written", len(b.dirty))
	}
	return nil
}

// closePatience is how long nothing may be written before Close gives up: more than the store takes to give up itself.
const closePatience = 8 * time.Second
