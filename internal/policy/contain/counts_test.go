package contain

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/event"
)

// halfBad is a Detector in which alice, known for a day, and her tenant have had as much refused as is not enough yet.
func halfBad(t testing.TB) *rig {
	r := newRig(t, enforced())
	r.send(alice, 10, 0, event.NoRefusal)
	r.send(bob, 10, 0, event.NoRefusal)
	r.pass(25 * time.Hour)
	r.send(bob, 20, 7, event.ContentRejected)
	r.pass(2 * time.Hour)
	r.send(alice, 40, 5, event.RecipientInvalid)
	r.want(alice, Normal)
	return r
}

// What was counted in the last hour and day survives a restart: whoever was half-way to a level is half-way there behind it, and all that is shown of
// him is as it was.
func TestCountsSurviveARestart(t *testing.T) {
	r := halfBad(t)
	again := r.restart(0)
	for _, s := range []Subject{alice, bob, acme} {
		before, behind := r.Explain(s), again.Explain(s)
		if before.Day.Mails == 0 || before.Distinct == 0 && s != bob {
			t.Fatalf("%v: nothing was counted: %+v", s, before)
		}
		before.Octets, before.Recipients = behind.Octets, behind.Recipients // since kanmon began
		for i := range before.Samples {
			before.Samples[i].At = before.Samples[i].At.UTC()
		}
		for i := range behind.Samples {
			behind.Samples[i].At = behind.Samples[i].At.UTC()
		}
		before.Since, behind.Since = time.Time{}, time.Time{} // to the second
		if diff := cmp.Diff(before, behind); diff != "" {
			t.Errorf("%v:\n%s", s, diff)
		}
	}
	steps := 0
	for ; r.level(alice) == Normal && steps < 100; steps++ {
		again.want(alice, Normal)
		for _, one := range []*rig{r, again} {
			one.leap(time.Second)
			one.mail(alice, providers[steps%4], event.RecipientInvalid)
		}
	}
	again.want(alice, Slow)
	if steps > 6 {
		t.Errorf("it took %d more, as if nothing had been counted before", steps)
	}
}

// What is older than the windows is in no number, also if it has become so while kanmon was not there. If the clock was set meanwhile, nobody knows how
// old it is.
func TestCountsGrowOldWhileNobodyIsThere(t *testing.T) {
	for away, want := range map[time.Duration]struct{ hour, day int }{
		30 * time.Minute: {40, 40}, 2 * time.Hour: {0, 40}, 25 * time.Hour: {0, 0}, -2 * time.Hour: {0, 0}, 20 * year: {0, 0},
	} {
		again := halfBad(t).restart(away)
		x := again.Explain(alice)
		if x.Hour.Mails != want.hour || x.Day.Mails != want.day {
			t.Errorf("away for %v: %d in the hour, %d in the day, want %+v", away, x.Hour.Mails, x.Day.Mails, want)
		}
		again.send(alice, 300, 5, event.RecipientInvalid) // and it goes on
		again.want(alice, Slow)
	}
}

// Two restarts are as one, and one behind which nothing is sent.
func TestCountsSurviveRestarts(t *testing.T) {
	r := halfBad(t)
	again := r.restart(10 * time.Minute).restart(10 * time.Minute).restart(10 * time.Minute)
	if x := again.Explain(alice); x.Hour.Mails != 40 || x.Day.Unknown != 8 {
		t.Errorf("%+v, %+v", x.Hour, x.Day)
	}
	again.pass(31 * time.Minute)
	if x := again.Explain(alice); x.Hour.Mails != 0 || x.Day.Unknown != 8 {
		t.Errorf("an hour old: %+v, %+v", x.Hour, x.Day)
	}
}

// A receiver is one, before a restart and behind it: whoever has refused before does not become another witness by it.
func TestAWitnessIsOneOverARestart(t *testing.T) {
	r := newRig(t, enforced())
	r.send(alice, 10, 0, event.NoRefusal)
	r.pass(25 * time.Hour)
	for range 9 {
		r.mail(alice, "google", event.ContentRejected)
	}
	again := r.restart(time.Minute)
	for range 3 {
		again.mail(alice, "google", event.ContentRejected)
	}
	for _, reading := range again.Explain(alice).Readings {
		if reading.Signal == Content && (reading.Bad != 12 || reading.Providers != 1) {
			t.Errorf("%+v", reading)
		}
	}
}

// Of a list nothing is kept: its dead recipients would count again.
func TestAListsCountsAreNotKept(t *testing.T) {
	r := halfBad(t)
	r.Mark("", func(_, account string) Kind {
		if account == alice.Account {
			return List
		}
		return Plain
	})
	again := r.restart(0)
	if x := again.Explain(alice); x.Day.Mails != 0 {
		t.Errorf("%+v", x.Day)
	}
	if x := again.Explain(acme); x.Day.Mails == 0 {
		t.Errorf("its tenant: %+v", x.Day)
	}
}

// Counts that make no sense are none, whatever is wrong with them, and nothing of them is left.
func TestDamagedCountsSayNothing(t *testing.T) {
	r := halfBad(t)
	whole := r.find(acme)
	octets := r.savedCounts(whole)
	if !r.counted(octets, acme) {
		t.Fatal("not taken over")
	}
	for n := range octets {
		if r.counted(octets[:n], acme) {
			t.Errorf("%d of %d octets were taken over", n, len(octets))
		}
		for _, flip := range []byte{1, 0x80, 0xff} {
			damaged := append([]byte(nil), octets...)
			damaged[n] ^= flip
			r.counted(damaged, acme) // perhaps other numbers, never a panic
			r.counted(damaged, alice)
		}
	}
	if r.counted(append(octets, 0), acme) {
		t.Error("with an octet too many they were taken over")
	}
}

// What is taken over can be shown and kept: a time that no text has, and a sketch that nothing can have counted, are damage.
func TestCountsThatCannotBeShownAreDamaged(t *testing.T) {
	for name, damage := range map[string]func(*entry){
		"a sample far in the future":     func(e *entry) { e.evidence.samples[0].At = time.UnixMilli(1 << 60) },
		"more recipients than there are": func(e *entry) { e.owner.reached[0] = 200 },
		"more accounts":                  func(e *entry) { e.owner.spreadFrom[0].now[7] = 60 },
	} {
		r := halfBad(t)
		e := r.find(acme)
		if !r.counted(r.savedCounts(e), acme) {
			t.Fatal("not taken over whole: the test shows nothing")
		}
		damage(e)
		if r.counted(r.savedCounts(e), acme) {
			t.Errorf("%s: taken over", name)
		}
	}
}

// counted reports whether another Detector takes over what was counted of a subject.
func (r *rig) counted(octets []byte, s Subject) bool {
	again := newRig(r.t, nil)
	again.at = r.at
	again.time.start()
	again.time.age, again.time.skipped, again.time.minute = r.time.age, r.time.skipped, r.time.minute
	e := again.entryFor(s, true)
	again.restoreCounts(e, octets)
	return e.counted()
}

// What an account costs the disk: a bounded number of octets, however much it sends.
func TestCountsAreSmall(t *testing.T) {
	r := newRig(t, enforced())
	r.send(alice, 10, 0, event.NoRefusal)
	r.pass(25 * time.Hour)
	few := len(r.savedCounts(r.find(alice)))
	for range 24 {
		r.send(alice, 10, 0, event.NoRefusal)
		r.pass(time.Hour)
	}
	usual := len(r.savedCounts(r.find(alice)))
	for range 24 * 60 {
		r.send(alice, 5, 5, event.ContentRejected)
		r.pass(55 * time.Second)
	}
	most := len(r.savedCounts(r.find(alice)))
	t.Logf("octets of an account's counts: %d of one that sent nothing today, %d of one that sent each hour, %d of one that misbehaves each minute", few, usual, most)
	if few > 64 || usual > 512 || most > 8<<10 {
		t.Error("want no more than 64, 512 and 8,192")
	}
}
