package policy

import (
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
)

// Near returns the limits of tenants and of sending IPs of which a part or more is used. Those of accounts it leaves out: there are any
// number of them.
func (p *Policy) Near(part float64) (all []Usage) {
	set := p.settings.Load()
	for _, l := range set.Limits {
		for _, subject := range p.subjects(set, l) {
			base := l.Limit
			if l.Rule().Scope.Of() == limit.OfTenant {
				a := p.counted(set, contain.Subject{Tenant: subject.Of})
				if a.provider = subject.To; a.provider == "" && len(l.Providers) > 0 {
					a.provider = l.Providers[0] // whichever: it is not about a mail
				}
				if !l.applies(a) {
					continue
				}
				base = set.limitFor(base, a)
			}
			u := p.usage(limit.Want{Limit: base, Subject: subject, Member: subject.Of, N: 1}, l.Rule().Amount, l.Enforce)
			if u.Max > 0 && float64(u.Used) >= part*float64(u.Max) {
				all = append(all, u)
			}
		}
	}
	return all
}

// subjects are those that a limit counts: all tenants that there are, else those that it has counted of late.
func (p *Policy) subjects(set *settings, l *Limit) (all []limit.Subject) {
	switch scope := l.Rule().Scope; {
	case scope.Of() == limit.OfAccount:
		return nil
	case scope.Of() == limit.OfTenant && scope.At() == limit.Anywhere:
		for _, tenant := range set.Tenants {
			all = append(all, limit.Subject{Of: tenant})
		}
		return all
	default:
		return p.limiter.SeenAll(l.Limit)
	}
}
