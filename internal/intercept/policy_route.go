package intercept

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks policy rules and routes as kanmon's (rtnetlink(7)); /etc/iproute2/rt_protos leaves the number free. By it they
// are found whatever mark and table they were made with.
const routeProtocol = 107

// The mark and table of versions that set no protocol.
const (
	formerRouteMark  = 0x6b6d
	formerRouteTable = 27501
)

// A policyRoute leads one family's marked packets to this host: a rule, and a table with one route.
type policyRoute struct {
	family family
	mark   uint32 // and mask: other bits are other programs'
	table  uint32
}

// policyRoutes are those that the rules need.
func (r Rules) policyRoutes() []policyRoute {
	var list []policyRoute
	for _, f := range []family{ipv4, ipv6} {
		if r.Mode == TProxy && r.listens(f) {
			list = append(list, policyRoute{f, r.routeMark(), r.routeTable()})
		}
	}
	return list
}

func (f family) number() int {
	if f.name == ipv4.name {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (p policyRoute) rule() *netlink.Rule {
	rule := netlink.NewRule()
	rule.Family, rule.Priority, rule.Table = p.family.number(), routePriority, int(p.table)
	rule.Mark, rule.Mask, rule.Protocol = p.mark, &p.mark, routeProtocol
	return rule
}

func (p policyRoute) route() (*netlink.Route, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	everything, err := netlink.ParseIPNet(p.family.everything())
	if err != nil {
		return nil, err
	}
	return &netlink.Route{
		Family: p.family.number(), Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Dst: everything,
		LinkIndex: lo.Attrs().Index, Table: int(p.table), Protocol: routeProtocol,
	}, nil
}

func (f family) everything() string {
	if f.name == ipv4.name {
		return "0.0.0.0/0"
	}
	return "::/0"
}

// put makes the rule and the route, where they are missing.
func (p policyRoute) put() error {
	rule, route, err := p.there()
	if err != nil {
		return err
	}
	if !route {
		route, err := p.route()
		if err == nil {
			err = netlink.RouteAdd(route)
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s: add the route to lo in table %d: %w", p.family.title, p.table, err)
		}
	}
	if !rule {
		if err := netlink.RuleAdd(p.rule()); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s: add the rule for mark %#x: %w", p.family.title, p.mark, err)
		}
	}
	return nil
}

// there reports what of it there is.
func (p policyRoute) there() (rule, route bool, err error) {
	rules, err := rulesOf(p.family)
	if err != nil {
		return false, false, err
	}
	rule = slices.ContainsFunc(rules, p.isRule)
	routes, err := routesOf(p.family, int(p.table))
	return rule, slices.ContainsFunc(routes, leadsHere), err
}

func (p policyRoute) isRule(rule netlink.Rule) bool {
	return rule.Table == int(p.table) && rule.Mark == p.mark && rule.Mask != nil && *rule.Mask == p.mark && !rule.Invert &&
		rule.Priority == routePriority && rule.Src == nil && rule.Dst == nil && rule.IifName == "" && rule.OifName == ""
}

// leadsHere reports whether a route brings everything to this host.
func leadsHere(route netlink.Route) bool {
	ones := 0
	if route.Dst != nil {
		ones, _ = route.Dst.Mask.Size()
	}
	return route.Type == unix.RTN_LOCAL && ones == 0
}

// clearPolicyRoutes takes away all that kanmon has ever made, but for what is still needed.
func clearPolicyRoutes(needed []policyRoute) error {
	var errs []error
	for _, f := range []family{ipv4, ipv6} {
		rules, err := rulesOf(f)
		errs = append(errs, err)
		routes, err := routesOf(f, unix.RT_TABLE_UNSPEC)
		errs = append(errs, err)
		tables := map[int]bool{}
		for _, rule := range rules {
			if !ownRule(rule, routes) {
				continue
			}
			if slices.ContainsFunc(needed, func(p policyRoute) bool { return p.family.name == f.name && p.isRule(rule) }) {
				continue
			}
			tables[rule.Table] = true
			if err := netlink.RuleDel(&rule); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("%s: delete the rule for mark %#x: %w", f.title, rule.Mark, err))
			}
		}
		for _, route := range routes {
			if !leadsHere(route) || route.Protocol != routeProtocol && !tables[route.Table] && route.Table != formerRouteTable {
				continue
			}
			if slices.ContainsFunc(needed, func(p policyRoute) bool { return p.family.name == f.name && int(p.table) == route.Table }) {
				continue
			}
			if err := netlink.RouteDel(&route); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("%s: delete the route of table %d: %w", f.title, route.Table, err))
			}
		}
	}
	return errors.Join(errs...)
}

// ownRule reports whether a rule is kanmon's. Versions that set no protocol are known by the priority, and by a table that has nothing
// but the route to this host.
func ownRule(rule netlink.Rule, routes []netlink.Route) bool {
	if rule.Protocol == routeProtocol {
		return true
	}
	if rule.Priority != routePriority || rule.Mark == 0 || rule.Src != nil || rule.Dst != nil {
		return false
	}
	if rule.Mark == formerRouteMark && rule.Table == formerRouteTable {
		return true
	}
	here, other := 0, 0
	for _, route := range routes {
		switch {
		case route.Table != rule.Table:
		case leadsHere(route):
			here++
		default:
			other++
		}
	}
	return here == 1 && other == 0
}

func rulesOf(f family) ([]netlink.Rule, error) {
	return dump(f, func() ([]netlink.Rule, error) { return netlink.RuleList(f.number()) })
}

// routesOf gives the routes of a table; of all for RT_TABLE_UNSPEC.
func routesOf(f family, table int) ([]netlink.Route, error) {
	return dump(f, func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(f.number(), &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
	})
}

// dump reads a list of the kernel's, again if it changed meanwhile. A kernel without the family has none.
func dump[T any](f family, list func() ([]T, error)) (all []T, err error) {
	for range 5 {
		all, err = list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the %s policy routes: %w", f.title, err)
	}
	return all, nil
}
