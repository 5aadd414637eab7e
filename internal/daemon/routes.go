package daemon

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"kanmon/internal/config"
	"kanmon/internal/outlet"
	"kanmon/internal/outlet/dial"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/route"
	"kanmon/internal/policy/contain"
)

// Router makes the router that a configuration asks for, on a host that has all sending IPs.
func Router(cfg *config.Config) (*route.Router, error) {
	routes, err := routesOf(cfg)
	if err != nil {
		return nil, err
	}
	return route.NewRouter(routes)
}

// routesOf returns the pools, tenants and routes of a configuration.
func routesOf(cfg *config.Config) (route.Config, error) {
	r := route.Config{Pools: poolsOf(cfg), Unknown: cfg.Senders.UnknownTenant}
	accounts, err := accountsOf(cfg)
	if err != nil {
		return r, err
	}
	for _, t := range cfg.Tenants {
		r.Tenants = append(r.Tenants, route.Tenant{
			Name: t.Name, Port: uint16(t.ListenPort), Sources: t.Sources, SenderDomains: t.SenderDomains, Pool: t.Pool,
			Fold: accounts(t.Name).Fold, AllSenders: t.Kind == contain.Forwarder,
		})
	}
	for i, c := range cfg.Routes {
		r.Routes = append(r.Routes, route.Route{
			Name:             fmt.Sprintf("route %d (line %d)", i+1, cfg.Line(fmt.Sprintf("route[%d]", i))),
			Tenants:          c.Tenants,
			Senders:          c.Senders,
			SenderDomains:    c.SenderDomains,
			NullSender:       c.NullSender,
			RecipientDomains: c.RecipientDomains,
			Providers:        c.Providers,
			Destinations:     c.Destinations,
			SuspicionMin:     c.SuspicionMin,
			Pool:             c.Pool,
		})
	}
	return r, nil
}

// poolsOf returns the pools in the order of their names. Without any there is one of all sending IPs, whose choice does not
// depend on the sender: nothing in the file asks for a second connection.
func poolsOf(cfg *config.Config) []route.Pool {
	names := map[netip.Addr]string{}
	all := route.Pool{Name: route.DefaultPool}
	for _, ip := range cfg.SendingIPs {
		names[ip.Address] = ip.EHLO
		all.IPs = append(all.IPs, weighted(ip.Address, ip.EHLO, 1))
	}
	if len(cfg.Pools) == 0 {
		return []route.Pool{all}
	}
	var pools []route.Pool
	for _, name := range slices.Sorted(maps.Keys(cfg.Pools)) {
		c := cfg.Pools[name]
		p := route.Pool{Name: name, BySender: c.Sticky == config.StickySenderDomain, HighRisk: c.HighRisk}
		for _, ip := range c.IPs {
			p.IPs = append(p.IPs, weighted(ip, names[ip], cmp.Or(c.Weights[ip], 1)))
		}
		pools = append(pools, p)
	}
	return pools
}

func weighted(address netip.Addr, name string, weight int) route.WeightedIP {
	return route.WeightedIP{SendingIP: route.SendingIP{Address: address, Name: name}, Weight: weight}
}

// sendingIPsOf returns the sending IPs, and what the operator says of the absence of each.
func sendingIPsOf(cfg *config.Config) (list []outlet.SendingIP) {
	for _, ip := range cfg.SendingIPs {
		list = append(list, outlet.SendingIP{Address: ip.Address, Required: ip.Required, Floating: ip.Floating, Path: ip.Path})
	}
	return list
}

// dialling is how MXs are connected to.
func (d *Daemon) dialling(cfg *config.Config) dial.Config {
	c := dial.Config{Mark: cfg.Intercept.Mark, Guard: d.loops}
	for i := range cfg.SendingIPs {
		if first, last, some := cfg.SendingIPs[i].PortRange(); some {
			if c.Ports == nil {
				c.Ports = make(map[netip.Addr]dial.Ports)
			}
			c.Ports[cfg.SendingIPs[i].Address] = dial.Ports{First: first, Last: last}
		}
	}
	return c
}

// watchSendingIPs says which sending IPs there are, and which of them warm up.
func (d *Daemon) watchSendingIPs(cfg *config.Config) {
	d.outlets.Watch(sendingIPsOf(cfg), poolsOf(cfg))
	d.outlets.Warming().Configure(warmUpsOf(cfg))
}

// Providers makes the set of providers that a configuration asks for.
func Providers(cfg *config.Config) *provider.Set { return provider.NewSet(cfg.Providers()) }
