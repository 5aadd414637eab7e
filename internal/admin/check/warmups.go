package check

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/config"
)

// warmUps: new sending IPs that have nobody beside them, or are new no more.
func (c *checker) warmUps() {
	today := c.Host.now().UTC().Truncate(24 * time.Hour)
	warming := map[netip.Addr]bool{}
	for i := range c.Config.SendingIPs {
		ip := &c.Config.SendingIPs[i]
		if !ip.Warms() {
			continue
		}
		last := c.Config.LastWarmUpDay(ip)
		if warming[ip.Address] = !today.After(last); !warming[ip.Address] {
			c.find(warmUpPast, fmt.Sprintf("sending_ip[%d].warm_up.start", i), fmt.Sprintf("the plan of %s was over after %s: it is taken for warm, unless kanmon knows that it is not", ip.Address, last.Format(time.DateOnly)), "")
		}
	}
	if len(warming) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.Config.Pools)) {
		c.warmAlone("pool."+name, fmt.Sprintf("pool %q", name), c.Config.Pools[name].IPs, warming)
	}
	if len(c.Config.Pools) == 0 {
		var all []netip.Addr
		for _, ip := range c.Config.SendingIPs {
			all = append(all, ip.Address)
		}
		c.warmAlone("sending_ip[0].warm_up", "this gateway", all, warming)
	}
}

// warmAlone finds the families of a pool of which every address warms up.
func (c *checker) warmAlone(key, of string, ips []netip.Addr, warming map[netip.Addr]bool) {
	counts := map[string][2]int{} // all, and those that warm up
	for _, ip := range ips {
		n := counts[config.Family(ip)]
		if n[0]++; warming[ip] {
			n[1]++
		}
		counts[config.Family(ip)] = n
	}
	for _, family := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[family]; n[0] == n[1] {
			c.find(warmUpAlone, key, fmt.Sprintf("every %s sending IP of %s warms up: there is none for what is more than their plans have", family, of), "")
		}
	}
}
