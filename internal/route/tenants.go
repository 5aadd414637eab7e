package route

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kanmon/internal/mailbox"
)

// nobody is the index of no tenant.
const nobody = -1

// tenants finds whose mail it is. A listener of its own decides; else a tenant that names sender domains goes before one that has
// the whole source.
type tenants struct {
	list     []tenant
	byPort   map[uint16]int      // of listeners of their own
	bySource prefixes            // sources of those without sender domains
	shared   prefixes            // sources of those with
	byDomain map[string][]member // "acme.example", or ".acme.example" for all below
	unknown  int                 // whose the mail is that none of them claims; nobody: nobody's
}

type tenant struct {
	name    string
	hash    uint64 // of the name
	pool    *addressPool
	fold    *mailbox.Fold
	sources []netip.Prefix
}

// A member is a tenant among several behind the same sources.
type member struct {
	tenant  int
	sources []netip.Prefix
}

func newTenants(list []Tenant, unknown string, poolOf func(string) (*addressPool, error)) (tenants, error) {
	t := tenants{byPort: map[uint16]int{}, bySource: newPrefixes(), shared: newPrefixes(), byDomain: map[string][]member{}, unknown: nobody}
	if unknown != "" {
		if t.unknown = slices.IndexFunc(list, func(c Tenant) bool { return c.Name == unknown }); t.unknown == nobody {
			return t, fmt.Errorf("there is no tenant %q", unknown)
		}
	}
	for i, c := range list {
		p, err := poolOf(c.Pool)
		if err != nil {
			return t, fmt.Errorf("tenant %q: %w", c.Name, err)
		}
		t.list = append(t.list, tenant{c.Name, hashText(c.Name), p, c.Fold, c.Sources})
		if c.Port != 0 {
			t.byPort[c.Port] = i
		}
		for _, domain := range newPatterns(c.SenderDomains) {
			t.byDomain[domain] = append(t.byDomain[domain], member{i, c.Sources})
		}
		for _, source := range c.Sources {
			if len(c.SenderDomains) > 0 {
				t.shared.add(source, i)
			}
			if len(c.SenderDomains) == 0 || c.AllSenders {
				t.bySource.add(source, i)
			}
		}
	}
	return t, nil
}

// fold gives what finds the accounts of a tenant, or of nobody.
func (t *tenants) fold(i int) *mailbox.Fold {
	if i == nobody {
		return nil
	}
	return t.list[i].fold
}

func (t *tenants) name(i int) string {
	if i == nobody {
		return ""
	}
	return t.list[i].name
}

// find gives the index of the tenant, or nobody. The sender's domain is "" where it is not known.
func (t *tenants) find(port uint16, source netip.Addr, senderDomain string) int {
	if i, dedicated := t.byPort[port]; dedicated {
		return i
	}
	if senderDomain != "" && len(t.byDomain) > 0 {
		for at := 0; at >= 0; at = nextDot(senderDomain, at) {
			for _, m := range t.byDomain[senderDomain[at:]] {
				if slices.ContainsFunc(m.sources, func(n netip.Prefix) bool { return n.Contains(source) }) {
					return m.tenant
				}
			}
		}
	}
	return t.bySource.find(source)
}

// behind gives the names of all tenants that have the listener or, where none has, the source: whoever the sender is.
func (t *tenants) behind(port uint16, source netip.Addr) (names []string) {
	if i, dedicated := t.byPort[port]; dedicated {
		return []string{t.name(i)}
	}
	for i := range t.list {
		if slices.ContainsFunc(t.list[i].sources, func(n netip.Prefix) bool { return n.Contains(source) }) {
			names = append(names, t.name(i))
		}
	}
	if t.unknown != nobody && t.bySource.find(source) == nobody {
		names = append(names, t.name(t.unknown))
	}
	return names
}

// owner gives the index of a tenant that names the sender's domain as its own, wherever its mail comes from; or nobody.
func (t *tenants) owner(senderDomain string) int {
	if senderDomain == "" {
		return nobody
	}
	for at := 0; at >= 0; at = nextDot(senderDomain, at) {
		if members := t.byDomain[senderDomain[at:]]; len(members) > 0 {
			return members[0].tenant
		}
	}
	return nobody
}

// names says whether the tenant names the domain as its own.
func (t *tenants) names(i int, senderDomain string) bool {
	for at := 0; at >= 0; at = nextDot(senderDomain, at) {
		if slices.ContainsFunc(t.byDomain[senderDomain[at:]], func(m member) bool { return m.tenant == i }) {
			return true
		}
	}
	return false
}

// nextDot gives the place of the next dot behind the place, -1 if there is none.
func nextDot(s string, at int) int {
	if i := strings.IndexByte(s[at+1:], '.'); i >= 0 {
		return at + 1 + i
	}
	return -1
}

// prefixes finds the most specific network that holds an address. The cost depends on how many different prefix lengths
// there are, not on how many networks.
type prefixes struct {
	lengths []int // longest first
	indices map[netip.Prefix]int
}

func newPrefixes() prefixes { return prefixes{indices: map[netip.Prefix]int{}} }

func (p *prefixes) add(network netip.Prefix, index int) {
	p.indices[network] = index
	if !slices.Contains(p.lengths, network.Bits()) {
		p.lengths = append(p.lengths, network.Bits())
		slices.SortFunc(p.lengths, func(a, b int) int { return cmp.Compare(b, a) })
	}
}

func (p *prefixes) find(addr netip.Addr) int {
	for _, bits := range p.lengths {
		network, err := addr.Prefix(bits)
		if err != nil {
			continue // longer than an IPv4 address
		}
		if index, found := p.indices[network]; found {
			return index
		}
	}
	return nobody
}
