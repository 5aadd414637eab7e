package config

import (
	"net/netip"
	"slices"

	"kanmon/internal/who/mailbox"
)

// Forestalled returns the first route that takes all the mail of a later one, which so never matches. Both count from 0.
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
	same := func(a, b string) bool { return a == b }
	senders := formsOf(other.Senders)
	return coversList(r.Tenants, other.Tenants, same) &&
		coversList(formsOf(r.Senders), senders, same) &&
		(coversList(r.SenderDomains, other.SenderDomains, coversDomain) || len(senders) > 0 && coversList(r.SenderDomains, domainsOf(senders), coversDomain)) &&
		(!r.NullSender || other.NullSender) &&
		coversList(r.RecipientDomains, other.RecipientDomains, coversDomain) &&
		coversList(r.Providers, other.Providers, same) &&
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
	wider, known := mailbox.Pattern(wider)
	narrower, alsoKnown := mailbox.Pattern(narrower)
	return known && alsoKnown && mailbox.Covers(wider, narrower)
}

func coversNetwork(wider, narrower netip.Prefix) bool {
	return wider.Bits() <= narrower.Bits() && wider.Contains(narrower.Addr())
}

// formsOf returns the mailboxes of senders, however they are written.
func formsOf(senders Names) (forms Names) {
	for _, s := range senders {
		forms = append(forms, mailbox.Form([]byte(s)))
	}
	return forms
}

func domainsOf(forms Names) (domains Names) {
	for _, form := range forms {
		domains = append(domains, mailbox.DomainOf(form))
	}
	return domains
}
