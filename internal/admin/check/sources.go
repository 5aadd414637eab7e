package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kanmon/internal/policy/contain"
)

// without takes networks out of another one, and gives what is left of it, in at most so many pieces.
func without(network netip.Prefix, others []netip.Prefix, most int) (left []netip.Prefix) {
	network = network.Masked()
	overlaps := false
	for _, o := range others {
		if o.Bits() <= network.Bits() && o.Contains(network.Addr()) {
			return nil
		}
		overlaps = overlaps || o.Overlaps(network)
	}
	if !overlaps {
		return []netip.Prefix{network}
	}
	for _, half := range halves(network) {
		if left = append(left, without(half, others, most-len(left))...); len(left) >= most {
			return left[:most]
		}
	}
	return left
}

func halves(p netip.Prefix) [2]netip.Prefix {
	octets, bits := p.Addr().AsSlice(), p.Bits()
	octets[bits/8] |= 0x80 >> (bits % 8)
	upper, _ := netip.AddrFromSlice(octets)
	return [2]netip.Prefix{netip.PrefixFrom(p.Addr(), bits+1), netip.PrefixFrom(upper, bits+1)}
}

// pieces bounds what is shown of a network that is only partly covered.
const pieces = 3

func listed(networks []netip.Prefix) string {
	texts := make([]string, 0, len(networks))
	for _, n := range networks {
		texts = append(texts, n.String())
	}
	if len(texts) >= pieces {
		texts = append(texts, "…")
	}
	return strings.Join(texts, ", ")
}

// own are the addresses of this host, as networks.
func (c *checker) own() (list []netip.Prefix) {
	for _, l := range c.links {
		for _, p := range l.Addresses {
			list = append(list, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	return append(list, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
}

// scope: without sources, interfaces and local there is no mail to intercept.
func (c *checker) scope() {
	in := &c.Config.Intercept
	if !in.Local && len(in.Sources)+len(in.Interfaces) == 0 && !c.Config.TenantInterfaces() {
		c.find(nobodyIntercepted, "intercept", "nobody's mail is intercepted", "")
	}
	for i, source := range in.Sources {
		if source.Bits() == 0 && len(in.Interfaces) == 0 {
			c.find(everybodyIntercepted, fmt.Sprintf("intercept.sources[%d]", i), fmt.Sprintf("%s is everybody, and by any interface: also who sends from the Internet to a mail server behind this host", source), "")
		}
	}
	c.interfacesExist("intercept.interfaces", in.Interfaces)
	for i, t := range c.Config.Tenants {
		c.interfacesExist(fmt.Sprintf("tenant[%d].interfaces", i), t.Interfaces)
	}
}

func (c *checker) interfacesExist(key string, names []string) {
	for i, name := range names {
		item := fmt.Sprintf("%s[%d]", key, i)
		if c.links != nil && !strings.HasSuffix(name, "*") && c.link(name) == nil {
			c.find(interfaceAbsent, item, fmt.Sprintf("this host has no interface %q", name), "")
		}
		for _, l := range c.named(name) {
			if l.Master != "" && c.isSwitch(l.Master) {
				c.find(interfaceIsPort, item, fmt.Sprintf("%s is a port of %s: what comes in by it comes in by %s for the rules", l.Name, l.Master, l.Master), fmt.Sprintf("want %q in place of %q", l.Master, l.Name))
			}
		}
	}
}

// isSwitch reports whether a master takes over the packets of its ports: a VRF does not.
func (c *checker) isSwitch(master string) bool {
	l := c.link(master)
	return l != nil && slices.Contains([]string{"bridge", "bond", "team", "openvswitch"}, l.Kind)
}

// tenants: mail of a tenant's sources that is not intercepted leaves directly.
func (c *checker) tenants() {
	in := &c.Config.Intercept
	covered := slices.Clone(in.Sources)
	if in.Local {
		covered = append(covered, c.own()...)
	}
	if len(in.Sources) == 0 && len(in.Interfaces) > 0 {
		return // all that comes in by them; see ingress
	}
	for i, t := range c.Config.Tenants {
		if t.ListenPort != 0 || len(in.Sources) == 0 && !in.Local {
			continue // its own rules lead there, or nobody's mail is intercepted
		}
		for j, source := range t.Sources {
			key := fmt.Sprintf("tenant[%d].sources[%d]", i, j)
			switch left := without(source, covered, pieces); {
			case len(left) == 0:
			case left[0] == source.Masked():
				c.find(tenantNotIntercepted, key, fmt.Sprintf("%s of tenant %q is outside of [intercept] sources: its mail leaves directly", source, t.Name), fmt.Sprintf("add %q to sources of [intercept], then: kanmon rules apply", source))
			case !in.Local || len(without(source, c.own(), pieces)) > 0:
				c.find(tenantPartlyIntercepted, key, fmt.Sprintf("of %s of tenant %q, %s is outside of [intercept] sources: mail from there leaves directly", source, t.Name, listed(left)), fmt.Sprintf("add %q to sources of [intercept], then: kanmon rules apply", source))
			}
		}
	}
}

// nobodys: where there are tenants, mail of none of them is deferred.
func (c *checker) nobodys() {
	if len(c.Config.Tenants) == 0 || c.Config.Senders.UnknownTenant != "" {
		return
	}
	var whole, some []netip.Prefix // of tenants that have all senders of their sources, or only some domains
	for _, t := range c.Config.Tenants {
		if len(t.SenderDomains) == 0 || t.Kind == contain.Forwarder {
			whole = append(whole, t.Sources...)
		} else {
			some = append(some, t.Sources...)
		}
	}
	const cure = `add a [[tenant]] for it, or unknown_tenant = "NAME" to [senders]`
	for i, source := range c.Config.Intercept.Sources {
		key := fmt.Sprintf("intercept.sources[%d]", i)
		if left := without(source, slices.Concat(whole, some), pieces); len(left) > 0 {
			c.find(nobodysSource, key, fmt.Sprintf("%s of %s is of no tenant: mail from there gets 451 and waits in its MSA", listed(left), source), cure)
		}
	}
	for i, t := range c.Config.Tenants {
		for j, source := range t.Sources {
			if len(t.SenderDomains) > 0 && t.Kind != contain.Forwarder && len(without(source, whole, 1)) > 0 {
				c.find(nobodysSender, fmt.Sprintf("tenant[%d].sources[%d]", i, j), fmt.Sprintf("from %s only mail of the sender_domains of tenants is anybody's: bounces (null sender) and other senders get 451", source), cure)
				break
			}
		}
	}
	if in := &c.Config.Intercept; len(in.Sources) == 0 && len(in.Interfaces) > 0 && !everything(whole) {
		c.find(nobodysSource, "intercept.interfaces", "mail of all sources that come in by these interfaces is taken, and that of no tenant gets 451", cure)
	}
	if c.Config.Intercept.Local && c.links != nil && !slices.ContainsFunc(c.own(), func(p netip.Prefix) bool { return len(without(p, slices.Concat(whole, some), 1)) == 0 }) {
		c.find(nobodysSource, "intercept.local", "this host's own mail is taken, and its addresses are of no tenant: it gets 451", cure)
	}
}

func everything(networks []netip.Prefix) bool {
	return len(without(netip.PrefixFrom(netip.IPv4Unspecified(), 0), networks, 1)) == 0
}
