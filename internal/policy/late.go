package policy

import (
	"kanmon/internal/event"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// meet is asked with each recipient: its domain may tell whose the MX is, where nobody knew when the mail began. What limits would
// have been asked for then, had that been known, they are asked for now; a mail counts at a provider from the first one on. Limits of
// sessions find the provider at the next mail, and one that diverts comes too late: the sending IP has been chosen.
func (a *pass) meet(recipient string) (d session.Decision) {
	a.faces(mailbox.DomainOf(recipient))
	if a.set.ProviderOf == nil || !a.begun {
		return d
	}
	was := a.provider
	name := a.set.ProviderOf(a.origin.Destination.Addr().Unmap(), mailbox.DomainOf(recipient), a.tenant)
	if name == "" || name == was {
		return d
	}
	a.provider = name
	if !a.takeLate(&d) {
		a.provider = was // the next recipient, or this one after its delay, asks again
	}
	return d
}

// takeLate asks for what has become known behind MAIL, and for its attempts: of all limits that refuse, or of none; then of those that only
// tell. It is the mail's: what becomes of that settles it.
func (a *pass) takeLate(d *session.Decision) (taken bool) {
	wants := a.tries[:0]
	for i, l := range a.set.Limits {
		w, ok := l.lateWant(a)
		if !ok || !l.Enforce {
			continue
		}
		w.Number = int32(i) //nolint:gosec // a file has not so many
		if wants = append(wants, w); l.boundsAttempts() {
			wants = a.attemptOf(wants, w)
		}
	}
	if a.tries = wants; len(wants) > 0 {
		if v := a.policy.limiter.Take(wants, &a.ofMail); !v.OK {
			a.refuse(d, &v)
			return false
		}
	}
	for _, l := range a.set.Limits {
		if w, ok := l.lateWant(a); ok && !l.Enforce {
			if v := a.policy.limiter.Take([]limit.Want{w}, &a.ofMail); !v.OK {
				a.note(d, l, &v, actionDone[l.Action][1])
			}
		}
	}
	return true
}

// faces notes who will answer: for a recipient's domain or, with "", before one is known.
func (a *pass) faces(domain string) {
	if a.set.Witness != nil {
		r := a.set.Witness(a.origin.Destination.Addr().Unmap(), domain)
		a.witness = a.policy.marker.Mark(&r)
	}
}

// lateWant is want for a mail whose provider has become known behind MAIL, if that makes a difference.
func (l *Limit) lateWant(a *pass) (w limit.Want, ok bool) {
	rule := l.Rule()
	step := event.StepMail
	switch {
	case l.Action == limit.Divert, l.ofSession(), rule.Measure == limit.Recipients:
		return w, false
	case rule.Scope.Of() == limit.OfAccount && a.unnamed: // asked when the header has named the account
		return w, false
	case rule.Scope.At() != limit.AtProvider && len(l.Providers) == 0:
		return w, false
	case rule.Scope.Known() == limit.WithIP:
		step = event.StepLeave
	}
	return l.want(a, step, a.size)
}
