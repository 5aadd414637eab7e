package setup

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Role is what kanmon is to be on this host.
type Role string

// The roles.
const (
	Observe Role = "observe" // look at the mail of others, or of this host, and change nothing
	Gateway Role = "gateway" // relay the mail of others from sending IPs
	MSAHost Role = "msa"     // relay the mail of this host's own mail server from sending IPs
)

// roles in the order of the question.
var roles = []Role{Observe, Gateway, MSAHost}

// localWord stands for this host's own mail among networks.
const localWord = "local"

// Answers are what a configuration is made of.
type Answers struct {
	Role       Role
	Sources    []Network // whose mail
	Local      bool      // and this host's own
	SendingIPs []SendingIP
	Tenants    []Tenant
	Addresses  string // what the records show of mail addresses: "clear" or "domain"

	Folders *Folders // to be named in the file; nil: the service manager gives them
}

// Folders are where kanmon writes.
type Folders struct{ State, Runtime, Logs string }

// A SendingIP is an address that mail leaves from, and its name. The name is "" as long as nobody has told it.
type SendingIP struct {
	Address netip.Addr
	EHLO    string
}

// A Tenant is a customer with mail servers.
type Tenant struct {
	Name    string
	Sources []netip.Prefix
}

// Suggest says what suits a host in a role. "" is the one that changes nothing.
func Suggest(s *Sight, role Role) Answers {
	if role == "" {
		role = Observe
	}
	a := Answers{Role: role, Addresses: "clear", Local: role == MSAHost || role == Observe && s.MSA}
	if role != MSAHost {
		a.Sources = s.Networks
	}
	if role != Observe {
		for _, addr := range s.Outside {
			a.SendingIPs = append(a.SendingIPs, SendingIP{addr, s.Names[addr]})
		}
	}
	return a
}

// setSources takes networks, and "local" for this host's own mail. What is seen of them says which interface they are behind.
func (a *Answers) setSources(words []string, seen []Network) error {
	var sources []Network
	local := false
	for _, w := range words {
		if w == localWord {
			local = true
			continue
		}
		prefix, err := network(w)
		if err != nil {
			return err
		}
		n := Network{Prefix: prefix}
		if i := slices.IndexFunc(seen, func(s Network) bool { return s.Prefix == prefix }); i >= 0 {
			n.Interface = seen[i].Interface
		}
		sources = append(sources, n)
	}
	if len(sources) == 0 && !local {
		return fmt.Errorf(`whose mail is it to be? Want networks such as 10.20.0.0/16, or %q for this host's own mail`, localWord)
	}
	a.Sources, a.Local = sources, local
	return nil
}

// setSendingIPs takes addresses, each with a name behind "=", or without where DNS knows one.
func (a *Answers) setSendingIPs(words []string, names map[netip.Addr]string) error {
	var ips []SendingIP
	for _, w := range words {
		text, name, _ := strings.Cut(w, "=")
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Is4In6() || addr.Zone() != "" {
			return fmt.Errorf("%q is not an IP address: want one such as 203.0.113.10", text)
		}
		if slices.ContainsFunc(ips, func(ip SendingIP) bool { return ip.Address == addr }) {
			return fmt.Errorf("%s stands there twice", addr)
		}
		if name == "" {
			name = names[addr]
		}
		ips = append(ips, SendingIP{addr, name})
	}
	a.SendingIPs = ips
	return nil
}

// setNames takes a name for each sending IP.
func (a *Answers) setNames(words []string) error {
	if len(words) != len(a.SendingIPs) {
		return fmt.Errorf("want a name for each of the %d addresses, and got %d", len(a.SendingIPs), len(words))
	}
	for i, w := range words {
		if !strings.Contains(w, ".") {
			return fmt.Errorf("%q is not a fully qualified name: want one such as out10.example.jp", w)
		}
		a.SendingIPs[i].EHLO = w
	}
	return nil
}

// setTenants takes "acme=10.20.1.0/24"; a tenant with several networks stands there several times.
func (a *Answers) setTenants(words []string) error {
	var tenants []Tenant
	for _, w := range words {
		name, text, _ := strings.Cut(w, "=")
		prefix, err := network(text)
		if name == "" || err != nil {
			return fmt.Errorf("%q is not a tenant: want a name and a network such as acme=10.20.1.0/24", w)
		}
		i := slices.IndexFunc(tenants, func(t Tenant) bool { return t.Name == name })
		if i < 0 {
			tenants, i = append(tenants, Tenant{Name: name}), len(tenants)
		}
		tenants[i].Sources = append(tenants[i].Sources, prefix)
	}
	a.Tenants = tenants
	return a.tenantsInside()
}

// tenantsInside wants the networks of tenants where mail comes from: what is outside goes past kanmon.
func (a *Answers) tenantsInside() error {
	for _, t := range a.Tenants {
		for _, n := range t.Sources {
			if !slices.ContainsFunc(a.Sources, func(s Network) bool { return s.Bits() <= n.Bits() && s.Contains(n.Addr()) }) {
				return fmt.Errorf("%s of tenant %s is in none of the networks whose mail is to be relayed: its mail would go past kanmon", n, t.Name)
			}
		}
	}
	return nil
}

// nameless returns the sending IPs that have no name yet.
func (a *Answers) nameless() []string {
	var addrs []string
	for _, ip := range a.SendingIPs {
		if ip.EHLO == "" {
			addrs = append(addrs, ip.Address.String())
		}
	}
	return addrs
}

// network reads a network, or an address as the network of it alone.
func network(text string) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil && !prefix.Addr().Is4In6() {
		return prefix.Masked(), nil
	}
	if addr, err := netip.ParseAddr(text); err == nil && !addr.Is4In6() && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.Prefix{}, fmt.Errorf("%q is not a network: want one such as 10.20.0.0/16", text)
}

// Given is what flags say.
type Given struct {
	Role       Role
	Sources    []string // networks, or "local"
	SendingIPs []string // "ADDRESS" or "ADDRESS=NAME"
	Tenants    []string // "NAME=NETWORK"
	Addresses  string
	Folders    *Folders

	Faults func(text string) []Fault // what makes a file no configuration; nil: nobody says
}

// Decide makes answers of what flags say, and of what suits the host where they say nothing.
func Decide(s *Sight, g *Given) (Answers, error) {
	a := Suggest(s, g.Role)
	a.Folders = g.Folders
	if a.Role == Observe && len(g.SendingIPs) > 0 {
		return a, fmt.Errorf("to observe is to have no sending IP: leave --sending-ip out, or take --role %s or %s", Gateway, MSAHost)
	}
	if len(g.Sources) > 0 {
		if err := a.setSources(g.Sources, s.Networks); err != nil {
			return a, fmt.Errorf("--sources: %w", err)
		}
	}
	if len(g.SendingIPs) > 0 {
		if err := a.setSendingIPs(g.SendingIPs, s.Names); err != nil {
			return a, fmt.Errorf("--sending-ip: %w", err)
		}
	}
	if err := a.setTenants(g.Tenants); err != nil {
		return a, fmt.Errorf("--tenant: %w", err)
	}
	if g.Addresses != "" {
		a.Addresses = g.Addresses
	}
	return a, nil
}

// Complete says what is missing for a file, in the words of the flags.
func (a *Answers) Complete() error {
	switch {
	case len(a.Sources) == 0 && !a.Local:
		return fmt.Errorf(`whose mail is it to be? No network of mail servers is seen here: give --sources, with networks or %q for this host's own mail`, localWord)
	case a.Role != Observe && len(a.SendingIPs) == 0:
		return fmt.Errorf("no address is seen that mail could leave from: give --sending-ip ADDRESS=NAME, or --role %s", Observe)
	case len(a.nameless()) > 0:
		return fmt.Errorf("DNS knows no name for %s: give --sending-ip %s=NAME, with the name that its PTR is to give", strings.Join(a.nameless(), ", "), a.nameless()[0])
	}
	return nil
}
