package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Street is a world of three hosts in a row: all MSAs, the gateway, and all of the Internet.
//
//	inside ── gateway  203.0.113.1 (.10 to .14) ── outside
//
// Inside and outside own whole networks, so that thousands of MSAs and MXs cost nothing: programs listen on and connect from
// whatever address they like. What goes to SilentNet gets no answer.
type Street struct {
	Inside, Gateway, Outside *Host
}

// Networks of a street. Hosts inside have an address in both families.
var (
	insideNets  = []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16"), netip.MustParsePrefix("10.78.0.0/16"), netip.MustParsePrefix("fd77::/32"), netip.MustParsePrefix("fd78::/32")}
	outsideNets = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("198.18.0.0/16"), netip.MustParsePrefix("192.0.2.53/32"), netip.MustParsePrefix("2001:db8:51::/48")}

	// SilentNet is where nobody is.
	SilentNet = netip.MustParsePrefix("198.19.0.0/16")
	// StreetDNS is the address of the name server outside, which the gateway asks.
	StreetDNS = netip.MustParseAddr("192.0.2.53")
)

// StreetSendingIPs are the gateway's addresses that mail may leave from, the IPv6 ones behind those of IPv4.
func StreetSendingIPs() (ips []netip.Addr) {
	for _, format := range []string{"203.0.113.%d", "2001:db8:71::%d"} {
		for n := 10; n <= 14; n++ {
			ips = append(ips, netip.MustParseAddr(fmt.Sprintf(format, n)))
		}
	}
	return ips
}

// NewStreet builds the world. Nothing runs in it yet; the name server is the caller's.
func NewStreet(lab *Lab) (*Street, error) {
	s := new(Street)
	for _, h := range []struct {
		host **Host
		name string
	}{{&s.Inside, "inside"}, {&s.Gateway, "gateway"}, {&s.Outside, "outside"}} {
		host, err := lab.Host(h.name)
		if err != nil {
			return nil, fmt.Errorf("build the street: %w", err)
		}
		*h.host = host
	}
	if err := s.wire(lab); err != nil {
		return nil, fmt.Errorf("build the street: %w", err)
	}
	return s, errors.Join(s.tune(), s.Gateway.UseDNS(StreetDNS))
}

func (s *Street) wire(lab *Lab) error {
	prefixes := func(texts ...string) (all []netip.Prefix) {
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	err := lab.Link(
		Port{Host: s.Inside, Addresses: prefixes("10.99.0.2/30", "fd99::2/64")},
		Port{Host: s.Gateway, Addresses: prefixes("10.99.0.1/30", "fd99::1/64")})
	if err != nil {
		return err
	}
	err = lab.Link(
		Port{Host: s.Gateway, Name: "out0", Addresses: prefixes("203.0.113.1/24", "2001:db8:71::1/64")},
		Port{Host: s.Outside, Addresses: prefixes("203.0.113.254/24", "2001:db8:71::fe/64")})
	if err != nil {
		return err
	}
	for _, ip := range StreetSendingIPs() {
		err = errors.Join(err, s.Gateway.Address("out0", netip.PrefixFrom(ip, ip.BitLen())))
	}
	err = errors.Join(err, s.Gateway.Forward(), s.Inside.Own(insideNets...), s.Outside.Own(outsideNets...),
		s.Outside.IP("route add blackhole "+SilentNet.String()),
		defaultRoutes(s.Inside, netip.MustParsePrefix("10.99.0.1/30"), netip.MustParsePrefix("fd99::1/64")),
		defaultRoutes(s.Gateway, netip.MustParsePrefix("203.0.113.254/24"), netip.MustParsePrefix("2001:db8:71::fe/64")),
		defaultRoutes(s.Outside, netip.MustParsePrefix("203.0.113.1/24"), netip.MustParsePrefix("2001:db8:71::1/64")))
	for _, network := range insideNets {
		via := netip.MustParseAddr("10.99.0.2")
		if network.Addr().Is6() {
			via = netip.MustParseAddr("fd99::2")
		}
		err = errors.Join(err, s.Gateway.Route(network.String(), via))
	}
	return err
}

// tune lets ports be used again soon and queues be long: a run makes more connections than there are ports.
func (s *Street) tune() error {
	var err error
	for _, h := range []*Host{s.Inside, s.Gateway, s.Outside} {
		err = errors.Join(err,
			h.Sysctl("net.ipv4.ip_local_port_range", "1024 65000"),
			h.Sysctl("net.ipv4.ip_local_reserved_ports", "10000-13999"), // a program that begins later still finds its port free
			h.Sysctl("net.ipv4.tcp_tw_reuse", "1"),
			h.Sysctl("net.core.somaxconn", "16384"),
			h.Sysctl("net.ipv4.tcp_max_syn_backlog", "16384"))
	}
	return err
}

// StreetConfig is the part of kanmon's configuration that belongs to the street: what is intercepted, and the sending IPs. The
// last of each family are the pool "risky".
func StreetConfig() string {
	var config strings.Builder
	fmt.Fprintf(&config, `
[intercept]
mode    = "redirect"
listen  = ["0.0.0.0:%d", "[::]:%d"]
sources = ["10.77.0.0/16", "fd77::/32"]
mark    = 0x2525
`, KanmonPort, KanmonPort)
	var pools [2][]string
	for _, ip := range StreetSendingIPs() {
		text := ip.String()
		last := text[len(text)-2:]
		fmt.Fprintf(&config, "\n[[sending_ip]]\naddress = %q\nehlo    = \"out%s.example\"\n", text, last)
		pool := 0
		if last == "14" {
			pool = 1
		}
		pools[pool] = append(pools[pool], strconv.Quote(text))
	}
	fmt.Fprintf(&config, "\n[pool.default]\nips = [%s]\n\n[pool.risky]\nips = [%s]\nhigh_risk = true\n",
		strings.Join(pools[0], ", "), strings.Join(pools[1], ", "))
	return config.String()
}
