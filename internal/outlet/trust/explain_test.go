package trust

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/session"
)

// People see each step, and what would come of a leg.
func TestExplain(t *testing.T) {
	chain := selfSigned(nil)
	r := newRig(t).dane(record(3, 1, 1, chain[0]), record(1, 1, 1, chain[0]))
	r.z.set(domain, dns.TypeMX, secure(mxs(mx1, mx2, "mx3.example.test"))).set(port+mx2, dns.TypeTLSA, servfail())
	r.p.set(domain, enforce(mx1))
	e := r.trust().Explain(context.Background(), question(at1))
	if e.MX != dns.Found || !e.Signed || !e.DANE || !e.Enforce || !e.Resolver.Validates || e.Unasked != event.TrustUnasked || len(e.Hosts) != 3 ||
		e.Policy == nil || !e.PolicyKnown || e.Heard.IsZero() || !e.Until.After(time.Now()) {
		t.Fatalf("%+v", e)
	}
	for i, want := range []ExplainedHost{
		{Name: mx1, Here: true, Signed: true, Base: mx1, Records: 2, Allowed: true},
		{Name: mx2, Signed: true, Base: mx2, Unknown: true},
		{Name: "mx3.example.test", Base: "mx3.example.test", Gone: true},
	} {
		got := e.Hosts[i]
		if got.Name != want.Name || got.Here != want.Here || got.Signed != want.Signed || got.Base != want.Base || got.Records != want.Records ||
			got.Allowed != want.Allowed || got.Unknown != want.Unknown || (got.Err != nil) != want.Unknown || got.Gone != want.Gone {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if n := len(e.Hosts[0].Usable); n != 1 || len(e.Hosts[0].Addrs) != 1 {
		t.Errorf("%+v", e.Hosts[0])
	}
	if v := e.Judge(with(at1, chain)); !v.Pass || v.Told.Policy != event.TrustDANE {
		t.Errorf("%s", text(v))
	}
	if v := e.Judge(with(at1, selfSigned(nil))); v.Pass || v.Anew != nil {
		t.Errorf("%s", text(v))
	}
}

// They see the MXs of a domain that nothing is asked of, too, and why nothing is.
func TestExplainWhereNothingIsAsked(t *testing.T) {
	r := newRig(t)
	r.c.ExemptDomains = []string{"exempt.test"}
	r.z.set("exempt.test", dns.TypeMX, mxs(mx2)).set("relay.example.net", dns.TypeA, addrs(other))
	q := question(netip.AddrPort{})
	e := r.trust().Explain(context.Background(), q)
	if len(e.Hosts) != 1 || len(e.Hosts[0].Addrs) != 1 || e.Signed || e.Policy != nil || !e.PolicyKnown || !e.Judge(plainText(at1, false, "")).Pass {
		t.Errorf("%+v", e)
	}
	q.Domain = "exempt.test"
	if e := r.trust().Explain(context.Background(), q); e.Unasked != event.TrustExempt || len(e.Hosts) != 1 || !e.Judge(plainText(at1, false, "")).Pass {
		t.Errorf("%+v", e)
	}
	q.MX, q.Rule = other, session.Destination{TLS: session.TLSVerify, Names: []string{"relay.example.net"}}
	if e := r.trust().Explain(context.Background(), q); e.Unasked != event.TrustNamed || len(e.Hosts) != 1 || !e.Hosts[0].Here || e.Judge(plainText(other, false, "")).Pass {
		t.Errorf("%+v", e)
	}
	q.Rule.Names = nil // nobody is named: nobody passes
	e = r.trust().Explain(context.Background(), q)
	if v := e.Judge(with(other, between.issue([]string{"relay.example.net"}))); v.Pass || v.ServerName != "" || v.Say.Code() != 451 {
		t.Errorf("%s", text(v))
	}
	q = question(at1)
	q.Domain = "[192.0.2.1]"
	if e := r.trust().Explain(context.Background(), q); len(e.Hosts) != 0 || !e.Judge(plainText(at1, false, "")).Pass {
		t.Errorf("%+v", e)
	}
}

// A first contact is waited for, as long as the context allows.
func TestExplainFirstContact(t *testing.T) {
	r := newRig(t)
	coming := make(chan struct{})
	r.p.coming[domain] = coming
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if e := r.trust().Explain(ctx, question(at1)); e.PolicyKnown {
		t.Errorf("%+v", e)
	}
	time.AfterFunc(10*time.Millisecond, func() {
		r.p.set(domain, enforce(mx1))
		close(coming)
	})
	if e := r.trust().Explain(context.Background(), question(at1)); e.Policy == nil {
		t.Errorf("%+v", e)
	}
}

// What people are shown is what decides about mail; that they have looked is noted nowhere.
func TestExplainShowsWhatDecides(t *testing.T) {
	z := newZone().set(domain, dns.TypeMX, mxs(mx1, mx2)).set(mx1, dns.TypeA, addrs(at1)).set(mx2, dns.TypeA, addrs(at2))
	memory := NewMemory()
	trust := New(Config{DNS: z, DANE: true, STS: newPolicies().set(domain, enforce(mx2)), Wait: time.Second, FirstContact: time.Second}, memory)
	t.Cleanup(trust.Close)
	e := trust.Explain(t.Context(), session.TrustQuestion{Domain: domain})
	if len(e.Hosts) != 2 || e.Hosts[0].Allowed || !e.Hosts[1].Allowed || e.Policy == nil || e.Signed || e.MX != dns.Found {
		t.Fatalf("%+v", e)
	}
	for _, test := range []struct {
		leg  session.TrustLeg
		want event.TrustReason
	}{
		{session.TrustLeg{MX: at1, Offered: true}, event.NotInPolicy},
		{session.TrustLeg{MX: at2}, event.NoStartTLS},
	} {
		test.leg.Now = time.Now()
		if v := e.Judge(test.leg); !v.Pass || v.Told.Verdict != event.TrustWouldRefuse || v.Told.Why != test.want {
			t.Errorf("%s: %+v", test.leg.MX, v.Told)
		}
	}
	if all := memory.WouldRefuse(time.Now()); len(all) != 0 {
		t.Errorf("noted: %+v", all)
	}
}
