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
	var wants []limit.Want
	for _, l := range a.set.Limits {
		if w, ok := l.lateWant(a); ok && l.Enforce {
			wants = append(wants, w)
		}
	}
	if len(wants) > 0 {
		if v := a.policy.limiter.Take(wants, &a.ofMail); !v.OK {
			a.provider = was // the next recipient, or this one after its delay, asks again
			a.refuse(&d, &v)
			return d
		}
	}
	for _, l := range a.set.Limits { // those that only tell
		if w, ok := l.lateWant(a); ok && !l.Enforce {
			if v := a.policy.limiter.Take([]limit.Want{w}, &a.ofMail); !v.OK {
				a.note(&d, l, &v, actionDone[l.Action][1])
			}
		}
	}
	return d
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
	case rule.Scope == limit.PerAccount && a.unnamed: // asked when the header has named the account
		return w, false
	case rule.Scope == limit.PerIPProvider:
		step = event.StepLeave
	case rule.Scope != limit.PerTenantProvider && len(l.Providers) == 0:
		return w, false
	}
	return l.want(a, step, a.size)
}
