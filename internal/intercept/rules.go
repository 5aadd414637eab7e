package intercept

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Rules says what the firewall shall intercept. Text renders it, Apply loads it.
type Rules struct {
	Mode       Mode
	Listen     []netip.AddrPort // where the Listener listens: one port, not 25
	Dedicated  []Dedicated      // ports for some interfaces alone, at the same addresses
	Sources    []netip.Prefix   // MSAs whose forwarded mail is intercepted; none: all that come in by Interfaces
	Interfaces []string         // interfaces they come in by ("msa*" matches a prefix); none: any
	Local      bool             // intercept this host's own mail too
	User       string           // with Local: user name or uid whose mail is let through, as kanmon runs as
	Mark       uint32           // with Local: SO_MARK that is let through, as kanmon dials with; 0: none
	Table      string           // name of the nftables table; "": "kanmon"

	// Families without a sending IP: their mail is refused with a RST, so that MSAs take the MX's other family at once.
	NoIPv4, NoIPv6 bool

	// The tproxy mode's policy route: the firewall mark that leads to kanmon, and the number of its routing table.
	RouteMark  uint32 // 0: DefaultRouteMark
	RouteTable uint32 // 0: DefaultRouteTable
}

// Dedicated is a port that gets all the mail that comes in by some interfaces, before Sources and Interfaces are looked at.
type Dedicated struct {
	Port       uint16
	Interfaces []string // none: rules that are not kanmon's lead to the port
}

// Defaults of the tproxy mode's policy route. The mark is one bit, set and looked at alone, and none of kube-proxy's (0x4000, 0x8000),
// Calico's (0xffff0000), Cilium's (0x0f00), Tailscale's (0xff0000), the portmap plugin's (0x2000) or of AWS' VPC (0x80).
const (
	DefaultRouteMark  = 0x1000
	DefaultRouteTable = 27501
)

// routePriority stands before the rules that VPNs add, which would catch marked packets as well. Without a number of its own the
// kernel would take the same rule again and again.
const routePriority = 250

var (
	tableName     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,30}$`)
	interfaceName = regexp.MustCompile(`^[A-Za-z0-9._:@-]{1,15}\*?$`)
	userName      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,31}$`)
)

// Validate says what is wrong with the rules; several errors are joined.
func (r Rules) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(len(r.Listen) > 0, "no listen address")
	for _, a := range r.Listen {
		check(a.Port() != 0 && a.Port() != 25, "listen address %s: the port must not be 0 or 25", a)
		check(a.Port() == r.Listen[0].Port(), "listen addresses %s and %s: all must have the same port", r.Listen[0], a)
	}
	r.validateDedicated(check)
	check(r.forwarded() || r.Local, "nothing to intercept: no sources, no interfaces, and not this host's own mail")
	for _, p := range r.Sources {
		check(p.IsValid() && !p.Addr().Is4In6(), "source %s is not an IPv4 or IPv6 prefix", p)
	}
	for _, name := range r.Interfaces {
		check(interfaceName.MatchString(name), "interface %q is not an interface name", name)
	}
	check(!r.Local || r.User != "" || r.Mark != 0, "this host's own mail: kanmon's own needs an exclusion, by user or by mark")
	check(r.User == "" || userName.MatchString(r.User), "user %q is not a user name or uid", r.User)
	check(!r.NoIPv4 || !r.NoIPv6, "neither family has a sending IP: nothing would be intercepted")
	check(tableName.MatchString(r.table()), "table %q is not a table name", r.Table)
	if r.Mode == TProxy {
		both := r.Mark & r.routeMark()
		check(r.Mark == 0 || both != r.Mark && both != r.routeMark(), "kanmon's own mark %#x and the policy route's %#x are looked at bit by bit, and one contains the other", r.Mark, r.routeMark())
		check(r.routeTable() < 253 || r.routeTable() > 255, "routing table %d belongs to the system", r.routeTable())
	} else {
		r.validateRedirect(check)
	}
	return errors.Join(errs...)
}

func (r Rules) validateDedicated(check func(bool, string, ...any)) {
	ports, interfaces := map[uint16]bool{25: true, 0: true, r.port(): true}, map[string]bool{}
	for _, d := range r.Dedicated {
		check(!ports[d.Port], "dedicated port %d: it must be one of its own, and not 0 or 25", d.Port)
		ports[d.Port] = true
		for _, name := range d.Interfaces {
			check(interfaceName.MatchString(name), "interface %q is not an interface name", name)
			check(!interfaces[name], "interface %q has two dedicated ports", name)
			interfaces[name] = true
		}
	}
}

// validateRedirect finds listeners that redirected connections would never reach: for forwarded ones the destination becomes an
// address of the incoming interface, for this host's own the loopback address.
func (r Rules) validateRedirect(check func(bool, string, ...any)) {
	if len(r.Listen) == 0 {
		return
	}
	reachable := func(ok func(netip.Addr) bool) bool {
		return slices.ContainsFunc(r.Listen, func(a netip.AddrPort) bool { return a.Addr().IsUnspecified() || ok(a.Addr()) })
	}
	check(!r.forwarded() || reachable(func(a netip.Addr) bool { return !a.IsLoopback() }),
		"redirect of forwarded mail: it comes to the address of the incoming interface, but only loopback addresses are listened on")
	check(!r.Local || reachable(netip.Addr.IsLoopback),
		"redirect of this host's own mail: it comes to 127.0.0.1 and ::1, but neither is listened on")
}

func (r Rules) forwarded() bool {
	return len(r.Sources)+len(r.Interfaces) > 0 || slices.ContainsFunc(r.Dedicated, func(d Dedicated) bool { return len(d.Interfaces) > 0 })
}

func (r Rules) table() string {
	if r.Table == "" {
		return "kanmon"
	}
	return r.Table
}

func (r Rules) routeMark() uint32 {
	if r.RouteMark == 0 {
		return DefaultRouteMark
	}
	return r.RouteMark
}

func (r Rules) routeTable() uint32 {
	if r.RouteTable == 0 {
		return DefaultRouteTable
	}
	return r.RouteTable
}

func (r Rules) port() uint16 {
	if len(r.Listen) == 0 {
		return 0
	}
	return r.Listen[0].Port()
}

// A family is what the rules need to know of an address family.
type family struct {
	title    string
	name     string // in nft's matches on addresses
	nfproto  string // in nft's match on the family
	flag     string // of ip(8)
	sources  string // the table's set of them
	loopback string
	errors   string // match of the ICMP messages about a connection's packets
	is       func(netip.Addr) bool
}

var (
	ipv4 = family{"IPv4", "ip", "ipv4", "-4", "sources4", "127.0.0.1", "icmp type { destination-unreachable, time-exceeded, parameter-problem }", netip.Addr.Is4}
	ipv6 = family{"IPv6", "ip6", "ipv6", "-6", "sources6", "[::1]", "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }", netip.Addr.Is6}
)

// listens reports whether a family is listened on. Mail of one that is not is refused, not let through.
func (r Rules) listens(f family) bool {
	return slices.ContainsFunc(r.Listen, func(a netip.AddrPort) bool {
		return f.is(a.Addr().Unmap()) || a.Addr() == netip.IPv6Unspecified()
	})
}

// refused gives the families whose mail is refused.
func (r Rules) refused() (list []family) {
	for _, f := range []family{ipv4, ipv6} {
		if r.refuses(f) {
			list = append(list, f)
		}
	}
	return list
}

// refuses reports whether a family is one of them.
func (r Rules) refuses(f family) bool {
	return r.NoIPv4 && f.name == ipv4.name || r.NoIPv6 && f.name == ipv6.name
}

// takes reports whether kanmon gets a family's mail.
func (r Rules) takes(f family) bool { return r.listens(f) && !r.refuses(f) }

// target is where tproxy hands a family's connections for a port. For the wildcard address it is the loopback address, which the listener
// has too: left to itself, tproxy takes the incoming interface's address, and there may be none.
func (r Rules) target(f family, port uint16) string {
	for _, a := range r.Listen {
		if a := netip.AddrPortFrom(a.Addr().Unmap(), port); f.is(a.Addr()) && !a.Addr().IsUnspecified() {
			return a.String()
		}
	}
	return fmt.Sprintf("%s:%d", f.loopback, port)
}

// ComesTo is the address that a family's redirected connections are sent to, because it is not listened on at every address. The zero Addr
// stands for the address of the interface that they come in by, and for a family that is not listened on at all.
func (r Rules) ComesTo(v6 bool) (address netip.Addr) {
	for _, a := range r.Listen {
		switch addr := a.Addr().Unmap(); {
		case addr.IsUnspecified() && (addr.Is6() || !v6):
			return netip.Addr{}
		case addr.Is6() == v6 && !addr.IsLoopback() && !address.IsValid():
			address = addr
		}
	}
	return address
}

// fixed is ComesTo as nft wants it; "" for the zero Addr.
func (r Rules) fixed(f family) string {
	switch address := r.ComesTo(f.name == ipv6.name); {
	case !address.IsValid():
		return ""
	case address.Is6():
		return "[" + address.String() + "]"
	default:
		return address.String()
	}
}

// A match is the beginning of a rule for forwarded mail, and the port that the mail goes to.
type match struct {
	text string
	port uint16
}

// of gives the beginning of the rule for one family; ok is false if it is for the other family's sources.
func (m match) of(f family) (text string, ok bool) {
	switch {
	case strings.Contains(m.text, f.name+" saddr "):
		return m.text, true
	case strings.Contains(m.text, " saddr "):
		return "", false
	default:
		return m.text + "meta nfproto " + f.nfproto + " ", true
	}
}

// matches gives what dedicated ports take, and then interface × sources.
func (r Rules) matches() (list []match) {
	for _, d := range r.Dedicated {
		for _, name := range d.Interfaces {
			list = append(list, match{fmt.Sprintf("iifname %q ", name), d.Port})
		}
	}
	if len(r.Sources)+len(r.Interfaces) == 0 {
		return list
	}
	interfaces := []string{""}
	if len(r.Interfaces) > 0 {
		interfaces = nil
		for _, name := range r.Interfaces {
			interfaces = append(interfaces, fmt.Sprintf("iifname %q ", name))
		}
	}
	for _, i := range interfaces {
		if len(r.Sources) == 0 {
			list = append(list, match{i, r.port()})
		}
		for _, f := range []family{ipv4, ipv6} {
			if len(r.sourcesOf(f)) > 0 {
				list = append(list, match{fmt.Sprintf("%s%s saddr @%s ", i, f.name, f.sources), r.port()})
			}
		}
	}
	return list
}

func (r Rules) sourcesOf(f family) []string {
	var list []string
	for _, p := range r.Sources {
		if f.is(p.Addr()) {
			list = append(list, p.Masked().String())
		}
	}
	return list
}

// ports are all that are listened on, as nft matches them.
func (r Rules) ports() string {
	if len(r.Dedicated) == 0 {
		return strconv.Itoa(int(r.port()))
	}
	text := fmt.Sprintf("{ %d", r.port())
	for _, d := range r.Dedicated {
		text += fmt.Sprintf(", %d", d.Port)
	}
	return text + " }"
}

// marked matches a mark, whatever other programs have added to it.
func marked(mark uint32) string { return fmt.Sprintf("meta mark & %#x == %#x", mark, mark) }

// setMark adds to the marks of other programs.
func setMark(mark uint32) string { return fmt.Sprintf("meta mark set meta mark | %#x", mark) }

// unsetMark takes that away again.
func unsetMark(mark uint32) string { return fmt.Sprintf("meta mark set meta mark & %#x", ^mark) }

// exclusions are the matches of kanmon's own traffic.
func (r Rules) exclusions() []string {
	var list []string
	if r.User != "" {
		list = append(list, "meta skuid "+r.quotedUser())
	}
	if r.Mark != 0 {
		list = append(list, marked(r.Mark))
	}
	return list
}

// quotedUser is the user as nft wants it.
func (r Rules) quotedUser() string {
	if strings.Trim(r.User, "0123456789") == "" {
		return r.User
	}
	return strconv.Quote(r.User)
}
