package trust

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// S17, C27: the first contact waits five seconds for a policy, then nobody waits, and what comes later counts from the next transaction on.
func TestS17FirstContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		coming := make(chan struct{})
		r.p.coming[domain] = coming
		began := time.Now()
		n := r.need(at1)
		if took := time.Since(began); took != firstContact {
			t.Errorf("it took %v", took)
		}
		v := n.Judge(plainText(at1, false, ""))
		if !v.Pass || v.Told.Policy != event.TrustUnknown || v.Told.Verdict != event.TrustUnjudged {
			t.Errorf("%s", text(v))
		}
		if n := r.trust().Need(question(at1)); n.Ready() != nil {
			t.Error("somebody waits again")
		}
		r.z.mu.Lock()
		r.z.known = true
		r.z.mu.Unlock()
		time.Sleep(usableFor)
		if n := r.trust().Need(question(at1)); n.Ready() != nil {
			t.Error("somebody waits again when the DNS has been asked again")
		}
		r.p.set(domain, enforce(mx1))
		close(coming)
		if v := n.Judge(plainText(at1, false, "")); !v.Pass {
			t.Error("A23: the need has changed")
		}
		r.refuses(plainText(at1, false, ""), event.NoStartTLS)
		r.the.Close()
	})
}

// A policy that comes in time counts at once.
func TestFirstContactInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		coming := make(chan struct{})
		r.p.coming[domain] = coming
		time.AfterFunc(800*time.Millisecond, func() {
			r.p.set(domain, enforce(mx1))
			close(coming)
		})
		began := time.Now()
		r.refuses(plainText(at1, false, ""), event.NoStartTLS)
		if took := time.Since(began); took != 800*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		r.the.Close()
	})
}

// Where DANE decides for every host nobody waits for a policy, and that one becomes known is seen.
func TestNobodyWaitsForAPolicyBehindDANE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := selfSigned(nil)
		r := newRig(t).dane(record(3, 1, 1, chain[0]))
		r.p.coming[domain] = make(chan struct{})
		began := time.Now()
		r.passes(with(at1, chain), event.TrustDANE)
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		const late = "late.test"
		q, coming := question(at1), make(chan struct{})
		q.Domain = late
		r.p.coming[late] = coming
		if v := wait(r.trust().Need(q)).Judge(plainText(at1, false, "")); v.Told.Policy != event.TrustUnknown {
			t.Errorf("%s", text(v))
		}
		r.p.set(late, nil)
		close(coming)
		if v := wait(r.trust().Need(q)).Judge(plainText(at1, false, "")); v.Told.Policy != event.TrustNone {
			t.Errorf("%s", text(v))
		}
		r.the.Close()
	})
}

// The caller's time may end first: then the policy that is not known is none, and the DNS that has not answered refuses.
func TestJudgeBeforeReady(t *testing.T) {
	for _, c := range []struct {
		name     string
		dane     bool
		policy   *sts.Policy // known before the DNS
		pass     bool        // dns_failure
		unknown  bool        // the policy is
		observe  bool
		want     bool
		told     event.TrustPolicy
		verdict  event.TrustVerdict
		answered bool // the DNS has, and the policy has not come
	}{
		{name: "DANE", dane: true, want: false, told: event.TrustUnknown, verdict: event.TrustRefused},
		{name: "DANE, let pass", dane: true, pass: true, want: true, told: event.TrustUnknown},
		{name: "no DANE", unknown: true, want: true, told: event.TrustUnknown},
		{name: "no DANE, policy", policy: enforce(mx1), want: false, told: event.TrustSTS, verdict: event.TrustRefused},
		{name: "policy, let pass", dane: true, pass: true, policy: enforce(mx1), want: false, told: event.TrustSTS, verdict: event.TrustRefused},
		{name: "testing", policy: testing_(mx1), want: true, told: event.TrustTesting, verdict: event.TrustWouldRefuse},
		{name: "observe", dane: true, policy: enforce(mx1), observe: true, want: true, told: event.TrustUnknown},
		{name: "no DANE records, policy unknown", dane: true, unknown: true, answered: true, want: true, told: event.TrustUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.c.DANE, r.c.Pass, r.c.Enforce = c.dane, c.pass, !c.observe
				if !c.answered {
					r.z.wait = make(chan struct{})
				}
				if c.unknown {
					r.p.coming[domain] = make(chan struct{})
				}
				if c.policy != nil {
					r.p.set(domain, c.policy)
				}
				n := r.trust().Need(question(at1))
				synctest.Wait()
				v := n.Judge(with(at1, between.issue([]string{mx1})))
				if v.Pass != c.want || v.Told.Policy != c.told || v.Told.Verdict != c.verdict {
					t.Errorf("%s", text(v))
				}
				if (n.Ready() == nil) != c.observe {
					t.Error("observe makes mail wait, or enforce does not")
				}
				if len(r.m.WouldRefuse(time.Now())) != 0 {
					t.Error("nobody knows that it would be refused")
				}
				r.the.Close()
			})
		})
	}
}

// A DNS that never answers ends a wait after 15 seconds, and the next one soon, without asking in vain for each mail.
func TestDeadDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.z.wait = make(chan struct{})
		began := time.Now()
		r.refuses(plainText(at1, false, ""), event.DNSFailed)
		if took := time.Since(began); took != longestWait {
			t.Errorf("it took %v", took)
		}
		if r.trust().Need(question(at1)).Ready() != nil {
			t.Error("the next mail waits at once again")
		}
		time.Sleep(failedFor)
		close(r.z.wait)
		r.z.wait = nil
		r.passes(plainText(at1, false, ""), event.TrustNone)
		r.the.Close()
	})
}

// S52, A26: each domain is asked once, however many mails wait, and all at the same time.
func TestS52A26OneFlightOfADomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).dane(record(3, 1, 1, selfSigned(nil)[0]))
		r.z.wait = make(chan struct{})
		time.AfterFunc(time.Second, func() { close(r.z.wait) })
		began, _ := time.Now(), r.trust()
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if v := r.need(at1).Judge(plainText(at1, false, "")); v.Pass {
					t.Error("it passes")
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		for _, name := range []string{domain, mx1, port + mx1} {
			if n := r.z.times(name); n != 1 {
				t.Errorf("%s was asked %d times", name, n)
			}
		}
		r.the.Close()
	})
}

// A DNS that has no place for a question is asked again: that it is busy is not the domain's fault.
func TestBusyDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.z.set(domain, dns.TypeMX, dns.Answer{Err: fmt.Errorf("ask: %w", dns.ErrBusy)})
		time.AfterFunc(3*time.Second, func() { r.z.set(domain, dns.TypeMX, mxs(mx1)) })
		began := time.Now()
		r.passes(plainText(at1, false, ""), event.TrustNone)
		if took := time.Since(began); took < 3*time.Second || took > 3*time.Second+longRest {
			t.Errorf("it took %v", took)
		}
		r.the.Close()
	})
}

// One tenant has half of the look-ups; who has no place is told that nobody knows, and is not remembered so.
func TestPlacesOfATenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.z.wait = make(chan struct{})
		ask := func(i int, by string) session.Need {
			q := question(at1)
			q.Domain, q.By = string(rune('a'+i%26))+"."+time.Duration(i).String()+".test", by
			return r.trust().Need(q)
		}
		for i := range flightBounds.Most / 2 {
			if ask(i, "greedy").Ready() == nil {
				t.Fatalf("no place for look-up %d", i)
			}
		}
		n := ask(1_000_000, "greedy")
		if v := n.Judge(plainText(at1, false, "")); n.Ready() != nil || v.Pass || v.Told.Why != event.DNSFailed {
			t.Errorf("%s", text(v))
		}
		if ask(1_000_001, "other").Ready() == nil {
			t.Error("no place for another tenant")
		}
		close(r.z.wait)
		synctest.Wait()
		if v := wait(ask(1_000_000, "greedy")).Judge(plainText(at1, false, "")); !v.Pass {
			t.Errorf("no place is given back: %s", text(v))
		}
		r.the.Close()
	})
}

// S53: nothing waits in mode observe, nothing is refused, and what would be is told, and kept for seven days.
func TestS53Observe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.c.Enforce = false
		r.z.known = true
		r.p.set(domain, enforce(mx1))
		q := question(at1)
		for range 3 {
			n := r.trust().Need(q)
			v := n.Judge(with(at1, selfSigned([]string{mx1}), sni(mx1)))
			if n.Ready() != nil || !v.Pass || v.Told.Verdict != event.TrustWouldRefuse || v.Told.Why != event.NotTrusted || v.ServerName != "" || v.Anew != nil || v.Name != "" {
				t.Errorf("%s", text(v))
			}
			time.Sleep(time.Second)
		}
		all := r.m.WouldRefuse(time.Now())
		if len(all) != 1 || all[0].Domain != domain || all[0].MX != at1.Addr() || all[0].Times != 3 || all[0].Policy != event.TrustSTS ||
			all[0].Why != event.NotTrusted || all[0].Perhaps || all[0].Last.Sub(all[0].First) != 2*time.Second {
			t.Errorf("%+v", all)
		}
		time.Sleep(refusedFor)
		if all := r.m.WouldRefuse(time.Now()); len(all) != 0 {
			t.Errorf("after seven days: %+v", all)
		}
		r.trust().Need(q).Judge(with(at1, selfSigned([]string{"invalid2.invalid"})))
		if all := r.m.WouldRefuse(time.Now()); len(all) != 1 || !all[0].Perhaps || all[0].Times != 1 {
			t.Errorf("with another name it might pass: %+v", all)
		}
		r.the.Close()
	})
}

// What is known already makes nobody wait, and nobody is asked for it.
func TestKnownAtOnce(t *testing.T) {
	r := newRig(t).dane(record(3, 1, 1, selfSigned(nil)[0]))
	r.z.known = true
	n := r.trust().Need(question(at1))
	if n.Ready() != nil || n.Judge(plainText(at1, false, "")).Pass {
		t.Error("it waits, or passes")
	}
}

// What is known is used no longer than the DNS says.
func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := mxs(mx1)
		a.Until = time.Now().Add(time.Minute)
		r.z.set(domain, dns.TypeMX, a)
		v := r.passes(plainText(at1, false, ""), event.TrustNone)
		if !v.Until.Equal(a.Until) {
			t.Errorf("until %v", v.Until)
		}
		time.Sleep(59 * time.Second)
		r.need(at1)
		if n := r.z.times(domain); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(2 * time.Second)
		r.need(at1)
		if n := r.z.times(domain); n != 2 {
			t.Errorf("asked %d times", n)
		}
		r.the.Close()
	})
}

// The operator exempts domains, MXs of his own, and senders where they come from (C39, A22).
func TestExempt(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce("nothing.test"))
	r.c.ExemptDomains = []string{"*.exempt.test"}
	r.c.ExemptMXs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	r.c.ExemptSources, r.c.ExemptSenders = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}, []string{"tlsrpt@tenant.example"}
	inside, reporter, thief, sub := question(netip.MustParseAddrPort("10.1.2.3:25")), question(at1), question(at1), question(at1)
	reporter.Sender, reporter.Source = "tlsrpt@tenant.example", netip.MustParseAddr("::ffff:10.9.1.1")
	thief.Sender = reporter.Sender
	sub.Domain = "a.exempt.test"
	r.p.set(sub.Domain, enforce("nothing.test"))
	for name, c := range map[string]struct {
		q    session.TrustQuestion
		want bool
	}{"inside": {inside, true}, "reporter": {reporter, true}, "A22": {thief, false}, "domain": {sub, true}, "any": {question(at1), false}} {
		v := wait(r.trust().Need(c.q)).Judge(plainText(at1, false, ""))
		if v.Pass != c.want || c.want && (v.Told.Policy != event.TrustExempt || v.Told.Domain != c.q.Domain) {
			t.Errorf("%s: %s", name, text(v))
		}
	}
}

// C36: a recipient whose domain nobody can read is refused where anything may be asked, whatever the MX shows, and what nobody knows of the DNS
// being let pass changes nothing: nobody gets around a policy by writing an address badly.
func TestC36Unreadable(t *testing.T) {
	inside := netip.PrefixFrom(at1.Addr(), 32)
	for name, c := range map[string]struct {
		set  func(*rig)
		pass bool
		want event.TrustVerdict
		is   event.TrustPolicy
	}{
		"enforce":           {func(*rig) {}, false, event.TrustRefused, event.TrustUnknown},
		"pass":              {func(r *rig) { r.c.Pass = true }, false, event.TrustRefused, event.TrustUnknown},
		"only MTA-STS":      {func(r *rig) { r.c.DANE = false }, false, event.TrustRefused, event.TrustUnknown},
		"only DANE":         {func(r *rig) { r.c.STS = nil }, false, event.TrustRefused, event.TrustUnknown},
		"neither":           {func(r *rig) { r.c.DANE, r.c.STS = false, nil }, true, event.TrustUnjudged, event.TrustUnknown},
		"observe":           {func(r *rig) { r.c.Enforce = false }, true, event.TrustWouldRefuse, event.TrustUnknown},
		"an MX inside":      {func(r *rig) { r.c.ExemptMXs = []netip.Prefix{inside} }, true, event.TrustUnjudged, event.TrustExempt},
		"an MSA that may":   {func(r *rig) { r.c.ExemptSources = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, true, event.TrustUnjudged, event.TrustExempt},
		"a domain that may": {func(r *rig) { r.c.ExemptDomains = mailbox.NewDomains([]string{"example.test", "*.test"}) }, false, event.TrustRefused, event.TrustUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.c.Enforce = true
			c.set(r)
			q := question(at1)
			q.Domain, q.Unreadable = "", true
			n := r.trust().Need(q)
			v := n.Judge(with(at1, between.issue([]string{mx1})))
			all := r.m.WouldRefuse(time.Now())
			if c.want != event.TrustWouldRefuse && len(all) != 0 ||
				c.want == event.TrustWouldRefuse && (len(all) != 1 || all[0].Domain != "" || all[0].Of != "tenant" || all[0].Why != event.UnreadableRcpt || all[0].Times != 1) {
				t.Errorf("would have been refused: %+v", all)
			}
			if n.Ready() != nil || v.Pass != c.pass || v.Told.Policy != c.is || v.Told.Verdict != c.want || (v.Say.Code() == 451) == c.pass {
				t.Errorf("%s", text(v))
			}
		})
	}
}

// A Trust that is closed answers, and asks nobody.
func TestClosed(t *testing.T) {
	r := newRig(t)
	r.trust().Close()
	n := r.the.Need(question(at1))
	if v := n.Judge(plainText(at1, false, "")); n.Ready() != nil || v.Pass || len(r.z.asked) != 0 {
		t.Errorf("%s", text(v))
	}
}
