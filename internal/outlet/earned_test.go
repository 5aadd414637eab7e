package outlet

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

// Gateways of this file: a pool of three in netblocks of their own, and so many tenants.
var (
	withoutTenants = sending("203.0.113.10", "198.51.100.11", "192.0.2.12")
	oneTenant      = withoutTenants.tenant("acme", "10.20.1.0/24")
	threeIPs       = oneTenant.tenant("beta", "10.20.2.0/24").tenant("gamma", "10.20.3.0/24")
)

// A refused is a refusal that a test makes up, and what its words mean.
type refused struct {
	rejection
	classify.Verdict
}

func (o *rig) judged(r refused) session.Judgement { return o.judgedWhile(r, func() {}) }

// judgedWhile has something happen when the refusal was weighed, and the standing has not heard of it yet.
func (o *rig) judgedWhile(r refused, meanwhile func()) session.Judgement {
	p, j := o.plead(&r.rejection), session.Judgement{}
	p.verdict = r.Verdict
	o.listen(p)
	meanwhile()
	o.observe(p)
	o.answer(p, &j)
	return j
}

// doubtful is a refusal that may be about our IP, and blames nothing else.
func doubtful(tenant int, ip netip.Addr, to string) refused {
	return refused{
		rejection{
			Source: netip.MustParseAddr(fmt.Sprintf("10.20.%d.5", tenant)), Destination: mxAddr, MXRefusal: session.MXRefusal{SendingIP: ip, Phase: event.PhaseRcpt, Code: 550, Text: []byte("550 5.7.1 poor reputation"), Sender: []byte(fmt.Sprintf("a@t%d.example", tenant)), Recipient: []byte(to)},
		},
		classify.Verdict{Class: classify.IPReputation, Scope: classify.ScopeIP, Suspend: classify.May, Only: true, Rule: "test"},
	}
}

func listed(tenant int, ip netip.Addr, to string) refused {
	r := doubtful(tenant, ip, to)
	r.Verdict = classify.Verdict{Class: classify.IPBlocklisted, Scope: classify.ScopeIP, Suspend: classify.Yes, Only: true, Rule: "test"}
	return r
}

func with(r refused, change func(*refused)) refused { change(&r); return r }

// What is earned at once, what is only softened, and what neither.
//
// law: I10 I19
func TestRescueIsEarned(t *testing.T) {
	at := func(phase event.Phase, code int) func(*refused) {
		return func(r *refused) {
			r.Phase, r.Code, r.Only = phase, code, false
			if phase < event.PhaseMail {
				r.Sender, r.Recipient = nil, nil
			}
		}
	}
	for _, test := range []struct {
		name           string
		refusal        refused
		rescue, soften bool
		why            string
	}{
		{"a listing", listed(1, first, "b@example.net"), true, true, ""},
		{"a listing for now", with(listed(1, first, "b@example.net"), func(r *refused) { r.Code = 450 }), true, true, ""},
		{"a doubt", doubtful(1, first, "b@example.net"), false, true, whyNotYet},
		{"a doubt that blames more", with(doubtful(1, first, "b@example.net"), func(r *refused) { r.Only = false }), false, false, ""},
		{"as greeting", with(doubtful(1, first, ""), at(event.PhaseBanner, 554)), true, true, ""},
		{"to EHLO", with(doubtful(1, first, ""), at(event.PhaseEHLO, 550)), true, true, ""},
		{"to EHLO after TLS", with(doubtful(1, first, ""), at(event.PhaseEHLOTLS, 550)), true, true, ""},
		{"as greeting, for now", with(doubtful(1, first, ""), at(event.PhaseBanner, 421)), false, true, whyNotYet},
		{"a greeting about something else", with(doubtful(1, first, ""), func(r *refused) {
			at(event.PhaseBanner, 554)(r)
			r.Class, r.Suspend = classify.SystemError, classify.No
		}), false, false, ""},
		{"content", with(doubtful(1, first, "b@example.net"), func(r *refused) { r.Class, r.Suspend = classify.ContentRejected, classify.No }), false, false, ""},
		{"contained, a doubt", with(doubtful(1, first, "b@example.net"), contained), false, true, whyContained},
		{"contained, a listing", with(listed(1, first, "b@example.net"), contained), false, true, whyContained},
		{"contained, as greeting", with(with(doubtful(1, first, ""), at(event.PhaseBanner, 554)), contained), false, true, whyContained},
		{"the session cannot", with(listed(1, first, "b@example.net"), func(r *refused) { r.Stuck = true }), false, true, ""},
		{"shut out until tomorrow", with(doubtful(1, first, "b@example.net"), func(r *refused) {
			r.Class, r.Suspend, r.Only = classify.Throttled, classify.No, false
		}), false, true, "the IP is throttled there, at mail of tenant acme"},
		{"too much of one sender", with(doubtful(1, first, "b@example.net"), func(r *refused) {
			r.Class, r.Scope, r.Suspend = classify.Throttled, classify.ScopeSender, classify.No
		}), false, false, ""},
	} {
		j := newOutlet(t, threeIPs).judged(test.refusal)
		if j.Rescue != test.rescue || (j.SoftenTo != 0) != test.soften || j.Why != test.why {
			t.Errorf("%s: rescue %t, soften %t, why %q; want %t, %t, %q", test.name, j.Rescue, j.SoftenTo != 0, j.Why, test.rescue, test.soften, test.why)
		}
	}
}

// sender makes it a refusal of the sender, with which the MX speaks for itself.
func sender(r *refused) { r.rejection = atMAIL(r.rejection) }

func contained(r *refused) { r.Contained = func() bool { return true } }

// A doubt is rescued as soon as it is more than one tenant's and one destination's: the standing has come to it.
//
// law: I19
func TestDoubtsAreRescuedOnceTheStandingSpeaks(t *testing.T) {
	o := newOutlet(t, threeIPs)
	for i, r := range []refused{doubtful(1, first, "x@a.example"), doubtful(2, first, "x@b.example"), doubtful(1, first, "x@b.example")} {
		if j := o.judged(r); j.Rescue || j.SoftenTo == 0 {
			t.Errorf("refusal %d: %+v", i+1, j)
		}
	}
	if j := o.judged(doubtful(2, first, "x@c.example")); !j.Rescue {
		t.Errorf("two tenants, three destinations: %+v", j)
	}
	if j := o.judged(with(doubtful(3, first, "x@d.example"), func(r *refused) { r.Only = false })); j.Rescue || j.SoftenTo != 0 {
		t.Errorf("suspended, and the words blame the sender as well: %+v", j)
	}
}

// Small sites are heard: where a provider has one domain the tenants suffice, where the gateway has one tenant the destinations do.
//
// law: I19
func TestSmallSitesReachTheCulpritTest(t *testing.T) {
	for _, test := range []struct {
		name     string
		gateway  gateway
		refusals []refused
		want     bool
	}{
		{"one domain, two tenants", threeIPs, []refused{doubtful(1, first, "x@a.example"), doubtful(2, first, "y@a.example")}, true},
		{"one domain, one tenant of three", threeIPs, []refused{doubtful(1, first, "x@a.example"), doubtful(1, first, "y@a.example")}, false},
		{"two domains, two tenants", threeIPs, []refused{doubtful(1, first, "x@a.example"), doubtful(2, first, "y@b.example")}, false},
		{"one tenant, three domains", oneTenant, []refused{doubtful(1, first, "x@a.example"), doubtful(1, first, "x@b.example"), doubtful(1, first, "x@c.example")}, true},
		{"one tenant, two domains", oneTenant, []refused{doubtful(1, first, "x@a.example"), doubtful(1, first, "x@b.example")}, false},
		{"one tenant, one domain", oneTenant, []refused{doubtful(1, first, "x@a.example"), doubtful(1, first, "y@a.example"), doubtful(1, first, "z@a.example")}, false},
		{"one MSA, three domains", withoutTenants, []refused{doubtful(1, first, "x@a.example"), doubtful(1, first, "x@b.example"), doubtful(1, first, "x@c.example")}, true},
		{
			"two MSAs, one refused", withoutTenants,
			[]refused{listed(2, second, "x@z.example"), doubtful(1, first, "x@a.example"), doubtful(1, first, "x@b.example"), doubtful(1, first, "x@c.example")},
			false,
		},
	} {
		o := newOutlet(t, test.gateway)
		var j session.Judgement
		for _, r := range test.refusals {
			j = o.judged(r)
		}
		if j.Rescue != test.want {
			t.Errorf("%s: %+v", test.name, j)
		}
	}
	o := newOutlet(t, threeIPs)
	o.MayStay(request{Source: msa, Destination: mxAddr, DialRequest: session.DialRequest{Sender: "a@t1.example", SenderKnown: true, Recipient: "x@Other.example"}}, first)
	o.judged(doubtful(1, first, "x@a.example"))
	if j := o.judged(doubtful(2, first, "y@a.example")); j.Rescue {
		t.Error("mail went to another domain there: the provider has more than one")
	}
}

// The next try of a mail that may have been refused for our IP leaves from another, of each IP in turn, and no more than so.
//
// law: I19
func TestTheNextTryLeavesFromAnotherIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlet(t, threeIPs)
		req := request{Source: msa, Destination: mxAddr, Session: 7}
		next := func(req request) netip.Addr {
			choice, _ := o.router.Choose(o.query(req))
			ip, _, err := o.permitted(choice, req)
			if err != nil {
				t.Fatal(err)
			}
			return ip.Address
		}
		usual := next(req)
		refuse := func(ip netip.Addr) {
			r := doubtful(1, ip, "b@example.net")
			if j := o.judged(r); j.Rescue || j.SoftenTo == 0 {
				t.Fatalf("%+v", j)
			}
		}
		refuse(usual)
		if o.MayStay(req, usual) {
			t.Error("a mail stays with the IP that the one before was refused from")
		}
		second := next(req)
		if second == usual {
			t.Errorf("the next try leaves from %s again", usual)
		}
		if !o.MayStay(req, second) {
			t.Error("it does not stay there")
		}
		if other := (request{Source: netip.MustParseAddr("10.20.2.5"), Destination: mxAddr}); !o.MayStay(other, usual) {
			t.Error("another tenant's mail gives way, too")
		}
		if elsewhere := (request{Source: msa, Destination: netip.MustParseAddrPort("192.0.2.99:25")}); !o.MayStay(elsewhere, usual) {
			t.Error("mail to another MX gives way, too")
		}
		refuse(second)
		third := next(req)
		if third == usual || third == second {
			t.Errorf("the third leaves from %s", third)
		}
		refuse(third)
		if got := next(req); got != usual || !o.MayStay(req, usual) {
			t.Errorf("all have refused it: it leaves from %s", got)
		}
		time.Sleep(refusedFor)
		refuse(second)
		if got := next(req); got != usual {
			t.Errorf("after %s: %s", refusedFor, got)
		}
	})
}

// Once the standing has come to something, it alone decides: the probe of an IP is not passed over for what was remembered.
func TestProbesAreNotPassedOver(t *testing.T) {
	o := newOutlet(t, threeIPs)
	o.judged(doubtful(1, first, "b@example.net"))
	key := o.key(first, mxAddr.Addr())
	if !o.rescues.refused("acme", key) {
		t.Fatal("not remembered: the test shows nothing")
	}
	o.judged(with(listed(2, first, ""), sender))
	if o.rescues.refused("acme", key) {
		t.Error("still remembered")
	}
}

// One tenant's burst: with words that may be about the IP alone, no session goes on from another IP, no standing changes, and what
// is tried again goes through the pool once. With words that are, no more than so many do in any hour.
//
// law: I19
func TestABurstDoesNotWalkThroughThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlet(t, threeIPs.standing(func(p *standing.Numbers) { p.Listed.Destinations = 64 })) // nothing is suspended: all that bounds it is the count
		dialled := map[netip.Addr]int{}
		dial := func() netip.Addr {
			req := request{Source: msa, Destination: mxAddr}
			choice, _ := o.router.Choose(o.query(req))
			ip, _, err := o.permitted(choice, req)
			if err != nil {
				t.Fatal(err)
			}
			dialled[ip.Address]++
			return ip.Address
		}
		usual := dial()
		for i := range 500 {
			if j := o.judged(doubtful(1, dial(), fmt.Sprintf("x@d%d.example", i))); j.Rescue || j.SoftenTo == 0 {
				t.Fatalf("mail %d: %+v", i, j)
			}
		}
		others := 501 - dialled[usual]
		t.Logf("500 mails that may be refused for the IP: 0 rescued, %d connections from other IPs of the pool of 3, %d standings changed", others, len(o.book.List()))
		if others > 2 || len(o.book.List()) != 0 {
			t.Errorf("%v, %+v", dialled, o.book.List())
		}
		last := session.Judgement{}
		for hour := range 3 {
			time.Sleep(2 * time.Hour)
			rescued := 0
			for i := range 500 {
				last = o.judged(listed(1, usual, fmt.Sprintf("x@d%d.example", i%60)))
				if last.Rescue {
					rescued++
				}
				time.Sleep(time.Second)
			}
			if rescued != 20 || last.SoftenTo == 0 || last.Why != "20 rescues of tenant acme at mx:192.0.2.25 within an hour already" {
				t.Errorf("hour %d: %d rescued; the last %+v", hour, rescued, last)
			}
		}
		if j := o.judged(listed(2, usual, "x@d1.example")); !j.Rescue {
			t.Errorf("another tenant's: %+v", j)
		}
		elsewhere := with(listed(1, usual, "x@d1.example"), func(r *refused) { r.Destination = netip.MustParseAddrPort("192.0.2.99:25") })
		if j := o.judged(elsewhere); !j.Rescue {
			t.Errorf("at another provider: %+v", j)
		}
	})
}

// After a listing no session begins with that IP, whoever's it is.
//
// law: I19
func TestAListingStopsTheIPAtOnce(t *testing.T) {
	o := newOutlet(t, threeIPs)
	for tenant := 1; tenant <= 3; tenant++ {
		for i := range 100 {
			req := request{Source: netip.MustParseAddr(fmt.Sprintf("10.20.%d.5", tenant)), Destination: mxAddr, Session: event.ID(i)}
			choice, _ := o.router.Choose(o.query(req))
			if tenant == 1 && i == 0 {
				if j := o.judged(with(listed(1, choice.IP.Address, ""), sender)); !j.Rescue {
					t.Errorf("%+v", j)
				}
				first := choice.IP.Address
				defer func() {
					if usable(o, o.key(first, mxAddr.Addr())) {
						t.Error("it is usable again")
					}
				}()
			}
			ip, _, err := o.permitted(choice, req)
			if err != nil || !usable(o, o.key(ip.Address, mxAddr.Addr())) {
				t.Errorf("tenant %d: begins with %s, %v", tenant, ip.Address, err)
			}
		}
	}
}

// Where one tenant's dead addresses shut an IP out, all mail waits, the IP has less of it, and an operator sees whose it was.
//
// law: I10 I19
func TestAnIPThatATenantHasShutOutIsSlowed(t *testing.T) {
	o := newOutlet(t, threeIPs)
	r := doubtful(1, first, "dead@example.net")
	r.Verdict = classify.Verdict{Class: classify.Throttled, Scope: classify.ScopeIP, Suspend: classify.No, Rule: "test"}
	if j := o.judged(r); j.Rescue || j.SoftenTo == 0 {
		t.Errorf("%+v", j)
	}
	s, seen := o.book.Show(o.key(first, mxAddr.Addr()))
	if s.State != standing.Slowed || !strings.Contains(s.Reason, "acme") || len(seen) != 1 || seen[0].Tenant != "acme" {
		t.Errorf("%v: %q, seen %+v", s.State, s.Reason, seen)
	}
	for _, ip := range []string{"198.51.100.11", "192.0.2.12"} {
		if p := o.book.Peek(o.key(netip.MustParseAddr(ip), mxAddr.Addr())); p.State != standing.Active {
			t.Errorf("%s: %+v", ip, p)
		}
	}
}

// A refused dial is rescued without a word to the standing, and never for a contained sender.
//
// law: I19
func TestARefusedDialSaysNothingToTheStanding(t *testing.T) {
	o := newOutlet(t, threeIPs)
	r := rejection{Source: msa, Destination: mxAddr, MXRefusal: session.MXRefusal{SendingIP: first, Phase: event.PhaseDial}}
	if j := o.Judge(r); !j.Rescue || j.SoftenTo != 0 {
		t.Errorf("%+v", j)
	}
	if len(o.book.List()) != 0 {
		t.Errorf("%+v", o.book.List())
	}
	r.SendingIP, r.Destination = second, netip.MustParseAddrPort("192.0.2.99:25")
	r.Contained = func() bool { return true }
	if j := o.Judge(r); j.Rescue || j.Why != whyContained {
		t.Errorf("contained: %+v", j)
	}
	for i := range 30 { // an MX after the other of one provider is down: what a listing will need is not used up by it
		r.Destination, r.Contained = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), 25), nil
		o.Judge(r)
	}
	if j := o.judged(listed(1, first, "b@example.net")); !j.Rescue {
		t.Errorf("a listing behind dead MXs: %+v", j)
	}
}
