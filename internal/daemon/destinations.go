package daemon

import (
	"cmp"
	"net/netip"
	"slices"

	"kanmon/internal/config"
	"kanmon/internal/session"
)

// destinations finds the rule for an MX's address. The cost depends on how many different prefix lengths there are, not on
// how many networks.
type destinations struct {
	lengths []int // of all networks of both families, longest first
	rules   map[netip.Prefix]session.Destination
}

// Destinations finds what the operator has said about an MX's address.
func Destinations(cfg *config.Config) func(netip.Addr) session.Destination {
	return newDestinations(cfg.Destinations).find
}

func newDestinations(list []config.Destination) *destinations {
	d := &destinations{rules: map[netip.Prefix]session.Destination{}}
	for _, rule := range list {
		for _, network := range rule.Networks {
			d.rules[network] = session.Destination{TLS: tlsRuleOf(rule.TLS), Passthrough: rule.Passthrough}
			if !slices.Contains(d.lengths, network.Bits()) {
				d.lengths = append(d.lengths, network.Bits())
			}
		}
	}
	slices.SortFunc(d.lengths, func(a, b int) int { return cmp.Compare(b, a) })
	return d
}

// find gives the rule of the most specific network that holds the address, or the zero Destination.
func (d *destinations) find(addr netip.Addr) session.Destination {
	addr = addr.Unmap()
	for _, bits := range d.lengths {
		network, err := addr.Prefix(bits)
		if err != nil {
			continue // longer than an IPv4 address
		}
		if rule, found := d.rules[network]; found {
			return rule
		}
	}
	return session.Destination{}
}

func tlsRuleOf(r config.TLSRule) session.TLSRule {
	switch r {
	case config.TLSRequire:
		return session.TLSRequire
	case config.TLSOff:
		return session.TLSOff
	default:
		return session.TLSOpportunistic
	}
}
