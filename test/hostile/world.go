package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/test/netlab"
	"kanmon/test/traffic"
)

// Paths through the gateway, which are the second octet of the MSAs' addresses.
const (
	viaKanmon = 77
	viaCopy   = 78
)

// A site is an MX of the world that everybody may write to.
type site struct {
	domain, host string
	address      netip.Addr
}

// sites are of operators and networks of their own, two of them providers that kanmon knows by name.
var sites = []site{
	{"gmail.com", "gmail-smtp-in.l.google.com", netip.MustParseAddr("198.51.100.1")},
	{"cox.net", "mx.east.cox.net", netip.MustParseAddr("198.18.202.1")},
	{"docomo.ne.jp", "mfsmax.docomo.ne.jp", netip.MustParseAddr("198.18.203.1")},
	{"friend.example", "mx.friend.example", netip.MustParseAddr("198.18.204.1")},
}

// How far away they are: what a reply takes, and the reply to a message.
const (
	sitePace    = 10 * time.Millisecond
	siteDotPace = 30 * time.Millisecond
	siteMidBody = 2000
)

// Words in the attackers' envelopes that tell the sites how to answer.
const (
	spamWord    = "spam"
	midBodyWord = "early"
	goneWord    = "gone"
)

// serve runs an MX of the world. It refuses what is abuse: unknown users, spam at its dot or in the middle of the message.
func (s site) serve(r *rig) error {
	mx := &traffic.MX{Name: s.host, Pace: sitePace, DotPace: siteDotPace, MidBody: siteMidBody, Took: func(c traffic.Copy) {
		if strings.HasPrefix(c.Token, honestToken) {
			r.ledger.Took(c)
		}
	}}
	mx.Behave = func(v *traffic.Visit, step, line string) traffic.Answer {
		switch {
		case step == "RCPT" && strings.Contains(line, "<"+goneWord):
			return traffic.Answer{Text: "550 5.1.1 The email account that you tried to reach does not exist"}
		case step == "BODY" && strings.Contains(v.From, "<"+midBodyWord):
			return traffic.Answer{Text: "554 5.7.1 Message rejected as spam", Then: traffic.Close}
		case step == "." && slices.ContainsFunc(append(v.To, v.From), func(line string) bool { return strings.Contains(line, "<"+spamWord) }):
			return traffic.Answer{Text: "554 5.7.1 Message rejected as spam"}
		}
		return traffic.Answer{}
	}
	listener, err := r.street.Outside.Listen(netip.AddrPortFrom(s.address, 25).String())
	if err != nil {
		return err
	}
	r.serving.Go(func() { mx.Serve(listener) })
	r.lab.Cleanup(listener.Close)
	return nil
}

// Names of attacker n's, in DNS.
const (
	evilZone   = "evil.example"
	silentPart = "silent" // names with it get no answer
	listPart   = "list"   // a zone of block lists that never answers
)

func evilDomain(n int) string { return fmt.Sprintf("k%d.%s", n, evilZone) }

// subscriber is the name of an attacker's MX that looks like an access provider's.
const subscriber = "wsip-70-10-20-30.ri.ri.cox.net"

func evilAddress(n int, host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18, byte(n), host})
}

func evilAddress6(n int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:51:%x::25", n))
}

// serveNames answers for everybody.
func (r *rig) serveNames() error {
	conn, err := r.street.Outside.ListenPacket(netip.AddrPortFrom(netlab.StreetDNS, 53).String())
	if err != nil {
		return err
	}
	server := traffic.Nameserver{MX: mxOf, Addresses: addressesOf, Delay: func(name string) time.Duration {
		if strings.HasSuffix(name, evilZone) && (strings.Contains(name, silentPart) || strings.Contains(name, listPart)) {
			return -1
		}
		return 0
	}}
	r.serving.Go(func() { server.Serve(conn) })
	r.lab.Cleanup(func() error {
		err := conn.Close()
		r.serving.Wait()
		return err
	})
	return nil
}

func mxOf(domain string) string {
	if i := slices.IndexFunc(sites, func(s site) bool { return s.domain == domain }); i >= 0 {
		return sites[i].host
	}
	if n := evilNumber(domain); n >= 0 {
		if kinds[n].name == impersonation {
			return subscriber
		}
		return "mx." + evilDomain(n)
	}
	return ""
}

func addressesOf(host string) []netip.Addr {
	if i := slices.IndexFunc(sites, func(s site) bool { return s.host == host }); i >= 0 {
		return []netip.Addr{sites[i].address}
	}
	n := evilNumber(host)
	if host == subscriber {
		n = slices.IndexFunc(kinds, func(k kind) bool { return k.name == impersonation })
	}
	if n < 0 {
		return nil
	}
	addresses := []netip.Addr{evilAddress6(n)}
	for i := range evilHosts {
		addresses = append(addresses, evilAddress(n, byte(1+i)))
	}
	return addresses
}

// evilHosts is how many addresses the MXs of an attacker have.
const evilHosts = 8

// evilNumber gives the attacker that a name belongs to; -1: none.
func evilNumber(name string) int {
	before, found := strings.CutSuffix(name, "."+evilZone)
	if !found {
		return -1
	}
	before = before[strings.LastIndexByte(before, '.')+1:]
	var n int
	if _, err := fmt.Sscanf(before, "k%d", &n); err != nil || n < 0 || n >= len(kinds) {
		return -1
	}
	return n
}
