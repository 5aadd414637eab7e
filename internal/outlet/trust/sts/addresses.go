package sts

import (
	"fmt"
	"net/netip"
	"syscall"
)

// Whoever has a domain chooses where its policy host is, and kanmon connects to it: from inside of a network, where it may reach what the domain's
// owner cannot. So only addresses of the Internet at large are connected to.

// public are the addresses that IANA has given out, inside of which special has those that lead elsewhere.
var public = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("2000::/3")}

// special are addresses that are no host's on the Internet (RFC 6890 and the registries of IANA), and those in which another address is wrapped.
// What is no unicast address, private or link-local is known to package netip.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // RFC 6598: behind a carrier's NAT
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), // Teredo, ORCHID, benchmarks
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4
	netip.MustParsePrefix("3fff::/20"),
}

// isPublic reports whether an address is that of a host on the Internet. IPv4 addresses in IPv6 ones are not, neither mapped nor of NAT64
// (64:ff9b::/96, 64:ff9b:1::/48): what stands in them is routed by a network that kanmon knows nothing of.
func isPublic(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	known := false
	for _, p := range public {
		known = known || p.Contains(a)
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return known
}

// refuseInside is for [net.Dialer.Control]: it sees the address that is connected to, whatever was looked up before.
func refuseInside(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read the address %q: %w", address, err)
	}
	if !isPublic(to.Addr()) {
		return fmt.Errorf("%s is no address of the public Internet, and a policy host may not be elsewhere", to.Addr())
	}
	return nil
}
