package check

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"kanmon/internal/intercept"
)

// Somebody far away whom mail could go to: root name servers, whose addresses do not change. Nothing is sent to them.
var (
	far4 = netip.MustParseAddr("198.41.0.4")
	far6 = netip.MustParseAddr("2001:503:ba3e::2:30")
)

func far(ip netip.Addr) netip.Addr {
	if ip.Is6() {
		return far6
	}
	return far4
}

// An addressFamily of mail that comes in.
type addressFamily uint8

const (
	familyBoth addressFamily = iota
	familyIPv4
	familyIPv6
)

func familyOf(v6 bool) addressFamily {
	if v6 {
		return familyIPv6
	}
	return familyIPv4
}

func familyName(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// An ingress is an interface that MSAs' mail comes in by.
type ingress struct {
	link   *Interface
	family addressFamily
	what   string
	key    string
	source netip.Prefix // it comes from; zero: any
	port   uint16       // of a tenant's own; 0: that of all
}

// ingress returns the interfaces that are named, or those that the routes to the sources lead to.
func (c *checker) ingress() (list []ingress) {
	in := &c.Config.Intercept
	for i, name := range in.Interfaces {
		for _, l := range c.named(name) {
			list = append(list, ingress{link: l, what: "mail", key: fmt.Sprintf("intercept.interfaces[%d]", i)})
		}
	}
	for i, t := range c.Config.Tenants {
		for j, name := range t.Interfaces {
			for _, l := range c.named(name) {
				list = append(list, ingress{link: l, what: fmt.Sprintf("mail of tenant %q", t.Name), key: fmt.Sprintf("tenant[%d].interfaces[%d]", i, j), port: uint16(t.ListenPort)})
			}
		}
	}
	if len(in.Interfaces) > 0 {
		return list
	}
	for i, source := range in.Sources {
		if l := c.toward(source); l != nil {
			list = append(list, ingress{link: l, family: familyOf(source.Addr().Is6()), what: fmt.Sprintf("mail of %s", source), key: fmt.Sprintf("intercept.sources[%d]", i), source: source})
		}
	}
	return list
}

// toward returns the interface that leads to a network; nil: it is this host itself, or there is no way.
func (c *checker) toward(network netip.Prefix) *Interface {
	host := network.Masked().Addr()
	for range 4 { // the first ones may be this host's own
		if network.Bits() < host.BitLen() {
			host = host.Next()
		}
		route, err := c.Host.network().Route(host, netip.Addr{}, 0)
		if err != nil || !network.Contains(host) {
			return nil
		}
		if !route.Local {
			return c.link(route.Interface)
		}
	}
	return nil
}

// families: MSAs that have IPv6, too, would send by it past the rules.
func (c *checker) families() {
	in := &c.Config.Intercept
	forwards, ok := c.Host.number("net/ipv6/conf/all/forwarding")
	if !ok || forwards == 0 || len(in.Sources) == 0 {
		return // without sources the interfaces' mail of both families is taken
	}
	told := map[string]bool{}
	for _, at := range c.ingress() {
		if told[at.link.Name] || at.family == familyIPv6 {
			continue
		}
		told[at.link.Name] = true
		for _, p := range at.link.global(true) {
			p = p.Masked()
			if !slices.ContainsFunc(in.Sources, p.Overlaps) {
				c.find(ipv6NotIntercepted, "intercept.sources", fmt.Sprintf("%s comes in by %s, which has IPv6 (%s), and this host forwards IPv6: MSAs that use it send past kanmon", at.what, at.link.Name, p),
					fmt.Sprintf("add %q to sources of [intercept], then: kanmon rules apply", p))
			}
		}
	}
}

// sendingRoutes: an address alone does not say by which way mail leaves from it.
func (c *checker) sendingRoutes() {
	for i, ip := range c.Config.SendingIPs {
		link := c.linkOf(ip.Address)
		if link == nil || link.Name == "lo" && ip.Address.IsLoopback() {
			continue
		}
		key := fmt.Sprintf("sending_ip[%d].address", i)
		route, err := c.Host.network().Route(far(ip.Address), ip.Address, c.Config.Intercept.Mark)
		switch {
		case errors.Is(err, ErrNoRoute):
			c.find(routeMissing, key, fmt.Sprintf("there is no route from %s to the Internet", ip.Address), fmt.Sprintf("ip route get %s from %s", far(ip.Address), ip.Address))
		case err != nil:
			c.unchecked("the route from "+ip.Address.String(), err.Error())
		case !sameWay(link, route.Interface):
			c.find(routeElsewhere, key, fmt.Sprintf("%s is an address of %s, and mail from it leaves by %s", ip.Address, link.Name, route.Interface),
				fmt.Sprintf("ip rule add from %s lookup 100 && ip route add default via GATEWAY dev %s table 100", ip.Address, link.Name))
			c.strictReplies(key, ip.Address, link, route.Interface)
		}
	}
}

// sameWay reports whether packets from an interface's address leave by it. Addresses of lo and of dummy interfaces leave by others.
func sameWay(l *Interface, out string) bool {
	return l.Loopback || l.Dummy || l.Name == out || l.Master == out
}

// strictReplies: with rp_filter = 1 the kernel takes a packet only by the interface that it would answer by.
func (c *checker) strictReplies(key string, ip netip.Addr, l *Interface, out string) {
	if n, file := c.Host.effective(l.Name, "rp_filter"); n == 1 && ip.Is4() {
		c.find(replyFiltered, key, fmt.Sprintf("answers to %s that come in by %s are dropped (%s = 1), since the way back leads by %s", ip, l.Name, dotted(file), out), "sysctl -w net.ipv4.conf."+l.Name+".rp_filter=2")
	}
}

// reversePaths: the same for the MSAs' packets, where interfaces are named.
func (c *checker) reversePaths() {
	in := &c.Config.Intercept
	var links []*Interface
	for _, name := range in.Interfaces {
		links = append(links, c.named(name)...)
	}
	for i, source := range in.Sources {
		c.strictSources(fmt.Sprintf("intercept.sources[%d]", i), source, links)
	}
	for i, t := range c.Config.Tenants {
		links = nil
		for _, name := range t.Interfaces {
			links = append(links, c.named(name)...)
		}
		for j, source := range t.Sources {
			c.strictSources(fmt.Sprintf("tenant[%d].sources[%d]", i, j), source, links)
		}
		// Wires of their own may have the same addresses as others.
		for _, l := range links {
			for _, network := range l.global(false) {
				c.strictSources(fmt.Sprintf("tenant[%d].interfaces", i), network.Masked(), []*Interface{l})
			}
		}
	}
}

// strictSources: the way back to a network leads by none of the interfaces that its packets come in by.
func (c *checker) strictSources(key string, network netip.Prefix, links []*Interface) {
	if len(links) == 0 || network.Addr().Is6() {
		return
	}
	back := c.toward(network)
	if back == nil || slices.Contains(links, back) {
		return
	}
	for _, l := range links {
		if n, file := c.Host.effective(l.Name, "rp_filter"); n == 1 {
			c.find(sourceFiltered, key, fmt.Sprintf("packets from %s that come in by %s are dropped (%s = 1), since the way back leads by %s", network, l.Name, dotted(file), back.Name), "sysctl -w net.ipv4.conf."+l.Name+".rp_filter=2")
		}
	}
}

// bridges: with bridge-netfilter what is only switched passes the firewall rules, too.
func (c *checker) bridges() {
	for _, name := range []string{"net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"} {
		if n, ok := c.Host.number(name); !ok || n == 0 {
			continue
		}
		for _, at := range c.ingress() {
			if at.link.Kind == "bridge" {
				c.findAt(bridgeNetfilter, dotted(name), fmt.Sprintf("1, and %s comes in by the bridge %s", at.what, at.link.Name), "sysctl -w "+dotted(name)+"=0")
				break
			}
		}
	}
}

// conntrack: where the table is full, the kernel drops new connections of everybody.
func (c *checker) conntrack() {
	count, ok := c.Host.number("net/netfilter/nf_conntrack_count")
	most, known := c.Host.number("net/netfilter/nf_conntrack_max")
	if ok && known && most > 0 && count*5 >= most*4 {
		c.findAt(conntrackFilling, "net.netfilter.nf_conntrack_count", fmt.Sprintf("%d of %d entries are in use", count, most), fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*most))
	}
}

// policyRoutes: tproxy's packets come to this host by a policy route alone.
func (c *checker) policyRoutes() {
	in := &c.Config.Intercept
	if in.Mode != intercept.TProxy || c.unguarded {
		return
	}
	for _, v6 := range []bool{false, true} {
		if !in.ListensFor(!v6) {
			continue
		}
		rule, route, err := c.Host.network().PolicyRoute(v6, in.TProxyMark, in.TProxyTable)
		switch {
		case err != nil:
			c.unchecked("the policy route of "+familyName(v6), err.Error())
		case !rule || !route:
			missing := "the rule"
			if rule {
				missing = "the route"
			}
			c.find(policyRouteMissing, "intercept.mode", fmt.Sprintf("%s of tproxy's policy route of %s is missing (mark %#x, table %d)", missing, familyName(v6), in.TProxyMark, in.TProxyTable), "")
		}
	}
}
