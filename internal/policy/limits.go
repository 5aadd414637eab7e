package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/contain"
	"kanmon/internal/limit"
	"kanmon/internal/session"
)

// A Limit is a rule with whom it is for and what is done where it is reached.
type Limit struct {
	*limit.Limit
	// Of these lists one must hold; an empty one is no condition.
	Tenants   []string
	Accounts  []string // accounts, or "@acme.example" for all of a domain, in normal form
	Providers []string

	Action         Action
	Pool           string // of Divert
	Enforce        bool   // false: it is only told what would be done
	ExemptNull     bool   // mail with the null sender is not counted
	ExemptInternal bool   // nor mail to Settings.Internal
}

// An Action is what is done with a mail for which a limit has no room.
type Action uint8

// The actions.
const (
	Defer  Action = iota // 4xx: the MSA tries again
	Delay                // the command is held until there is room, or deferred if that is too long
	Reject               // 5xx
	Divert               // the mail leaves from another pool, and is not counted
	Block                // deferred, and so is all of the sender's until a person lifts it
)

// Words of the records: what was done, and what would have been.
var actionDone = [...][2]string{
	Defer: {"deferred", "would_defer"}, Delay: {"delayed", "would_delay"}, Reject: {"rejected", "would_reject"},
	Divert: {"diverted", "would_divert"}, Block: {"blocked", "would_block"},
}

// patience is how long a limit may hold a command back.
const patience = 30 * time.Second

// applies says whether a limit is for the mail at hand.
func (l *Limit) applies(a *pass) bool {
	switch {
	case len(l.Tenants) > 0 && !slices.Contains(l.Tenants, a.tenant),
		len(l.Providers) > 0 && !slices.Contains(l.Providers, a.provider),
		l.ExemptInternal && a.internal:
		return false
	case !a.begun: // of the session itself
		return len(l.Accounts) == 0
	case l.ExemptNull && a.account == contain.NullSender:
		return false
	}
	return len(l.Accounts) == 0 || slices.ContainsFunc(l.Accounts, func(pattern string) bool {
		return pattern == a.account || strings.HasPrefix(pattern, "@") && strings.HasSuffix(a.account, pattern)
	})
}

// want gives what a limit is asked for, if it is asked at this step.
func (l *Limit) want(a *pass, step session.Step, size int64) (w limit.Want, ok bool) {
	rule := l.Rule()
	w = limit.Want{Limit: a.set.limitFor(l.Limit, a), Member: a.tenant, N: 1}
	switch rule.Measure {
	case limit.Messages:
		ok = asked(rule.Scope, step)
	case limit.Octets:
		ok, w.N = asked(rule.Scope, step), size
	case limit.Recipients:
		ok = step == session.StepRecipient && !a.retry
	case limit.Sessions, limit.Connections:
		ok = step == session.StepLeave
		if rule.Scope != limit.PerIPProvider {
			ok = step == session.StepConnect || step == session.StepMail
		}
	}
	switch rule.Scope {
	case limit.PerTenant:
		w.Subject = limit.Subject{Of: a.tenant}
	case limit.PerAccount:
		ok = ok && a.begun
		w.Subject = limit.Subject{Of: a.account, To: a.tenant}
	case limit.PerTenantProvider:
		w.Subject = limit.Subject{Of: a.tenant, To: a.provider}
	case limit.PerIPProvider:
		ok = ok && a.berths[a.at].ip.IsValid()
		w.Subject = limit.Subject{Of: a.berths[a.at].text, To: a.provider}
	}
	return w, ok && l.applies(a)
}

// asked says whether mail is counted at a step: that of a sending IP when it is known, and that of an account again when a header
// has named it.
func asked(scope limit.Scope, step session.Step) bool {
	switch step {
	case session.StepMail:
		return scope != limit.PerIPProvider
	case session.StepLeave:
		return scope == limit.PerIPProvider
	case session.StepAccount:
		return scope == limit.PerAccount
	default:
		return false
	}
}

// ofSession says that a limit counts sessions, not mail: once for each session and subject.
func (l *Limit) ofSession() bool {
	m := l.Rule().Measure
	return m == limit.Sessions || m == limit.Connections
}

// A group is what is taken with one ticket.
type group struct {
	ticket *limit.Ticket
	stay   *stay // whose ticket it is, if the limits count sessions
	wants  []limit.Want
}

// limits asks all limits of a step. Those that would only tell, and those that divert, are asked one by one. Of the others all must
// have room; of those without, the one that lasts longest answers, and what the others gave is given back by who is refused.
func (a *pass) limits(step session.Step, size int64) (d session.Decision) {
	a.beginGroups(step)
	for _, l := range a.set.Limits {
		w, ok := l.want(a, step, size)
		g := a.group(l, step)
		if !ok || g.stay != nil && g.stay.has(&w) {
			continue
		}
		if a.waiting && !l.Enforce && step == session.StepRecipient {
			continue // it was asked before the delay
		}
		switch {
		case !l.Enforce:
			if v := a.take(g, []limit.Want{w}); !v.OK {
				a.note(&d, l, &v, actionDone[l.Action][1])
			}
		case l.Action == Divert:
			if v := a.take(g, []limit.Want{w}); !v.OK {
				d.Pool = l.Pool
				a.note(&d, l, &v, actionDone[Divert][0])
			}
		default:
			g.wants = append(g.wants, w)
		}
	}
	strictest := limit.Verdict{OK: true}
	for i := range a.groups {
		if v := a.take(&a.groups[i], a.groups[i].wants); !v.OK && (strictest.OK || v.Never || v.Wait > strictest.Wait) {
			strictest = v
		}
	}
	if strictest.OK {
		strictest = a.attempt(step)
	}
	if !strictest.OK {
		a.refuse(&d, &strictest)
	}
	return d
}

// attemptsEach is how many attempts a limit on messages or recipients allows for each that it counts. What MXs put off is tried again
// without being counted, and what is given up is given back: without a bound, MAIL, RCPT and RSET would ask MXs about any number of people.
const attemptsEach = 5

// attempt counts what the MX is about to be asked, under a bound of its own for each enforced limit. It is never given back.
func (a *pass) attempt(step session.Step) limit.Verdict {
	if a.waiting {
		return limit.Verdict{OK: true} // it was counted before the delay
	}
	retry := a.retry
	a.retry = false // an attempt is one, the first or the tenth
	defer func() { a.retry = retry }()
	a.tries = a.tries[:0]
	for _, l := range a.set.Limits {
		m := l.Rule().Measure
		if !l.Enforce || l.Action == Divert || m != limit.Messages && m != limit.Recipients || l.Rule().Scope == limit.PerIPProvider {
			continue
		}
		w, ok := l.want(a, step, 0)
		if !ok {
			continue
		}
		if w.Limit = a.set.attemptsOf(w.Limit); w.Limit != nil {
			a.tries = append(a.tries, w)
		}
	}
	if len(a.tries) == 0 {
		return limit.Verdict{OK: true}
	}
	v := a.policy.limiter.Take(a.tries, &a.attempts)
	a.policy.limiter.Settle(&a.attempts, true, 0)
	return v
}

// attemptsOf returns the bound of a limit's attempts; nil if the limit is as good as none.
func (s *settings) attemptsOf(l *limit.Limit) *limit.Limit {
	if known, ok := s.attempts.Load(l); ok {
		return known.(*limit.Limit)
	}
	rule := l.Rule()
	rule.Name, rule.Amount, rule.Burst, rule.Fair = rule.Name+attemptsName, attemptsEach*rule.Amount, attemptsEach*rule.Burst, false
	bound, err := limit.Compile(rule)
	if err != nil {
		bound = nil
	}
	known, _ := s.attempts.LoadOrStore(l, bound)
	return known.(*limit.Limit)
}

// attemptsName is no part of a name that the configuration can give.
const attemptsName = ", attempts"

// beginGroups empties the groups: mail, the account's mail, sessions, the account's sessions.
func (a *pass) beginGroups(step session.Step) {
	visit := &a.visit
	if step == session.StepLeave {
		visit = &a.berths[a.at].stay
	}
	if step == session.StepMail && len(a.accounts.entered) >= maxTold {
		a.policy.end(&a.accounts) // an MSA's session may have the mail of any number of accounts
	}
	for i, g := range [...]group{{ticket: a.ticket(step)}, {ticket: &a.ofAccount}, {ticket: &visit.ticket, stay: visit}, {ticket: &a.accounts.ticket, stay: &a.accounts}} {
		g.wants = a.groups[i].wants[:0]
		a.groups[i] = g
	}
}

// group is what a limit is asked together with.
func (a *pass) group(l *Limit, step session.Step) *group {
	i := 0
	if l.ofSession() {
		i = 2
	}
	if l.Rule().Scope == limit.PerAccount && step != session.StepRecipient {
		i++
	}
	return &a.groups[i]
}

// ticket is what is taken with at a step, but for sessions and what an account takes. Each is settled apart: what a step has taken is
// given back before it is asked again.
func (a *pass) ticket(step session.Step) *limit.Ticket {
	switch step {
	case session.StepLeave:
		return &a.berths[a.at].mail
	case session.StepRecipient:
		return &a.recipient
	default:
		return &a.mail
	}
}

func (a *pass) take(g *group, wants []limit.Want) limit.Verdict {
	if len(wants) == 0 {
		return limit.Verdict{OK: true}
	}
	v := a.policy.limiter.Take(wants, g.ticket)
	if v.OK && g.stay != nil {
		for _, w := range wants {
			g.stay.entered = append(g.stay.entered, entrance{w.Limit.Rule().Name, w.Subject})
		}
	}
	return v
}

func (s *stay) has(w *limit.Want) bool {
	return slices.Contains(s.entered, entrance{w.Limit.Rule().Name, w.Subject})
}

// refuse does what the strictest limit without room says.
func (a *pass) refuse(d *session.Decision, v *limit.Verdict) {
	name := strings.TrimSuffix(v.Limit.Rule().Name, attemptsName)
	i := slices.IndexFunc(a.set.Limits, func(l *Limit) bool { return l.Rule().Name == name })
	l := a.set.Limits[i]
	d.Refuse, d.Text = session.RefuseNow, limitText(v)
	action := l.Action
	if action == Delay {
		if a.hold(d, v.Wait) {
			if !a.waiting {
				a.note(d, l, v, actionDone[Delay][0])
			}
			a.waiting = true
			return
		}
		action = Defer
	}
	a.note(d, l, v, actionDone[action][0])
	switch action {
	case Reject:
		d.Refuse = session.RefuseForGood
	case Block:
		a.policy.blockFor(a, l)
		d.Text = blockedText
	}
}

// hold has the command held for so long and asked again, if that is not too long in all, and there is a place of the tenant's and of those
// given.
func (a *pass) hold(d *session.Decision, wait time.Duration, also ...place) bool {
	wait = max(wait, time.Second)
	if a.trying || a.waited+wait > patience {
		return false
	}
	if len(a.holding) == 0 {
		places := append(also, place{heldFor{subject: limit.Subject{Of: a.tenant}}, maxHeld})
		if !a.policy.delaying(places) {
			return false
		}
		a.holding = places
	}
	a.waited += wait
	d.Delay, d.Again = wait, true
	return true
}

// note tells of a limit without room, once for each session and limit if it was a rule that only tells.
func (a *pass) note(d *session.Decision, l *Limit, v *limit.Verdict, did string) {
	rule := l.Rule()
	if !l.Enforce {
		if !a.once(rule.Name + " " + a.account) {
			return
		}
	}
	d.Notes = append(d.Notes, session.Note{Did: did, Tenant: a.tenant, Account: a.account, Rule: "limit " + rule.Name, Why: numbers(v)})
}

// numbers are those of a limit, for the record: "1000 of 1000 messages in 1h0m0s, room in 12s".
func numbers(v *limit.Verdict) string {
	r := v.Limit.Rule()
	text := fmt.Sprintf("%d of %d %s", v.Used, v.Max, r.Measure)
	if r.Measure != limit.Sessions {
		text += fmt.Sprintf(" at once, %d in %s, room in %s", r.Amount, r.Per, v.Wait.Round(time.Second))
	}
	return text
}

// limitText is for the MSA, and in the end for the tenant's postmaster.
func limitText(v *limit.Verdict) string {
	r := v.Limit.Rule()
	whose := map[limit.Scope]string{
		limit.PerTenant: "of your organisation", limit.PerAccount: "of this sender",
		limit.PerTenantProvider: "of your organisation to this provider", limit.PerIPProvider: "to this provider",
	}[r.Scope]
	if name, tries := strings.CutSuffix(r.Name, attemptsName); tries {
		return fmt.Sprintf("too many attempts at %s %s: limit %q allows %d in %s, whatever becomes of them; try again in %s",
			r.Measure, whose, name, r.Amount, r.Per, inWords(v.Wait))
	}
	if r.Measure == limit.Sessions {
		return fmt.Sprintf("too many sessions %s at once: limit %q allows %d, try again later", whose, r.Name, r.Amount)
	}
	return fmt.Sprintf("too many %s %s: limit %q allows %d in %s, try again in %s", r.Measure, whose, r.Name, r.Amount, r.Per, inWords(v.Wait))
}

// inWords rounds up to what somebody would say.
func inWords(d time.Duration) string {
	switch {
	case d <= time.Minute:
		return "a minute"
	case d <= 90*time.Minute:
		return fmt.Sprintf("%d minutes", (d+time.Minute-1)/time.Minute)
	default:
		return fmt.Sprintf("%d hours", (d+time.Hour-1)/time.Hour)
	}
}

// limitFor gives a limit as it holds for the sender at hand: an operator's word goes before the rule's amount, an account's before
// its tenant's.
func (s *settings) limitFor(l *limit.Limit, a *pass) *limit.Limit {
	given := *a.policy.given.Load()
	if len(given) == 0 {
		return l
	}
	name := l.Rule().Name
	amount := cmp.Or(given[override{contain.Subject{Tenant: a.tenant, Account: a.account}, name}],
		given[override{contain.Subject{Tenant: a.tenant}, name}])
	if amount == 0 {
		return l
	}
	return s.resize(l, amount)
}

// resizing is a limit of the settings and the amount that a person has set in place of its own.
type resizing struct {
	*limit.Limit
	amount int64
}

// resize returns a limit with another amount. An amount that this limit cannot have, because it was set for a rule that a reload has
// changed since, leaves it as it is.
func (s *settings) resize(l *limit.Limit, amount int64) *limit.Limit {
	if known, ok := s.resized.Load(resizing{l, amount}); ok {
		return known.(*limit.Limit)
	}
	other, err := withAmount(l, amount)
	if err != nil {
		other = l
	}
	known, _ := s.resized.LoadOrStore(resizing{l, amount}, other)
	return known.(*limit.Limit)
}

func isInternal(networks []netip.Prefix, mx netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(mx) })
}
