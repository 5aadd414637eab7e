package netlab

import (
	"fmt"
	"net/netip"
	"time"
)

// A Port is one end of a wire.
type Port struct {
	Host      *Host
	Name      string         // interface name; "": eth0, eth1, …
	Addresses []netip.Prefix // addresses of the interface, each with the length of its network
	Bridge    string         // bridge of the host to plug the interface into instead; the bridge has the addresses
}

// Link wires two hosts together.
func (l *Lab) Link(a, b Port) error {
	a.name()
	b.name()
	err := a.Host.IP(fmt.Sprintf("link add %s type veth peer name %s netns %s", a.Name, b.Name, b.Host.netns()))
	if err != nil {
		return fmt.Errorf("link %s and %s: %w", a.Host.Name, b.Host.Name, err)
	}
	for _, port := range []Port{a, b} {
		if err := port.up(); err != nil {
			return fmt.Errorf("link %s and %s: %w", a.Host.Name, b.Host.Name, err)
		}
	}
	return nil
}

func (p *Port) name() {
	if p.Name == "" {
		p.Name = fmt.Sprintf("eth%d", p.Host.wires)
		p.Host.wires++
	}
}

func (p *Port) up() error {
	if p.Bridge != "" {
		if err := p.Host.IP("link set " + p.Name + " master " + p.Bridge); err != nil {
			return err
		}
	}
	for _, address := range p.Addresses {
		if err := p.Host.Address(p.Name, address); err != nil {
			return err
		}
	}
	return p.Host.IP("link set " + p.Name + " up")
}

// Bridge makes a bridge with addresses on the host.
func (h *Host) Bridge(name string, addresses ...netip.Prefix) error {
	if err := h.IP("link add " + name + " type bridge forward_delay 0"); err != nil {
		return err
	}
	port := Port{Host: h, Name: name, Addresses: addresses}
	return port.up()
}

// Address gives an interface of the host one more address. An address that is a network of its own (/32, /128) is never
// chosen as a source by the kernel itself.
func (h *Host) Address(device string, address netip.Prefix) error {
	arguments := fmt.Sprintf("address add %s dev %s", address, device)
	if address.Addr().Is6() {
		arguments += " nodad" // usable at once
		if address.IsSingleIP() {
			arguments += " preferred_lft 0"
		}
	}
	return h.IP(arguments)
}

// Own makes all addresses of networks the host's: it may listen on any of them and connect from any.
func (h *Host) Own(networks ...netip.Prefix) error {
	for _, network := range networks {
		family := "-4"
		if network.Addr().Is6() {
			family = "-6"
		}
		if err := h.IP(fmt.Sprintf("%s route add local %s dev lo", family, network)); err != nil {
			return err
		}
	}
	return h.Sysctl("net.ipv6.ip_nonlocal_bind", "1") // with IPv4 the route is enough
}

// Narrow has an interface send no more than so many bits a second. What is more waits in a queue for so long at most, and is lost behind it:
// as where a line is full.
func (h *Host) Narrow(device string, bits int, queue time.Duration) error {
	_, err := h.Run("tc", "qdisc", "add", "dev", device, "root", "tbf",
		"rate", fmt.Sprint(bits, "bit"), "burst", "4kb", "latency", fmt.Sprint(queue.Milliseconds(), "ms"))
	return err
}

// Route adds a route, "default" or a network, by way of a neighbour of the same family.
func (h *Host) Route(destination string, via netip.Addr) error {
	family := "-4"
	if via.Is6() {
		family = "-6"
	}
	return h.IP(fmt.Sprintf("%s route add %s via %s", family, destination, via))
}

// Forward makes the host a router.
func (h *Host) Forward() error {
	for _, name := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err := h.Sysctl(name, "1"); err != nil {
			return err
		}
	}
	return nil
}
