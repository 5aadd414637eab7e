package outlet

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

// An IP of the netblock that was refused is no rescue.
//
// law: I19
func TestNoRescueWithinTheNetblock(t *testing.T) {
	netblock := func(quoted ...netip.Prefix) refused {
		return with(listed(1, first, "b@example.net"), func(r *refused) { r.Scope, r.Quoted = classify.ScopeNetblock, quoted })
	}
	beside, smaller, larger := threeIPs, twoIPs, threeIPs
	beside.ips = append(slices.Clone(beside.ips), "203.0.113.200")
	smaller.block.V4, larger.block.V4 = 32, 8
	for _, test := range []struct {
		name    string
		gateway gateway
		refusal refused
		rescue  bool
		avoid   int
		why     string
	}{
		{"others elsewhere", beside, netblock(), true, 1, ""},
		{"all in it", twoIPs, netblock(), false, 0, whyNetblock},
		{"only the IP is meant", twoIPs, listed(1, first, "b@example.net"), true, 0, ""},
		{"smaller blocks", smaller, netblock(), true, 0, ""},
		{"a larger block", larger, netblock(), true, 0, ""},
		{"a network that is quoted", threeIPs, netblock(netip.MustParsePrefix("192.0.0.0/2")), false, 0, whyNetblock},
		{"another network is quoted", threeIPs, netblock(netip.MustParsePrefix("192.0.2.0/24")), true, 0, ""},
		{"no other at all", sending("203.0.113.10"), netblock(), false, 0, whyAlone},
	} {
		j := newOutlet(t, test.gateway).judged(test.refusal)
		if j.Rescue != test.rescue || len(j.Avoid) != test.avoid || j.Why != test.why || j.SoftenTo == 0 {
			t.Errorf("%s: %+v", test.name, j)
		}
	}
}

// A slowed IP takes no more than its share by rescues, be the pool as empty as it will.
//
// law: I19
func TestARescueKeepsToTheShare(t *testing.T) {
	o := newOutlet(t, twoIPs)
	if err := o.book.Suspend(o.key(second, mxAddr.Addr()), time.Now().Add(time.Minute), "test", "test"); err != nil {
		t.Fatal(err)
	}
	if err := o.book.Resume(o.key(second, mxAddr.Addr()), "test"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // to half of its share
		o.book.Observe(standing.Evidence{
			IP: second, Provider: o.Provider(mxAddr.Addr()), Tenant: "x", Destination: "y", Class: event.Throttled, Scope: event.ScopeConnections, Suspend: event.SuspendNo,
		})
	}
	if p := o.book.Peek(o.key(second, mxAddr.Addr())); p.Share != 0.5 {
		t.Fatalf("%+v", p)
	}
	const sessions = 2000
	rescued, usual := 0, 0
	for i := range sessions {
		req := request{Source: msa, Destination: mxAddr, Session: event.ID(i), DialRequest: session.DialRequest{Avoid: []netip.Addr{first}, Rescue: true}}
		choice, _ := o.router.Choose(o.query(req))
		if _, _, err := o.permitted(choice, req); err == nil {
			rescued++
		}
		req.Avoid, req.Rescue = nil, false
		if _, _, err := o.permitted(choice, req); err == nil {
			usual++
		}
	}
	if rescued < sessions*45/100 || rescued > sessions*55/100 || usual != sessions {
		t.Errorf("%d of %d rescued by an IP of share 0.5; %d sessions found an IP", rescued, sessions, usual)
	}
}

// The draws of two IPv6 addresses that end in the same are not the same.
func TestSharesOfNeighboursAreDrawnApart(t *testing.T) {
	half, both, one := standing.Permit{Answer: standing.Yes, Share: 0.5}, 0, 0
	for i := range 20_000 {
		a := inShare(half, event.ID(i), netip.MustParseAddr("2001:db8::10"))
		b := inShare(half, event.ID(i), netip.MustParseAddr("2001:db8:1::10"))
		switch {
		case a && b:
			both++
		case a || b:
			one++
		}
	}
	if both < 4500 || both > 5500 || one < 9000 || one > 11_000 {
		t.Errorf("of 20,000 sessions %d are in the share of both, %d of one", both, one)
	}
}
