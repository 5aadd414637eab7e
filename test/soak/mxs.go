package main

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	benchmx "kanmon/test/bench/mx"
	"kanmon/test/traffic"
)

// An mx is a kind of MX, with a domain and an address of its own.
type mx struct {
	name    string
	address netip.Addr
	keyword []string
	tls     bool
	pace    time.Duration
	mid     int
	behave  func(v *traffic.Visit, step, line string) traffic.Answer
}

func (m *mx) domain() string { return m.name + ".example" }

func (m *mx) host() string { return "mx." + m.name + ".example" }

func mxOf(domain string) *mx {
	if i := slices.IndexFunc(mxs, func(m mx) bool { return m.domain() == domain }); i >= 0 {
		return &mxs[i]
	}
	return nil
}

func (m *mx) server() (*traffic.MX, error) {
	server := &traffic.MX{Name: m.host(), Keywords: m.keyword, Pace: m.pace, DotPace: m.pace, MidBody: m.mid, Behave: m.behave}
	if m.tls {
		certificate, err := benchmx.NewCertificate(m.host())
		if err != nil {
			return nil, err
		}
		server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	}
	return server, nil
}

var mxs = numbered([]mx{
	{name: "plain"},
	{name: "secure", tls: true},
	{name: "slow", tls: true, pace: 100 * time.Millisecond, behave: tarpit},
	{name: "grey", behave: greylist},
	{name: "dead", behave: unknownUsers},
	{name: "listing", behave: listing},
	{name: "lossy", mid: 1000, behave: loses},
	{name: "busy", tls: true, behave: throttles},
	{name: "old", keyword: []string{}, behave: noEHLO},
	{name: "picky", mid: 2000, behave: refusesContent},
})

func numbered(all []mx) []mx {
	for i := range all {
		all[i].address = netip.AddrFrom4([4]byte{198, 51, 100, byte(20 + i)})
	}
	return all
}

// tarpit lets messages wait for up to four seconds, now and then in drops.
func tarpit(_ *traffic.Visit, step, token string) traffic.Answer {
	if step == "." && chance(30) {
		return traffic.Answer{Wait: time.Duration(rand.IntN(4000)) * time.Millisecond, Text: "250 2.0.0 Ok: queued as " + token}
	}
	return traffic.Answer{}
}

func greylist(_ *traffic.Visit, step, _ string) traffic.Answer {
	if step == "RCPT" && chance(30) {
		return traffic.Answer{Text: "450 4.2.0 Greylisted, please come back later"}
	}
	return traffic.Answer{}
}

func unknownUsers(_ *traffic.Visit, step, line string) traffic.Answer {
	if step == "RCPT" && strings.Contains(line, "<gone") {
		return traffic.Answer{Text: "550 5.1.1 User unknown"}
	}
	return traffic.Answer{}
}

// listing has one of our sending IPs on its list: the first in every other minute, at the banner or at RCPT.
func listing(v *traffic.Visit, step, _ string) traffic.Answer {
	listed := v.Client.As4()[3] == 10 && time.Now().Minute()%2 == 0
	text := fmt.Sprintf(" 5.7.1 Service unavailable; client host [%s] blocked using zen.spamhaus.org", v.Client)
	switch {
	case listed && step == "BANNER" && chance(50):
		return traffic.Answer{Text: "554" + text}
	case listed && step == "RCPT":
		return traffic.Answer{Text: "550" + text}
	}
	return traffic.Answer{}
}

// loses hangs up, or says nothing, at any point, behind the dot as well.
func loses(_ *traffic.Visit, step, _ string) traffic.Answer {
	switch {
	case step == "BODY" && chance(95) || !chance(4):
		return traffic.Answer{}
	case chance(50):
		return traffic.Answer{Then: traffic.Reset}
	}
	return traffic.Answer{Then: traffic.Vanish}
}

func throttles(_ *traffic.Visit, step, _ string) traffic.Answer {
	switch {
	case step == "BANNER" && chance(5):
		return traffic.Answer{Text: "421 4.7.0 Too many connections from your IP, try again later", Then: traffic.Close}
	case step == "RCPT" && chance(5):
		return traffic.Answer{Text: "452 4.2.2 Mailbox full"}
	case step == "DATA" && chance(5):
		return traffic.Answer{Text: "451 4.3.2 System busy"}
	case step == "MAIL" && chance(2):
		return traffic.Answer{Text: "421 4.3.2 Shutting down", Then: traffic.Close}
	}
	return traffic.Answer{}
}

func noEHLO(_ *traffic.Visit, step, _ string) traffic.Answer {
	if step == "EHLO" && chance(50) {
		return traffic.Answer{Text: "502 5.5.2 command not recognized"}
	}
	return traffic.Answer{}
}

// refusesContent does so in the middle of the message or behind it, for good or for now.
func refusesContent(_ *traffic.Visit, step, _ string) traffic.Answer {
	switch {
	case step == "BODY" && chance(5):
		return traffic.Answer{Text: "554 5.7.1 Message rejected as spam", Then: traffic.Close}
	case step == "." && chance(15):
		return traffic.Answer{Text: "554 5.7.1 Message rejected as spam"}
	case step == "." && chance(10):
		return traffic.Answer{Text: "451 4.7.1 Try again later"}
	}
	return traffic.Answer{}
}
