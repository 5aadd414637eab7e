package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"kanmon/test/bench/mx"
	"kanmon/test/netlab"
)

// Addresses of the MX, one for each way to behave. They stand in haproxy.cfg and nginx.conf too.
var (
	mxPlain   = netip.MustParseAddr("10.77.32.25")
	mxTLS     = netip.MustParseAddr("10.77.32.26")
	holdPlain = netip.MustParseAddr("10.77.32.27")
	holdTLS   = netip.MustParseAddr("10.77.32.28")
	dripPlain = netip.MustParseAddr("10.77.32.29")

	gatewayInside  = netip.MustParseAddr("10.77.15.254")
	gatewayOutside = netip.MustParseAddr("10.77.32.254")
)

const (
	smtpPort  = 25
	smtpsPort = 465 // TLS from the first octet
	dripRate  = 4   // octets a second
)

// sourcesEach is the number of addresses that a contender's sessions come from: their ports must outlast TIME_WAIT.
const sourcesEach = 8

func sources(network int) []netip.Addr {
	addresses := make([]netip.Addr, sourcesEach)
	for i := range addresses {
		addresses[i] = netip.AddrFrom4([4]byte{10, 77, byte(network), byte(i + 1)})
	}
	return addresses
}

func sourceNetwork(network int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(network), 0}), 24)
}

// A world is the three hosts and the MX on the last of them.
type world struct {
	source, gateway, mx *netlab.Host

	sink   *sink         // takes mail
	tarpit *sink         // holds sessions, while there is one
	holder *netlab.Child // their source

	scanner *netlab.Child // of messages; nil: none is scanned
}

// aside gives the processes that are there besides the proxies, the MX and its source.
func (w *world) aside() []*netlab.Child {
	var children []*netlab.Child
	if w.tarpit != nil {
		children = append(children, w.tarpit.Child)
	}
	if w.holder != nil {
		children = append(children, w.holder)
	}
	if w.scanner != nil {
		children = append(children, w.scanner)
	}
	return children
}

// newWorld makes hosts with so many networks of sources. Network 1 is not redirected.
func newWorld(lab *netlab.Lab, networks int) (*world, error) {
	w := new(world)
	for _, h := range []struct {
		host **netlab.Host
		name string
	}{{&w.source, "source"}, {&w.gateway, "gateway"}, {&w.mx, "mx"}} {
		host, err := lab.Host(h.name)
		if err != nil {
			return nil, err
		}
		*h.host = host
	}
	return w, errors.Join(w.wire(lab, networks), w.tune())
}

func (w *world) wire(lab *netlab.Lab, networks int) error {
	var inside, outside []netip.Prefix
	for n := 1; n <= networks; n++ {
		for _, address := range sources(n) {
			inside = append(inside, netip.PrefixFrom(address, 20))
		}
	}
	for _, address := range []netip.Addr{mxPlain, mxTLS, holdPlain, holdTLS, dripPlain} {
		outside = append(outside, netip.PrefixFrom(address, 24))
	}
	err := lab.Link(
		netlab.Port{Host: w.source, Addresses: inside},
		netlab.Port{Host: w.gateway, Addresses: []netip.Prefix{netip.PrefixFrom(gatewayInside, 20)}})
	if err != nil {
		return err
	}
	err = lab.Link(
		netlab.Port{Host: w.gateway, Addresses: []netip.Prefix{netip.PrefixFrom(gatewayOutside, 24)}},
		netlab.Port{Host: w.mx, Addresses: outside})
	if err != nil {
		return err
	}
	return errors.Join(
		w.source.Route("default", gatewayInside),
		w.mx.Route("default", gatewayOutside),
		w.gateway.Forward())
}

// tune lets ports be used again soon, and the gateway forget closed connections: a run makes more of them than there are ports.
func (w *world) tune() error {
	var err error
	for _, h := range []*netlab.Host{w.source, w.gateway, w.mx} {
		err = errors.Join(err,
			h.Sysctl("net.ipv4.ip_local_port_range", "1024 65000"),
			h.Sysctl("net.ipv4.ip_local_reserved_ports", proxyPorts), // a proxy that begins later still finds them free
			h.Sysctl("net.ipv4.tcp_tw_reuse", "1"),
			h.Sysctl("net.core.somaxconn", "16384"),
			h.Sysctl("net.ipv4.tcp_max_syn_backlog", "16384"))
	}
	return err
}

// redirect sends port 25 of the sources' networks to the ports of their proxies.
func (w *world) redirect(contenders []*contender) error {
	var rules strings.Builder
	rules.WriteString("table ip bench {\n chain pre {\n  type nat hook prerouting priority dstnat; policy accept;\n")
	for _, c := range contenders {
		for destination, port := range c.redirects {
			fmt.Fprintf(&rules, "  ip saddr %v ip daddr %v tcp dport %d redirect to :%d\n", sourceNetwork(c.network), destination, smtpPort, port)
		}
	}
	rules.WriteString(" }\n}\n")
	file := filepath.Join(w.gateway.Dir, "bench.nft")
	if err := os.WriteFile(file, []byte(rules.String()), 0o644); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	if _, err := w.gateway.Run("nft", "-f", file); err != nil {
		return err
	}
	// The kernel offers this one only once something tracks connections.
	return w.gateway.Sysctl("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "5")
}

// A sink is the MX's process.
type sink struct {
	*netlab.Child
}

func startSink(host *netlab.Host, listeners ...mx.Listener) (*sink, error) {
	c, err := netlab.StartRole(host, "mx", mxOrder{Listeners: listeners})
	if err != nil {
		return nil, err
	}
	s := &sink{c}
	if _, err := s.answer(); err != nil { // it listens now
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *sink) stats() (mx.Stats, error) { return s.order(mxOrder{}) }

func (s *sink) release() (mx.Stats, error) { return s.order(mxOrder{Release: true}) }

func (s *sink) order(o mxOrder) (mx.Stats, error) {
	if err := s.Orders.Encode(o); err != nil {
		return mx.Stats{}, fmt.Errorf("ask the MX: %w", err)
	}
	return s.answer()
}

func (s *sink) answer() (mx.Stats, error) {
	var stats mx.Stats
	if err := s.Answers.Decode(&stats); err != nil {
		return mx.Stats{}, fmt.Errorf("hear from the MX: %w", err)
	}
	return stats, nil
}

func startMail(host *netlab.Host) (*sink, error) {
	return startSink(host,
		mx.Listener{Address: netip.AddrPortFrom(mxPlain, smtpPort)},
		mx.Listener{Address: netip.AddrPortFrom(mxTLS, smtpPort), TLS: mx.StartTLS},
		mx.Listener{Address: netip.AddrPortFrom(mxTLS, smtpsPort), TLS: mx.Implicit})
}

// startTarpit has a process of its own, so that neither its work nor its descriptors are those of the MX that takes mail.
func startTarpit(host *netlab.Host) (*sink, error) {
	return startSink(host,
		mx.Listener{Address: netip.AddrPortFrom(holdPlain, smtpPort), Hold: true},
		mx.Listener{Address: netip.AddrPortFrom(holdTLS, smtpPort), TLS: mx.StartTLS, Hold: true},
		mx.Listener{Address: netip.AddrPortFrom(holdTLS, smtpsPort), TLS: mx.Implicit, Hold: true},
		mx.Listener{Address: netip.AddrPortFrom(dripPlain, smtpPort), Drip: dripRate})
}
