package setup

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Host answers what [Host.Look] asks about the machine. The zero value asks this one; tests set fields.
type Host struct {
	Proc       string                                                   // "": "/proc"
	Interfaces func() ([]Interface, error)                              // nil: this host's
	LookupAddr func(ctx context.Context, addr string) ([]string, error) // the names of an address; nil: the host's resolver
}

// An Interface has addresses.
type Interface struct {
	Name      string
	Addresses []netip.Prefix // as they are set, with the length of their network
}

// A Sight is what was seen of a host.
type Sight struct {
	Networks []Network             // that may be those of MSAs
	Outside  []netip.Addr          // addresses that mail may leave from, by what is seen of them
	Names    map[netip.Addr]string // of addresses, as far as [Host.Name] has found them
	MSA      bool                  // something on this host listens on port 25
}

// A Network is one that the host has an interface in.
type Network struct {
	netip.Prefix
	Interface string
}

// lookupTime bounds all questions to DNS together.
const lookupTime = 5 * time.Second

// Look sees what there is. What it cannot see is not there.
func (h *Host) Look() Sight {
	interfaces := h.Interfaces
	if interfaces == nil {
		interfaces = hostInterfaces
	}
	all, err := interfaces()
	if err != nil {
		all = nil
	}
	s := Sight{MSA: h.listens(25)}
	out, passing := h.defaultRoutes(), h.passing()
	for _, i := range all {
		for _, a := range i.Addresses {
			inside := a.Addr().IsPrivate() || a.Addr().Is6()
			switch {
			case !a.Addr().IsGlobalUnicast() || passing[a.Addr()]:
			case slices.Contains(out, i.Name):
				s.Outside = append(s.Outside, a.Addr())
			case inside && !a.IsSingleIP():
				s.Networks = append(s.Networks, Network{a.Masked(), i.Name})
			}
		}
	}
	// An address of one's own network is an outside one only where there is no better.
	if public := slices.DeleteFunc(slices.Clone(s.Outside), netip.Addr.IsPrivate); len(public) > 0 {
		s.Outside = public
	}
	if len(s.Networks) == 0 {
		s.Networks = h.onlyNetworks(all)
	}
	return s
}

// Name asks DNS for the names of the outside addresses, and of others that somebody has named.
func (h *Host) Name(ctx context.Context, s *Sight, others ...netip.Addr) {
	s.Names = h.names(ctx, append(others, s.Outside...))
	// The large providers take no mail from an IPv6 address without a name, and most hosts have some that nobody has named.
	s.Outside = slices.DeleteFunc(s.Outside, func(a netip.Addr) bool { return a.Is6() && s.Names[a] == "" })
}

// onlyNetworks are those of a host with one interface, which MSAs may share with it.
func (h *Host) onlyNetworks(all []Interface) []Network {
	var networks []Network
	for _, i := range all {
		for _, a := range i.Addresses {
			if a.Addr().IsPrivate() && !a.IsSingleIP() {
				networks = append(networks, Network{a.Masked(), i.Name})
			}
		}
	}
	return networks
}

func hostInterfaces() ([]Interface, error) {
	found, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var all []Interface
	for _, i := range found {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue // it has gone meanwhile
		}
		one := Interface{Name: i.Name}
		for _, a := range addresses {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				one.Addresses = append(one.Addresses, prefix)
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// lines returns the fields of the lines of a file of /proc/net; none where there is no such file.
func (h *Host) lines(file string) [][]string {
	root := h.Proc
	if root == "" {
		root = "/proc"
	}
	f, err := os.Open(filepath.Join(root, "net", file))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	var all [][]string
	for in := bufio.NewScanner(f); in.Scan(); {
		all = append(all, strings.Fields(in.Text()))
	}
	return all
}

// listens reports whether a socket of this host, or of its network namespace, waits for connections on a port.
func (h *Host) listens(port uint16) bool {
	const listening = "0A"
	for _, file := range []string{"tcp", "tcp6"} {
		for _, l := range h.lines(file) {
			if len(l) < 4 || l[3] != listening {
				continue
			}
			_, hex, _ := strings.Cut(l[1], ":")
			if n, err := strconv.ParseUint(hex, 16, 16); err == nil && uint16(n) == port {
				return true
			}
		}
	}
	return false
}

// defaultRoutes are the interfaces that lead to the Internet.
func (h *Host) defaultRoutes() []string {
	var names []string
	for _, l := range h.lines("route") { // Iface Destination Gateway Flags RefCnt Use Metric Mask …
		if len(l) > 7 && l[1] == "00000000" && l[7] == "00000000" {
			names = append(names, l[0])
		}
	}
	for _, l := range h.lines("ipv6_route") { // destination length source length next metric references use flags device
		if len(l) > 9 && strings.Trim(l[0], "0") == "" && l[1] == "00" && l[9] != "lo" {
			names = append(names, l[9])
		}
	}
	return names
}

// passing are IPv6 addresses that are not there to stay: of the privacy extensions, deprecated, tentative or a duplicate.
func (h *Host) passing() map[netip.Addr]bool {
	const temporary, failed, deprecated, tentative = 0x01, 0x08, 0x20, 0x40
	found := map[netip.Addr]bool{}
	for _, l := range h.lines("if_inet6") { // address index length scope flags device
		if len(l) < 6 || len(l[0]) != 32 {
			continue
		}
		var octets [16]byte
		for i := range octets {
			n, err := strconv.ParseUint(l[0][2*i:2*i+2], 16, 8)
			if err != nil {
				return found
			}
			octets[i] = byte(n)
		}
		if flags, err := strconv.ParseUint(l[4], 16, 8); err == nil && flags&(temporary|failed|deprecated|tentative) != 0 {
			found[netip.AddrFrom16(octets)] = true
		}
	}
	return found
}

// names asks DNS what the addresses are called.
func (h *Host) names(ctx context.Context, addrs []netip.Addr) map[netip.Addr]string {
	lookup := h.LookupAddr
	if lookup == nil {
		lookup = net.DefaultResolver.LookupAddr
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	type answer struct {
		addr netip.Addr
		name string
	}
	answers := make(chan answer, len(addrs))
	for _, addr := range addrs {
		go func() {
			names, err := lookup(ctx, addr.String())
			if err != nil || len(names) == 0 {
				names = []string{""}
			}
			answers <- answer{addr, strings.TrimSuffix(names[0], ".")}
		}()
	}
	found := map[netip.Addr]string{}
	for range addrs {
		if a := <-answers; a.name != "" {
			found[a.addr] = a.name
		}
	}
	return found
}
