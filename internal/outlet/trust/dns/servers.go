package dns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	miekg "github.com/miekg/dns"
)

// resolvConf is where a system names its resolvers.
const resolvConf = "/etc/resolv.conf"

// Servers returns the server that is given, such as "192.0.2.53" or "[2001:db8::53]:5353"; "": those of the system.
func Servers(given string) (list []string, err error) {
	if given != "" {
		host, port := given, "53"
		if a, err := netip.ParseAddrPort(given); err == nil {
			host, port = a.Addr().String(), fmt.Sprint(a.Port())
		}
		if _, err := netip.ParseAddr(host); err != nil {
			return nil, fmt.Errorf("resolver %q is not an address such as 192.0.2.53 or [2001:db8::53]:5353", given)
		}
		return []string{net.JoinHostPort(host, port)}, nil
	}
	system, err := miekg.ClientConfigFromFile(resolvConf)
	if err != nil {
		return nil, fmt.Errorf("read the system's resolvers: %w", err)
	}
	for _, s := range system.Servers {
		list = append(list, net.JoinHostPort(s, system.Port))
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s names no nameserver: name one", resolvConf)
	}
	return list, nil
}

// mostServers is how many servers a [Client] asks: the first ones. With more of them whoever waits for a dead zone waits for all.
const mostServers = 2

// A server is one that is asked.
type server struct {
	address string
	trusted bool // nobody can set the AD bit on the way (RFC 7672 section 2.1.3)

	// What the canary has found.
	answers   bool
	validates bool
	validated bool // at any time
	why       string
}

// isHere reports whether a server is on this host.
func isHere(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// inOrder returns the servers in the order in which they are asked: those that validate first.
func inOrder(list []server) []server {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b server) int {
		switch {
		case a.validates == b.validates:
			return 0
		case a.validates:
			return -1
		}
		return 1
	})
	return list
}
