package standing

import (
	"strings"
	"testing"
	"time"
)

const year = 365 * 24 * time.Hour

// The clock jumps while kanmon runs: in the tests' clock there is no monotonic reading that would hide it.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{-10 * year, -year, -time.Hour, -time.Nanosecond, time.Hour, 10 * year} {
		r := suspended(t, Options{})
		k := key("google")
		r.Pass(time.Hour)
		r.Pass(jump)
		left := 2 * time.Hour // no longer than it was to last
		switch {
		case jump > time.Hour:
			left = 0
		case jump > -time.Hour:
			left = time.Hour - jump
		}
		if jump == time.Hour {
			left = 0
		}
		if left > 0 {
			if p := r.wantMay(k, No); p.Until.Sub(r.Now()) != left {
				t.Errorf("jump of %v: %v left, want %v", jump, p.Until.Sub(r.Now()), left)
			}
			r.Pass(left)
		}
		r.wantMay(k, Probe)
		r.Pass(-10 * year) // a probe does not last for ever, either
		r.wantMay(k, No)
		r.Pass(30 * time.Minute)
		r.wantMay(k, Probe)
		r.Succeeded(k, "acme")
		r.Pass(-year)
		for range 2 {
			r.wantMay(k, Yes)
			r.Pass(15 * time.Minute)
			for range 5 {
				r.Succeeded(k, "acme")
			}
		}
		r.want(k, Active, 1, 0)
	}
}

func TestClockJumpsWhileDown(t *testing.T) {
	for _, c := range []struct {
		jump, left time.Duration
	}{{-10 * year, 2 * time.Hour}, {-year, 2 * time.Hour}, {-time.Hour, 2 * time.Hour}, {0, 2 * time.Hour}, {time.Hour, time.Hour}, {10 * year, 0}} {
		store := &memory{}
		r := suspended(t, Options{Store: store})
		if err := r.Stop(key("yahoo"), "", ""); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		at := start.Add(c.jump)
		again := newRigAt(t, Options{Store: store}, at)
		p := again.May(key("google"))
		if c.left == 0 && p.Answer != Probe || c.left > 0 && (p.Answer != No || p.Until.Sub(at) != c.left) {
			t.Errorf("jump of %v: %+v, want %v left", c.jump, p, c.left)
		}
		again.wantMay(key("yahoo"), No)
	}
}

// A wrong clock at the time of writing, or a wrong hand in the file.
func TestWhatIsLoadedIsCapped(t *testing.T) {
	far := start.Add(50 * year)
	store := &memory{rows: map[Key]Standing{}}
	for _, s := range []Standing{
		{Key: key("google"), State: Suspended, Since: start, Until: far, By: ByEvidence, Length: 50 * year},
		{Key: key("yahoo"), State: Suspended, Since: far, Until: far.Add(time.Hour), By: ByEvidence},
		{Key: key("orange"), State: Slowed, Since: start, Until: far, By: ByEvidence, Share: 7},
		{Key: key("gmx"), State: Suspended, Since: start, Until: far, By: "operator alice"},
		{Key: key("apple"), State: Probing, Since: start, Until: far, By: ByEvidence},
		{Key: key("odd"), State: Suspended, Since: start, Until: start.Add(-time.Hour), By: ByEvidence},
	} {
		store.rows[s.Key] = s
	}
	r := newRig(t, Options{Store: store})
	if s := r.want(key("google"), Suspended, 0, 24*time.Hour); s.Length != 24*time.Hour {
		t.Errorf("length %v", s.Length)
	}
	r.want(key("yahoo"), Suspended, 0, time.Hour)
	r.want(key("orange"), Slowed, 1, 24*time.Hour)
	r.want(key("gmx"), Suspended, 0, 366*24*time.Hour)
	r.want(key("apple"), Suspended, 0, 2*time.Minute)
	r.wantMay(key("odd"), Probe)
}

// With the real clock a step of the wall clock moves nothing: times keep their monotonic reading.
func TestDeadlinesAreMonotonic(t *testing.T) {
	r := newRig(t, Options{Clock: time.Now})
	r.Observe(listing("google"))
	r.mu.RLock()
	until := r.entry(key("google")).Until
	r.mu.RUnlock()
	if !strings.Contains(until.String(), " m=") {
		t.Error("Until has lost its monotonic reading")
	}
	if s, _ := r.Show(key("google")); strings.Contains(s.Until.String(), " m=") {
		t.Error("what is shown has a monotonic reading")
	}
}

// How old evidence from before a set-back is nobody knows: it neither counts nor takes the place of what is new.
func TestEvidenceFromTheFuture(t *testing.T) {
	r := newRig(t, Options{})
	r.Observe(doubt("google", "acme", "a.example"))
	r.Observe(doubt("google", "beta", "b.example"))
	r.Observe(tooFast("yahoo"))
	r.Pass(-30 * time.Minute)
	r.Observe(doubt("google", "acme", "c.example"))
	r.want(key("google"), Active, 1, 0)
	r.Observe(tooFast("yahoo"))
	r.want(key("yahoo"), Active, 1, 0)

	r.Observe(tooFast("yahoo"))
	r.want(key("yahoo"), Slowed, 0.5, 30*time.Minute)
	r.Observe(doubt("google", "beta", "d.example"))
	r.Observe(doubt("google", "beta", "e.example"))
	r.want(key("google"), Suspended, 0, 30*time.Minute)
}
