package daemon

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"kanmon/internal/config"
	"kanmon/internal/session"
)

// Destinations finds what the operator has said about an MX's address: the rule of the most specific network that holds it, or the zero
// Destination.
func Destinations(cfg *config.Config) func(netip.Addr) session.Destination {
	var rules bart.Table[session.Destination]
	for _, rule := range cfg.Destinations {
		for _, network := range rule.Networks {
			rules.Insert(network, session.Destination{TLS: rule.TLS, Passthrough: rule.Passthrough, Names: rule.Names})
		}
	}
	return func(addr netip.Addr) session.Destination {
		rule, _ := rules.Lookup(addr.Unmap())
		return rule
	}
}
