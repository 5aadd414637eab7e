package policy

import (
	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/suspect"
	"kanmon/internal/who/mailbox"
)

// configureSuspicion keeps habits where somebody wants to know of suspicion, and forgets them where nobody does.
func (p *Policy) configureSuspicion(s *Settings) {
	switch m := p.suspects.Load(); {
	case !s.Suspicion:
		p.suspects.Store(nil)
	case m == nil:
		m = suspect.New(suspect.Options{Hash: p.secret.Hash})
		p.suspects.Store(m)
		fallthrough
	default:
		m.Grow(len(s.Tenants))
	}
}

// habits is what is kept of a subject's habits in its row; nil: nothing.
func (p *Policy) habits(s contain.Subject) []byte {
	if m := p.suspects.Load(); m != nil && s.Account != "" {
		return m.Saved(s.Tenant, s.Account)
	}
	return nil
}

// restoreHabits takes over what the last process has kept of accounts.
func (p *Policy) restoreHabits(all []contain.Saved) {
	m := p.suspects.Load()
	if m == nil {
		return
	}
	unread := 0
	for i := range all {
		if of := &all[i]; len(of.Habits) > 0 {
			if m.Restore(of.Tenant, of.Account, of.Habits, p.clock()) != nil {
				unread++
			}
		}
	}
	if unread > 0 {
		p.log.Warn("habits of accounts could not be read; they are learnt again", "accounts", unread)
	}
}

// Scored counts what the content of one of an account's mails has come to: from 0, nothing speaks against it, to 1. Mail that nobody has
// looked at is not told of.
func (p *Policy) Scored(tenant, account string, score float64) {
	if m := p.suspects.Load(); m != nil {
		m.Scored(tenant, account, score, p.clock())
	}
}

// Suspicion says what would speak against the next mail of an account, as far as that is known without the mail; nil: nobody wants to know.
func (p *Policy) Suspicion(of contain.Subject) *event.Suspicion {
	m := p.suspects.Load()
	if m == nil || of.Account == "" {
		return nil
	}
	set := p.settings.Load()
	kind := p.ofSender(set, of.Tenant, of.Account, false).kind
	return m.Ask(&suspect.Mail{
		Tenant: of.Tenant, Account: of.Account, Known: p.knownOf(of.Tenant, of.Account),
		Apart: of.Account == contain.NullSender || kind != contain.Plain,
	}, p.clock())
}

// suspected asks what speaks against the mail at hand. Within one mail it never becomes less: what was a reason to have it leave from
// elsewhere is one until its end.
func (a *pass) suspected(recipient uint64) *event.Suspicion {
	m := a.policy.suspects.Load()
	if !a.set.Suspicion || m == nil || !a.begun {
		return nil
	}
	now := m.Ask(&suspect.Mail{
		Tenant: a.tenant, Account: a.account, Known: a.policy.knownOf(a.tenant, a.account),
		Apart: a.isApart(), Unnamed: a.unnamed, Sender: a.senderDomain(), Foreign: a.isForeignSender(), Source: a.origin.Source.Addr(), Recipient: recipient,
	}, a.policy.clock())
	if a.suspicion == nil || now.Score > a.suspicion.Score {
		a.suspicion = now
	}
	return a.suspicion
}

// knownOf is what containment counts already.
func (p *Policy) knownOf(tenant, account string) suspect.Known {
	b := p.detector.Bearing(tenant, account)
	return suspect.Known{
		Level: int(b.Level), OfTenant: b.Tenant, Outcomes: b.Outcomes, Unknown: b.Unknown, Answered: b.Answered, Reached: b.Distinct,
		Age: b.Age, TenantAge: b.TenantAge, Before: b.Before, TenantBefore: b.TenantBefore,
	}
}

// isApart reports whether the account's habits tell nothing of the mail at hand.
func (a *pass) isApart() bool { return a.account == contain.NullSender || a.kind != contain.Plain }

// senderDomain is the hash of the domain that the envelope names; 0: it is a bounce.
func (a *pass) senderDomain() uint64 {
	if domain := mailbox.DomainOf(a.envelope); domain != "" {
		return a.policy.hash(domain)
	}
	return 0
}

// isForeignSender reports whether the envelope names a domain that is not the tenant's, where the operator has said which domains are.
func (a *pass) isForeignSender() bool {
	of, domain := a.telling(), mailbox.DomainOf(a.envelope)
	return domain != "" && len(of.Senders)+len(of.Domains) > 0 && !of.Senders.Has(domain) && !of.Domains.Has(domain)
}

// learnsMail has the account's habits follow a mail that an MX has begun to take.
func (a *pass) learnsMail() {
	if m := a.policy.suspects.Load(); m != nil && a.set.Suspicion {
		m.Began(&suspect.Beginning{Tenant: a.tenant, Account: a.account, Sender: a.senderDomain(), Source: a.origin.Source.Addr()}, a.policy.clock())
	}
}

// learnsRecipient does the same with a recipient that an MX has accepted, and has not put off before.
func (a *pass) learnsRecipient(r *heard) {
	if r.domain == 0 || r.Own || r.Class != event.NoRefusal || a.isApart() {
		return
	}
	if m := a.policy.suspects.Load(); m != nil {
		m.Reached(a.tenant, a.account, r.Hash, r.domain, a.policy.clock())
	}
}
