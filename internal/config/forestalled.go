package config

import (
	"net/netip"
	"slices"
	"strings"
)

// Forestalled gives the first route that takes all the mail of a later one, which so never matches. Both count from 0.
func (c *Config) Forestalled(route int) (by int, found bool) {
	for j := range c.Routes[:route] {
		if c.Routes[j].covers(&c.Routes[route]) {
			return j, true
		}
	}
	return 0, false
}

// covers reports whether every mail that the other route matches is matched by this one.
func (r *Route) covers(other *Route) bool {
	return coversList(r.Tenants, other.Tenants, strings.EqualFold) &&
		coversList(r.Senders, other.Senders, strings.EqualFold) &&
		(coversList(r.SenderDomains, other.SenderDomains, coversDomain) || len(other.Senders) > 0 && coversList(r.SenderDomains, domainsOf(other.Senders), coversDomain)) &&
		(!r.NullSender || other.NullSender) &&
		coversList(r.RecipientDomains, other.RecipientDomains, coversDomain) &&
		coversList(r.Providers, other.Providers, strings.EqualFold) &&
		coversList(r.Destinations, other.Destinations, coversNetwork) &&
		r.SuspicionMin <= other.SuspicionMin
}

// coversList: each value of the narrower list is within one of the wider. No list is no condition.
func coversList[L ~[]T, T any](wider, narrower L, covers func(wider, narrower T) bool) bool {
	if len(wider) == 0 {
		return true
	}
	return len(narrower) > 0 && !slices.ContainsFunc(narrower, func(n T) bool {
		return !slices.ContainsFunc(wider, func(w T) bool { return covers(w, n) })
	})
}

func coversDomain(wider, narrower string) bool {
	wider, narrower = strings.ToLower(wider), strings.ToLower(narrower)
	below, wild := strings.CutPrefix(wider, "*")
	return wider == narrower || wild && strings.HasSuffix(narrower, below)
}

func coversNetwork(wider, narrower netip.Prefix) bool {
	return wider.Bits() <= narrower.Bits() && wider.Contains(narrower.Addr())
}

func domainsOf(addresses Names) Names {
	var domains Names
	for _, a := range addresses {
		domains = append(domains, a[strings.LastIndexByte(a, '@')+1:])
	}
	return domains
}
