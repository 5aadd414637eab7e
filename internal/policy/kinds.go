package policy

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/who/mailbox"
)

// Lists and forwarders are marked: for an account, for all accounts of a domain ("@lists.acme.example" in place of an account), or for a
// tenant. What a person has ordered goes before the configuration, and what is said of an account before what is said of its domain, and
// that before what is said of its tenant.

// ErrKind is what SetKind gives for a mark that would mean nothing.
var ErrKind = errors.New("not what can be marked")

// A Mark is what a person has said that a subject is.
type Mark struct {
	contain.Subject              // an account, "@" and a domain, or a tenant
	Kind            contain.Kind `json:"kind"` // Plain: neither a list nor a forwarder, whatever the configuration says
	At              time.Time    `json:"at,omitzero"`
	By              string       `json:"by,omitempty"` // "": the configuration
	Why             string       `json:"why,omitempty"`
}

// marks are what people have said. A new map is made at each order.
type marks map[contain.Subject]Mark

// SetKind says what a subject is, and with a nil kind takes back what was said: the configuration holds again.
func (p *Policy) SetKind(s contain.Subject, kind *contain.Kind, by, why string) error {
	if err := p.meant(s, true); err != nil {
		return err
	}
	s = p.Normal(s)
	if s.Account == contain.NullSender || s.Account == mailbox.Unreadable {
		return ErrKind
	}
	before := p.kindText(s)
	p.mu.Lock()
	all := maps.Clone(*p.marked.Load())
	if all == nil {
		all = marks{}
	}
	if delete(all, s); kind != nil {
		all[s] = Mark{Subject: s, Kind: *kind, At: p.clock().Round(0).UTC(), By: by, Why: why}
	}
	p.marked.Store(&all)
	p.mu.Unlock()
	p.remark(s.Tenant)
	return p.audit(due{Change: Change{By: by, Subject: s, Did: "kind", Before: before, After: p.kindText(s), Why: why}, order: p.markNow(s)})
}

// remark tells the detector of marks that have changed; the tenant "" is all.
func (p *Policy) remark(tenant string) {
	set := p.settings.Load()
	p.detector.Mark(tenant, func(tenant, account string) contain.Kind {
		return p.ofSender(set, tenant, account, false).kind
	})
}

func (p *Policy) kindText(s contain.Subject) string {
	m, own := p.MarkOf(s)
	text := m.Kind.String()
	switch {
	case m.By != "":
		text += ", by " + m.By
	case m.Kind != contain.Plain:
		text += ", as configured"
	}
	if !own && m.Kind != contain.Plain {
		text += " for " + cmp.Or(m.Account, "the tenant")
	}
	return text
}

// MarkOf returns what holds for a subject, and whether that was said of the subject itself.
func (p *Policy) MarkOf(s contain.Subject) (m Mark, own bool) {
	s = p.Normal(s)
	m = p.markOf(p.settings.Load().accountsOf(s.Tenant), s.Tenant, s.Account)
	return m, m.Subject == s
}

// markOf finds the narrowest mark.
func (p *Policy) markOf(of *Accounts, tenant, account string) Mark {
	byHand := *p.marked.Load()
	said := func(account string) (m Mark, found bool) {
		s := contain.Subject{Tenant: tenant, Account: account}
		if m, found = byHand[s]; !found {
			m = Mark{Subject: s}
			m.Kind, found = of.Kinds[account]
		}
		return m, found
	}
	if m, found := said(account); found {
		return m
	}
	if domain := domainPart(account); domain != "" {
		if m, found := said(domain); found {
			return m
		}
	}
	if account != "" {
		if m, found := said(""); found {
			return m
		}
	}
	return Mark{Subject: contain.Subject{Tenant: tenant, Account: account}}
}

// Marks returns all marks, by hand and of the configuration, by name. A mark of the configuration that a person's stands for is left out.
func (p *Policy) Marks() (all []Mark) {
	set, byHand := p.settings.Load(), *p.marked.Load()
	all = slices.Collect(maps.Values(byHand))
	for _, tenant := range set.Tenants {
		for account, kind := range set.accountsOf(tenant).Kinds {
			s := contain.Subject{Tenant: tenant, Account: account}
			if _, ordered := byHand[s]; !ordered {
				all = append(all, Mark{Subject: s, Kind: kind})
			}
		}
	}
	slices.SortFunc(all, func(a, b Mark) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Account, b.Account)) })
	return all
}

// CountsFor returns the account that the mail of a sender counts for: its own, or that of all that its tenant forwards.
func (p *Policy) CountsFor(s contain.Subject) string {
	s = p.Normal(s)
	return p.ofSender(p.settings.Load(), s.Tenant, s.Account, false).account
}

// attribution is whose evidence a mail is.
type attribution struct {
	account string
	kind    contain.Kind
}

// ofSender returns whose evidence a mail of an account is. An account that the tenant's MSA has named is no stranger.
func (p *Policy) ofSender(set *settings, tenant, account string, named bool) attribution {
	own := attribution{account: account}
	switch account {
	case "", contain.NullSender, mailbox.Unreadable:
		return own
	case mailbox.Forwarded:
		return attribution{account, contain.Forwarder}
	}
	of := set.accountsOf(tenant)
	if len(*p.marked.Load()) == 0 && len(of.Kinds) == 0 {
		return own
	}
	m := p.markOf(of, tenant, account)
	switch {
	case m.Kind != contain.Forwarder:
		own.kind = m.Kind
	case m.Account == account: // it is what forwards
		own.kind = contain.Forwarder
	case m.Account != "" || !named && !of.owns(account):
		return attribution{mailbox.Forwarded, contain.Forwarder}
	}
	return own
}

// owns reports whether an account is one of the tenant's people. What SRS has written is not, though the domain is the tenant's. Where
// nobody has said which domains are the tenant's, no address is.
func (a *Accounts) owns(account string) bool {
	domain := mailbox.DomainOf(account)
	return domain == "" || !strings.HasPrefix(account, mailbox.SRSAccount+"@") && (a.Senders.Has(domain) || a.Domains.Has(domain))
}

// identity is what tells a message of a list or a forwarder from its others. A list's message has nearly the same length in each of its
// copies; a forwarded one has its length, and its first sender.
func (a *pass) identity(octets int64) uint64 {
	if a.kind == contain.Plain {
		return 0
	}
	const span = 6 * time.Hour // a list takes so long at most
	id := uint64(a.policy.clock().Unix() / int64(span/time.Second))
	switch a.kind {
	case contain.List:
		return id<<32 ^ uint64(aboutOctets(octets))
	case contain.Forwarder:
		return id<<48 ^ uint64(octets) ^ a.policy.hash(a.spelled)
	}
	return 0
}

// aboutOctets rounds a length to an eighth of its magnitude, and at least 512 octets: a copy has its recipient's name in it here and there.
func aboutOctets(n int64) int64 {
	step := int64(512)
	for step*16 < n {
		step *= 2
	}
	return n / step * step
}
