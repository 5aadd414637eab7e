package check

import (
	"fmt"
	"net/netip"
	"slices"

	"kanmon/internal/intercept"
)

// What other tables can do to mail on its way to kanmon, and from it.
var (
	stopping  = search{[]string{"drop", "reject"}, []string{"DROP", "REJECT"}}
	leading   = search{[]string{"dnat", "redirect"}, []string{"DNAT", "REDIRECT", "NETMAP"}}
	untracked = search{[]string{"notrack"}, []string{"NOTRACK"}}
)

// priorityDNAT is the priority of kanmon's own redirection.
const priorityDNAT = -100

// letIn: what another table drops, sends elsewhere or hides from conntrack does not come to kanmon.
func (c *checker) letIn(all *ruleset) {
	if c.Rules.Validate() != nil || c.unguarded {
		return // nothing to intercept, or nothing that does: told elsewhere
	}
	told := map[string]bool{}
	for _, at := range c.ingress() {
		for _, v6 := range []bool{false, true} {
			from, to, ok := c.ends(at, v6)
			if !ok || told[fmt.Sprint(at.link.Name, v6)] {
				continue
			}
			told[fmt.Sprint(at.link.Name, v6)] = true
			p := packet{from: from, to: far(from), in: at.link.Name, port: 25, fromPort: c.Host.sourcePort(), state: "new"}
			c.takenBefore(all, at, p, "prerouting")
			if c.Rules.Mode == intercept.Redirect {
				c.hiddenBefore(all, at, p)
				c.stoppedBefore(all, at, p, func(x *nftChain) bool { return x.Hook == "prerouting" && x.Prio <= priorityDNAT })
				p.to, p.port, p.redirected = to, c.portOf(at), true
				c.stoppedBefore(all, at, p, func(x *nftChain) bool { return x.Hook == "input" || x.Hook == "prerouting" && x.Prio > priorityDNAT })
				continue
			}
			p.mark = c.Config.Intercept.TProxyMark
			c.stoppedBefore(all, at, p, func(x *nftChain) bool { return x.Hook == "input" || x.Hook == "prerouting" })
		}
	}
}

// letInOwn is letIn for this host's own mail: NAT turns it round to the loopback interface.
func (c *checker) letInOwn(all *ruleset) {
	if c.Rules.Validate() != nil || c.unguarded || !c.Rules.Local {
		return // told elsewhere, or not wanted
	}
	at := ingress{link: &Interface{Name: "lo"}, what: "mail of this host", key: "intercept.local"}
	for _, v6 := range []bool{false, true} {
		to := map[bool]netip.Addr{false: netip.AddrFrom4([4]byte{127, 0, 0, 1}), true: netip.IPv6Loopback()}[v6]
		route, err := c.Host.network().Route(far(to), netip.Addr{}, 0)
		if err != nil || !route.Source.IsValid() || !c.Config.Intercept.ListensFor(!v6) {
			continue
		}
		p := packet{from: route.Source, to: far(to), out: route.Interface, port: 25, fromPort: c.Host.sourcePort(), state: "new", anybodys: true}
		c.takenBefore(all, at, p, "output")
		if c.Rules.Mode == intercept.Redirect {
			p.to, p.in, p.out, p.port, p.redirected = to, "lo", "", c.portOf(at), true
			c.stoppedBefore(all, at, p, func(x *nftChain) bool { return x.Hook == "input" })
		}
	}
}

// ends returns an address that mail comes from, and the one of this host that it is redirected to.
func (c *checker) ends(at ingress, v6 bool) (from, to netip.Addr, ok bool) {
	if at.family != familyBoth && at.family != familyOf(v6) || !c.Config.Intercept.ListensFor(!v6) {
		return from, to, false
	}
	own := at.link.global(v6)
	switch {
	case at.source.IsValid():
		from = at.source.Masked().Addr().Next()
	case len(own) > 0:
		from = own[0].Masked().Addr().Next()
	}
	if to = c.Rules.ComesTo(v6); !to.IsValid() && len(own) > 0 {
		to = own[0].Addr()
	}
	return from, to, from.IsValid() && to.IsValid()
}

// portOf is the port that the mail of an interface is redirected to.
func (c *checker) portOf(at ingress) uint16 {
	if at.port != 0 {
		return at.port
	}
	return c.Config.Intercept.Listen[0].Port()
}

// takenBefore: the first table that translates a connection has it.
func (c *checker) takenBefore(all *ruleset, at ingress, p packet, hook string) {
	own := slices.IndexFunc(all.chains, func(x nftChain) bool { return isOwn(&x) && x.Hook == hook && x.Type == "nat" })
	found, sure := all.first(leading, p, func(x *nftChain) bool {
		if x.Type != "nat" || x.Hook != hook || isOwn(x) {
			return false
		}
		if own < 0 { // tproxy comes behind all of them
			return true
		}
		o := &all.chains[own]
		return x.Prio < o.Prio || x.Prio == o.Prio && slices.Index(all.chains, *x) < own
	})
	c.tell(mailTaken, at.key, found, sure, fmt.Sprintf("%s that comes in by %s", at.what, at.link.Name), "sends it elsewhere", "tcp dport 25 accept")
}

// hiddenBefore: what conntrack does not follow cannot be redirected, and is refused.
func (c *checker) hiddenBefore(all *ruleset, at ingress, p packet) {
	found, sure := all.first(untracked, p, func(x *nftChain) bool { return x.Hook == "prerouting" && x.Type == "filter" && !isOwn(x) })
	c.tell(mailUntracked, at.key, found, sure, fmt.Sprintf("%s that comes in by %s", at.what, at.link.Name), "hides it from conntrack", "tcp dport 25 accept")
}

// stoppedBefore: a chain of another table counts, whatever kanmon's own say.
func (c *checker) stoppedBefore(all *ruleset, at ingress, p packet, in func(*nftChain) bool) {
	found, sure := all.first(stopping, p, func(x *nftChain) bool { return x.Type == "filter" && !isOwn(x) && in(x) })
	c.tell(mailDropped, at.key, found, sure, fmt.Sprintf("%s that comes in by %s", at.what, at.link.Name), fmt.Sprintf("stops it on its way to port %d", p.port),
		fmt.Sprintf("iifname %q tcp dport %d accept", at.link.Name, p.port))
}

// letOut: what another table drops of kanmon's own connections, or of the answers to them.
func (c *checker) letOut(all *ruleset, key string, ip netip.Addr) {
	p, ok := c.dial(ip)
	if !ok {
		return // told elsewhere
	}
	outward := func(x *nftChain) bool {
		return (x.Hook == "output" || x.Hook == "postrouting") && (x.Type == "filter" || x.Type == "route") && !isOwn(x)
	}
	found, sure := all.first(leading, p, func(x *nftChain) bool { return x.Type == "nat" && x.Hook == "output" && !isOwn(x) })
	c.tell(dialsTaken, key, found, sure, fmt.Sprintf("kanmon's own connections from %s", ip), "sends them elsewhere", fmt.Sprintf("ip%s saddr %s tcp dport 25 accept", six(ip), ip))
	found, sure = all.first(stopping, p, outward)
	c.tell(dialsDropped, key, found, sure, fmt.Sprintf("kanmon's own connections from %s", ip), "stops them", fmt.Sprintf("ip%s saddr %s tcp dport 25 accept", six(ip), ip))
	if found != nil && sure {
		return // it says it all
	}
	answer := packet{from: p.to, to: p.from, in: p.out, fromPort: 25, port: c.Host.sourcePort(), state: "established"}
	hides, _ := all.first(untracked, p, func(x *nftChain) bool { return x.Hook == "output" && !isOwn(x) })
	if hides != nil {
		answer.state = "untracked"
	}
	found, sure = all.first(stopping, answer, func(x *nftChain) bool {
		return x.Type == "filter" && (x.Hook == "input" || x.Hook == "prerouting") && !isOwn(x)
	})
	does := "stops them"
	if hides != nil {
		does += fmt.Sprintf(", since chain %s of table %s hides the connection from conntrack (notrack)", hides.Chain, hides.table())
	}
	c.tell(answersDropped, key, found, sure, fmt.Sprintf("what MXs answer to %s", ip), does, fmt.Sprintf("ip%s daddr %s tcp sport 25 accept", six(ip), ip))
}

func isOwn(c *nftChain) bool { return c.Family == "inet" && c.Table == ownTable }

// tell notes what a rule of another table does, or that it may do it. The cure is a rule in front of it.
func (c *checker) tell(k *Kind, key string, found *rewrite, sure bool, mail, does, rule string) {
	if found == nil {
		return
	}
	where := fmt.Sprintf("chain %s, table %s", found.Chain, found.table())
	if !sure {
		c.unchecked(c.Config.Where(key), fmt.Sprintf("a rule in %s may meet %s (%s), and its conditions are not all understood", where, mail, found.verb))
		return
	}
	c.find(k, key, fmt.Sprintf("a rule in %s %s: %s (%s)", where, does, mail, found.verb), fmt.Sprintf("nft insert rule %s %s %s", found.table(), found.Chain, rule))
}
