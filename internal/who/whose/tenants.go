package whose

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"kanmon/internal/who/mailbox"
)

// A Tenant is found by the listener, by the MSA's address, and among several behind one address by the sender's domain.
type Tenant struct {
	Name          string
	Port          uint16 // of a listener of its own; 0: none
	Sources       []netip.Prefix
	SenderDomains []string // "acme.example", "*.acme.example" for all below; none: every sender of the sources
	AllSenders    bool     // with SenderDomains: other senders of the sources are its own, too, unless they are another tenant's
}

// nobody is the index of no tenant.
const nobody = -1

// Tenants find whose a mail is. A listener of its own decides; else a tenant that names sender domains goes before one that has the whole
// source. They are immutable and safe for concurrent use.
type Tenants struct {
	list     []Tenant
	byPort   map[uint16]int              // of listeners of their own
	bySource bart.Table[int]             // sources of those without sender domains
	shared   bart.Table[int]             // sources of those with
	byDomain mailbox.DomainMap[[]member] // of those with
	unknown  int                         // whose the mail is that none of them claims; nobody: nobody's

	// The answers, so that none is made for a mail: one for each tenant, and those that are no tenant's by itself.
	owners                          []Owner
	unclaimed, later, none, eachMSA Owner
}

// A member is a tenant among several behind the same sources.
type member struct {
	tenant  int
	sources []netip.Prefix
}

// New makes Tenants. Unknown is the tenant whose the mail is that no tenant claims; "" is nobody's. An error is an
// unknown that is no tenant.
func New(list []Tenant, unknown string) (*Tenants, error) {
	t := &Tenants{list: list, byPort: map[uint16]int{}, byDomain: mailbox.DomainMap[[]member]{}, unknown: nobody}
	if unknown != "" {
		if t.unknown = slices.IndexFunc(list, func(c Tenant) bool { return c.Name == unknown }); t.unknown == nobody {
			return nil, fmt.Errorf("there is no tenant %q", unknown)
		}
	}
	for i, c := range list {
		if c.Port != 0 {
			t.byPort[c.Port] = i
		}
		for _, domain := range mailbox.NewDomains(c.SenderDomains) {
			t.byDomain.Put(domain, append(t.byDomain.Said(domain), member{i, c.Sources}))
		}
		for _, source := range c.Sources {
			if len(c.SenderDomains) > 0 {
				t.shared.Insert(source, i)
			}
			if len(c.SenderDomains) == 0 || c.AllSenders {
				t.bySource.Insert(source, i)
			}
		}
	}
	t.answer()
	return t, nil
}

// answer makes the answers.
func (t *Tenants) answer() {
	for i, c := range t.list {
		t.owners = append(t.owners, Owner{Tenant: c.Name, number: i + 1})
	}
	t.later = Owner{Later: true}
	if t.eachMSA = (Owner{Apart: true, Final: true}); t.unknown != nobody {
		t.unclaimed = t.owners[t.unknown]
		t.unclaimed.Unclaimed = true
	}
	if len(t.byDomain) == 0 { // no sender tells anything
		t.unclaimed.Final, t.none.Final = true, true
		for i := range t.owners {
			t.owners[i].Final = true
		}
	}
}

// Find tells whose a session is that a listener has taken from an MSA, or with Sender its mail. The listener's port is 0 where it is not
// known. It allocates for a sender alone whose domain is another tenant's.
func (t *Tenants) Find(source netip.Addr, port uint16, sender Sender) *Owner {
	if len(t.list) == 0 {
		return &t.eachMSA
	}
	i, claimed := t.claims(source.Unmap(), port, sender.domain)
	switch {
	case claimed:
	case !sender.known && t.isShared(source):
		return &t.later
	case t.unknown == nobody:
		return &t.none
	default:
		i = t.unknown
	}
	owner := &t.owners[i]
	if !claimed {
		owner = &t.unclaimed
	}
	if other := t.names(sender.domain); other != nobody && other != i && !t.hasDomain(i, sender.domain) {
		spoofs := *owner
		spoofs.Spoofed = t.list[other].Name
		return &spoofs
	}
	return owner
}

// A Sender is that of a mail. The zero Sender is not known yet.
type Sender struct {
	domain string
	known  bool
}

// SenderOf is an envelope sender, as mailbox.Form gives it.
func SenderOf(address string) Sender { return Sender{mailbox.DomainOf(address), true} }

// claims returns the index of the tenant that claims a mail.
func (t *Tenants) claims(source netip.Addr, port uint16, senderDomain string) (i int, claimed bool) {
	if i, claimed = t.byPort[port]; claimed {
		return i, true
	}
	for members := range t.byDomain.Of(senderDomain) {
		for _, m := range members {
			if m.has(source) {
				return m.tenant, true
			}
		}
	}
	return t.bySource.Lookup(source)
}

func (m *member) has(source netip.Addr) bool {
	return slices.ContainsFunc(m.sources, func(n netip.Prefix) bool { return n.Contains(source) })
}

// isShared reports whether the sender's domain may tell whose mail it is.
func (t *Tenants) isShared(source netip.Addr) bool {
	_, shared := t.shared.Lookup(source.Unmap())
	return shared
}

// Behind returns the names of all tenants that have the listener or, where none has, the source: whoever the sender is. It costs a look at
// each tenant.
func (t *Tenants) Behind(source netip.Addr, port uint16) (names []string) {
	if i, dedicated := t.byPort[port]; dedicated {
		return []string{t.list[i].Name}
	}
	source = source.Unmap()
	for i := range t.list {
		if m := (member{i, t.list[i].Sources}); m.has(source) {
			names = append(names, t.list[i].Name)
		}
	}
	if _, claimed := t.bySource.Lookup(source); t.unknown != nobody && !claimed {
		names = append(names, t.list[t.unknown].Name)
	}
	return names
}

// names returns the index of a tenant that names the sender's domain as its own, wherever its mail comes from; or nobody.
func (t *Tenants) names(senderDomain string) int {
	for members := range t.byDomain.Of(senderDomain) {
		return members[0].tenant
	}
	return nobody
}

// hasDomain reports whether the tenant names the domain as its own.
func (t *Tenants) hasDomain(i int, senderDomain string) bool {
	for members := range t.byDomain.Of(senderDomain) {
		if slices.ContainsFunc(members, func(m member) bool { return m.tenant == i }) {
			return true
		}
	}
	return false
}
