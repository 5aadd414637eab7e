package contain

import (
	"errors"
	"fmt"
	"time"

	"kanmon/internal/event"
)

// Errors of what operators ask for.
var (
	ErrSubject = errors.New("not a tenant, nor an account of one")
	ErrNothing = errors.New("nothing is known of it, so there is nothing to end")
	ErrPast    = errors.New("the end is not in the future")
	ErrFull    = errors.New("no room for another account or tenant")
)

// A ByHand is what an operator said of a subject, or a limit that blocks.
type ByHand struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"` // zero: until an operator ends it
	By    string    `json:"by"`
	Why   string    `json:"why"`
	Rule  bool      `json:"rule,omitempty"` // By is a limit: it takes no room of people's
}

// A hand is a ByHand whose end is on the timeline: a jump of the clock ends nothing.
type hand struct {
	ByHand
	ends time.Duration // 0: never
}

func (h *hand) over(age time.Duration) bool { return h != nil && h.ends > 0 && age >= h.ends }

// shown returns the ByHand, its end by what the wall clock says now.
func (h *hand) shown(t *timeline) *ByHand {
	if h == nil {
		return nil
	}
	out := h.ByHand
	if h.ends > 0 {
		out.Until = t.now.Add(h.ends - t.age).Round(0)
	}
	return &out
}

// Block stops a subject, whatever the policy enforces, until a time; with the zero time until Unblock. Evidence and quiet
// do not change it, and nothing but Unblock ends it before its time.
func (d *Detector) Block(s Subject, until time.Time, by, why string) error {
	return d.byHand(s, until, ByHand{By: by, Why: why}, d.block)
}

// BlockByRule is Block by a limit, until a person lifts it. Of one tenant's accounts only so many are: the bounds are
// those of what evidence has contained. It reports whether it has blocked the subject; who is blocked already stays so,
// by whom he is.
func (d *Detector) BlockByRule(s Subject, rule, why string) (done bool, err error) {
	err = d.byHand(s, time.Time{}, ByHand{By: rule, Why: why, Rule: true}, func(e *entry, h *hand) {
		if done = e.block == nil; done {
			d.block(e, h)
		}
	})
	return done, err
}

func (d *Detector) block(e *entry, h *hand) {
	e.block = h
	d.decideByHand(e, e.level, Stop, h.By, "blocked: "+h.Why)
}

// Exempt keeps a subject from being contained by evidence, an account of its tenant's level too; a tenant's exemption is
// its accounts' as well. What would be done is still computed. A block stands above it.
func (d *Detector) Exempt(s Subject, until time.Time, by, why string) error {
	return d.byHand(s, until, ByHand{By: by, Why: why}, func(e *entry, h *hand) {
		e.exempt = h
		d.decideByHand(e, e.level, e.level, h.By, "exempt: "+h.Why)
	})
}

// Unblock ends a subject's block, and takes it to Normal at once: what was counted and its strikes are forgotten, also how many recipients
// this hour had, and which of a tenant's accounts are contained. Fresh evidence contains it again.
func (d *Detector) Unblock(s Subject, by string) error {
	return d.lift(s, func(e *entry) {
		from := e.level
		if e.block != nil {
			from = Stop
		}
		e.block, e.level, e.signal, e.outcomes = nil, Normal, Hand, false
		e.since, e.lastBad, e.strikes, e.fell = d.time.age, d.time.age, 0, false
		e.startAfresh()
		e.recountVolume()
		e.once, e.scans = nil, nil
		if e.Account == "" {
			d.pardon(e.owner)
		}
		d.decideByHand(e, from, Normal, event.Printable(by, 64), "unblocked")
	})
}

// pardon has the accounts that are contained count no more as such for their tenant, until there is fresh evidence against them.
func (d *Detector) pardon(t *tenant) {
	for e := t.held.first; e != nil; e = e.next {
		e.pardoned = true
		e.recount()
		d.mark(e)
	}
}

// Unexempt ends an exemption.
func (d *Detector) Unexempt(s Subject, by string) error {
	return d.lift(s, func(e *entry) {
		if e.exempt == nil {
			return
		}
		e.exempt = nil
		d.decideByHand(e, e.level, e.level, event.Printable(by, 64), "no longer exempt")
	})
}

// Allow has what scanners say of a subject's mail, but for viruses, not be held against it; a tenant's is its accounts' as well.
func (d *Detector) Allow(s Subject, until time.Time, by, why string) error {
	return d.byHand(s, until, ByHand{By: by, Why: why}, func(e *entry, h *hand) {
		e.allow = h
		d.decideByHand(e, e.level, e.level, h.By, "its content is allowed: "+h.Why)
	})
}

// Withdraw ends what Allow has said.
func (d *Detector) Withdraw(s Subject, by string) error {
	return d.lift(s, func(e *entry) {
		if e.allow == nil {
			return
		}
		e.allow = nil
		d.decideByHand(e, e.level, e.level, event.Printable(by, 64), "its content is no longer allowed")
	})
}

// Allows reports whether what scanners say of an account's mail is not held against it.
func (d *Detector) Allows(tenantName, account string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	t := d.tenant(tenantName)
	if t == nil {
		return false
	}
	d.settle(&t.entry)
	a := t.account(account)
	if a != nil {
		d.settle(a)
	}
	return t.allow != nil || a != nil && a.allow != nil
}

func (d *Detector) decideByHand(e *entry, from, to Level, by, why string) {
	d.decide(e, Decision{From: from, To: to, By: by, Why: why, Reading: Reading{Signal: Hand, Level: to}})
}

func (d *Detector) byHand(s Subject, until time.Time, said ByHand, do func(*entry, *hand)) error {
	if s.Tenant == "" {
		return fmt.Errorf("%v: %w", s, ErrSubject)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	said.At, said.By, said.Why = d.time.now.Round(0), event.Printable(said.By, 64), event.Printable(said.Why, maxName)
	h := &hand{ByHand: said}
	if !until.IsZero() {
		left := until.Sub(d.time.now)
		if left <= 0 {
			return ErrPast
		}
		h.ends = d.time.age + min(left, d.policy.HandMost)
	}
	e := d.entryFor(s, !h.Rule)
	if e == nil {
		return fmt.Errorf("%v: %w", s, ErrFull)
	}
	do(e, h)
	e.recount()
	d.place(e)
	return nil
}

// entryFor returns a subject's entry, made if need be; nil if there is no room. For a person there always is.
func (d *Detector) entryFor(s Subject, person bool) *entry {
	t := d.tenantFor(s.Tenant, person)
	if t == nil {
		return nil
	}
	if s.Account == "" {
		return &t.entry
	}
	return d.accountFor(t, s.Account, person)
}

// find returns a subject's entry, nil if nothing is known of it.
func (d *Detector) find(s Subject) *entry {
	t := d.tenant(s.Tenant)
	switch {
	case t == nil:
		return nil
	case s.Account == "":
		return &t.entry
	}
	return t.account(s.Account)
}

func (d *Detector) lift(s Subject, do func(*entry)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	e := d.find(s)
	if e == nil {
		return fmt.Errorf("%v: %w", s, ErrNothing)
	}
	do(e)
	e.recount()
	d.place(e)
	return nil
}

// endHand ends what was until a time that has come.
func (d *Detector) endHand(e *entry) {
	if e.block.over(d.time.age) {
		e.block = nil
		d.decideByHand(e, Stop, e.level, ByTime, "the block's end has come")
	}
	if e.exempt.over(d.time.age) {
		e.exempt = nil
		d.decideByHand(e, e.level, e.level, ByTime, "the exemption's end has come")
	}
	if e.allow.over(d.time.age) {
		e.allow = nil
		d.decideByHand(e, e.level, e.level, ByTime, "what scanners say of its mail counts again")
	}
	e.recount()
	d.place(e)
}
