package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// pools: what an operator may want, but more likely overlooked.
func (c *checker) pools() {
	used, member, families := map[string]bool{defaultPool: true}, map[netip.Addr]bool{}, map[string]string{}
	for _, t := range c.cfg.Tenants {
		used[t.Pool] = true
	}
	for _, r := range c.cfg.Routes {
		used[r.Pool] = true // "" is none
	}
	names := slices.Sorted(maps.Keys(c.cfg.Pools))
	for _, name := range names {
		for _, ip := range c.cfg.Pools[name].IPs {
			member[ip] = true
			families[family(ip)] = name
		}
	}
	for _, name := range names {
		key := join("pool", name)
		if !used[name] {
			c.warn(key, fmt.Sprintf("no tenant and no route uses pool %q: no mail leaves from it", name), "name it in a [[route]] or a [[tenant]]")
		}
		for _, f := range slices.Sorted(maps.Keys(families)) {
			if !slices.ContainsFunc(c.cfg.Pools[name].IPs, func(ip netip.Addr) bool { return family(ip) == f }) {
				c.warn(key, fmt.Sprintf("pool %q has no %s address, and pool %q has: its mail to %s addresses of MXs is refused with 421", name, f, families[f], f), "add an "+f+" sending IP")
			}
		}
	}
	for i, ip := range c.cfg.SendingIPs {
		if len(names) > 0 && !member[ip.Address] {
			c.warn(fmt.Sprintf("sending_ip[%d]", i), fmt.Sprintf("%s is in no pool: no mail leaves from it", ip.Address), "add it to the ips of a pool")
		}
	}
}

// routes: one that an earlier one always forestalls.
func (c *checker) routes() {
	for i := range c.cfg.Routes {
		for j := range c.cfg.Routes[:i] {
			if c.cfg.Routes[j].covers(&c.cfg.Routes[i]) {
				earlier := fmt.Sprintf("route[%d]", j)
				c.warn(fmt.Sprintf("route[%d]", i), fmt.Sprintf("never matches: route %d, in line %d, takes all its mail", j+1, c.cfg.lines[earlier]), "put the narrower route first")
				break
			}
		}
	}
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
