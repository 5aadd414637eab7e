package contain

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"kanmon/internal/event"
)

// A flood of made-up senders pushes out neither what stands, nor other tenants' accounts, nor the tenant's own old ones.
func TestFlood(t *testing.T) {
	r := newRigWith(t, Options{MaxAccounts: 500})
	others := func(n int) Subject { return Subject{"other", fmt.Sprint("u", n)} }
	for i := range 100 {
		r.mail(others(i), "google", event.NoRefusal)
		r.mail(account(i), "google", event.NoRefusal)
	}
	r.pass(25 * time.Hour)
	for i := range 100 {
		r.mail(account(i), "google", event.NoRefusal)
	}
	r.send(alice, 80, 3, event.RecipientInvalid)
	r.want(alice, Slow)
	if err := r.Block(bob, time.Time{}, "carol", ""); err != nil {
		t.Fatal(err)
	}
	for i := range 50_000 {
		r.leap(time.Millisecond)
		r.mail(Subject{"acme", fmt.Sprint("flood", i)}, "google", event.NoRefusal)
	}
	sound(t, r.Detector)
	r.want(alice, Slow)
	r.wantAsk(bob, Answer{Level: Stop, Would: Stop, Hand: true})
	for i := range 100 {
		if !r.Explain(others(i)).Known || !r.Explain(account(i)).Known {
			t.Fatalf("%d is forgotten", i)
		}
	}
	for i := range 100 { // the others get room from whoever has most
		r.mail(others(1000+i), "google", event.NoRefusal)
	}
	for i := range 100 {
		if !r.Explain(others(1000+i)).Known || !r.Explain(others(i)).Known {
			t.Fatalf("no room for others: %d", i)
		}
	}
	if x := r.Explain(acme); x.Day.Mails < 50_000 {
		t.Errorf("of the flood %d mails were counted for the tenant", x.Day.Mails)
	}
}

func TestTenantsAreBounded(t *testing.T) {
	r := newRigWith(t, Options{MaxTenants: 10})
	if err := r.Block(acme, time.Time{}, "carol", ""); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		r.leap(time.Second)
		r.mail(Subject{fmt.Sprint("t", i), "a"}, "google", event.NoRefusal)
	}
	sound(t, r.Detector)
	r.wantAsk(bob, Answer{Level: Stop, Would: Stop, Tenant: true, Hand: true})
	if !r.Explain(Subject{"t99", "a"}).Known || r.Explain(Subject{"t0", "a"}).Known {
		t.Error("the newest is not there, or the oldest is")
	}
}

func TestDecisionsAreBounded(t *testing.T) {
	r := newRig(t, nil)
	for range 2000 {
		if err := r.Exempt(alice, time.Time{}, "carol", ""); err != nil {
			t.Fatal(err)
		}
	}
	all := r.Decisions(0)
	if len(all) != maxDecisions || all[len(all)-1].Seq != 2000 || len(r.Decisions(1990)) != 10 || len(r.Decisions(2000)) != 0 {
		t.Errorf("%d, last %d", len(all), all[len(all)-1].Seq)
	}
}

// Many sessions at once; the race detector looks on.
func TestConcurrentUse(t *testing.T) {
	d, err := New(Options{Kept: true})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for g := range 50 {
		all.Go(func() {
			r := &rig{Detector: d, t: t, one: uint64(g) << 32}
			for i := range 100 {
				s := account(i % 7)
				r.mail(s, providers[i%4], each(i, 3, event.RecipientInvalid))
				d.Ask(s.Tenant, s.Account)
				switch i % 50 {
				case 1:
					_ = d.Block(account(i), time.Time{}, "carol", "")
					d.Changed(&Changes{}, 10)
				case 2:
					d.Tick()
					d.Explain(s)
					d.Decisions(0)
					d.List()
				}
			}
		})
	}
	all.Wait()
	sound(t, d)
	if x := d.Explain(acme); x.Day.Mails == 0 && x.Level == Normal {
		t.Errorf("%+v", x)
	}
}

func TestPolicyIsChecked(t *testing.T) {
	if err := DefaultNumbers().Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Numbers){
		"share":     func(p *Numbers) { p.Content.Stop.Share = 1 },
		"order":     func(p *Numbers) { p.Unknown.Divert.Share = 0.05 },
		"few":       func(p *Numbers) { p.Unknown.Slow.Bad = 3 },
		"no slow":   func(p *Numbers) { p.Backscatter.Slow.Share = 0 },
		"bounces":   func(p *Numbers) { p.BounceContent.Slow.Share = 0 },
		"z":         func(p *Numbers) { p.Z = 0 },
		"quiet":     func(p *Numbers) { p.Quiet.Stop = 0 },
		"longest":   func(p *Numbers) { p.Longest = time.Hour },
		"held":      func(p *Numbers) { p.HeldContent.Stop.Bad = 5 },
		"overwhelm": func(p *Numbers) { p.OverwhelmingContent.Bad = 20 },
	} {
		p := DefaultNumbers()
		spoil(p)
		if _, err := New(Options{Numbers: p}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// crowd gives a Detector of 100,000 accounts of 200 tenants with a day's mail behind them.
func crowd(b testing.TB, mails int) (*rig, []Subject) {
	r := newRig(b, nil)
	all := make([]Subject, 100_000)
	for i := range all {
		all[i] = Subject{fmt.Sprint("tenant", i%200), fmt.Sprint("user", i, "@some.example")}
	}
	for m := range mails {
		for i, s := range all {
			r.one++
			class := event.NoRefusal
			if i%100 == 0 {
				class = event.RecipientInvalid
			}
			r.Begin(Mail{Tenant: s.Tenant, Account: s.Account})
			r.Recipient(Recipient{Tenant: s.Tenant, Account: s.Account, Provider: providers[m%4], Hash: mix(r.one, 3), Class: class})
			r.Message(Message{Tenant: s.Tenant, Account: s.Account, Provider: providers[m%4], Hash: mix(r.one, 3), Class: event.NoRefusal})
		}
		r.pass(31 * time.Minute)
	}
	return r, all
}

func BenchmarkAsk(b *testing.B) {
	r, all := crowd(b, 1)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i = (i + 7919) % len(all)
		r.Ask(all[i].Tenant, all[i].Account)
	}
}

func BenchmarkAskRealClock(b *testing.B) {
	r, all := crowd(b, 1)
	r.time.clock = time.Now
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		i := 0
		for pb.Next() {
			i = (i + 7919) % len(all)
			r.Ask(all[i].Tenant, all[i].Account)
		}
	})
}

// A bad outcome is judged while everybody waits: that makes no garbage, of an account and its tenant that have many of them.
func TestABadOutcomeDoesNotAllocate(t *testing.T) {
	r, all := crowd(t, 1)
	bad := Recipient{Tenant: all[0].Tenant, Account: all[0].Account, Provider: "google", Hash: 7, Class: event.RecipientInvalid}
	for range 100 {
		r.Recipient(bad)
	}
	if n := testing.AllocsPerRun(100, func() { r.Recipient(bad) }); n != 0 {
		t.Errorf("%v allocations for a bad outcome, want 0", n)
	}
}

// A mail is three events.
func BenchmarkMail(b *testing.B) {
	for _, c := range []struct {
		name  string
		class event.Class
	}{{"accepted", event.NoRefusal}, {"unknown", event.RecipientInvalid}} {
		b.Run(c.name, func(b *testing.B) {
			r, all := crowd(b, 1)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % len(all)
				r.leap(time.Millisecond)
				r.mail(all[i], "google", c.class)
			}
		})
	}
}

func BenchmarkMemory(b *testing.B) {
	for _, mails := range []int{1, 10, 40} {
		b.Run(fmt.Sprint(mails, "mails"), func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				r, all := crowd(b, mails)
				runtime.GC()
				runtime.ReadMemStats(&after)
				names := 0
				for _, s := range all {
					names += 32 + len(s.Tenant) + len(s.Account)
				}
				b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc)-float64(names))/float64(r.Stats().Accounts), "B/account")
			}
		})
	}
}
