package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"sync"
	"time"

	"kanmon/test/netlab"
)

// A mode is what stands between the program and the MX.
type mode struct {
	name   string
	title  string
	config string // kanmon's; "": no kanmon
	kases  []string
	fenced bool // connections over IPv6 end at the gateway: what is dead is not seen to be tried
}

const (
	intercept = `
[intercept]
mode    = "redirect"
listen  = ["0.0.0.0:10025", "[::]:10025"]
sources = ["10.20.1.0/24", "2001:db8:20::/64"]
mark    = 0x2525
`
	tenant = `
[[tenant]]
name    = "acme"
sources = ["10.20.1.0/24", "2001:db8:20::/64"]
`
	poolV4 = `
[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example"

[[sending_ip]]
address = "203.0.113.11"
ehlo    = "out11.example"
`
	poolV6 = `
[[sending_ip]]
address = "2001:db8:71::10"
ehlo    = "out10.example"

[[sending_ip]]
address = "2001:db8:71::11"
ehlo    = "out11.example"
`
)

var everyKase = []string{"refused", "unreachable", "silent", "closes", "two", "six", "sixsilent", "both"}

var modes = []mode{
	{"direct", "direct", "", everyKase, false},
	{"kanmon", "through kanmon, two sending IPs of each family", intercept + tenant + poolV4 + poolV6, everyKase, false},
	{"kanmon-v4", "through kanmon, two IPv4 sending IPs and none of IPv6", intercept + tenant + poolV4, []string{"six", "both"}, true},
	{"observing", "through kanmon, which only observes", intercept + tenant, everyKase, false},
}

// globalV6 is an address of the program's host.
var globalV6 = netip.MustParsePrefix("2001:db8:20::10/64")

// A world has one program's host, the gateway, a host of dead addresses and the MX that works.
type world struct {
	*netlab.Outbound
	kanmon  *netlab.Kanmon // nil: direct
	targets []target

	mu       sync.Mutex
	arrivals map[string][]time.Time // by the target's token
}

func newWorld(lab *netlab.Lab, m mode) (*world, error) {
	w := &world{targets: targets(m.kases), arrivals: map[string][]time.Time{}}
	options := netlab.OutboundOptions{Tenants: 1, MXs: 2}
	for _, t := range w.targets {
		t.addTo(&options.Zone)
	}
	var err error
	if w.Outbound, err = netlab.NewOutbound(lab, options); err != nil {
		return nil, err
	}
	if err := w.preferIPv6(); err != nil {
		return nil, err
	}
	if err := w.serveDead(); err != nil {
		return nil, fmt.Errorf("dead addresses: %w", err)
	}
	for _, t := range w.targets {
		if err := w.MXs[1].Address("eth0", netip.PrefixFrom(t.fineAddr(), 24)); err != nil {
			return nil, err
		}
	}
	sink := &netlab.SlowMX{Name: "fine.example", Received: func(_ net.Addr, message []byte) { w.arrived(message) }}
	if err := sink.Serve(w.MXs[1]); err != nil {
		return nil, err
	}
	if m.config == "" {
		return w, nil
	}
	if w.kanmon, err = netlab.NewKanmon(w.Gateway, m.config); err != nil {
		return nil, err
	}
	if _, err := w.kanmon.Rules("apply"); err != nil {
		return nil, err
	}
	return w, w.kanmon.Start()
}

// preferIPv6 gives the program's host a global IPv6 address. With its unique local one alone the C library would always begin with the
// IPv4 address of an MX that has both (RFC 6724 §5, rule 5), and what happens after a dead IPv6 address would not be seen.
func (w *world) preferIPv6() error {
	return errors.Join(
		w.MSAs[0].Address("eth0", globalV6),
		w.Gateway.Address("msa1", netip.MustParsePrefix("2001:db8:20::1/64")),
		w.Internet.Route("2001:db8:20::/64", netip.MustParseAddr("2001:db8:71::1")),
	)
}

// serveDead gives the first MX's host all dead addresses, the rules that make them so, and a listener for those that close at once.
func (w *world) serveDead() error {
	host := w.MXs[0]
	for _, t := range w.targets {
		if t.kase.dead == "" {
			continue
		}
		length := 24
		if t.deadAddr().Is6() {
			length = 64
		}
		if err := host.Address("eth0", netip.PrefixFrom(t.deadAddr(), length)); err != nil {
			return err
		}
	}
	// A router on the Internet answers each SYN of a few; the kernel's bound is for floods.
	if err := host.Sysctl("net.ipv4.icmp_ratelimit", "0"); err != nil {
		return err
	}
	if _, err := host.Run("nft", firewall(w.targets)); err != nil {
		return err
	}
	listener, err := host.Listen("[::]:25")
	if err != nil {
		return err
	}
	w.Lab.Cleanup(listener.Close)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return nil
}

var tokenPattern = regexp.MustCompile(`(?m)^Subject: ([a-z]+\d+)\r?$`)

func (w *world) arrived(message []byte) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if found := tokenPattern.FindSubmatch(message); found != nil {
		w.arrivals[string(found[1])] = append(w.arrivals[string(found[1])], now)
	}
}

func (w *world) arrivalsOf(t target) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.arrivals[t.token()]
}

var counterPattern = regexp.MustCompile(`counter (\w+) \{\s*packets (\d+)`)

// tried gives how many SYNs came for the dead address of each target, by token.
func (w *world) tried() (map[string]int, error) {
	output, err := w.MXs[0].Run("nft", "list", "counters")
	if err != nil {
		return nil, err
	}
	tried := map[string]int{}
	for _, found := range counterPattern.FindAllStringSubmatch(output, -1) {
		if tried[found[1]], err = strconv.Atoi(found[2]); err != nil {
			return nil, err
		}
	}
	return tried, nil
}
