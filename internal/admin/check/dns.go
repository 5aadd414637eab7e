package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"blitiri.com.ar/go/spf"

	"kanmon/internal/config"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/watch"
)

// Blocklists are the DNSBLs that are asked where an operator names none: those that many receivers ask.
var Blocklists = []string{"zen.spamhaus.org", "b.barracudacentral.org", "bl.spamcop.net"}

// DNS asks what receivers would see of the sending IPs.
type DNS struct {
	Config     *config.Config
	Resolver   *watch.Resolver
	Blocklists []string
}

// Run makes the checks of the DNS, the worst finding first.
func (d *DNS) Run(ctx context.Context) []Finding {
	c := &checker{Site: Site{Config: d.Config, Host: &Host{}}, ctx: ctx}
	for i, ip := range d.Config.SendingIPs {
		d.names(c, fmt.Sprintf("sending_ip[%d]", i), ip)
	}
	d.blocklists(c)
	if len(d.Config.SendingIPs) > 0 {
		d.senders(c)
	} else {
		c.unchecked("the DNS", "there is no [[sending_ip]]: mail leaves from addresses that the kernel chooses")
	}
	Sort(c.findings)
	return c.findings
}

// names: the address has a name, the name has the address, and kanmon says the same name.
func (d *DNS) names(c *checker, key string, ip config.SendingIP) {
	n := watch.LookUp(c.ctx, d.Resolver, watch.Own{IP: ip.Address, EHLO: ip.EHLO})
	for _, un := range n.Unasked {
		c.unchecked(un.What, un.Err.Error())
	}
	if !n.PTRKnown {
		return
	}
	address, ptr := ip.Address.String(), strings.Join(n.PTR, ", ")
	switch {
	case len(n.PTR) == 0:
		c.find(ptrMissing, key+".address", address+" has no PTR", "have the owner of the network set the PTR of "+address+" to "+ip.EHLO)
	case n.BackKnown && !n.Back:
		c.find(ptrNotForward, key+".address", fmt.Sprintf("the PTR of %s is %s, which does not lead back to it", address, ptr), record(n.PTR[0], ip.Address))
		if n.Same {
			return // the EHLO name is one of them
		}
	}
	if len(n.PTR) > 0 && !n.Same {
		c.find(ehloNotPTR, key+".ehlo", fmt.Sprintf("kanmon says EHLO %s, and the PTR of %s is %s", ip.EHLO, address, ptr), fmt.Sprintf("ehlo = %q", n.PTR[0]))
	}
	if n.LeadsKnown && !n.Leads {
		c.find(ehloUnresolved, key+".ehlo", fmt.Sprintf("%s does not lead to %s", ip.EHLO, address), record(ip.EHLO, ip.Address))
	}
}

func addresses(list []netip.Addr) string {
	texts := make([]string, 0, len(list))
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

// record is the line of a zone that leads a name to an address.
func record(name string, a netip.Addr) string {
	kind := "A"
	if a.Is6() {
		kind = "AAAA"
	}
	return fmt.Sprintf("%s. IN %s %s", name, kind, a)
}

// blocklists asks them about all sending IPs. That an address is not on a list means something only if the list has addresses of its
// family at all.
func (d *DNS) blocklists(c *checker) {
	list := standing.DNSBL{Resolver: d.Resolver}
	for _, zone := range d.Blocklists {
		for _, v6 := range []bool{false, true} {
			ips, asked := d.ofFamily(v6), false
			for _, ip := range ips {
				yes, err := list.Listed(c.ctx, ip, zone)
				if err == nil && !yes && !asked {
					asked = true
					var answers bool
					if answers, err = list.Answers(c.ctx, zone, v6); err == nil && !answers {
						c.unchecked(fmt.Sprintf("%s at %s", familyName(v6), zone), "the list lacks the address that every list has (RFC 5782): it has none of "+familyName(v6)+", or it is no blocklist")
						break
					}
				}
				if stop := d.listed(c, ip, zone, yes, err); stop {
					break
				}
			}
		}
	}
}

// listed tells of one address at one list; stop says that the others will have the same answer.
func (d *DNS) listed(c *checker, ip netip.Addr, zone string, yes bool, err error) (stop bool) {
	i := slices.IndexFunc(d.Config.SendingIPs, func(s config.SendingIP) bool { return s.Address == ip })
	switch {
	case errors.Is(err, standing.ErrRefused):
		c.unchecked(zone, "the list refuses queries of this resolver (127.255.255.x): ask with your own, --resolver ADDRESS")
	case errors.Is(err, standing.ErrNoList), errors.Is(err, standing.ErrListsAll):
		c.findAt(listDead, zone, err.Error(), "")
	case err != nil:
		c.unchecked(fmt.Sprintf("%s at %s", ip, zone), err.Error())
		return false
	default:
		if yes {
			c.find(ipListed, fmt.Sprintf("sending_ip[%d].address", i), fmt.Sprintf("%s has %s", zone, ip), delisting(zone))
		}
		return false
	}
	return true
}

func (d *DNS) ofFamily(v6 bool) (list []netip.Addr) {
	for _, ip := range d.Config.SendingIPs {
		if ip.Address.Is6() == v6 {
			list = append(list, ip.Address)
		}
	}
	return list
}

// delisting names the page of a list that is known; "": none is.
func delisting(zone string) string {
	rules, err := classify.Builtin()
	if err != nil {
		return "" // a test compiles them
	}
	if list, known := rules.ListOf(zone); known && list.Delist != "" {
		return "find out why, end it, then ask for delisting at " + list.Delist
	}
	return ""
}

// senders: the domains that tenants send with allow the addresses that their mail can leave from.
func (d *DNS) senders(c *checker) {
	for i, t := range d.Config.Tenants {
		for j, domain := range t.SenderDomains {
			key := fmt.Sprintf("tenant[%d].sender_domains[%d]", i, j)
			if strings.HasPrefix(domain, "*.") {
				c.unchecked("SPF of "+domain, "it stands for many domains")
				continue
			}
			d.sender(c, key, &t, domain)
		}
	}
}

func (d *DNS) sender(c *checker, key string, t *config.Tenant, domain string) {
	bad := map[spf.Result][]netip.Addr{}
	for _, ip := range d.outOf(t) {
		result, err := spf.CheckHostWithSender(ip.Address.AsSlice(), ip.EHLO, "postmaster@"+domain, spf.WithContext(c.ctx), spf.WithResolver(d.Resolver))
		switch result {
		case spf.Pass:
		case spf.TempError:
			c.unchecked("SPF of "+domain, err.Error())
			return
		case spf.PermError:
			c.find(spfBroken, key, fmt.Sprintf("the SPF record of %s cannot be evaluated: %v", domain, err), "")
			return
		case spf.None:
			c.find(spfMissing, key, domain+" has no SPF record", fmt.Sprintf("have tenant %s publish: %s. IN TXT \"v=spf1 %s -all\"", t.Name, domain, mechanisms(d.outOf(t))))
			return
		default:
			bad[result] = append(bad[result], ip.Address)
		}
	}
	for _, result := range slices.Sorted(maps.Keys(bad)) {
		kind := spfDoubts
		if result == spf.Fail {
			kind = spfFails
		}
		c.find(kind, key, fmt.Sprintf("SPF of %s says %s of %s, which mail of tenant %q can leave from", domain, result, addresses(bad[result]), t.Name),
			fmt.Sprintf("have tenant %s add to the record: %s", t.Name, mechanismsOf(bad[result])))
	}
}

// outOf returns the sending IPs that a tenant's mail can leave from: those of its pool, of the routes that can match
// it, and of the pool for diverted mail.
func (d *DNS) outOf(t *config.Tenant) []config.SendingIP {
	cfg := d.Config
	if len(cfg.Pools) == 0 {
		return cfg.SendingIPs
	}
	pools := []string{t.Pool}
	for _, r := range cfg.Routes {
		if len(r.Tenants) == 0 || slices.Contains(r.Tenants, t.Name) {
			pools = append(pools, r.Pool)
		}
	}
	if cfg.Containment.Enforce {
		pools = append(pools, cfg.Containment.Pool)
	}
	var list []config.SendingIP
	for _, ip := range cfg.SendingIPs {
		if slices.ContainsFunc(pools, func(p string) bool { return slices.Contains(cfg.Pools[p].IPs, ip.Address) }) {
			list = append(list, ip)
		}
	}
	return list
}

func mechanisms(ips []config.SendingIP) string {
	var list []netip.Addr
	for _, ip := range ips {
		list = append(list, ip.Address)
	}
	return mechanismsOf(list)
}

func mechanismsOf(list []netip.Addr) string {
	texts := make([]string, 0, len(list))
	for _, a := range list {
		texts = append(texts, map[bool]string{true: "ip6:", false: "ip4:"}[a.Is6()]+a.String())
	}
	return strings.Join(texts, " ")
}
