package policy

import (
	"net/netip"
	"slices"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// A Limit is a rule with whom it is for and what is done where it is reached.
type Limit struct {
	*limit.Limit
	// Of these lists one must hold; an empty one is no condition.
	Tenants   []string
	Accounts  []string // accounts, or "@acme.example" for all of a domain, in normal form
	Providers []string

	Action         limit.Action
	Pool           string // of limit.Divert
	Enforce        bool   // false: it is only told what would be done
	ExemptNull     bool   // mail with the null sender is not counted
	ExemptInternal bool   // nor mail to Settings.Internal
}

// Words of the records: what was done, and what would have been.
var actionDone = [...][2]string{
	limit.Defer: {"deferred", "would_defer"}, limit.Delay: {"delayed", "would_delay"}, limit.Reject: {"rejected", "would_reject"},
	limit.Divert: {"diverted", "would_divert"}, limit.Block: {"blocked", "would_block"},
}

// passedOver is done to a sending IP that has no room for a mail which has been refused from another: nothing is done to the mail by that.
const passedOver = "passed_over"

// applies reports whether a limit is for the mail at hand.
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

// want returns what a limit is asked for, if it is asked at this step.
func (l *Limit) want(a *pass, step event.Step, size int64) (w limit.Want, ok bool) {
	rule := l.Rule()
	w = limit.Want{Limit: a.set.limitFor(l.Limit, a), Member: a.tenant, N: 1}
	switch rule.Measure {
	case limit.Messages:
		ok = asked(rule.Scope, step)
	case limit.Octets:
		ok, w.N = asked(rule.Scope, step), size
	case limit.Recipients:
		ok = step == event.StepRecipient && !a.retry
	case limit.Sessions, limit.Connections:
		ok = tells(step, rule.Scope.Known())
	}
	if ok {
		w.Subject, ok = a.counter(rule.Scope)
	}
	return w, ok && l.applies(a)
}

// counter returns whose counter of a scope it is that the session, or the mail at hand, has; false: it has none yet.
func (a *pass) counter(scope limit.Scope) (s limit.Subject, known bool) {
	switch scope.Of() {
	case limit.OfTenant:
		s.Of, known = a.tenant, true
	case limit.OfAccount:
		s.Of, s.To, known = a.account, a.tenant, a.begun
	case limit.OfIP:
		s.Of, known = a.berths[a.at].text, a.berths[a.at].ip.IsValid()
	}
	if scope.At() == limit.AtProvider {
		s.To = a.provider
	}
	return s, known
}

// tells reports whether a step is one of those at which it is first known whom a scope counts.
func tells(step event.Step, known limit.Moment) bool {
	switch step {
	case event.StepConnect, event.StepMail:
		return known == limit.WithSender
	case event.StepLeave:
		return known == limit.WithIP
	default:
		return false
	}
}

// asked reports whether mail is counted at a step: when it is known whose it is, and that of an account again when a header has named it.
func asked(scope limit.Scope, step event.Step) bool {
	if step == event.StepAccount {
		return scope.Of() == limit.OfAccount
	}
	return step != event.StepConnect && tells(step, scope.Known())
}

// ofSession reports that a limit counts sessions, not mail: once for each session and subject.
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

// limits asks all limits of a step. All that may refuse must have room; of those without, the one that lasts longest answers, and what the
// others gave is given back by who is refused. Only of what passes is anything taken from those that would only tell, and those that
// divert: a refused recipient, or one that is asked about again behind a delay, counts nowhere.
func (a *pass) limits(step event.Step, size int64) (d session.Decision) {
	if !a.set.asked[step] {
		return d
	}
	a.beginGroups(step)
	for i, l := range a.set.Limits {
		if l.lets() {
			continue
		}
		w, ok := l.want(a, step, size)
		w.Number = int32(i) //nolint:gosec // a file has not so many
		if g := a.group(l, step); ok && !g.has(&w) {
			g.wants = append(g.wants, w)
		}
	}
	if step == event.StepRecipient { // it is taken whole or not at all
		g := &a.groups[0]
		g.wants = a.attempts(g.wants, step)
	}
	if a.takeAtOnce(step) {
		a.letting(&d, step, size)
		return d
	}
	strictest := limit.Verdict{OK: true}
	for i := range a.groups {
		if v := a.take(&a.groups[i], a.groups[i].wants); !v.OK && (strictest.OK || v.Never || v.Wait > strictest.Wait) {
			strictest = v
		}
	}
	if strictest.OK && step != event.StepRecipient {
		strictest = a.attempt(step)
	}
	if !strictest.OK {
		a.refuse(&d, &strictest)
		return d
	}
	a.letting(&d, step, size)
	return d
}

// takeAtOnce takes the attempt together with what else is asked for, where that is of one ticket: nearly always there
// is room for both. Where there is not, nothing is taken, and the one is asked for behind the other.
func (a *pass) takeAtOnce(step event.Step) bool {
	var only *group
	for i := range a.groups {
		switch g := &a.groups[i]; {
		case len(g.wants) == 0:
		case only != nil || g.stay != nil:
			return false
		default:
			only = g
		}
	}
	if only == nil || step == event.StepRecipient { // whose attempts are among them already
		return false
	}
	n := len(only.wants)
	only.wants = a.attempts(only.wants, step)
	taken := a.take(only, only.wants).OK
	only.wants = only.wants[:n]
	return taken
}

// lets reports whether a limit lets pass what it has no room for.
func (l *Limit) lets() bool { return !l.Enforce || l.Action == limit.Divert }

// letting asks the limits that let pass, one by one.
func (a *pass) letting(d *session.Decision, step event.Step, size int64) {
	for _, l := range a.set.Limits {
		if !l.lets() {
			continue
		}
		w, ok := l.want(a, step, size)
		g := a.group(l, step)
		if !ok || g.has(&w) {
			continue
		}
		v := a.take(g, []limit.Want{w})
		switch {
		case v.OK:
		case !l.Enforce:
			a.note(d, l, &v, actionDone[l.Action][1])
		default:
			d.Pool = l.Pool
			a.note(d, l, &v, actionDone[limit.Divert][0])
		}
	}
}

// beginGroups empties the groups: mail, the account's mail, sessions, the account's sessions.
func (a *pass) beginGroups(step event.Step) {
	visit := &a.visit
	if step == event.StepLeave {
		visit = &a.berths[a.at].stay
	}
	if step == event.StepMail && len(a.accounts.entered) >= maxTold {
		a.policy.end(&a.accounts) // an MSA's session may have the mail of any number of accounts
	}
	for i, g := range [...]group{{ticket: a.ticket(step)}, {ticket: &a.ofAccount}, {ticket: &visit.ticket, stay: visit}, {ticket: &a.accounts.ticket, stay: &a.accounts}} {
		g.wants = a.groups[i].wants[:0]
		a.groups[i] = g
	}
}

// group is what a limit is asked together with.
func (a *pass) group(l *Limit, step event.Step) *group {
	i := 0
	if l.ofSession() {
		i = 2
	}
	if l.Rule().Scope.Of() == limit.OfAccount && step != event.StepRecipient {
		i++
	}
	return &a.groups[i]
}

// ticket is what is taken with at a step, but for sessions and what an account takes. Each is settled apart: what a step has taken is
// given back before it is asked again.
func (a *pass) ticket(step event.Step) *limit.Ticket {
	switch step {
	case event.StepLeave:
		return &a.berths[a.at].mail
	case event.StepRecipient:
		return &a.recipient
	default:
		return &a.ofMail
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

// has reports whether the session is counted by a limit already.
func (g *group) has(w *limit.Want) bool {
	return g.stay != nil && slices.Contains(g.stay.entered, entrance{w.Limit.Rule().Name, w.Subject})
}

func isInternal(networks []netip.Prefix, mx netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(mx) })
}
