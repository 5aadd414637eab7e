package policy

import (
	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/content"
	"kanmon/internal/session"
)

// askContent is asked before DATA: how the content of the mail at hand is judged.
func (a *pass) askContent(q session.Question) (d session.Decision) {
	if a.judged = nil; !a.begun || !a.set.Content.Scans(a.tenant) {
		return d
	}
	m := a.contentOf()
	m.Size, m.Replied, m.Number = a.size, q.Replied, a.policy.scanned.Add(1)
	if a.judged = a.set.Content.Begin(m, a.origin.Destination.Addr()); a.judged != nil {
		d.Inspect = a.judged
	}
	return d
}

// contentOf is what is known of the mail at hand for whoever judges its content.
func (a *pass) contentOf() content.Mail {
	m := content.Mail{
		Tenant: a.tenant, Account: a.account, Contained: a.suspect(), Allowed: a.policy.detector.Allows(a.tenant, a.account),
		Forwarded: a.kind == contain.Forwarder,
	}
	m.Suspicion, m.New = a.doubt()
	return m
}

// Judged hears what the content of a message came to: it is evidence about its account, of a kind of its own, where anything follows at all.
// What others have written says nothing of the account, and what a person has allowed is not held against it, but for viruses. That is asked
// here as well: a verdict that comes late does not know of it.
func (p *Policy) Judged(o *content.Outcome) {
	if !o.Seen || !o.Virus && (o.Allowed || p.detector.Allows(o.Tenant, o.Account)) {
		return
	}
	forwards := p.ofSender(p.settings.Load(), o.Tenant, o.Account, true).kind == contain.Forwarder
	if !o.Mild && !forwards {
		p.Scored(o.Tenant, o.Account, o.P)
	}
	if !o.Enforced {
		return
	}
	p.detector.Scanned(contain.Scanned{
		Tenant: o.Tenant, Account: o.Account, Refuse: o.P >= 1, Virus: o.Virus, Mild: o.Mild,
		Cause: contain.Cause{Session: uint64(o.Session), Transaction: o.Transaction},
	})
}

// doubt is what speaks against the mail at hand, and whether its account is new.
func (a *pass) doubt() (score float64, isNew bool) {
	s := a.suspicion
	if s == nil {
		return 0, false
	}
	for _, part := range s.Parts {
		if part.Ground == event.GroundNewAccount {
			isNew = part.N < content.FirstDays && part.Of < content.FirstMails
		}
	}
	return s.Score, isNew
}
