package check

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Network is what the kernel says of interfaces and routes. Asking needs no privilege.
type Network interface {
	Interfaces() ([]Interface, error)
	// Route says how a packet leaves, from an address (the zero one: the kernel's choice) and with a firewall mark.
	Route(to, from netip.Addr, mark uint32) (Route, error)
	// PolicyRoute says whether packets with a mark are looked up in a table, and whether the table leads all of them to this host.
	PolicyRoute(v6 bool, mark, table uint32) (rule, route bool, err error)
}

// An Interface of this host, with its addresses.
type Interface struct {
	Name      string
	Loopback  bool
	Dummy     bool   // it leads nowhere: its addresses are used by way of others
	Master    string // bridge, bond or the like that it is a port of
	Kind      string // "bridge", "vrf", …
	Addresses []netip.Prefix
	Primary   []netip.Prefix // of IPv4, that the kernel chooses from: the first one of each network
}

// global reports whether the interface has an address of a family that other hosts can use.
func (i *Interface) global(v6 bool) (list []netip.Prefix) {
	for _, p := range i.Addresses {
		if p.Addr().Is6() == v6 && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsLoopback() {
			list = append(list, p)
		}
	}
	return list
}

// A Route is where the kernel sends a packet.
type Route struct {
	Interface string
	Source    netip.Addr // that it leaves from
	Gateway   netip.Addr // that it is handed to; zero: the destination itself
	Local     bool       // it ends at this host
}

// ErrNoRoute is what Route returns where there is no way.
var ErrNoRoute = errors.New("no route")

// kernel is the [Network] of the network namespace that this thread is in.
type kernel struct{}

func (kernel) Interfaces() ([]Interface, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	list := make([]Interface, 0, len(links))
	at := map[int]int{}
	for _, l := range links {
		a := l.Attrs()
		at[a.Index] = len(list)
		list = append(list, Interface{
			Name: a.Name, Loopback: a.Flags&net.FlagLoopback != 0, Dummy: l.Type() == "dummy", Master: names[a.MasterIndex], Kind: l.Type(),
		})
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addresses {
		i, known := at[a.LinkIndex]
		ip, ok := netip.AddrFromSlice(a.IP)
		if !known || !ok {
			continue
		}
		ones, _ := a.Mask.Size()
		p := netip.PrefixFrom(ip.Unmap(), ones)
		list[i].Addresses = append(list[i].Addresses, p)
		if p.Addr().Is4() && a.Flags&unix.IFA_F_SECONDARY == 0 && a.Scope == unix.RT_SCOPE_UNIVERSE {
			list[i].Primary = append(list[i].Primary, p)
		}
	}
	return list, nil
}

func (kernel) Route(to, from netip.Addr, mark uint32) (Route, error) {
	options := &netlink.RouteGetOptions{Mark: mark}
	if from.IsValid() {
		options.SrcAddr = from.AsSlice()
	}
	found, err := netlink.RouteGetWithOptions(to.AsSlice(), options)
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), err == nil && len(found) == 0:
		return Route{}, fmt.Errorf("%w to %s", ErrNoRoute, to)
	case err != nil:
		return Route{}, fmt.Errorf("ask for the route to %s: %w", to, err)
	}
	link, err := netlink.LinkByIndex(found[0].LinkIndex)
	if err != nil {
		return Route{}, fmt.Errorf("ask for the route to %s: %w", to, err)
	}
	source, _ := netip.AddrFromSlice(found[0].Src) // zero where there is none, as the gateway
	gateway, _ := netip.AddrFromSlice(found[0].Gw)
	return Route{Interface: link.Attrs().Name, Source: source.Unmap(), Gateway: gateway.Unmap(), Local: found[0].Type == unix.RTN_LOCAL}, nil
}

func (kernel) PolicyRoute(v6 bool, mark, table uint32) (rule, route bool, err error) {
	family := netlink.FAMILY_V4
	if v6 {
		family = netlink.FAMILY_V6
	}
	rules, err := netlink.RuleList(family)
	if err != nil {
		return false, false, fmt.Errorf("list the policy rules: %w", err)
	}
	for _, r := range rules {
		rule = rule || r.Mark == mark && r.Table == int(table) && !r.Invert
	}
	routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: int(table)}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return rule, false, fmt.Errorf("list routing table %d: %w", table, err)
	}
	for _, r := range routes {
		everything := r.Dst == nil
		if r.Dst != nil {
			ones, _ := r.Dst.Mask.Size()
			everything = ones == 0
		}
		route = route || r.Type == unix.RTN_LOCAL && everything
	}
	return rule, route, nil
}
