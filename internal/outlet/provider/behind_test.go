package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What one Lookup has learnt, the next one knows at once: after a reload, also with another list, and with DNS dead.
func TestKnowledgeOutlivesALookup(t *testing.T) {
	dns, addresses, mxs := newDNS(), newMemory[netip.Addr](), newMemory[string]()
	google := netip.MustParseAddr("192.0.2.1")
	inBubble(t, dns, Config{Wait: wait, Addresses: addresses, MXs: mxs}, func(t *testing.T, l *Lookup) {
		for _, domain := range []string{"acme.example", "uqmobile.jp", "own.example"} {
			l.Find(t.Context(), domain, "tenant")
		}
		synctest.Wait()
		dead := errors.New("server misbehaving")
		dns.set(dead, 0)
		next := New(Config{Set: set, Resolver: dns, Wait: wait, Addresses: addresses, MXs: mxs})
		defer next.Close()
		if at, uq := next.At(google), next.At(netip.MustParseAddr("192.0.2.9")); at != "google" || uq != "uq" || next.Of("acme.example") != "google" {
			t.Errorf("after a reload: %q, %q, the domain %q", at, uq, next.Of("acme.example"))
		}
		for range 3 { // the second comes after DNS has failed to answer the first
			if a := next.Find(t.Context(), "acme.example", "tenant"); a.Provider != "google" || a.Err != nil {
				t.Errorf("the domain, with DNS dead: %+v", a)
			}
			time.Sleep(2 * failedFor)
		}
		if next.Of("own.example") != "" || !maps.Equal(next.Met(), map[string]bool{"google": true, "uq": true}) || !next.Named("office365") || next.Named("gogle") {
			t.Error("what nobody has told is known, or what was told is not")
		}
		renamed := New(Config{Set: NewSet([]Provider{{Name: "g-suite", MX: []string{"*.google.com"}}}), Resolver: dns, Addresses: addresses, MXs: mxs})
		defer renamed.Close()
		if renamed.At(google) != "g-suite" || renamed.Of("acme.example") != "g-suite" || renamed.At(netip.MustParseAddr("192.0.2.9")) != "" {
			t.Errorf("by the new list: %q, %q", renamed.At(google), renamed.Of("acme.example"))
		}
		dns.set(nil, 0)
		dns.mx["acme.example."] = dns.mx["own.example."] // it has left Google
		time.Sleep(failedFor)
		next.Find(t.Context(), "acme.example", "tenant")
		synctest.Wait()
		last := New(Config{Set: set, Resolver: dns, Addresses: addresses, MXs: mxs})
		defer last.Close()
		if p := last.Of("acme.example"); p != "" {
			t.Errorf("a domain that has left its provider is still %q's", p)
		}
	})
}

// Learning goes on behind the mail, and asks once as long as the answer is fresh.
func TestLearn(t *testing.T) {
	dns := newDNS()
	inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		began := time.Now()
		for range 10 {
			l.Learn("ACME.example.", "tenant")
			l.Learn("[192.0.2.1]", "tenant")
		}
		if time.Since(began) != 0 {
			t.Errorf("it has waited %s", time.Since(began))
		}
		synctest.Wait()
		if p := l.At(netip.MustParseAddr("192.0.2.1")); p != "google" || dns.count("mx acme.example.") != 1 {
			t.Errorf("provider %q after %d questions", p, dns.count("mx acme.example."))
		}
		if n := testing.AllocsPerRun(100, func() { l.Learn("acme.example", "tenant") }); n != 0 {
			t.Errorf("%v allocations where nothing is to be learnt, want 0", n)
		}
	})
}

// What is heard of a domain says whose it is, and whether it is time to ask DNS: before anything is known, while an answer is fresh, and behind that.
func TestHeardSaysWhatIsDue(t *testing.T) {
	dns := newDNS()
	dns.delay = time.Second
	inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		heard := func(domain, provider string, due bool) {
			t.Helper()
			if p, d := l.Heard(domain); p != provider || d != due || l.Of(domain) != provider || l.Due(domain) != due {
				t.Errorf("%s: provider %q, due %t, want %q and %t", domain, p, d, provider, due)
			}
		}
		heard("acme.example", "", true)
		heard("gmail.com", "google", true)
		heard("[192.0.2.1]", "", false)
		l.Learn("acme.example", "tenant")
		heard("acme.example", "", false) // it is under way
		time.Sleep(lookupTime)
		synctest.Wait()
		heard("ACME.example.", "google", false)
		if n := testing.AllocsPerRun(100, func() { l.Heard("acme.example") }); n != 0 {
			t.Errorf("%v allocations, want 0", n)
		}
		time.Sleep(freshFor)
		heard("acme.example", "google", true)
		time.Sleep(usableFor)
		heard("acme.example", "google", true) // as long as KnownFor, though DNS has not said so lately
	})
}

// A tenant with any number of domains and a resolver that hangs: the other tenants learn, and who waits is answered.
func TestOneTenantDoesNotKeepOthersFromLearning(t *testing.T) {
	dns := newDNS()
	dns.delay = 5 * time.Second
	for i := range 1000 {
		dns.mx[fmt.Sprintf("d%d.example.", i)] = []*net.MX{mx(10, "mx.example.")}
	}
	inBubble(t, dns, Config{Wait: 6 * time.Second}, func(t *testing.T, l *Lookup) {
		for i := range 1000 {
			l.Learn(fmt.Sprintf("d%d.example", i), "greedy")
		}
		synctest.Wait()
		if all, behind := l.underWay(); behind != mostOfOne || all != mostOfOne {
			t.Errorf("%d lookups of one tenant are under way, %d in all, want %d", behind, all, mostOfOne)
		}
		for i := range 20 {
			for n := range 10 {
				l.Learn(fmt.Sprintf("d%d.example", 10*i+n), fmt.Sprintf("tenant %d", i))
			}
		}
		synctest.Wait()
		if all, behind := l.underWay(); behind != mostBehind || all != mostBehind {
			t.Errorf("%d lookups behind the mail, of %d in all, want %d", behind, all, mostBehind)
		}
		if a := l.Find(t.Context(), "acme.example", "tenant"); a.Provider != "google" {
			t.Errorf("who waits gets %+v", a)
		}
		time.Sleep(time.Minute)
		if all, behind := l.underWay(); all != 0 || behind != 0 {
			t.Errorf("%d lookups have not ended, %d of them behind the mail", all, behind)
		}
	})
}

// underWay gives how many lookups are, and how many of them behind the mail.
func (l *Lookup) underWay() (all, behind int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	behind = l.behind.places.All()
	return l.waited.All() + behind, behind
}

// A silentDNS has name servers that never answer, of domains that end in ".silent."; others answer at once.
type silentDNS struct{ *fakeDNS }

func (d silentDNS) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if strings.HasSuffix(name, ".silent.") {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return d.fakeDNS.LookupMX(ctx, name)
}

// A tenant whose domains have silent name servers, in routes by provider and behind its mail, keeps no other tenant waiting.
//
// audit-B6
func TestSilentNameServersAreTheirTenantsTrouble(t *testing.T) {
	dns := newDNS()
	inBubble(t, silentDNS{dns}, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		var group sync.WaitGroup
		for i := range 64 {
			group.Go(func() { l.Find(t.Context(), fmt.Sprintf("d%d.silent", i), "greedy") })
			l.Learn(fmt.Sprintf("e%d.silent", i), "greedy")
		}
		group.Wait()
		for i := range 200 { // and accomplices
			l.Learn(fmt.Sprintf("f%d.silent", i), fmt.Sprintf("accomplice %d", i))
		}
		synctest.Wait()
		began := time.Now()
		if a := l.Find(t.Context(), "acme.example", "quiet"); a.Provider != "google" || time.Since(began) != 0 {
			t.Errorf("another tenant's lookup: %+v after %s", a, time.Since(began))
		}
		l.Find(t.Context(), "own.example", "greedy")
		if a := l.Find(t.Context(), "own.example", "quiet"); !a.Known {
			t.Errorf("a domain that the first has no room to ask for: %+v", a)
		}
	})
}

// However fast DNS answers, it is not flooded.
func TestLearningIsRateBounded(t *testing.T) {
	dns := newDNS()
	inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		asked := func() (n int) {
			dns.mu.Lock()
			defer dns.mu.Unlock()
			return len(dns.asked)
		}
		for i := range 10_000 {
			l.Learn(fmt.Sprintf("d%d.example", i), "greedy")
			synctest.Wait()
		}
		if n := asked(); n != askedBurst {
			t.Errorf("%d questions at once, want %d", n, askedBurst)
		}
		time.Sleep(time.Second)
		for i := range 10_000 {
			l.Learn(fmt.Sprintf("e%d.example", i), "greedy")
			synctest.Wait()
		}
		if n := asked(); n != askedBurst+askedByOne {
			t.Errorf("%d questions after another second, want %d", n, askedBurst+askedByOne)
		}
	})
}
