package contain

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
)

// invent has a tenant's made-up senders contained, one after the other: each has its mail refused by two providers.
func (r *rig) invent(tenant string, from, senders int) {
	for i := range senders {
		s := Subject{tenant, fmt.Sprintf("%s%d@invented.example", strings.Repeat("x", 200), from+i)}
		for n := range 32 {
			r.leap(time.Millisecond)
			r.mail(s, providers[n%2], event.RecipientInvalid)
		}
	}
}

// audit-B3: made-up senders that are contained take room of their own tenant alone, and of that no more than its part. It is contained in place of
// those that are forgotten; nobody else's accounts are, and what a person says always has room.
func TestContainedSendersFillTheRoomOfTheirTenant(t *testing.T) {
	p := enforced()
	p.TenantVolume = 1e9
	r := newRigWith(t, Options{MaxAccounts: 2000, Numbers: p})
	innocent := func(i int) Subject { return Subject{"innocent", fmt.Sprint("u", i, "@innocent.example")} }
	for n := range 32 {
		for i := range 200 {
			r.mail(innocent(i), providers[n%2], each(i, 70, event.RecipientInvalid))
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
	again := newRigWith(t, Options{MaxAccounts: 2000, Numbers: enforced()})
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
		r.mail(Subject{"innocent", fmt.Sprint("u", i)}, "google", event.NoRefusal)
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

// audit-E1: what has changed is copied a few at a time, however much that is, and whatever is forgotten meanwhile: each subject once, and nothing
// that has not changed.
func TestNobodyWaitsForACopyOfAll(t *testing.T) {
	r := newRig(t, nil)
	for i := range 5000 {
		s := Subject{fmt.Sprint("t", i%100), fmt.Sprint("u", i)}
		r.Begin(Mail{Tenant: s.Tenant, Account: s.Account})
		if err := r.Block(s, time.Time{}, "carol", ""); err != nil {
			t.Fatal(err)
		}
	}
	times := map[Subject]int{}
	copied := func() (batches int) {
		for left := 1; left > 0; batches++ {
			var c Changes
			left = r.Changed(&c, 64)
			if len(c.Subjects)+len(c.Gone) > 64 {
				t.Fatalf("%d at once", len(c.Subjects)+len(c.Gone))
			}
			for _, one := range c.Subjects {
				times[one.Subject]++
			}
		}
		return batches
	}
	if n := copied(); n < 79 || len(times) != 5000 {
		t.Errorf("%d subjects in %d batches", len(times), n)
	}
	clear(times)
	for i := range 7 {
		if err := r.Exempt(Subject{"t1", fmt.Sprint("u", 100*i+1)}, time.Time{}, "carol", ""); err != nil {
			t.Fatal(err)
		}
	}
	r.pass(10 * time.Minute)
	if copied(); len(times) != 7 {
		t.Errorf("%d subjects, want 7: %v", len(times), times)
	}
	for s, n := range times {
		if n != 1 {
			t.Errorf("%v was copied %d times", s, n)
		}
	}
}

// A flood of made-up senders costs the disk nothing: a sender that nobody has known for a day, and of which nothing stands, has no row. One that has been
// known has, with what is usual for it.
func TestAFloodWritesNothing(t *testing.T) {
	r := newRig(t, nil)
	flood := func() {
		for range 1000 {
			r.mail(Subject{"acme", fmt.Sprint("made-up", r.one)}, "google", event.NoRefusal)
		}
	}
	if flood(); len(r.Snapshot().Subjects) != 0 {
		t.Errorf("%d rows", len(r.file))
	}
	r.mail(alice, "google", event.NoRefusal)
	r.pass(25 * time.Hour)
	r.mail(alice, "google", event.NoRefusal)
	flood()
	if r.Snapshot(); len(r.file) != 2 || r.file[alice].Usual[0].Cases != 1 || r.file[acme].Today[0].Cases == 0 {
		t.Errorf("%d rows, want those of alice and of the tenant: %+v, %+v", len(r.file), r.file[alice], r.file[acme])
	}
}

// While the disk takes nothing, what waits for it is bounded by what is known, whoever is forgotten meanwhile.
func TestWhatWaitsForTheDiskIsBounded(t *testing.T) {
	r := newRigWith(t, Options{MaxAccounts: 500, MaxTenants: 20})
	for i := range 20_000 {
		s := Subject{fmt.Sprint("t", i%60), fmt.Sprint("u", i)}
		if _, err := r.BlockByRule(s, "limit day", "reached"); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		if i%3 == 0 {
			var c Changes
			r.Changed(&c, 2)
			r.PutBack(&c)
		}
		if i%7 == 0 { // nothing stands of it any more: it is one that may be forgotten
			_ = r.Unblock(s, "carol")
		}
	}
	if dirty, gone, tenants := len(r.dirty.all), len(r.forgotten.all), len(r.forgottenTenants.all); dirty > 2*(r.accounts+len(r.tenants))+walkBatch || gone > 500 || tenants > 20 {
		t.Errorf("%d changes, %d senders and %d tenants that are forgotten", dirty, gone, tenants)
	}
	sound(t, r.Detector)
	r.wantWhole(t)
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
				r.mail(s, providers[n%2], event.RecipientInvalid)
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

// What is forgotten while a part of the file is gathered is not in it: neither the row that it has got already, nor the one in the file.
func TestWhoIsForgottenWhileAPartIsGatheredHasNoRow(t *testing.T) {
	r := newRigWith(t, Options{MaxAccounts: 1})
	r.send(alice, 1500, 0, event.NoRefusal)
	var c Changes
	r.Changed(&c, 8)
	has := func(s Subject) bool {
		return slices.ContainsFunc(c.Subjects, func(one Saved) bool { return one.Subject == s })
	}
	if !has(alice) {
		t.Fatal("alice is not worth keeping")
	}
	r.mail(bob, "google", event.NoRefusal)
	if r.Changed(&c, 8); has(alice) || !slices.Contains(c.Gone, alice) {
		t.Errorf("alice has made room: %v, gone %v", c.Subjects, c.Gone)
	}
	r.mail(alice, "google", event.NoRefusal)
	r.send(alice, 1500, 0, event.NoRefusal)
	if r.Changed(&c, 8); !has(alice) {
		t.Error("alice is known again, and has no row")
	}
}

// How many rows one look gives is bounded, however many accounts forgotten tenants had.
func TestForgottenTenantsAreGivenAFewRowsAtATime(t *testing.T) {
	const tenants, most = 4, 8
	r := newRigWith(t, Options{MaxTenants: tenants})
	for i := range 10 * tenants {
		r.send(Subject{fmt.Sprint("old", i%tenants), fmt.Sprint(i)}, 1500, 0, event.NoRefusal)
	}
	r.Snapshot()
	kept := len(r.file)
	for i := range tenants {
		r.mail(Subject{fmt.Sprint("new", i), "a"}, "google", event.NoRefusal)
	}
	gone := 0
	for left := 1; left > 0; {
		var c Changes
		if left = r.Changed(&c, most); len(c.Gone)+len(c.Subjects) > most {
			t.Fatalf("%d rows, want at most %d", len(c.Gone)+len(c.Subjects), most)
		}
		gone += len(c.Gone)
	}
	if kept < 10*tenants || gone != kept {
		t.Errorf("%d of %d rows are gone", gone, kept)
	}
}
