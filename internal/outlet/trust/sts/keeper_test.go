package sts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/sts/ststest"
	"kanmon/internal/smtp/smtptest"
)

// A domain without a record costs one question while the answer holds, and no host is asked anything.
func TestADomainWithoutAPolicy(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.hosts.Set("plain.test", ststest.Host{Text: goodText}) // it is there, and nobody has said so
	for range 3 {
		if f := r.look(k, "plain.test", "a"); f.Policy != nil || !f.Known || f.Err != nil || f.Why != event.TrustWhyNot {
			t.Fatalf("%+v", f)
		}
	}
	if n := r.zone.questions("plain.test"); n != 1 {
		t.Errorf("%d questions", n)
	}
	r.clock.Pass(r.zone.life)
	if f, wait := k.Look("plain.test", "a"); f.Known || wait == nil {
		t.Errorf("when the answer is over: %+v", f)
	}
	r.quiet(k)
	if n := r.hosts.Gets("plain.test"); n != 0 || r.zone.questions("plain.test") != 2 {
		t.Errorf("%d fetches, %d questions", n, r.zone.questions("plain.test"))
	}
}

// What can have no policy is asked nothing about (RFC 8461 section 3.4): literals, no domain, names too long for a record.
func TestWhatCanHaveNoPolicy(t *testing.T) {
	r := newRig(t)
	k := r.open()
	for _, domain := range []string{"", "[192.0.2.1]", "[ipv6:2001:db8::1]", strings.Repeat("a.", 122) + "test"} {
		f, wait := k.Look(domain, "a")
		refreshed, err := k.Refresh(t.Context(), domain)
		if !f.Known || f.Policy != nil || wait != nil || k.Renew(domain, "a") != nil || err != nil || !refreshed.Known {
			t.Errorf("%q: %+v, %+v, %v", domain, f, refreshed, err)
		}
	}
	if n := len(r.zone.asked); n != 0 {
		t.Errorf("asked %v", r.zone.asked)
	}
}

// TestC37 has a policy of the domain above: it is none of the one below.
func TestC37ASubdomainHasItsOwn(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("example.test", "1", "enforce", longestAge, "mx1.example.test")
	r.wantPolicy(r.look(k, "example.test", "a"), Enforce, "1", "mx1.example.test")
	if f := r.look(k, "sub.example.test", "a"); f.Policy != nil || !f.Known {
		t.Errorf("%+v", f)
	}
}

// TestS13 has what becomes of a domain whose policy cannot be fetched: it has none, and is not asked again for five minutes, unless its record has
// another id.
func TestS13InTheKeeper(t *testing.T) {
	r := newRig(t)
	k := r.open()
	other := smtptest.Certificate(t, smtptest.CertificateOptions{Name: "example.test"})
	for i, c := range []struct {
		host ststest.Host
		why  event.TrustReason
	}{
		{ststest.Host{Status: 404}, event.FetchError},
		{ststest.Host{Text: goodText, Type: "text/html"}, event.FetchError},
		{ststest.Host{Text: goodText, Certificate: &other}, event.WebPKIInvalid},
		{ststest.Host{Text: goodText, MaxVersion: tls.VersionTLS11}, event.FetchError},
		{ststest.Host{Text: "version: STSv1\n"}, event.PolicyInvalid},
	} {
		domain := fmt.Sprintf("d%d.test", i)
		r.record(domain, "1")
		r.hosts.Set(domain, c.host)
		for range 4 {
			if f := r.look(k, domain, "a"); f.Policy != nil || !f.Known || f.Why != c.why || f.Err == nil {
				t.Fatalf("%s: %+v, want %s", domain, f, c.why)
			}
			r.clock.Pass(70 * time.Second) // the record is asked for again, not the policy
		}
		if n := r.hosts.Gets(domain); n != 1 {
			t.Errorf("%s: %d fetches in 280 s", domain, n)
		}
		r.clock.Pass(20 * time.Second)
		r.look(k, domain, "a")
		if n := r.hosts.Gets(domain); n != 2 {
			t.Errorf("%s: %d fetches in 300 s", domain, n)
		}
		r.publish(domain, "2", "enforce", longestAge, "mx1.example.test")
		r.clock.Pass(r.zone.life)
		r.wantPolicy(r.look(k, domain, "a"), Enforce, "2", "mx1.example.test")
	}
	by, busy := k.Fetches()
	want := map[event.TrustReason]uint64{event.TrustWhyNot: 5, event.FetchError: 6, event.WebPKIInvalid: 2, event.PolicyInvalid: 2}
	if !maps.Equal(by, want) || busy != 0 {
		t.Errorf("counted %v and %d, want %v", by, busy, want)
	}
}

// While DNS gives no answer nobody knows of a policy: the domain has none for now, and it is said why.
func TestDNSGivesNoAnswer(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.zone.fail("example.test")
	if f := r.look(k, "example.test", "a"); f.Policy != nil || !f.Known || f.Why != event.DNSFailed || f.Err == nil {
		t.Errorf("%+v", f)
	}
	r.publish("example.test", "1", "enforce", longestAge, "mx1.example.test")
	r.clock.Pass(r.zone.life)
	r.wantPolicy(r.look(k, "example.test", "a"), Enforce, "1", "mx1.example.test")
}

// TestC29 and C30: a policy that is kept counts until its end, whatever becomes of the record and the host.
func TestC29AndC30TheKeptPolicyCounts(t *testing.T) {
	r := newRig(t)
	k := r.open()
	const domain = "example.test"
	r.publish(domain, "1", "enforce", 30*24*time.Hour, "mx1.example.test")
	r.look(k, domain, "a")
	for _, change := range []func(){
		func() { r.zone.fail(domain) },
		func() { r.zone.remove(domain) },
		func() { r.zone.set(domain, Texts{Answered: true, All: []string{"v=STSv1; id=1;", "v=STSv1; id=2;"}}) },
		func() { r.record(domain, "2"); r.hosts.Set(domain, ststest.Host{Status: 503}) },
		func() { r.record(domain, "3"); r.hosts.Set(domain, ststest.Host{Text: "version: STSv2\n"}) },
		func() { r.record(domain, "4"); r.hosts.Set(domain, ststest.Host{Raw: answer("no")}) },
	} {
		change()
		r.clock.Pass(10 * time.Minute)
		for range 3 {
			f, wait := k.Look(domain, "a")
			if r.wantPolicy(f, Enforce, "1", "mx1.example.test"); wait != nil {
				t.Error("there is something to wait for")
			}
			r.quiet(k)
		}
	}
	r.clock.Pass(30*24*time.Hour - time.Hour - time.Minute)
	f, _ := k.Look(domain, "a")
	r.wantPolicy(f, Enforce, "1", "mx1.example.test")
	r.quiet(k)
	r.clock.Pass(2 * time.Minute)
	if f := r.look(k, domain, "a"); f.Policy != nil || f.Why != event.FetchError {
		t.Errorf("behind its end: %+v", f)
	}
}

// TestS8 and C26: mode none with another id ends an older policy, and is kept itself.
func TestS8ModeNone(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("example.test", "1", "enforce", longestAge, "mx1.example.test")
	r.look(k, "example.test", "a")
	r.publish("example.test", "2", "none", 24*time.Hour)
	r.clock.Pass(r.zone.life)
	f, _ := k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "1", "mx1.example.test") // until the new one is here
	r.quiet(k)
	f, _ = k.Look("example.test", "a")
	r.wantPolicy(f, None, "2")
	r.zone.remove("example.test")
	r.clock.Pass(23 * time.Hour)
	f, _ = k.Look("example.test", "a")
	r.wantPolicy(f, None, "2")
}

// TestC28 and S16: where a recipient would be refused, its domain's record and policy are looked at again, and that is waited for.
func TestC28RenewBringsWhatIsNew(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("example.test", "1", "enforce", longestAge, "old.example.test")
	r.look(k, "example.test", "a")
	if k.Renew("example.test", "a") != nil {
		t.Error("a policy of this moment is fetched again")
	}
	r.clock.Pass(time.Hour)
	r.publish("example.test", "2", "enforce", longestAge, "new.example.test")
	wait := k.Renew("example.test", "a")
	if wait == nil {
		t.Fatal("nothing is renewed")
	}
	r.await(wait)
	f, _ := k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "2", "new.example.test")

	// The owner has changed the policy, and not the id (postfix-mta-sts-resolver 109, 113).
	r.clock.Pass(time.Minute)
	r.publish("example.test", "2", "enforce", longestAge, "newer.example.test")
	r.await(k.Renew("example.test", "a"))
	f, _ = k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "2", "newer.example.test")

	// A policy that is the same is not fetched for each recipient that it refuses.
	r.clock.Pass(time.Minute)
	r.await(k.Renew("example.test", "a"))
	before := r.hosts.Gets("example.test")
	for range 10 {
		r.clock.Pass(20 * time.Second)
		if k.Renew("example.test", "a") != nil {
			t.Error("renewed again")
		}
	}
	if n := r.hosts.Gets("example.test"); n != before {
		t.Errorf("%d fetches more", n-before)
	}
	r.clock.Pass(2 * time.Minute)
	r.await(k.Renew("example.test", "a"))
	if n := r.hosts.Gets("example.test"); n != before+1 {
		t.Errorf("%d fetches more behind five minutes", n-before)
	}

	// Nor is one whose host does not give it.
	r.hosts.Set("example.test", ststest.Host{Status: 404})
	r.clock.Pass(6 * time.Minute)
	r.await(k.Renew("example.test", "a"))
	if k.Renew("example.test", "a") != nil {
		t.Error("renewed again, although it has just failed")
	}
	f, _ = k.Look("example.test", "a")
	if r.wantPolicy(f, Enforce, "2", "newer.example.test"); f.Why != event.FetchError {
		t.Errorf("%+v", f)
	}
}

// A renewal joins a lookup that is under way, and fetches where that would not have.
func TestC28RenewJoinsALookup(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("example.test", "1", "enforce", longestAge, "old.example.test")
	r.look(k, "example.test", "a")
	r.clock.Pass(time.Hour)
	r.publish("example.test", "1", "enforce", longestAge, "new.example.test")
	r.zone.mu.Lock()
	r.zone.hang = make(chan struct{})
	r.zone.mu.Unlock()
	k.Look("example.test", "a")
	wait := k.Renew("example.test", "b")
	close(r.zone.hang)
	r.await(wait)
	f, _ := k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "1", "new.example.test")
	if n := r.zone.questions("example.test"); n != 2 {
		t.Errorf("%d questions", n)
	}
}

// TestS17 has a policy host that hangs at the first contact: who waits decides for how long; the policy counts when it is there.
func TestS17TheFirstContactHangs(t *testing.T) {
	r := newRig(t)
	k := r.open()
	gate := make(chan struct{})
	r.record("example.test", "1")
	r.hosts.Set("example.test", ststest.Host{Text: goodText, Wait: gate})
	f, wait := k.Look("example.test", "a")
	if f.Known || f.Policy != nil || wait == nil {
		t.Fatalf("%+v", f)
	}
	select {
	case <-wait:
		t.Fatal("there is an answer")
	case <-time.After(100 * time.Millisecond):
	}
	if f, again := k.Look("example.test", "b"); f.Known || again != wait {
		t.Errorf("another session: %+v, or it waits for something else", f)
	}
	close(gate)
	r.await(wait)
	f, _ = k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "1", "mx1.example.test", "*.example.net")
}

// TestA26 has a thousand sessions that come to one cold domain at once.
func TestA26AThousandSessionsToOneDomain(t *testing.T) {
	r := newRig(t)
	k := r.open()
	gate := make(chan struct{})
	r.record("example.test", "1")
	r.hosts.Set("example.test", ststest.Host{Text: goodText, Wait: gate})
	var all, looked sync.WaitGroup
	looked.Add(1000)
	for i := range 1000 {
		all.Go(func() {
			_, wait := k.Look("example.test", fmt.Sprintf("tenant%d", i%50))
			if looked.Done(); wait == nil {
				t.Error("nothing to wait for")
				return
			}
			<-wait
			if f, _ := k.Look("example.test", "a"); f.Policy == nil {
				t.Errorf("%+v", f)
			}
		})
	}
	looked.Wait()
	close(gate)
	all.Wait()
	if q, g := r.zone.questions("example.test"), r.hosts.Gets("example.test"); q != 1 || g != 1 {
		t.Errorf("%d questions, %d fetches", q, g)
	}
}

// People have a domain looked up at once, and forgotten; with what there was before, all bounds of time are off.
func TestPeopleRefreshAndForget(t *testing.T) {
	r := newRig(t)
	disk := &diskOfTest{}
	r.options.Store = disk
	k := r.open()
	r.record("example.test", "1")
	r.hosts.Set("example.test", ststest.Host{Status: 404})
	r.look(k, "example.test", "a")
	r.publish("example.test", "1", "enforce", longestAge, "mx1.example.test")
	f, err := k.Refresh(t.Context(), "example.test")
	if err != nil {
		t.Fatal(err)
	}
	r.wantPolicy(f, Enforce, "1", "mx1.example.test")
	r.publish("example.test", "1", "enforce", longestAge, "mx2.example.test")
	f, _ = k.Refresh(t.Context(), "example.test")
	r.wantPolicy(f, Enforce, "1", "mx2.example.test")
	list := k.List()
	if len(list) != 1 || list[0].Domain != "example.test" || !list[0].Stays || list[0].Owner != "a" || list[0].Next.Sub(r.clock.Now()) > daily || list[0].Used.Day() != 1 {
		t.Errorf("%+v", list)
	}
	smtptest.WaitUntil(t, "it is on the disk", func() bool { return disk.has("example.test") })
	if known, err := k.Forget("example.test"); !known || err != nil {
		t.Errorf("%t, %v", known, err)
	}
	if disk.has("example.test") || len(k.List()) != 0 {
		t.Error("it is still there")
	}
	if known, err := k.Forget("example.test"); known || err != nil {
		t.Errorf("%t, %v", known, err)
	}
	r.wantPolicy(r.look(k, "example.test", "b"), Enforce, "1", "mx2.example.test")
	smtptest.WaitUntil(t, "it is on the disk again", func() bool { return disk.has("example.test") })
	disk.mu.Lock()
	disk.full = true
	disk.mu.Unlock()
	if known, err := k.Forget("example.test"); !known || !errors.Is(err, ErrNotKept) {
		t.Errorf("on a full disk: %t, %v", known, err)
	}
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	r.hosts.Set("example.test", ststest.Host{Text: goodText, Wait: make(chan struct{})})
	if _, err := k.Refresh(cut, "example.test"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// What a lookup brings that was under way when a person had the domain forgotten is not kept.
func TestForgetEndsALookup(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("example.test", "1", "enforce", longestAge, "mx1.example.test")
	r.look(k, "example.test", "a")
	gate := make(chan struct{})
	r.hosts.Set("example.test", ststest.Host{Text: goodText, Wait: gate})
	r.clock.Pass(time.Hour)
	wait := k.Renew("example.test", "a")
	smtptest.WaitUntil(t, "it is asked for", func() bool { return r.hosts.Gets("example.test") == 2 })
	if known, err := k.Forget("example.test"); !known || err != nil {
		t.Errorf("%t, %v", known, err)
	}
	close(gate)
	r.await(wait)
	if list := k.List(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// Close ends what is under way, and nothing begins behind it.
func TestCloseEndsLookups(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.record("example.test", "1")
	r.hosts.Set("example.test", ststest.Host{Text: goodText, Wait: make(chan struct{})})
	_, wait := k.Look("example.test", "a")
	smtptest.WaitUntil(t, "it is asked for", func() bool { return r.hosts.Gets("example.test") == 1 })
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	r.await(wait)
	if f, wait := k.Look("other.test", "a"); f.Known || wait != nil || k.Sizes().Lookups != 0 {
		t.Errorf("%+v, %+v", f, k.Sizes())
	}
}
