package contain

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/who/witness"
)

// Bounds of what is remembered.
const (
	DefaultMaxAccounts = 100_000
	DefaultMaxTenants  = 10_000
	maxIPs             = 4096
	maxDecisions       = 1024
)

// Options make a [Detector]. The zero value works.
type Options struct {
	Numbers     *Numbers         // nil: DefaultNumbers
	Clock       func() time.Time // nil: time.Now
	MaxAccounts int              // of all tenants together; 0: DefaultMaxAccounts
	MaxTenants  int              // 0: DefaultMaxTenants
	Secret      witness.Secret   // that hashes are made with, unless a snapshot brings another; zero: a new one
	Kept        bool             // somebody asks what has [Detector.Changed]
	// Habits gives what is kept of a subject in the same row, by whoever else knows of it; nil, and what it gives nil for: nothing. As Decided
	// it is called while everybody waits.
	Habits  func(Subject) []byte
	Decided func(Decision) // hears of each as it is made, in order, while everybody waits: it must not block, nor call the Detector. Nil: nobody
}

// A Detector has the levels of all accounts and tenants. It is safe for concurrent use; no call waits for anything but
// the others.
type Detector struct {
	maxAccounts, maxTenants int
	secret                  witness.Secret
	hash                    func(string) uint64 // by the secret: nobody outside can choose names that collide
	seed                    uint64

	mu       sync.Mutex
	policy   *Numbers
	policies uint32 // how many there have been
	decided  func(Decision)
	time     timeline
	tenants  map[string]*tenant
	accounts int // of all tenants
	held     int // of them: contained by evidence
	ranked   [rankings]ranking
	idlest   tenant // is none: the ring of all tenants that may be forgotten, the one that was not heard of for longest next to it
	ips      map[netip.Addr]*sendingIP

	habits           func(Subject) []byte
	kept             bool // what follows is asked for
	dirty            queue[*entry]
	forgotten        queue[Subject] // whose rows are to go
	forgottenTenants queue[*tenant] // likewise, with their accounts

	cause     Cause      // of what is being judged; time has none
	decisions []Decision // the last maxDecisions and some before, oldest first
	seq       uint64
	unknown   uint64 // events of accounts and tenants that there was no room for
	folded    uint64 // contained accounts that were forgotten, since their tenant had too many
}

// New makes a Detector.
func New(o Options) (*Detector, error) {
	d := &Detector{
		maxAccounts: o.MaxAccounts, maxTenants: o.MaxTenants,
		tenants: map[string]*tenant{}, ips: map[netip.Addr]*sendingIP{}, decided: o.Decided, habits: o.Habits, kept: o.Kept,
	}
	if o.Secret == (witness.Secret{}) {
		o.Secret = witness.NewSecret()
	}
	d.keyed(o.Secret)
	for i := range d.ranked {
		d.ranked[i].by = i
	}
	d.idlest.idler, d.idlest.busier = &d.idlest, &d.idlest
	d.time.clock = o.Clock
	if d.time.clock == nil {
		d.time.clock = time.Now
	}
	if d.maxAccounts <= 0 {
		d.maxAccounts = DefaultMaxAccounts
	}
	if d.maxTenants <= 0 {
		d.maxTenants = DefaultMaxTenants
	}
	d.time.start()
	if o.Numbers == nil {
		o.Numbers = DefaultNumbers()
	}
	if err := d.Configure(o.Numbers); err != nil {
		return nil, err
	}
	return d, nil
}

// keyed has hashes made with a secret, before the first of them.
func (d *Detector) keyed(secret witness.Secret) {
	d.secret, d.hash, d.seed = secret, secret.Hash, secret.Hash("")
}

// Secret is what hashes of names are made with that are kept. A snapshot may bring another.
func (d *Detector) Secret() witness.Secret {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.secret
}

// Configure exchanges the policy: it is in force with the next event of each subject. What has been decided stays. The policy must not be
// changed afterwards.
func (d *Detector) Configure(p *Numbers) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("contain: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.policy = p
	d.policies++
	return nil
}

// accountsEach is how many accounts there is room for with each tenant, where there are many of these.
const accountsEach = DefaultMaxAccounts / DefaultMaxTenants

// Grow makes room for so many tenants, and ten accounts of each, where there is less: who has many customers has that much memory for them.
// It never takes room away.
func (d *Detector) Grow(tenants int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.maxTenants, d.maxAccounts = max(d.maxTenants, tenants), max(d.maxAccounts, accountsEach*tenants)
}

// Ask says how a mail is to be treated. Ask before its MAIL is sent to the MX.
func (d *Detector) Ask(tenantName, account string) Answer {
	answer, _ := d.AskAs(tenantName, account)
	return answer
}

// AskAs is Ask for a sender that has further names, by which a person may have blocked it: where that is so, the answer
// is of that name, whose number among them it gives; else -1.
func (d *Detector) AskAs(tenantName, account string, further ...string) (answer Answer, name int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	t := d.tenant(tenantName)
	if t == nil {
		return Answer{}, -1
	}
	if answer = d.askOf(t, t.account(account)); answer.Hand {
		return answer, -1
	}
	for i, other := range further {
		if other == "" || other == account {
			continue
		}
		if a := t.account(other); a != nil {
			if of := d.askOf(t, a); of.Hand {
				return of, i
			}
		}
	}
	return answer, -1
}

func (d *Detector) askOf(t *tenant, a *entry) Answer {
	if a != nil && a.in == &t.held {
		t.touch(a, d.time.age) // it goes on sending, though nothing of it may come to an MX
	}
	return d.answer(t, a)
}

// BlockedUntil returns when the block ends that a sender's mail meets: its tenant's, or its own. The zero time: there
// is no end, or no block.
func (d *Detector) BlockedUntil(s Subject) (end time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	t := d.tenant(s.Tenant)
	if t == nil {
		return end
	}
	block := t.block
	if a := t.account(s.Account); block == nil && a != nil {
		block = a.block
	}
	if block != nil {
		end = block.shown(&d.time).Until
	}
	return end
}

// answer is of an account, or of the tenant itself if that is nil.
func (d *Detector) answer(t *tenant, a *entry) Answer {
	d.settle(&t.entry)
	level, ofTenant, blocked, exempt := t.level, t.level > Normal, t.block != nil, t.exempt != nil
	if a != nil {
		d.settle(a)
		if a.level > level {
			level, ofTenant = a.level, false
		}
		blocked = blocked || a.block != nil
		exempt = exempt || a.exempt != nil
	}
	switch {
	case blocked:
		return Answer{Level: Stop, Would: Stop, Tenant: t.block != nil, Hand: true}
	case exempt:
		return Answer{Would: level, Tenant: ofTenant}
	}
	return Answer{Level: d.policy.Enforce.cap(level), Would: level, Tenant: ofTenant}
}

// tenant returns what is known by a name, as it came. Most names are kept as they came, so that is tried first.
func (d *Detector) tenant(name string) *tenant {
	if t := d.tenants[name]; t != nil {
		return t
	}
	return d.tenants[plain(name)]
}

func (t *tenant) account(name string) *entry {
	if e := t.accounts[name]; e != nil {
		return e
	}
	return t.accounts[accountName(name)]
}

// accountName returns the account as it is kept.
func accountName(account string) string {
	if account == "" {
		return NullSender
	}
	return plain(account)
}

// Tick does what time alone does, for all: steps down and ends of blocks. Call it every minute. Between two calls of the
// Detector no time passes that is longer than an hour: that is taken for a jump of the clock.
func (d *Detector) Tick() {
	d.standing(d.settle)
}

// Decisions returns those after seq, oldest first; 0 gives all. The last 1,024 are kept.
func (d *Detector) Decisions(seq uint64) []Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := len(d.decisions)
	for first > max(0, len(d.decisions)-maxDecisions) && d.decisions[first-1].Seq > seq {
		first--
	}
	return append([]Decision(nil), d.decisions[first:]...)
}

// Stats is how full a Detector is.
type Stats struct {
	Tenants, Accounts int
	Contained         int    // accounts and tenants above Normal, or blocked
	NoRoom            uint64 // events of accounts or tenants that there was no room for; those of accounts count for the tenant
	Folded            uint64 // contained accounts that were forgotten: their tenant had too many, and is contained in their place
}

// Stats returns them.
func (d *Detector) Stats() Stats {
	contained := 0
	d.standing(func(e *entry) {
		if e.level > Normal || e.block != nil {
			contained++
		}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{Tenants: len(d.tenants), Accounts: d.accounts, Contained: contained, NoRoom: d.unknown, Folded: d.folded}
}
