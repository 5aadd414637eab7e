package outlet

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

var (
	first  = netip.MustParseAddr("203.0.113.10")
	second = netip.MustParseAddr("203.0.113.11")
	other  = netip.MustParseAddr("203.0.113.20")
	mxAddr = netip.MustParseAddrPort("192.0.2.25:25")
	msa    = netip.MustParseAddr("10.20.1.5")
)

var twoIPs = sending("203.0.113.10", "203.0.113.11")

func rescueOff(h *Handling)     { h.Rescue = RescueOff }
func rescueObserve(h *Handling) { h.Rescue = RescueObserve }
func noSoftening(h *Handling)   { h.Soften = false }
func noSuspending(h *Handling)  { h.Suspend = false }

var toExampleNet = route.Route{RecipientDomains: []string{"example.net"}}

func refusal(ip netip.Addr, text string) rejection {
	return rejection{
		Source: msa, Destination: mxAddr, MXRefusal: session.MXRefusal{SendingIP: ip, Phase: event.PhaseRcpt, Code: 550, Text: []byte(text), Sender: []byte("a@example.com"), Recipient: []byte("b@example.net")},
	}
}

const listing = "550 5.7.1 Your IP address is on our block list"

// What is done about a refusal goes by what it means, and by the operator's word.
func TestJudgement(t *testing.T) {
	for _, test := range []struct {
		name                string
		gateway             gateway
		text                string
		rescue, soften, obs bool
	}{
		{"listing", twoIPs, listing, true, true, false},
		{"listing of somebody else", twoIPs, "550 5.7.1 198.51.100.7 is listed at zen.spamhaus.org", false, false, false},
		{"listing at the end of a greeting", twoIPs, "521-mx.example.net ESMTP\n521 5.7.1 Service unavailable; client [203.0.113.10] blocked using list.example.org", true, true, false},
		{"unknown user", twoIPs, "550 5.1.1 no such user", false, false, false},
		{"greylisted", twoIPs, "451 4.7.1 Greylisted, please try again later", false, false, false},
		{"off", twoIPs.handling(rescueOff), listing, false, false, false},
		{"observe", twoIPs.handling(rescueObserve), listing, true, true, true},
		{"no softening", twoIPs.handling(noSoftening), listing, true, false, false},
		{"off by a route", twoIPs.route(toExampleNet, rescueOff), listing, false, false, false},
		{"observed by a route", twoIPs.route(route.Route{Senders: []string{"a@example.com"}}, rescueObserve), listing, true, true, true},
		{"no softening by a route", twoIPs.route(toExampleNet, noSoftening), listing, true, false, false},
		{"on by a route", twoIPs.handling(rescueOff).route(toExampleNet, func(h *Handling) { h.Rescue = RescueOn }), listing, true, true, false},
		{"a route of other mail", twoIPs.route(route.Route{RecipientDomains: []string{"example.org"}}, func(h *Handling) { *h = Handling{Rescue: RescueOff} }), listing, true, true, false},
	} {
		j := newOutlet(t, test.gateway).Judge(refusal(first, test.text))
		if j.Rescue != test.rescue || (j.SoftenTo != 0) != test.soften || j.Observe != test.obs || j.Class == event.Unjudged || j.Rule == "" {
			t.Errorf("%s: %+v", test.name, j)
		}
	}
	if j := newOutlet(t, sending()).Judge(refusal(netip.Addr{}, listing)); !j.Observe {
		t.Errorf("without sending IPs nothing is altered: %+v", j)
	}
}

// A listing takes its IP out of use for that MX at once, and for no other.
func TestListedIPIsNotUsed(t *testing.T) {
	o := newOutlet(t, twoIPs)
	req := request{Source: msa, Destination: mxAddr}
	choice, _ := o.router.Choose(o.query(req))
	best := choice.IP.Address
	next := first
	if best == first {
		next = second
	}
	o.Judge(atMAIL(refusal(best, listing)))
	if ip, _, err := o.permitted(choice, req); err != nil || ip.Address != next {
		t.Errorf("got %s, %v, want %s", ip.Address, err, next)
	}
	if o.MayStay(req, best) {
		t.Error("a session may stay with the suspended IP")
	}
	elsewhere := request{Source: msa, Destination: netip.MustParseAddrPort("192.0.2.26:25")}
	if !usable(o, o.key(best, elsewhere.Destination.Addr())) {
		t.Error("the listing reaches another MX")
	}
	if !usable(o, o.key(best, netip.MustParseAddr("::ffff:192.0.2.27"))) || usable(o, o.key(best, netip.MustParseAddr("::ffff:192.0.2.25"))) {
		t.Error("an address and its form in IPv6 are not the same")
	}
	o.Judge(atMAIL(refusal(next, listing)))
	if _, _, err := o.permitted(choice, req); !errors.Is(err, session.ErrSuspended) {
		t.Errorf("both suspended: %v", err)
	}
	if o.MayStay(req, best) {
		t.Error("both suspended, and a session that is open goes on sending")
	}
	req.Avoid, req.Rescue = []netip.Addr{best}, true
	if _, _, err := o.permitted(choice, req); !errors.Is(err, session.ErrNoOtherIP) {
		t.Errorf("both suspended, one tried: %v", err)
	}
}

func usable(o *rig, key standing.Key) bool { return o.book.Peek(key).Answer == standing.Yes }

// Who only observes sees a suspension, and nothing obeys it; what was suspended by hand stays so.
func TestObservingChangesNothing(t *testing.T) {
	there := route.Route{Destinations: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	for name, g := range map[string]gateway{
		"observing":                   twoIPs.handling(rescueObserve),
		"not suspending":              twoIPs.handling(noSuspending),
		"a route that observes":       twoIPs.route(there, rescueObserve),
		"a route that never suspends": twoIPs.route(there, noSuspending),
	} {
		t.Run(name, func(t *testing.T) { testSuspensionIsShownAlone(t, newOutlet(t, g)) })
	}
}

func testSuspensionIsShownAlone(t *testing.T, o *rig) {
	req := request{Source: msa, Destination: mxAddr}
	choice, _ := o.router.Choose(o.query(req))
	best := choice.IP.Address
	o.Judge(atMAIL(refusal(best, listing)))
	if len(o.book.List()) != 1 {
		t.Errorf("shown: %v", o.book.List())
	}
	if ip, _, err := o.permitted(choice, req); err != nil || ip.Address != best || !o.MayStay(req, best) {
		t.Errorf("the suspension is obeyed: %s, %v", ip.Address, err)
	}
	if err := o.book.Stop(standing.Key{IP: best, Provider: standing.Every}, "test", "me"); err != nil {
		t.Fatal(err)
	}
	if ip, _, err := o.permitted(choice, req); err != nil || ip.Address == best || o.MayStay(req, best) {
		t.Errorf("what was stopped by hand is used: %s, %v", ip.Address, err)
	}
}

// What it takes to suspend is the operator's.
func TestStandingIsTheOperators(t *testing.T) {
	o := newOutlet(t, twoIPs.standing(func(p *standing.Numbers) { p.Listed.Replies = 2 }))
	o.Judge(atMAIL(refusal(first, listing)))
	key := o.key(first, mxAddr.Addr())
	if !usable(o, key) {
		t.Error("one reply is enough, two are asked for")
	}
	o.Judge(atMAIL(refusal(first, listing)))
	if usable(o, key) {
		t.Error("two replies are not enough")
	}
}

// A mail may stay with an IP of its pool only; in a pool that is sticky by sender, with the sender's own.
func TestMayStay(t *testing.T) {
	o := newOutlet(t, sending("203.0.113.10", "203.0.113.11", "203.0.113.20").pool("default", "203.0.113.10", "203.0.113.11").byTenant().
		pool("bulk", "203.0.113.20").tenant("acme", "10.20.1.0/24").
		route(route.Route{SenderDomains: []string{"news.example.com"}, Pool: "bulk"}, nil).
		route(route.Route{RecipientDomains: []string{"picky.example"}, Pool: "bulk"}, nil))
	ask := func(sender, recipient string, ip netip.Addr) bool {
		return o.MayStay(request{Source: msa, Destination: mxAddr, DialRequest: session.DialRequest{Sender: sender, SenderKnown: true, Recipient: recipient}}, ip)
	}
	for _, test := range []struct {
		sender, recipient string
		ip                netip.Addr
		want              bool
	}{
		{"a@example.com", "", first, true},
		{"a@example.com", "", second, true},
		{"a@example.com", "", other, false},
		{"x@news.example.com", "", first, false},
		{"x@news.example.com", "", other, true},
		{"", "", first, true},
		{"a@example.com", "b@picky.example", first, false},
		{"a@example.com", "b@a.picky.example", first, true},
		{"a@example.com", "b@picky.example", other, true},
	} {
		if got := ask(test.sender, test.recipient, test.ip); got != test.want {
			t.Errorf("%q to %q from %s: %t", test.sender, test.recipient, test.ip, got)
		}
	}
}

// An MX that resets the connections of one IP and takes mail from another has something against the first; one that is down
// has not, and is not tried again and again.
func TestResets(t *testing.T) {
	o := newOutlet(t, twoIPs)
	refused := func(ip netip.Addr) session.Judgement {
		return o.Judge(rejection{Source: msa, Destination: mxAddr, MXRefusal: session.MXRefusal{SendingIP: ip, Phase: event.PhaseBanner}})
	}
	if j := refused(first); !j.Rescue || j.SoftenTo != 0 {
		t.Errorf("the first: %+v", j)
	}
	if j := refused(second); j.Rescue {
		t.Error("a second one was reset, too, and a third is tried")
	}
	if j := refused(first); j.Rescue {
		t.Error("the MX is down, and is tried once more from elsewhere")
	}
	if seen := o.resets.others(mxAddr.Addr(), second); len(seen) != 0 {
		t.Errorf("the MX was down, and %+v is blamed", seen)
	}
	refused(first)
	seen := o.resets.others(mxAddr.Addr(), second)
	if len(seen) != 1 || seen[0].sendingIP != first || time.Since(seen[0].at) > time.Minute {
		t.Errorf("%+v", seen)
	}
	if len(o.resets.others(mxAddr.Addr(), second)) != 0 {
		t.Error("it is told twice")
	}
}
