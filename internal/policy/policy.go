package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/content"
	"kanmon/internal/policy/limit"
	"kanmon/internal/policy/suspect"
	"kanmon/internal/session"
	"kanmon/internal/who/share"
	"kanmon/internal/who/whose"
	"kanmon/internal/who/witness"
)

// Settings are what a reload changes. Nothing in them may be changed once they are given to a Policy.
type Settings struct {
	// Identify says whose a mail is. The sender is nil before MAIL.
	Identify func(origin session.Origin, sender *string) *whose.Owner
	// Behind gives all tenants that a session may carry mail of, whoever its senders will be.
	Behind func(origin session.Origin) []string
	// Provider names the provider of an MX, or the MX itself where none is known.
	Provider func(mx netip.Addr) string
	// ProviderOf names the provider of an MX or, where nobody knows whose that is, of a recipient's domain; "" if there is none. The tenant
	// is whose mail it is, behind which it may be looked up for the next one. Nil: the MX alone tells.
	ProviderOf func(mx netip.Addr, domain, tenant string) string
	// Witness says who answers for a recipient's domain at an MX; "": no recipient is known. Nil: containment goes by the provider's name.
	Witness func(mx netip.Addr, domain string) witness.Receiver
	// Accounts says how a tenant's accounts are told; nil, and what it gives nil for: as [Accounts] are by themselves.
	Accounts func(tenant string) *Accounts
	Tenants  []string // all there are; none: each MSA's address is one
	Active   bool     // sessions ask: else nobody is anybody's
	// Suspicion says that somebody wants to know what speaks against each mail: a route that goes by it, the records, or who judges content.
	// Else it costs nothing, and nothing is kept for it.
	Suspicion bool

	RefuseSpoofing bool
	Limits         []*Limit
	Internal       []netip.Prefix // MXs that no limit counts which exempts them
	Containment    Containment
	Content        *content.Judge // that judges the content of mail; nil: nobody does
}

// Containment is what is done about a sender who misbehaves.
type Containment struct {
	Policy *contain.Numbers // nil: contain.DefaultNumbers
	// SlowRate is how many mails an hour a contained sender may send. 0: DefaultSlowRate.
	SlowRate int64
	Pool     string // that diverted mail leaves from; "": it is only slowed
}

// containedName is the name of the limit of contained senders.
const containedName = "contained"

// DefaultSlowRate is a mail a minute.
const DefaultSlowRate = 60

// Options make a [Policy].
type Options struct {
	Settings
	Store Store            // nil: nothing survives the process
	Clock func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: silence

	Inherits bool // another process, which has had the store, tells more: see [Policy.Learn]

	// These hear of what was decided, in order, while others wait: they must not. Nil: nobody does.
	Changed func(contain.Decision) // another level of a sender, by evidence, quiet or an end of time
	// Ordered hears of what people, and limits that block, have ordered: when it is kept. What could not be is told as
	// unkept, once, and again when it is kept after all. Without a store it is told at once.
	Ordered func(c Change, unkept bool)
}

// A Policy is safe for concurrent use.
type Policy struct {
	clock    func() time.Time
	log      *slog.Logger
	limiter  *limit.Memory
	detector *contain.Detector
	settings atomic.Pointer[settings]           // that new sessions begin under, and that people's orders are read by
	given    atomic.Pointer[map[override]int64] // amounts that people have set; a new map at each order, written with mu held
	marked   atomic.Pointer[marks]              // lists and forwarders that people have named; likewise
	secret   witness.Secret                     // the detector's: what is hashed may be kept
	marker   *witness.Marker
	retries  *retries
	suspects atomic.Pointer[suspect.Memory] // nil: nobody wants to know
	scanned  atomic.Uint64                  // mails whose content might have been looked at
	changed  func(contain.Decision)
	ordered  func(c Change, unkept bool)

	mu         sync.Mutex
	delayedNow map[heldFor]int // sessions that are being delayed
	inherited  *inheritance    // nil: nobody tells of more

	store   Store
	keeping chan struct{} // has one in it while somebody writes to the store how subjects stand; saved is his
	unsaved atomic.Uint64 // times that the store could not take something
	saved   time.Time     // when something was last kept beside orders
	pending chan due      // what sessions have led to, for the audit
	unkept  []due         // of them: taken out, and not kept yet; the loop's, and after it Close's
	teller  *teller
	lines   *share.Map[string, *share.Lines] // of each tenant's containment, in the log; the detector calls one at a time
	stop    context.CancelFunc
	tasks   sync.WaitGroup
}

// settings are Settings with what follows from them.
type settings struct {
	Settings
	slow     *limit.Limit
	asked    steps
	resized  sync.Map // resizing → *limit.Limit: of Limits and slow, with the amounts that people have set
	attempts sync.Map // *limit.Limit → *limit.Limit: what bounds the attempts of each
}

// New makes a Policy and reads what the store has.
func New(o Options) (*Policy, error) {
	p := &Policy{
		clock: o.Clock, log: o.Log, store: o.Store,
		delayedNow: map[heldFor]int{}, keeping: make(chan struct{}, 1), pending: make(chan due, maxPending),
	}
	if p.changed = o.Changed; p.changed == nil {
		p.changed = func(contain.Decision) {}
	}
	if p.ordered = o.Ordered; p.ordered == nil {
		p.ordered = func(Change, bool) {}
	}
	p.given.Store(&map[override]int64{})
	p.marked.Store(&marks{})
	if p.clock == nil {
		p.clock = time.Now
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.teller = newTeller(p.log)
	p.lines = share.NewMap[string, *share.Lines](contain.DefaultMaxTenants)
	p.limiter = limit.New(limit.Options{Clock: p.clock})
	p.retries = newRetries(p.clock())
	var err error
	if p.detector, err = contain.New(contain.Options{Clock: p.clock, Numbers: o.Containment.Policy, Kept: o.Store != nil, Decided: p.tellContained, Habits: p.habits}); err != nil {
		return nil, fmt.Errorf("containment: %w", err)
	}
	p.detector.Grow(len(o.Tenants))
	read := p.clock()
	debts, kept, err := p.load(&o.Settings)
	if err != nil {
		return nil, err
	}
	p.secret = p.detector.Secret()
	p.marker = witness.NewMarker(p.secret)
	if err := p.Configure(o.Settings); err != nil {
		return nil, err
	}
	p.restoreHabits(kept)
	if err := p.owe(debts); err != nil {
		return nil, err
	}
	if o.Inherits {
		p.inherited = &inheritance{p.limiter.Inherit(debts), read}
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.tasks.Go(func() { p.loop(ctx) })
	go p.teller.run(ctx)
	return p, nil
}

// A Gate is what the sessions of one configuration ask. It implements [session.Gate]. Limits, pools and identities are its own for as long
// as a session of it lasts: a decision that took its pool from one configuration and its sending IP from another would send mail from
// where nobody wanted it. What was counted, what evidence has led to and what people have ordered is the Policy's, and holds at once.
type Gate struct {
	policy *Policy
	set    *settings
}

// Gate returns the gate of the settings that are in force now.
func (p *Policy) Gate() *Gate { return &Gate{p, p.settings.Load()} }

// Configure exchanges the settings for gates to come, and the numbers of containment for all. What has been counted and decided stays.
func (p *Policy) Configure(s Settings) error {
	if s.Containment.SlowRate == 0 {
		s.Containment.SlowRate = DefaultSlowRate
	}
	slow, err := limit.Compile(limit.Rule{
		Name: containedName, Scope: limit.PerAccount, Measure: limit.Messages, Amount: s.Containment.SlowRate, Per: time.Hour, Burst: 1,
	})
	if err != nil {
		return fmt.Errorf("containment: %w", err)
	}
	containment := s.Containment.Policy
	if containment == nil {
		containment = contain.DefaultNumbers()
	}
	if err := p.detector.Configure(containment); err != nil {
		return fmt.Errorf("containment: %w", err)
	}
	p.detector.Grow(len(s.Tenants))
	p.retries.widen(len(s.Tenants))
	p.configureSuspicion(&s)
	set := &settings{Settings: s, slow: slow}
	set.asked = p.stepsOf(set)
	p.settings.Store(set)
	p.remark("")
	return nil
}

// Close writes what has not been written. It is over within ten seconds, whatever the file and the log do.
func (p *Policy) Close() error {
	p.stop()
	p.tasks.Wait()
	defer p.teller.wait()
	if p.store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	p.keepPending(ctx)
	var unkept error
	if len(p.unkept) > 0 {
		unkept = fmt.Errorf("%d lines of the audit could not be written", len(p.unkept))
	}
	return errors.Join(unkept, p.saveAll(ctx), p.store.Close())
}

// hash is of a recipient's address.
func (p *Policy) hash(address string) uint64 { return p.secret.Hash(address) }
