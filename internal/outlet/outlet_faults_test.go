package outlet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/handclock"
)

var (
	ip10     = netip.MustParseAddr("203.0.113.10")
	ip11     = netip.MustParseAddr("203.0.113.11")
	reviewMX = netip.MustParseAddrPort("192.0.2.25:25")
)

func refusedTo(msa string, ip netip.Addr, mx netip.AddrPort, from, to, text string) rejection {
	return rejection{
		Source: netip.MustParseAddr(msa), Destination: mx, MXRefusal: session.MXRefusal{SendingIP: ip, Phase: event.PhaseRcpt, Code: 550, Text: []byte(text), Sender: []byte(from), Recipient: []byte(to)},
	}
}

// atMAIL is a refusal that comes before a recipient is named: the word of the MX, and of none of its customers.
func atMAIL(r rejection) rejection {
	r.Phase, r.Recipient = event.PhaseMail, nil
	return r
}

// Strangers' mail has a pool of two, and acme's one of its own, with blue, whose sender tells.
var routed = func() gateway {
	g := sending("203.0.113.10", "203.0.113.11", "203.0.113.20").pool("default", "203.0.113.10", "203.0.113.11").pool("other", "203.0.113.20")
	g.pools[0].IPs[1].Weight, g.pools[1].HighRisk = 1000, true
	acme := route.Tenant{Name: "acme", Sources: []netip.Prefix{netip.MustParsePrefix("10.20.1.0/24")}, Pool: "other"}
	blue := route.Tenant{Name: "blue", Sources: []netip.Prefix{netip.MustParsePrefix("10.20.2.0/24")}, SenderDomains: []string{"blue.example"}, Pool: "other"}
	return g.claimed(acme).claimed(blue)
}()

const onSpamhaus = "554 5.7.1 Service unavailable; Client host [203.0.113.10] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/203.0.113.10"

// Anybody can listen on port 25 and name a recipient of Google's: what such a host says is not Google's word.
func TestAStrangersMXDoesNotSpeakForAProvider(t *testing.T) {
	o := newOutlet(t, routed)
	o.Judge(refusedTo("10.20.1.5", ip10, netip.MustParseAddrPort("198.51.100.66:25"), "a@acme.example", "x@gmail.com", onSpamhaus))
	if p := o.book.May(standing.Key{IP: ip10, Provider: "google"}); p.Answer != standing.Yes {
		t.Errorf("one reply of a host that is no MX of Google's: %s is %s for all at Google", ip10, p.State)
	}
}

// Refusals and acceptances of the same MX must meet in one key: else nothing speaks for an IP.
func TestAcceptedCountsWhereRefusalsDo(t *testing.T) {
	o := newOutlet(t, routed)
	text := ""
	for _, candidate := range []string{
		"550 5.7.1 Message rejected due to the poor reputation of your IP", "550 5.7.1 poor reputation of the sending IP",
		"421 4.7.0 Our system has detected an unusual rate of unsolicited mail originating from your IP address",
		"550 5.7.1 Access denied, bad reputation", "554 5.7.1 Your access to this mail system has been rejected due to the sending MTA's poor reputation.",
	} {
		v := o.rules.Classify(classify.Query{Text: candidate, Phase: "rcpt", Provider: "google", SendingIP: ip10})
		t.Log(candidate, v.Class, v.Scope, v.Suspend)
		if v.Suspend == classify.May && text == "" {
			text = candidate
		}
	}
	if text == "" {
		t.Fatal("no reply of weight may")
	}
	for i, msa := range []string{"10.30.0.1", "10.30.0.2", "10.30.0.3"} {
		o.Judge(refusedTo(msa, ip10, reviewMX, "a@b.example", []string{"x@outlook.com", "y@hotmail.com", "z@live.com"}[i], text))
		for range 500 {
			o.Accepted(reviewMX, ip10) // all are of outlook.com: this MX is the only one there is
		}
	}
	name := o.key(ip10, reviewMX.Addr()).Provider
	p := o.book.May(standing.Key{IP: ip10, Provider: name})
	if _, seen := o.book.Show(standing.Key{IP: ip10, Provider: name}); len(seen) < 3 {
		t.Fatal("no evidence: the test shows nothing")
	}
	if p.Answer != standing.Yes {
		t.Errorf("%s: 3 refusals of 1503 mails suspended it", p.State)
	}
}

// A probe that was let in must be heard of.
func TestProbeIsEndedByItsSuccess(t *testing.T) {
	o := newOutlet(t, routed)
	clock := handclock.At(time.Now().Round(0))
	book, err := standing.New(standing.Options{Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = book.Close() })
	o.book = book
	key := o.key(ip10, reviewMX.Addr())
	if err := book.Suspend(key, clock.Now().Add(time.Hour), "test", "test"); err != nil {
		t.Fatal(err)
	}
	clock.Pass(2 * time.Hour)
	choice, err := o.router.Choose(route.Query{Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX, Suspicion: -1})
	if err != nil {
		t.Fatal(err)
	}
	_, probing, err := o.permitted(choice, request{
		Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX, DialRequest: session.DialRequest{SenderKnown: true, Recipient: "x@gmail.com", Avoid: []netip.Addr{ip11}},
	})
	if err != nil || !probing {
		t.Fatalf("probing %t, %v", probing, err)
	}
	o.Accepted(reviewMX, ip10) // the probe's own message
	if s, _ := book.Show(key); s.State != standing.Slowed {
		t.Errorf("the probe's message was accepted, and the IP is still %s", s.State)
	}
}

// An operator who stops an IP stops it for the sessions that are open, too.
func TestStoppedIPIsNotStayedOn(t *testing.T) {
	o := newOutlet(t, sending("203.0.113.10"))
	key := standing.Key{IP: ip10, Provider: standing.Every}
	if err := o.book.Stop(key, "asked", "me"); err != nil {
		t.Fatal(err)
	}
	req := request{Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX, DialRequest: session.DialRequest{Sender: "a@b.example", SenderKnown: true}}
	if _, err := o.Dial(t.Context(), req); !errors.Is(err, session.ErrSuspended) {
		t.Fatal(err)
	}
	if o.MayStay(req, ip10) {
		t.Error("a session goes on sending from an IP that the operator has stopped; a new one may not")
	}
}

// A sender's own IP that is slowed is left out for a part of the mail: that part must not dial anew for every command.
func TestSlowedOwnIPDoesNotMoveForEver(t *testing.T) {
	o := newOutlet(t, twoIPs.pool("default", "203.0.113.10", "203.0.113.11"))
	req := request{Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX, DialRequest: session.DialRequest{Sender: "a@b.example", SenderKnown: true}}
	choice, err := o.router.Choose(o.query(req))
	if err != nil {
		t.Fatal(err)
	}
	own, other := choice.IPs()[0].Address, choice.IPs()[1].Address
	for range 8 {
		o.book.Observe(standing.Evidence{
			IP: own, Provider: "mx:192.0.2.25", Tenant: "t", Destination: "d", Class: event.Throttled, Scope: event.ScopeIP, Suspend: event.SuspendNo,
		})
	}
	passed := 0
	for i := range 100 {
		req.Session = event.ID(i)
		ip, _, err := o.permitted(choice, req)
		if err != nil {
			t.Fatal(err)
		}
		if ip.Address == other && !o.MayStay(req, other) {
			t.Fatalf("Dial gives %s because %s is slowed, MayStay sends the session away from it", other, own)
		}
		if ip.Address == other {
			passed++
		}
	}
	if passed == 0 {
		t.Error("the slowed IP was never passed over: the test shows nothing")
	}
}

// If the MX resets several, it is down (resets.go says so), whoever had a connection from before.
func TestAnMXThatIsDownBlamesNoIP(t *testing.T) {
	o := newOutlet(t, routed)
	for _, ip := range []netip.Addr{ip10, ip11} {
		o.Judge(rejection{Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX, MXRefusal: session.MXRefusal{SendingIP: ip, Phase: event.PhaseDial}})
	}
	o.Accepted(reviewMX, ip11) // on a connection that stood before
	if _, seen := o.book.Show(standing.Key{IP: ip10, Provider: "mx:192.0.2.25"}); len(seen) > 0 {
		t.Errorf("the MX refused both, and %s is blamed: %+v", ip10, seen[0])
	}
}

// A kanmon behind this one speaks for itself: what it says is neither evidence nor a reason to move.
func TestOwnReplies(t *testing.T) {
	o := newOutlet(t, routed)
	j := o.Judge(refusedTo("10.30.0.1", ip10, reviewMX, "a@b.example", "x@example.net",
		"550 5.7.1 kanmon: Client host [203.0.113.10] blocked using zen.spamhaus.org"))
	if j.Rescue || j.SoftenTo != 0 {
		t.Errorf("%+v", j)
	}
}

// A probe whose TLS fails goes on in plain text on a second connection: that must still be the probe.
func TestProbeOutlivesItsFirstConnection(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	mx := netip.MustParseAddrPort(l.Addr().String())
	o := newOutlet(t, sending("127.0.0.1"))
	clock := handclock.At(time.Now().Round(0))
	book, err := standing.New(standing.Options{Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = book.Close() })
	o.book = book
	key := standing.Key{IP: netip.MustParseAddr("127.0.0.1"), Provider: "mx:127.0.0.1"}
	if err := book.Suspend(key, clock.Now().Add(time.Hour), "test", "test"); err != nil {
		t.Fatal(err)
	}
	clock.Pass(2 * time.Hour)
	req := request{Session: 1, Source: netip.MustParseAddr("10.30.0.1"), Destination: mx}
	first, err := o.Dial(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Conn.Close()
	first.Closed()
	second, err := o.Dial(t.Context(), req) // what session.withoutTLS leads to
	if err != nil {
		t.Fatalf("the probe's second connection: %v", err)
	}
	_ = second.Conn.Close()
	second.Closed()
}

// Where Dial has no other IP, MayStay must not send a session away.
func TestMayStayWhereDialHasNoOther(t *testing.T) {
	o := newOutlet(t, twoIPs)
	req := request{Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX, DialRequest: session.DialRequest{Sender: "a@b.example", SenderKnown: true}}
	choice, err := o.router.Choose(o.query(req))
	if err != nil {
		t.Fatal(err)
	}
	own, other := choice.IPs()[0].Address, choice.IPs()[1].Address
	if err := o.book.Stop(standing.Key{IP: own, Provider: standing.Every}, "test", "test"); err != nil {
		t.Fatal(err)
	}
	req.Avoid = []netip.Addr{other} // one RCPT was refused there, and could not be rescued
	if ip, _, err := o.permitted(choice, req); ip.Address != other {
		t.Fatal(ip, err)
	}
	if !o.MayStay(req, other) {
		t.Errorf("away from %s, to nowhere: every further mail of the session gets 451", other)
	}
}

// May and Peek are about the same IP: one that a public list has, as our own query found, is left by open sessions, too.
func TestPeekAgreesWithMay(t *testing.T) {
	book, err := standing.New(standing.Options{Check: yesList{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = book.Close() })
	book.Observe(standing.Evidence{
		IP: ip10, Provider: "google", Tenant: "t", Destination: "d", Class: event.IPBlocklisted, Scope: event.ScopeIP, Suspend: event.SuspendYes,
		Lists: []standing.List{{Name: "zen", Zone: "zen.example", Weight: event.WeightStrong}},
	})
	smtptest.WaitUntil(t, "the listing is confirmed", func() bool {
		s, _ := book.Show(standing.Key{IP: ip10, Provider: "other"})
		return s.Provider == standing.Every
	})
	key := standing.Key{IP: ip10, Provider: "other"}
	if peek, may := book.Peek(key), book.May(key); peek.Answer != standing.No || may.Answer != standing.No {
		t.Errorf("peek %s (%s), may %s (%s)", peek.Answer, peek.State, may.Answer, may.State)
	}
}

type yesList struct{}

func (yesList) Listed(context.Context, netip.Addr, string) (bool, error) { return true, nil }

// What a tenant writes behind the @ is kept for hours: not what no DNS can have.
func TestNoLookupOfWhatIsNoDomain(t *testing.T) {
	o := newOutlet(t, routed)
	asked := make(chan int, 1)
	o.providers.Close()
	o.providers = provider.New(provider.Config{Set: provider.NewSet(nil), Wait: defaultWait, Resolver: &smtptest.DNS{Asked: func(name string) { asked <- len(name) }}})
	t.Cleanup(o.providers.Close)
	o.learn(strings.Repeat("a", 4000)+".example", "acme")
	select {
	case n := <-asked:
		t.Errorf("a name of %d octets is asked for, and kept", n)
	case <-time.After(200 * time.Millisecond):
	}
}
