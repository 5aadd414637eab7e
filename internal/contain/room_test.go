package contain

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// invent has a tenant's made-up senders contained, one after the other: each has its mail refused by two providers.
func (r *rig) invent(tenant string, from, senders int) {
	for i := range senders {
		s := Subject{tenant, fmt.Sprintf("%s%d@invented.example", strings.Repeat("x", 200), from+i)}
		for n := range 32 {
			r.leap(time.Millisecond)
			r.mail(s, providers[n%2], "recipient_invalid")
		}
	}
}

// audit-B3: made-up senders that are contained take room of their own tenant alone, and of that no more than its part. It is contained in place of
// those that are forgotten; nobody else's accounts are, and what a person says always has room.
func TestContainedSendersFillTheRoomOfTheirTenant(t *testing.T) {
	p := enforced()
	p.TenantVolume = 1e9
	r := newRigWith(t, Options{MaxAccounts: 2000, Policy: p})
	innocent := func(i int) Subject { return Subject{"innocent", fmt.Sprint("u", i, "@innocent.example")} }
	for n := range 32 {
		for i := range 200 {
			r.mail(innocent(i), providers[n%2], each(i, 70, "recipient_invalid"))
		}
	}
	contained := 0
	for i := range 200 {
		if r.level(innocent(i)) > Normal {
			contained++
		}
	}
	if contained != 2 {
		t.Fatalf("%d of the innocent tenant's accounts are contained, want 2", contained)
	}
	for i := range 6 {
		r.invent(fmt.Sprint("evil", i), 0, 1500)
	}
	sound(t, r.Detector)
	for i := range 200 {
		if x := r.Explain(innocent(i)); !x.Known || (x.Level > Normal) != (i%70 == 69) {
			t.Fatalf("the innocent tenant's account %d: known %t, %v", i, x.Known, x.Level)
		}
	}
	r.want(Subject{Tenant: "innocent"}, Normal)
	r.pass(3 * time.Minute)
	for i := range 6 {
		r.wantAsk(Subject{fmt.Sprint("evil", i), "anybody"}, Answer{Level: Divert, Would: Divert, Tenant: true})
	}
	if s := r.Stats(); s.Accounts > 2000 || s.Folded < 8000 || s.Contained > 6*21+2 {
		t.Errorf("%+v", s)
	}
	for i := range 3000 { // more than there is room for
		if err := r.Block(innocent(i), time.Time{}, "carol", "an order"); err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
	}
	r.invent("evil0", 5000, 100)
	for i := range 3000 {
		if !r.Ask("innocent", innocent(i).Account).Hand {
			t.Fatalf("a person's block is forgotten: %d", i)
		}
	}
	again := newRigWith(t, Options{MaxAccounts: 2000, Policy: enforced()})
	if err := again.Restore(r.Snapshot()); err == nil {
		t.Error("what there is no room for is not said")
	}
	sound(t, again.Detector)
	for i := range 3000 {
		if !again.Ask("innocent", innocent(i).Account).Hand {
			t.Fatalf("a person's block is forgotten over a restart: %d", i)
		}
	}
}

// audit-B3: so do senders that a limit blocks, whatever is enforced: the tenant does not stay normal.
func TestBlocksByLimitsAreBounded(t *testing.T) {
	r := newRigWith(t, Options{MaxAccounts: 2000})
	for i := range 100 {
		r.mail(Subject{"innocent", fmt.Sprint("u", i)}, "google", Accepted)
	}
	if done, err := r.BlockByRule(Subject{"innocent", "u1"}, "limit day", "reached"); !done || err != nil {
		t.Fatal(done, err)
	}
	for i := range 5000 {
		if done, err := r.BlockByRule(Subject{"evil", fmt.Sprint("x", i)}, "limit day", "reached"); !done || err != nil {
			t.Fatal(i, done, err)
		}
	}
	if done, err := r.BlockByRule(Subject{"evil", "x4999"}, "limit hour", "reached"); done || err != nil {
		t.Errorf("blocked twice: %t, %v", done, err)
	}
	sound(t, r.Detector)
	if !r.Ask("innocent", "u1").Hand || !r.Ask("evil", "x4999").Hand || r.Ask("evil", "x0").Hand {
		t.Error("the last one is not blocked, or the first one still is")
	}
	if s := r.Stats(); s.Accounts > 2000 || s.Folded != 5000-20 {
		t.Errorf("%+v", s)
	}
	r.Tick()
	r.want(Subject{Tenant: "evil"}, Slow)
	r.pass(3 * time.Minute)
	r.want(Subject{Tenant: "evil"}, Divert)
	if err := r.Block(Subject{"evil", "x4999"}, time.Time{}, "carol", "by a person"); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		_, _ = r.BlockByRule(Subject{"evil", fmt.Sprint("y", i)}, "limit day", "reached")
	}
	again := newRigWith(t, Options{MaxAccounts: 2000})
	if err := again.Restore(r.Snapshot()); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*Detector{r.Detector, again.Detector} {
		if sound(t, d); !d.Ask("evil", "x4999").Hand {
			t.Error("a limit's blocks have pushed out a person's")
		}
	}
}

// Sessions do not wait while all accounts are copied.
func TestNobodyWaitsForACopyOfAll(t *testing.T) {
	r := newRig(t, nil)
	full := &history{1}
	for i := range 50_000 {
		s := Subject{fmt.Sprint("t", i%100), fmt.Sprint("u", i)}
		r.Begin(Mail{Tenant: s.Tenant, Account: s.Account})
		r.find(s).history = full
	}
	stop, asked := make(chan bool), atomic.Int64{}
	go func() {
		defer close(stop)
		for {
			select {
			case <-stop:
				return
			default:
				r.Ask("t1", "u1")
				asked.Add(1)
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	pieces, all := 0, 0
	before := asked.Load()
	for s := range r.Snapshots(1000) {
		pieces++
		all += len(s.Subjects)
	}
	meanwhile := asked.Load() - before
	stop <- true
	<-stop
	if all != 50_000 || pieces < 50 {
		t.Errorf("%d subjects in %d pieces", all, pieces)
	}
	if meanwhile < 10 { // with the lock held for all of it: one or two
		t.Errorf("%d questions were answered while all was copied", meanwhile)
	}
}

// BenchmarkMadeUp is one tenant with 100,000 made-up senders of 240 octets that are contained: what that costs all others.
func BenchmarkMadeUp(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r := newRig(b, nil)
		begun := time.Now()
		for i := range 100_000 {
			s := Subject{"evil", strings.Repeat("x", 220) + fmt.Sprintf("%06d@invented.example", i)}
			for n := range 32 {
				r.leap(time.Millisecond)
				r.mail(s, providers[n%2], "recipient_invalid")
			}
		}
		b.ReportMetric(float64(time.Since(begun).Microseconds())/3_200_000, "us/mail")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB-heap")
		stop := make(chan bool)
		var longest time.Duration
		go func() {
			for {
				select {
				case stop <- true:
					return
				default:
				}
				begun := time.Now()
				r.Ask("evil", "x")
				longest = max(longest, time.Since(begun))
				time.Sleep(100 * time.Microsecond)
			}
		}()
		begun = time.Now()
		s := r.Snapshot()
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "ms-snapshot")
		<-stop
		b.ReportMetric(float64(longest.Milliseconds()), "ms-longest-Ask")
		text, err := json.Marshal(s)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(text))/(1<<20), "MiB-JSON")
		b.ReportMetric(float64(r.Stats().Contained), "contained")
	}
}

// BenchmarkNewAccount is a mail of a new account where all rooms are full, with 9,000 tenants.
func BenchmarkNewAccount(b *testing.B) {
	r := newRig(b, nil)
	for i := range DefaultMaxAccounts {
		r.Begin(Mail{Tenant: fmt.Sprint("t", i%9000), Account: fmt.Sprint("u", i)})
	}
	i := 0
	for b.Loop() {
		i++
		r.Begin(Mail{Tenant: fmt.Sprint("t", i%9000), Account: fmt.Sprint("new", i)})
	}
}

// BenchmarkNewTenant is a mail of a tenant that is not remembered, of twice as many as there is room for.
func BenchmarkNewTenant(b *testing.B) {
	r := newRig(b, nil)
	i := 0
	for b.Loop() {
		i++
		r.Begin(Mail{Tenant: fmt.Sprint("t", i%(2*DefaultMaxTenants)), Account: "u"})
	}
}
