package check

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"kanmon/internal/config"
)

// pools: what an operator may want, but more likely overlooked.
func (c *checker) pools() {
	used, member, families := map[string]bool{config.DefaultPool: true}, map[netip.Addr]bool{}, map[string]string{}
	for _, t := range c.Config.Tenants {
		used[t.Pool] = true
	}
	if c.Config.Content.Enforce || c.Config.Containment.Enforce { // what is diverted leaves from it
		used[c.Config.Containment.Pool] = true
	}
	for _, r := range c.Config.Routes {
		used[r.Pool] = true // "" is none
	}
	names := slices.Sorted(maps.Keys(c.Config.Pools))
	for _, name := range names {
		for _, ip := range c.Config.Pools[name].IPs {
			member[ip] = true
			families[config.Family(ip)] = name
		}
	}
	for _, name := range names {
		key := "pool." + name
		if !used[name] {
			c.find(poolUnused, key, fmt.Sprintf("no tenant and no route uses pool %q: no mail leaves from it", name), "")
		}
		for _, f := range slices.Sorted(maps.Keys(families)) {
			if !slices.ContainsFunc(c.Config.Pools[name].IPs, func(ip netip.Addr) bool { return config.Family(ip) == f }) {
				c.find(poolFamily, key, fmt.Sprintf("pool %q has no %s address, and pool %q has: its mail to %s addresses of MXs is refused with 421", name, f, families[f], f), "add an "+f+" sending IP")
			}
		}
	}
	for i, ip := range c.Config.SendingIPs {
		if len(names) > 0 && !member[ip.Address] {
			c.find(sendingIPUnused, fmt.Sprintf("sending_ip[%d]", i), fmt.Sprintf("%s is in no pool: no mail leaves from it", ip.Address), "")
		}
	}
}

// routes: one that an earlier one always forestalls.
func (c *checker) routes() {
	for i := range c.Config.Routes {
		if j, found := c.Config.Forestalled(i); found {
			c.find(routeDead, fmt.Sprintf("route[%d]", i), fmt.Sprintf("never matches: route %d, in line %d, takes all its mail", j+1, c.Config.Line(fmt.Sprintf("route[%d]", j))), "")
		}
	}
}

// providers: names of an operator's own file by which a stranger may speak for a provider.
func (c *checker) providers() {
	for _, risky := range c.Config.RiskyNames() {
		c.find(providerRisky, "providers_file", fmt.Sprintf("provider %s: %q may be the name of a stranger's host, whose refusals would be the provider's: %s", risky.Provider, risky.Name, risky.Why), "")
	}
}
