package contain

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/event"
)

// eventful is a Detector with something of everything.
func eventful(t testing.TB) *rig {
	r := newRig(t, enforced())
	for range 4 {
		r.monday(6000)
	}
	worst(r)
	_ = r.Block(bob, time.Time{}, "carol", "phishing")
	_ = r.Block(account(1), r.at.Add(time.Hour), "carol", "")
	_ = r.Exempt(account(2), time.Time{}, "carol", "known")
	r.send(account(3), 400, 6, event.ContentRejected)
	for i := range 5 {
		r.send(account(10+i), 300, 6, event.RecipientInvalid)
	}
	r.want(acme, Slow)
	return r
}

// restart gives a Detector with the snapshot, read back from JSON.
func (r *rig) restart(away time.Duration) *rig {
	r.t.Helper()
	text, err := json.Marshal(r.Snapshot())
	if err != nil {
		r.t.Fatal(err)
	}
	var s Snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		r.t.Fatal(err)
	}
	again := newRig(r.t, enforced())
	again.file = maps.Clone(r.file)
	again.at = r.at.Add(away)
	again.time.start()
	if err := again.Restore(s); err != nil {
		r.t.Fatal(err)
	}
	again.one = r.one
	return again
}

// What stands survives a restart, whatever the clock does meanwhile.
func TestRestore(t *testing.T) {
	for _, away := range append(jumps, 0) {
		r := eventful(t)
		again := r.restart(away)
		subjects := []Subject{alice, bob, acme, account(1), account(2), account(3), account(10)}
		for _, s := range subjects {
			x, y := r.Explain(s), again.Explain(s)
			if x.Level != y.Level || x.Answer != y.Answer || x.Strikes != y.Strikes || (x.DownIn-y.DownIn).Abs() > 2*time.Second ||
				(x.Block == nil) != (y.Block == nil) || (x.Exempt == nil) != (y.Exempt == nil) || x.Usual != y.Usual ||
				!cmp.Equal(x.Last, y.Last) {
				t.Errorf("away %v, %v: %+v\nbefore: %+v", away, s, y, x)
			}
		}
		again.pass(time.Hour + time.Minute)
		again.wantAsk(account(1), Answer{Level: Slow, Would: Slow, Tenant: true}) // its block has ended, the tenant is slowed
		again.wantAsk(bob, Answer{Level: Stop, Would: Stop, Hand: true})
		if n := again.Stats().Contained; n != 9 { // alice, bob, 3, 10 to 14, acme
			t.Errorf("%d are contained", n)
		}
	}
}

// The baselines survive: no newsletter is slowed because of a restart.
func TestRestoredHistory(t *testing.T) {
	r := newRig(t, nil)
	for range 5 {
		r.monday(6000)
	}
	again := r.restart(10 * time.Hour)
	again.monday(7000)
	again.want(alice, Normal)
	if x := again.Explain(alice); x.AllowanceFrom != basisWeek {
		t.Errorf("by %s", x.AllowanceFrom)
	}
	for _, away := range []time.Duration{-year - 10*time.Hour, 20*year + 10*time.Hour} { // the clock is wrong since
		again := r.restart(away)
		again.blast(alice, 7000)
		again.want(alice, Normal)
	}
}

// audit-E1: what was sent in an hour that a restart is in the middle of is learnt, and what comes behind it is added: to the same recipients it is
// nothing new.
func TestTheVolumeOfTheHourSurvives(t *testing.T) {
	r := newRig(t, nil)
	r.send(alice, 1500, 0, event.NoRefusal)
	before := r.Explain(alice).Distinct
	again := r.restart(time.Second)
	for i := range uint64(900) {
		again.leap(time.Second)
		again.mailTo(alice, "google", event.NoRefusal, mix(r.one-i, 99))
	}
	again.want(alice, Normal)
	more := r.restart(time.Second)
	more.send(alice, 2000, 0, event.NoRefusal)
	more.want(alice, Slow)
	volume := func(r *rig) float64 { return decodeVolume(slices.Max(r.find(alice).history[:])) }
	for _, r := range []*rig{r, again} {
		r.pass(2 * time.Hour)
		r.mail(alice, "google", event.NoRefusal)
	}
	if got, want := volume(again), volume(r); got != want || math.Abs(got-float64(before)) > 0.1*got {
		t.Errorf("learnt %v, want %v of about %d", got, want, before)
	}
	late := r.restart(3 * time.Hour) // the hour was over before it began
	if got := volume(late); got != volume(r) {
		t.Errorf("learnt %v, want %v", got, volume(r))
	}
}

// A row that was written long before the file's last one is as old as it is: what is left of a block is less by that, and hours of which it does not
// say anything were silent.
func TestARowIsAsOldAsItIs(t *testing.T) {
	r := newRig(t, nil)
	r.send(bob, 1500, 0, event.NoRefusal)
	if err := errors.Join(r.Block(account(1), r.at.Add(10*time.Hour), "carol", ""), r.Block(account(2), r.at.Add(2*time.Hour), "carol", "")); err != nil {
		t.Fatal(err)
	}
	old := r.Snapshot().Subjects
	r.pass(6 * time.Hour)
	s := r.Snapshot()
	s.Subjects = old // what stood still was not written again
	again := newRig(t, nil)
	again.at = r.at
	again.time.start()
	if err := again.Restore(s); err != nil {
		t.Fatal(err)
	}
	again.pass(time.Minute)
	if !again.Ask("acme", account(1).Account).Hand || again.Ask("acme", account(2).Account).Hand {
		t.Error("a block is over too soon, or too late")
	}
	again.pass(4 * time.Hour)
	if again.Ask("acme", account(1).Account).Hand {
		t.Error("a block lasts for longer than was said")
	}
	r.pass(4*time.Hour + time.Minute)
	for _, r := range []*rig{r, again} {
		r.mail(bob, "google", event.NoRefusal)
	}
	if a, b := r.find(bob).history, again.find(bob).history; *a != *b {
		t.Errorf("%v\nwant %v", b, a)
	}
}

// Strikes that time has forgotten are forgotten in the file, too, whether or not a mail has come since.
func TestStrikesAreForgottenInTheFile(t *testing.T) {
	r := newRig(t, nil)
	r.send(alice, 80, 4, event.RecipientInvalid)
	r.want(alice, Slow)
	strikes := func() int {
		for _, one := range r.Snapshot().Subjects {
			if one.Subject == alice {
				return one.Strikes
			}
		}
		return -1
	}
	if n := strikes(); n != 1 {
		t.Errorf("%d strikes, want 1", n)
	}
	r.pass(8 * 24 * time.Hour)
	if n := strikes(); n > 0 {
		t.Errorf("%d strikes a week later", n)
	}
}

func TestRestoreRefuses(t *testing.T) {
	good := Saved{Subject: alice, Level: Slow}
	for name, s := range map[string]Snapshot{
		"version":  {Version: 2},
		"level":    {Version: 1, Subjects: []Saved{good, {Subject: bob, Level: 9}}},
		"tenant":   {Version: 1, Subjects: []Saved{good, {}}},
		"since":    {Version: 1, Subjects: []Saved{good, {Subject: bob, Since: -1}}},
		"known":    {Version: 1, Subjects: []Saved{good, {Subject: bob, Known: 1 << 62}}},
		"left":     {Version: 1, Subjects: []Saved{good, {Subject: bob, Block: &SavedHand{Left: -5}}}},
		"history":  {Version: 1, Subjects: []Saved{good, {Subject: bob, History: make([]byte, 7)}}},
		"learned":  {Version: 1, Subjects: []Saved{good, {Subject: bob, Usual: [2]Learned{{Bad: 5, Cases: 1}}}}},
		"strikes":  {Version: 1, Subjects: []Saved{good, {Subject: bob, Strikes: 1000}}},
		"age":      {Version: 1, Age: -1},
		"row":      {Version: 1, Subjects: []Saved{good, {Subject: bob, Age: -1}}},
		"day":      {Version: 1, Subjects: []Saved{good, {Subject: bob, Day: -1}}},
		"today":    {Version: 1, Subjects: []Saved{good, {Subject: bob, Today: [2]Learned{{Bad: 5, Cases: 1}}}}},
		"negative": {Version: 1, Subjects: []Saved{good, {Subject: bob, Usual: [2]Learned{{Bad: -5, Cases: 1}}}}},
	} {
		r := newRig(t, nil)
		if err := r.Restore(s); err == nil || name == "version" != errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v", name, err)
		}
		if n := r.Stats().Tenants; n != 0 {
			t.Errorf("%s: half of it was taken over", name)
		}
	}
}

// What stands comes first when there is no room for all.
func TestRestoreWithLittleRoom(t *testing.T) {
	s := Snapshot{Version: 1, At: start}
	for i := range 20 {
		s.Subjects = append(s.Subjects, Saved{Subject: account(i), Known: 5})
	}
	s.Subjects = append(s.Subjects, Saved{Subject: alice, Block: &SavedHand{}}, Saved{Subject: bob, Level: Divert})
	r := newRigWith(t, Options{MaxAccounts: 2})
	if err := r.Restore(s); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "20 of 22") {
		t.Errorf("%v", err)
	}
	r.wantAsk(alice, Answer{Level: Stop, Would: Stop, Hand: true})
	r.want(bob, Divert)
}

// Whatever a file says, Restore gives an error or a sound Detector, whose snapshot restores to the same.
func FuzzRestore(f *testing.F) {
	r := newRig(f, nil)
	r.send(alice, 80, 4, event.RecipientInvalid)
	_ = r.Block(bob, time.Time{}, "carol", "phishing")
	text, err := json.Marshal(r.Snapshot())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1,"subjects":[{"tenant":"a","account":"b","level":"stop","known":1,"strikes":30,"quiet":99999999}]}`))
	f.Add([]byte(`{"version":1,"at":"2026-01-01T00:00:00Z","subjects":[{"tenant":"a","level":"slow","outcomes":true,"fell":true},{"tenant":"a","level":"divert"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Snapshot
		if json.Unmarshal(text, &s) != nil {
			return
		}
		r := newRig(t, nil)
		if r.Restore(s) != nil {
			return
		}
		sound(t, r.Detector)
		r.pass(10 * time.Minute)
		r.send(alice, 50, 2, event.RecipientInvalid)
		sound(t, r.Detector)
		first := r.Snapshot()
		again := newRig(t, nil)
		again.at = r.at
		if err := again.Restore(first); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first.Subjects, again.whole().Subjects); diff != "" {
			t.Error(diff)
		}
	})
}
