package main

import (
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/test/netlab"
)

// The sending IPs.
var (
	first  = netlab.SendingIPv4
	second = netlab.OtherSendingIPv4
	third  = netip.MustParseAddr("203.0.113.12")

	sendingIPs = []netip.Addr{first, second, third}
)

// A scene is a world in which something is slow.
type scene struct {
	name, what string
	mxs        []server // three
	narrow     bool     // our uplink is

	want []restriction // what must be told

	// Of an imitation: which mail is slow, and what may be told of it, for it is true.
	slow func(m *mail) bool
	may  func(f *event.Entry) bool
	must bool // be told, and not only may
}

// A restriction is of one sending IP at one MX.
type restriction struct {
	ip  netip.Addr
	mx  int
	how string
}

// scopes of findings, as they stand in the records.
const (
	ipHere     = "this IP here"
	everything = "everything"
	oneTenant  = "one tenant"
)

// Restrictions and imitations, with their sizes.
const (
	octetEvery = time.Second     // of a tarpit, as OpenBSD's spamd
	greetWait  = 6 * time.Second // Postfix's default
	oneIn      = 6 * time.Second // a mail of the throttled IP
	waitsMost  = 20 * time.Second
	sleeps     = 4 * time.Second

	uplinkRate  = 1_000_000 // bits a second
	uplinkQueue = 2 * time.Second
)

// uplinkTo is where what fills our uplink goes.
var uplinkTo = netip.MustParseAddrPort("203.0.113.254:9")

// scenes gives all, or a sample.
func scenes(quick bool) []scene {
	tarpits := restriction{first, 1, "answers an octet a second, as OpenBSD's spamd does (our own)"}
	forAll := scene{
		name: "all", what: "an MX is slow for all: real Postfix that sleeps 4 s at RCPT", mxs: []server{sleepy("smtpd_client_restrictions"), plain, plain},
		slow: func(m *mail) bool { return m.mx == 1 },
	}
	if quick {
		return []scene{{name: "tarpit", what: "a tarpit", mxs: []server{tarpit(first), plain, plain}, want: []restriction{tarpits}}, forAll}
	}
	return []scene{
		{
			name: "restrictions", what: "three restrictions", mxs: []server{tarpit(first), screened(second), throttled(third)},
			want: []restriction{
				tarpits,
				{second, 2, "holds its greeting for 6 s: real Postfix, its postscreen"},
				{third, 3, "takes one mail in 6 s, others wait at RCPT, 20 s at most: real Postfix, which asks a policy server"},
			},
		},
		forAll,
		{
			name: "tenant", what: "one tenant's mail is slow at an MX: real Postfix that sleeps 4 s at RCPT for its senders", mxs: []server{sleepyFor(1), plain, plain},
			slow: func(m *mail) bool { return m.mx == 1 && m.tenant == 1 },
			may:  func(f *event.Entry) bool { return f.Scope == oneTenant && f.Tenant == tenantName(1) },
		},
		{
			name: "uplink", what: "our uplink is full: something else takes all of its 1 Mbit/s (tc tbf)", mxs: []server{plain, plain, plain}, narrow: true,
			slow: func(*mail) bool { return true },
			may:  func(f *event.Entry) bool { return f.Scope == everything },
			must: true,
		},
	}
}
