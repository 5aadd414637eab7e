package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
)

// Errors of what operators ask for.
var (
	ErrTenant  = errors.New("there is no such tenant")
	ErrLimit   = errors.New("there is no such limit")
	ErrAmount  = errors.New("not an amount for this limit")
	ErrNoStore = errors.New("nothing is kept: the configuration names no file in [senders]")
)

// A Change is what an operator did, or a limit that blocks, as the audit keeps it. It is of a sender, or of a sending IP.
type Change struct {
	At       time.Time       `json:"at"`
	By       string          `json:"by"`
	Subject  contain.Subject `json:"subject"`
	IP       netip.Addr      `json:"ip,omitzero"`
	Provider string          `json:"provider,omitempty"` // where the IP's standing was changed; "": everywhere
	Did      string          `json:"did"`                // "block", "unblock", "exempt", "unexempt", "limit", "kind", "allow", "withdraw"; of an IP "suspend", "resume", "warm_up"; else "end_session", "try"; "tls forget", whose domain stands in Before
	Before   string          `json:"before"`
	After    string          `json:"after"`
	Why      string          `json:"why,omitempty"`
	Rule     bool            `json:"rule,omitempty"` // By is a limit
	Cause    contain.Cause   `json:"-"`              // the mail that a limit has blocked for; the audit does not keep it
}

// An override is a limit with an amount of its own for a subject.
type override struct {
	contain.Subject
	limit string // its name
}

// Block stops a sender until a time; with the zero time until a person lifts it.
func (p *Policy) Block(s contain.Subject, until time.Time, by, why string) error {
	if err := p.meant(s, true); err != nil {
		return err
	}
	return p.change(s, "block", by, why, func(s contain.Subject) error { return p.detector.Block(s, until, by, why) })
}

// Unblock ends a block and what evidence has led to: the sender begins anew, and so do the limits that block.
func (p *Policy) Unblock(s contain.Subject, by, why string) error {
	return p.change(s, "unblock", by, why, func(s contain.Subject) error {
		p.forgetBlocking(s)
		return p.detector.Unblock(s, by)
	})
}

// forgetBlocking frees what a sender has used of limits that block: its next mail would only be blocked again.
func (p *Policy) forgetBlocking(s contain.Subject) { p.blocking(s, p.limiter.Forget) }

// blocking does something with each counter of a sender alone by which a limit may block it.
func (p *Policy) blocking(s contain.Subject, do func(limit.Want)) {
	p.countedBy(s, func(l *Limit, w limit.Want) {
		if l.Action != limit.Block {
			return
		}
		do(w)
		if w.Limit = p.settings.Load().attemptsOf(w.Limit); w.Limit != nil {
			do(w)
		}
	})
}

// Exempt keeps evidence from containing a sender until a time; with the zero time until a person ends it.
func (p *Policy) Exempt(s contain.Subject, until time.Time, by, why string) error {
	if err := p.meant(s, false); err != nil {
		return err
	}
	return p.change(s, "exempt", by, why, func(s contain.Subject) error { return p.detector.Exempt(s, until, by, why) })
}

// Unexempt ends an exemption.
func (p *Policy) Unexempt(s contain.Subject, by, why string) error {
	return p.change(s, "unexempt", by, why, func(s contain.Subject) error { return p.detector.Unexempt(s, by) })
}

// Allow has what scanners say of a sender's mail not be held against it until a time; with the zero time until a person ends it. What they
// have said is forgotten: the next try of a message is scanned anew.
func (p *Policy) Allow(s contain.Subject, until time.Time, by, why string) error {
	if err := p.meant(s, false); err != nil {
		return err
	}
	err := p.change(s, "allow", by, why, func(s contain.Subject) error { return p.detector.Allow(s, until, by, why) })
	s = p.Normal(s)
	p.settings.Load().Content.Forget(s.Tenant, s.Account)
	return err
}

// Withdraw ends what Allow has said.
func (p *Policy) Withdraw(s contain.Subject, by, why string) error {
	return p.change(s, "withdraw", by, why, func(s contain.Subject) error { return p.detector.Withdraw(s, by) })
}

// SetLimit gives a subject an amount of its own for a limit; 0 takes it back. A tenant's is its accounts' as well.
func (p *Policy) SetLimit(s contain.Subject, name string, amount int64, by, why string) error {
	if err := p.meant(s, false); err != nil {
		return err
	}
	s = p.Normal(s)
	c, err := p.setLimit(s, name, amount)
	if err != nil {
		return err
	}
	c.By, c.Why = by, why
	return p.audit(due{Change: c, order: p.amountNow(override{s, name})})
}

func (p *Policy) setLimit(s contain.Subject, name string, amount int64) (Change, error) {
	set := p.settings.Load()
	base, err := set.byName(name)
	if err != nil {
		return Change{}, err
	}
	switch scope := base.Rule().Scope; {
	case scope.Of() == limit.OfIP:
		return Change{}, fmt.Errorf("%w: limit %s counts a sending IP's mail, whoever sends it", ErrAmount, name)
	case s.Account != "" && scope.Of() != limit.OfAccount:
		return Change{}, fmt.Errorf("%w: limit %s counts all of a tenant's mail together", ErrAmount, name)
	}
	key := override{s, name}
	if amount != 0 {
		if _, err := withAmount(base, amount); err != nil {
			return Change{}, fmt.Errorf("%w: %w", ErrAmount, err)
		}
	}
	before := p.give(key, amount)
	of := base.Rule().Amount
	return Change{Subject: s, Did: "limit", Before: amountText(name, before, of), After: amountText(name, amount, of)}, nil
}

// give sets an amount, or with 0 takes it back, and returns the one before.
func (p *Policy) give(key override, amount int64) (before int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	given := maps.Clone(*p.given.Load())
	before = given[key]
	if given[key] = amount; amount == 0 {
		delete(given, key)
	}
	p.given.Store(&given)
	return before
}

func amountText(name string, amount, configured int64) string {
	if amount == 0 {
		return fmt.Sprintf("%s: %d, as configured", name, configured)
	}
	return fmt.Sprintf("%s: %d", name, amount)
}

// known says whether a subject's tenant is one of the configuration.
func (p *Policy) known(s contain.Subject) error {
	tenants := p.settings.Load().Tenants
	if slices.Contains(tenants, s.Tenant) {
		return nil
	}
	if _, err := netip.ParseAddr(s.Tenant); err == nil && len(tenants) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %q", ErrTenant, s.Tenant)
}

// change does something to a subject and puts it into the audit.
func (p *Policy) change(s contain.Subject, did, by, why string, do func(contain.Subject) error) error {
	s = p.Normal(s)
	before := p.stateText(s)
	if err := do(s); err != nil {
		return err
	}
	return p.audit(due{Change: Change{By: by, Subject: s, Did: did, Before: before, After: p.stateText(s), Why: why}, order: p.senderNow(s)})
}

func (p *Policy) stateText(s contain.Subject) string {
	x := p.detector.Explain(s)
	text := x.Level.String()
	if x.Block != nil {
		text += ", blocked by " + x.Block.By
		if !x.Block.Until.IsZero() {
			text += " until " + x.Block.Until.UTC().Format(time.RFC3339)
		}
	}
	if x.Exempt != nil {
		text += ", exempt by " + x.Exempt.By
		if !x.Exempt.Until.IsZero() {
			text += " until " + x.Exempt.Until.UTC().Format(time.RFC3339)
		}
	}
	if x.Allow != nil {
		text += ", content allowed by " + x.Allow.By
		if !x.Allow.Until.IsZero() {
			text += " until " + x.Allow.Until.UTC().Format(time.RFC3339)
		}
	}
	return text
}

// audit keeps a change at once, with the order that it is. What could not be kept is tried again later.
func (p *Policy) audit(c due) error {
	if c.Change = p.stamped(c.Change); p.store == nil || c.order == nil { // or it is kept already
		p.ordered(c.Change, false)
		c.told = toldKept
	}
	if p.store == nil {
		return nil
	}
	if err := p.keep(context.Background(), []due{c}); err != nil {
		p.tellUnkept(&c)
		select {
		case p.pending <- c:
		default:
		}
		return fmt.Errorf("the change is active but not saved; a restart may lose it: %w", err)
	}
	return nil
}

// stamped returns a change with its time, and has it said.
func (p *Policy) stamped(c Change) Change {
	c.At = p.clock().Round(0).UTC()
	if c.Subject == (contain.Subject{}) {
		return c // whoever has done it has a log of it
	}
	p.tell(slog.LevelInfo, "sender changed", "by", c.By, "tenant", c.Subject.Tenant, "account", c.Subject.Account, "did", c.Did, "before", c.Before, "after", c.After, "why", c.Why)
	return c
}

// AuditOrder puts into the audit what an operator has done that is no order of this package's: to a sending IP, whose standing somebody else
// keeps, to a session, or with a try.
func (p *Policy) AuditOrder(c Change) error { return p.audit(due{Change: c}) }

// Audit returns the last changes, the newest last: of a sender, or of an IP; of all if neither is named.
func (p *Policy) Audit(s contain.Subject, ip netip.Addr, most int) ([]Change, error) {
	if p.store == nil {
		return nil, ErrNoStore
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	return p.store.Changes(ctx, p.Normal(s), ip, most)
}

// A Usage is how a limit stands for a sender.
type Usage struct {
	limit.Counter
	Configured int64 // amount by the configuration; another than the rule's if an operator has set one
	Enforced   bool
}

// Usages returns the limits of a sender that count it alone: the account's; or the tenant's, also at each provider that it sends to. Last
// comes the rate of a contained sender.
func (p *Policy) Usages(s contain.Subject) (all []Usage) {
	s = p.Normal(s)
	p.countedBy(s, func(l *Limit, w limit.Want) { all = append(all, p.usage(w, l.Rule().Amount, l.Enforce)) })
	set := p.settings.Load()
	a := p.counted(set, s)
	if answer := p.detector.Ask(s.Tenant, s.Account); answer.Level == contain.Slow || answer.Level == contain.Divert {
		w := limit.Want{Limit: set.limitFor(set.slow, a), Subject: a.slowed(answer), N: 1}
		all = append(all, p.usage(w, set.slow.Rule().Amount, true))
	}
	return all
}

// counted stands for a mail of a sender, to whichever provider.
func (p *Policy) counted(set *settings, s contain.Subject) *pass {
	a := newPass(p, set)
	a.tenant, a.account, a.begun = s.Tenant, s.Account, s.Account != ""
	return a
}

// countedBy does something with each counter of a limit that counts a sender alone.
func (p *Policy) countedBy(s contain.Subject, do func(*Limit, limit.Want)) {
	set := p.settings.Load()
	a := p.counted(set, s)
	for _, l := range set.Limits {
		a.provider = ""
		if len(l.Providers) > 0 {
			a.provider = l.Providers[0] // whichever: it is not about a mail
		}
		if !l.applies(a) {
			continue
		}
		base := set.limitFor(l.Limit, a)
		for _, subject := range p.countedAlone(base, s) {
			do(l, limit.Want{Limit: base, Subject: subject, Member: s.Tenant, N: 1})
		}
	}
}

// countedAlone returns what a limit counts of a sender, and of nobody else.
func (p *Policy) countedAlone(l *limit.Limit, s contain.Subject) []limit.Subject {
	switch scope := l.Rule().Scope; {
	case scope.Of() == limit.OfIP, (scope.Of() == limit.OfAccount) != (s.Account != ""):
		return nil
	case scope.At() != limit.Anywhere:
		return p.limiter.Seen(l, s.Tenant)
	case s.Account != "":
		return []limit.Subject{{Of: s.Account, To: s.Tenant}}
	default:
		return []limit.Subject{{Of: s.Tenant}}
	}
}

func (p *Policy) usage(w limit.Want, configured int64, enforced bool) Usage {
	return Usage{p.limiter.Explain([]limit.Want{w})[0], configured, enforced}
}

// Explain returns what is known of a sender's behaviour, with the thresholds.
func (p *Policy) Explain(s contain.Subject) contain.Explanation {
	return p.detector.Explain(p.Normal(s))
}

// Callouts returns how many recipients a tenant has asked MXs for without sending a message, and how many of them do not exist, in this
// hour and the one before.
func (p *Policy) Callouts(tenant string) (asked, dead int) { return p.detector.Callouts(tenant) }

// List returns all senders that are contained, blocked or exempt.
func (p *Policy) List() []contain.Standing { return p.detector.List() }

// Unsaved is how often the store could not take something.
func (p *Policy) Unsaved() uint64 { return p.unsaved.Load() }

// Active reports whether sessions ask.
func (p *Policy) Active() bool { return p.settings.Load().Active }

// Kept reports whether what people say outlives the process.
func (p *Policy) Kept() bool { return p.store != nil }

// Tenants returns the names of all tenants.
func (p *Policy) Tenants() []string { return p.settings.Load().Tenants }

func (s *settings) byName(name string) (*limit.Limit, error) {
	if name == s.slow.Rule().Name {
		return s.slow, nil
	}
	for _, l := range s.Limits {
		if l.Rule().Name == name {
			return l.Limit, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrLimit, name)
}
