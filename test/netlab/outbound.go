package netlab

import (
	"fmt"
	"net/netip"
)

// An Outbound is the usual world of a mail hosting platform: tenants behind a gateway, and MXs on the Internet.
//
//	msa1  10.20.1.10  ─┐
//	                   ├─ gateway  203.0.113.1 (.10, .11) ── internet (router, DNS) ── mx1  198.51.100.21
//	msa2  10.20.2.10  ─┘                                                            └─ mx2  198.51.100.22
//
// Everything has an IPv6 address as well. Nothing is translated (no NAT): mail that passes the gateway unseen arrives
// with the MSA's own address.
type Outbound struct {
	Lab      *Lab
	Internet *Host
	Gateway  *Host
	MSAs     []*Host
	MXs      []*Host
}

// OutboundOptions says how large the world is.
type OutboundOptions struct {
	Tenants int  // MSAs, each in a network of its own behind the gateway; may be 0
	MXs     int  // at least 1
	Zone    Zone // further DNS records
}

// Addresses of the gateway that mail may leave from, with their names.
var (
	SendingIPv4      = netip.MustParseAddr("203.0.113.10")
	SendingIPv6      = netip.MustParseAddr("2001:db8:71::10")
	OtherSendingIPv4 = netip.MustParseAddr("203.0.113.11")
	OtherSendingIPv6 = netip.MustParseAddr("2001:db8:71::11")
)

// Names of the sending IPs, as the DNS leads back to them.
const (
	SendingName      = "out10.example"
	OtherSendingName = "out11.example"
)

// DNSServer answers for all names of the world.
var DNSServer = netip.MustParseAddr("192.0.2.53")

var (
	internetV4     = netip.MustParsePrefix("203.0.113.254/24")
	internetV6     = netip.MustParsePrefix("2001:db8:71::fe/64")
	gatewayV4      = netip.MustParsePrefix("203.0.113.1/24")
	gatewayV6      = netip.MustParsePrefix("2001:db8:71::1/64")
	mxNetworkV4    = netip.MustParsePrefix("198.51.100.1/24")
	mxNetworkV6    = netip.MustParsePrefix("2001:db8:51::1/64")
	tenantsV4      = netip.MustParsePrefix("10.20.0.0/16")
	tenantsV6      = netip.MustParsePrefix("fd20::/32")
	sendingIPs     = []netip.Addr{SendingIPv4, SendingIPv6, OtherSendingIPv4, OtherSendingIPv6}
	defaultDomains = []struct{ domain, host string }{{"v4.mx%d.example", "a.mx%d.example"}, {"v6.mx%d.example", "aaaa.mx%d.example"}}
)

// MSAAddr is the address of tenant n, from 1.
func MSAAddr(n int, v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr(fmt.Sprintf("fd20:0:%d::10", n))
	}
	return netip.MustParseAddr(fmt.Sprintf("10.20.%d.10", n))
}

// MXAddr is the address of MX n, from 1.
func MXAddr(n int, v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:51::%d", 20+n))
	}
	return netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", 20+n))
}

// Domain is a mail domain whose only MX is MX n, reached over the one family only.
func Domain(n int, v6 bool) string {
	if v6 {
		return fmt.Sprintf(defaultDomains[1].domain, n)
	}
	return fmt.Sprintf(defaultDomains[0].domain, n)
}

// MXName is the name of MX n with addresses of both families.
func MXName(n int) string { return fmt.Sprintf("mx%d.example", n) }

// NewOutbound builds the world. No mail server runs in it yet.
func NewOutbound(lab *Lab, options OutboundOptions) (*Outbound, error) {
	w := &Outbound{Lab: lab}
	steps := []func(OutboundOptions) error{w.buildCore, w.buildMXs, w.buildTenants, w.serveNames}
	for _, step := range steps {
		if err := step(options); err != nil {
			return nil, fmt.Errorf("build the lab: %w", err)
		}
	}
	return w, nil
}

func (w *Outbound) buildCore(OutboundOptions) (err error) {
	if w.Internet, err = w.Lab.Host("internet"); err != nil {
		return err
	}
	if w.Gateway, err = w.Lab.Host("gateway"); err != nil {
		return err
	}
	err = w.Lab.Link(
		Port{Host: w.Gateway, Name: "out0", Addresses: []netip.Prefix{gatewayV4, gatewayV6}},
		Port{Host: w.Internet, Name: "gw0", Addresses: []netip.Prefix{internetV4, internetV6}},
	)
	if err != nil {
		return err
	}
	for _, address := range sendingIPs {
		if err := w.Gateway.Address("out0", netip.PrefixFrom(address, address.BitLen())); err != nil {
			return err
		}
	}
	for _, host := range []*Host{w.Internet, w.Gateway} {
		if err := host.Forward(); err != nil {
			return err
		}
	}
	if err := w.Internet.Bridge("br0", mxNetworkV4, mxNetworkV6); err != nil {
		return err
	}
	if err := w.Internet.Address("lo", netip.PrefixFrom(DNSServer, DNSServer.BitLen())); err != nil {
		return err
	}
	if err := defaultRoutes(w.Gateway, internetV4, internetV6); err != nil {
		return err
	}
	if err := w.Internet.Route(tenantsV4.String(), gatewayV4.Addr()); err != nil {
		return err
	}
	return w.Internet.Route(tenantsV6.String(), gatewayV6.Addr())
}

func (w *Outbound) buildMXs(options OutboundOptions) error {
	for n := 1; n <= options.MXs; n++ {
		host, err := w.Lab.Host(fmt.Sprintf("mx%d", n))
		if err != nil {
			return err
		}
		w.MXs = append(w.MXs, host)
		addresses := []netip.Prefix{
			netip.PrefixFrom(MXAddr(n, false), mxNetworkV4.Bits()),
			netip.PrefixFrom(MXAddr(n, true), mxNetworkV6.Bits()),
		}
		err = w.Lab.Link(Port{Host: host, Addresses: addresses},
			Port{Host: w.Internet, Name: fmt.Sprintf("mx%d", n), Bridge: "br0"})
		if err != nil {
			return err
		}
		if err := defaultRoutes(host, mxNetworkV4, mxNetworkV6); err != nil {
			return err
		}
	}
	return nil
}

func (w *Outbound) buildTenants(options OutboundOptions) error {
	for n := 1; n <= options.Tenants; n++ {
		host, err := w.Lab.Host(fmt.Sprintf("msa%d", n))
		if err != nil {
			return err
		}
		w.MSAs = append(w.MSAs, host)
		routerV4 := netip.MustParsePrefix(fmt.Sprintf("10.20.%d.1/24", n))
		routerV6 := netip.MustParsePrefix(fmt.Sprintf("fd20:0:%d::1/64", n))
		err = w.Lab.Link(
			Port{Host: host, Addresses: []netip.Prefix{
				netip.PrefixFrom(MSAAddr(n, false), routerV4.Bits()),
				netip.PrefixFrom(MSAAddr(n, true), routerV6.Bits()),
			}},
			Port{Host: w.Gateway, Name: fmt.Sprintf("msa%d", n), Addresses: []netip.Prefix{routerV4, routerV6}},
		)
		if err != nil {
			return err
		}
		if err := defaultRoutes(host, routerV4, routerV6); err != nil {
			return err
		}
	}
	return nil
}

func (w *Outbound) serveNames(options OutboundOptions) error {
	zone := options.Zone
	zone.Address(SendingName, SendingIPv4, SendingIPv6)
	zone.Address(OtherSendingName, OtherSendingIPv4, OtherSendingIPv6)
	zone.Address("gateway.example", gatewayV4.Addr(), gatewayV6.Addr())
	for n := range w.MSAs {
		zone.Address(fmt.Sprintf("msa%d.example", n+1), MSAAddr(n+1, false), MSAAddr(n+1, true))
	}
	for n := range w.MXs {
		// The first record of an address is the one that leads back from it.
		zone.Address(MXName(n+1), MXAddr(n+1, false), MXAddr(n+1, true))
		for i, d := range defaultDomains {
			host := fmt.Sprintf(d.host, n+1)
			zone.MX(fmt.Sprintf(d.domain, n+1), host, 10)
			zone.Address(host, MXAddr(n+1, i == 1))
		}
	}
	if err := w.Internet.ServeDNS(zone); err != nil {
		return err
	}
	for _, host := range append(append([]*Host{w.Gateway}, w.MSAs...), w.MXs...) {
		if err := host.UseDNS(DNSServer); err != nil {
			return err
		}
	}
	return nil
}

func defaultRoutes(host *Host, v4, v6 netip.Prefix) error {
	if err := host.Route("default", v4.Addr()); err != nil {
		return err
	}
	return host.Route("default", v6.Addr())
}
