package sts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/outlet/trust/sts/ststest"
	"kanmon/internal/smtp/smtptest"
)

// settled has a Keeper keep what a lookup has brought behind the mail of a tenant: the policy, or that there is none.
func settled(k *Keeper, domain, by string, p *Policy) {
	l := &landing{answered: true, recorded: errNoRecord, until: time.Hour}
	if p != nil {
		own := *p
		l = &landing{answered: true, id: "1", until: time.Hour, tried: true, policy: &own}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settle(&flight{domain: domain, by: by}, l, k.now())
}

func parsed(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := parsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestA4 floods with a million domains that have no policy: those that are kept stay, and what is remembered is bounded.
func TestA4AFloodOfDomainsWithoutAPolicy(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("bank.test", "1", "enforce", longestAge, "mx1.bank.test")
	r.look(k, "bank.test", "quiet")
	r.look(k, "plain.test", "quiet") // and so is what a quiet tenant knows
	for i := range 1_000_000 {
		if i%1000 != 0 { // as if it had been asked
			settled(k, fmt.Sprintf("d%d.flood.test", i), "flood", nil)
			continue
		}
		for {
			if _, wait := k.Look(fmt.Sprintf("d%d.flood.test", i), "flood"); wait != nil {
				break
			}
			r.quiet(k) // all places are taken
		}
	}
	r.quiet(k)
	if s := k.Sizes(); s.Remembered > mostPassing || s.Policies != 1 {
		t.Errorf("%+v", s)
	}
	r.zone.fail("bank.test")
	f, wait := k.Look("bank.test", "quiet")
	if r.wantPolicy(f, Enforce, "1", "mx1.bank.test"); wait != nil {
		t.Error("it is looked up again")
	}
	if f, wait := k.Look("plain.test", "quiet"); !f.Known || wait != nil {
		t.Errorf("a quiet tenant's domain is forgotten: %+v", f)
	}
}

// TestA4 floods with domains that all have a policy to be enforced: a tenant's places end, and nobody else's are taken. What there is no
// place for is enforced as long as there is room.
func TestA4AFloodOfPolicies(t *testing.T) {
	r, good := newRig(t), parsed(t, goodText)
	disk := &diskOfTest{}
	r.options.Store = disk
	k := r.open()
	for i := range 500 {
		settled(k, fmt.Sprintf("d%d.quiet.test", i), "quiet", good)
	}
	for i := range 60_000 {
		settled(k, fmt.Sprintf("d%d.flood.test", i), "flood", good)
	}
	s := k.Sizes()
	if n := s.Policies - 500; n < mostFirm/3 || n > mostFirm/2 || s.Remembered > mostPassing {
		t.Errorf("the flood has %d places of %d, %+v", n, mostFirm, s)
	}
	if f, _ := k.Look("d59999.flood.test", "flood"); f.Policy == nil {
		t.Errorf("the latest is not enforced: %+v", f)
	}
	for i := range 500 {
		settled(k, fmt.Sprintf("d%d.late.test", i), "late", good)
	}
	for i := range 60_000 {
		settled(k, fmt.Sprintf("e%d.flood.test", i), "flood", good)
	}
	for _, who := range []string{"quiet", "late"} {
		for i := range 500 {
			if one := r.kept(k, fmt.Sprintf("d%d.%s.test", i, who)); !one.Stays {
				t.Fatalf("policy %d of the tenant %s is lost", i, who)
			}
		}
	}
	// A policy that has a place keeps it when it is renewed, although its tenant would get no other.
	settled(k, "d7.flood.test", "flood", parsed(t, strings.Replace(goodText, "mx1", "mx7", 1)))
	if one := r.kept(k, "d7.flood.test"); !one.Stays || one.Policy.MX[0] != "mx7.example.test" {
		t.Errorf("%+v", one)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(disk.rows); n != k.Sizes().Policies || n > mostFirm {
		t.Errorf("%d rows, %+v", n, k.Sizes())
	}
}

// Large policies take more room, and one for which there is none is said to be.
func TestLargePoliciesTakeMoreRoom(t *testing.T) {
	r := newRig(t)
	k := r.open()
	text := goodText
	for i := range 200 {
		text += fmt.Sprintf("mx: mx%d.a-rather-long-name.example.test\n", i)
	}
	large := parsed(t, text)
	for i := range 5000 {
		settled(k, fmt.Sprintf("d%d.test", i), "a", large)
	}
	k.mu.Lock()
	units, policies := k.shelf.firm.All(), len(k.shelf.all)
	k.mu.Unlock()
	if units > mostFirm || policies >= 5000 || units < 8*policies {
		t.Errorf("%d policies, %d units", policies, units)
	}
	if f, _ := k.Look("d4999.test", "a"); f.Policy != nil || !f.Known || !errors.Is(f.Err, ErrNoRoom) {
		t.Errorf("%+v", f)
	}
}

// With few places left those go that nobody has used for a month.
func TestWhatNobodyUsesMakesRoom(t *testing.T) {
	r, good := newRig(t), parsed(t, goodText)
	k := r.open()
	for i := range mostFirm {
		settled(k, fmt.Sprintf("d%d.test", i), fmt.Sprint(i%200), good)
	}
	if n := k.Sizes().Policies; n < mostFirm/2 {
		t.Errorf("%d have a place", n)
	}
	r.clock.Pass((usedFor + 1) * day)
	settled(k, "used.test", "other", good)
	if k.tend(); !r.kept(k, "used.test").Stays || k.Sizes().Policies != 1 {
		t.Errorf("%+v", k.Sizes())
	}
}

// TestA5 has ten thousand domains whose policy host hangs: a tenant has few fetches, and others' first contact is as fast as ever.
func TestA5HostsThatHang(t *testing.T) {
	r := newRig(t)
	r.options.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "11.") {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return r.hosts.Dial(ctx, network, address)
	}
	k := r.open()
	busy := 0
	for i := range 10_000 {
		domain := fmt.Sprintf("d%d.flood.test", i)
		r.record(domain, "1")
		if f, wait := k.Look(domain, "flood"); wait == nil {
			busy++
			if f.Known || f.Err == nil {
				t.Fatalf("%+v", f)
			}
		}
	}
	smtptest.WaitUntil(t, "the flood is at the hosts", func() bool { return k.Sizes().Fetches == ownFetches })
	if s := k.Sizes(); s.Lookups > mostFlights/2 || busy < 10_000-mostFlights {
		t.Errorf("%+v, %d got no lookup", s, busy)
	}
	for i := range 20 {
		domain := fmt.Sprintf("d%d.quiet.test", i)
		r.zone.mu.Lock()
		r.zone.addrs[policyPrefix+domain] = addrs("12.0.0.1")
		r.zone.mu.Unlock()
		r.publish(domain, "1", "enforce", longestAge, "mx1.quiet.test")
		began := time.Now()
		r.wantPolicy(r.look(k, domain, fmt.Sprintf("quiet%d", i%3)), Enforce, "1", "mx1.quiet.test")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: it took %s", domain, took)
		}
	}
	if n := k.Sizes().Fetches; n != ownFetches {
		t.Errorf("the flood has %d fetches", n)
	}
}

// A tenant with many cold domains at once gets them all, few at a time.
func TestManyColdDomainsOfOneTenant(t *testing.T) {
	r := newRig(t)
	var k *Keeper
	var most atomic.Int64
	r.options.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		for now := int64(k.Sizes().Fetches); ; {
			if before := most.Load(); now <= before || most.CompareAndSwap(before, now) {
				return r.hosts.Dial(ctx, network, address)
			}
		}
	}
	k = r.open()
	var waits []<-chan struct{}
	for i := range 100 {
		domain := fmt.Sprintf("d%d.test", i)
		r.publish(domain, "1", "enforce", longestAge, "mx1.test.example")
		_, wait := k.Look(domain, "a")
		waits = append(waits, wait)
	}
	for i, wait := range waits {
		r.await(wait)
		f, _ := k.Look(fmt.Sprintf("d%d.test", i), "a")
		r.wantPolicy(f, Enforce, "1", "mx1.test.example")
	}
	if n := most.Load(); n < 2 || n > ownFetches {
		t.Errorf("%d fetches at once", n)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fetches.All() != 0 || k.waited.All() != 0 || len(k.queue) != 0 {
		t.Error("places are not given back")
	}
}

// While the disk takes nothing, what waits for it is bounded, whatever comes and goes.
func TestADeadDiskCostsLittle(t *testing.T) {
	r, good := newRig(t), parsed(t, goodText)
	disk := &diskOfTest{full: true}
	r.options.Store = disk
	k := r.open()
	short := parsed(t, strings.Replace(goodText, "604800", "60", 1))
	for round := range 6 {
		for i := range 20_000 {
			settled(k, fmt.Sprintf("r%d-%d.test", round, i), "a", short)
		}
		if _, err := k.saveAll(); err == nil {
			t.Fatal("written to a full disk")
		}
		r.clock.Pass(time.Hour)
		k.tend()
	}
	if n := k.Sizes().Unsaved; n > 2*mostFirm {
		t.Errorf("%d rows wait", n)
	}
	disk.mu.Lock()
	disk.full = false
	disk.mu.Unlock()
	settled(k, "last.test", "a", good)
	if _, err := k.saveAll(); err != nil || len(disk.rows) != 1 || !disk.has("last.test") {
		t.Errorf("%v, %d rows", err, len(disk.rows))
	}
}

// A host whose certificate names half the world leaves no more than a line of it.
func TestErrorsAreKeptShort(t *testing.T) {
	r := newRig(t)
	k := r.open()
	c := smtptest.Certificate(t, smtptest.CertificateOptions{Name: "other.test", MoreNames: 90})
	r.record("example.test", "1")
	r.hosts.Set("example.test", ststest.Host{Text: goodText, Certificate: &c})
	if f := r.look(k, "example.test", "a"); f.Err == nil || len(f.Err.Error()) > mostErr {
		t.Errorf("%v", f.Err)
	}
	r.zone.set("other.test", Texts{Answered: true, All: []string{"v=STSv1; id=\r\n250 " + strings.Repeat("x", 60_000)}})
	if f := r.look(k, "other.test", "a"); f.Err == nil || len(f.Err.Error()) > mostErr || strings.ContainsAny(f.Err.Error(), "\r\n") {
		t.Errorf("%v", f.Err)
	}
}

// What a session asks for each recipient costs next to nothing where it is known.
func TestALookAtWhatIsKnownDoesNotAllocate(t *testing.T) {
	r, good := newRig(t), parsed(t, goodText)
	r.options.Clock = nil
	k := r.open()
	settled(k, "example.test", "a", good)
	r.look(k, "example.test", "a")
	r.zone.life = time.Hour
	r.zone.set("plain.test", Texts{Answered: true})
	settled(k, "plain.test", "a", nil)
	for _, domain := range []string{"example.test", "plain.test"} {
		if n := testing.AllocsPerRun(1000, func() { k.Look(domain, "a") }); n != 0 {
			t.Errorf("%s: %v allocations", domain, n)
		}
	}
}

func BenchmarkLook(b *testing.B) {
	k, err := New(Options{Resolver: &zone{}})
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	settled(k, "example.test", "a", parsed(b, goodText))
	settled(k, "plain.test", "a", nil)
	for _, domain := range []string{"example.test", "plain.test"} {
		b.Run(domain, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if f, _ := k.Look(domain, "a"); !f.Known {
					b.Fatal("not known")
				}
			}
		})
	}
}
