package standing

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/event"
)

func TestListingSuspendsItsProviderAlone(t *testing.T) {
	r := suspended(t, Options{})
	s := r.want(key("google"), Suspended, 0, 2*time.Hour)
	if s.By != ByEvidence || s.Rule != "listed" || s.Sample == "" || s.Strikes != 1 {
		t.Errorf("standing: %+v", s)
	}
	if p := r.wantMay(key("google"), No); !p.Until.Equal(start.Add(2*time.Hour)) || p.Why == "" {
		t.Errorf("permit: %+v", p)
	}
	r.wantMay(key("yahoo"), Yes)
	r.wantMay(Key{elsewhere, "google"}, Yes)
	if all := r.List(); len(all) != 1 {
		t.Errorf("list: %+v", all)
	}
}

func TestProbeFailureDoublesUpToTheLongest(t *testing.T) {
	r := suspended(t, Options{})
	for i, want := range []int{4, 8, 16, 24, 24} {
		s, _ := r.Show(key("google"))
		r.Pass(s.Until.Sub(r.Now()) - time.Nanosecond)
		r.wantMay(key("google"), No)
		r.Pass(time.Nanosecond)
		r.wantMay(key("google"), Probe)
		r.want(key("google"), Probing, 0, 30*time.Minute)
		r.Observe(listing("google"))
		if s := r.want(key("google"), Suspended, 0, time.Duration(want)*time.Hour); s.Strikes != i+2 {
			t.Errorf("strikes: %d", s.Strikes)
		}
	}
}

func TestProbeSuccessRestoresByStepsOfSuccessesAndTime(t *testing.T) {
	r := suspended(t, Options{})
	k := key("google")
	r.Pass(2 * time.Hour)
	r.wantMay(k, Probe)
	r.Succeeded(k, "acme")
	for _, share := range []float64{0.1, 0.3} {
		r.want(k, Slowed, share, 15*time.Minute)
		for range 9 { // successes, but not time
			r.Succeeded(k, "acme")
		}
		r.want(k, Slowed, share, 15*time.Minute)
		r.Pass(15 * time.Minute)
		if p := r.wantMay(k, Yes); p.Share != share { // time alone is not enough
			t.Fatalf("share %v, want %v", p.Share, share)
		}
		r.Succeeded(k, "acme")
	}
	if s := r.want(k, Active, 1, 0); s.Strikes != 1 {
		t.Errorf("strikes are kept for the next time: %d", s.Strikes)
	}
}

func TestTimeDoesNotRaiseTheShareWithoutSuccesses(t *testing.T) {
	r := suspended(t, Options{})
	k := key("google")
	r.Pass(2 * time.Hour)
	r.wantMay(k, Probe)
	r.Succeeded(k, "acme")
	r.Pass(time.Hour)
	for range 4 {
		r.Succeeded(k, "acme")
	}
	r.want(k, Slowed, 0.1, -45*time.Minute)
	r.Succeeded(k, "acme")
	r.want(k, Slowed, 0.3, 15*time.Minute)
}

func TestQuietRestoresWhereThereIsLittleMail(t *testing.T) {
	r := suspended(t, Options{})
	k := key("google")
	r.Pass(2 * time.Hour)
	r.wantMay(k, Probe)
	r.Succeeded(k, "acme")
	for _, share := range []float64{0.1, 0.3, 1} {
		if p := r.wantMay(k, Yes); p.Share != share {
			t.Fatalf("share %v, want %v", p.Share, share)
		}
		r.Pass(6*time.Hour - time.Second)
		if p := r.wantMay(k, Yes); p.Share != share {
			t.Fatalf("share %v too early, want %v", p.Share, share)
		}
		r.Pass(time.Second)
	}
}

func TestRefusalWhileRestoringSuspendsForTwiceAsLong(t *testing.T) {
	r := suspended(t, Options{})
	r.Pass(2 * time.Hour)
	r.wantMay(key("google"), Probe)
	r.Succeeded(key("google"), "acme")
	r.Observe(listing("google"))
	r.want(key("google"), Suspended, 0, 4*time.Hour)
}

// What led to a suspension does not lead to the next one as well.
func TestDoubtsAreCountedAnewAfterAProbe(t *testing.T) {
	r := newRig(t, Options{})
	for _, d := range []string{"a.example", "b.example", "c.example"} {
		r.Observe(doubt("google", "acme", d))
		r.Observe(doubt("google", "beta", d))
	}
	r.Pass(30 * time.Minute)
	r.wantMay(key("google"), Probe)
	r.Succeeded(key("google"), "acme")
	r.Observe(doubt("google", "acme", "a.example"))
	r.want(key("google"), Slowed, 0.1, 15*time.Minute)
}

func TestStrikesAreForgottenAfterADayOfActivity(t *testing.T) {
	for _, c := range []struct {
		active, want time.Duration
	}{{24*time.Hour - time.Second, 4 * time.Hour}, {24 * time.Hour, 2 * time.Hour}} {
		r := suspended(t, Options{})
		k := key("google")
		r.Pass(2 * time.Hour)
		r.wantMay(k, Probe)
		r.Succeeded(k, "acme")
		for range 2 {
			r.Pass(15 * time.Minute)
			for range 5 {
				r.Succeeded(k, "acme")
			}
		}
		r.want(k, Active, 1, 0)
		r.Pass(c.active)
		r.Observe(listing("google"))
		r.want(k, Suspended, 0, c.want)
	}
}

func TestProbeIsForOneSession(t *testing.T) {
	r := suspended(t, Options{})
	r.Pass(2 * time.Hour)
	for range 3 {
		var probes, number atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				for range 20 {
					if p := r.May(key("google")); p.Answer == Probe {
						probes.Add(1)
						number.Store(int64(p.Probe))
					}
				}
			})
		}
		wg.Wait()
		if n := probes.Load(); n != 1 {
			t.Fatalf("%d probes", n)
		}
		r.Abandon(key("google"), uint64(number.Load()))
		r.want(key("google"), Suspended, 0, 2*time.Minute)
		r.Pass(2 * time.Minute)
	}
}

func TestProbeThatSaysNothingIsReplaced(t *testing.T) {
	r := suspended(t, Options{})
	r.Pass(2 * time.Hour)
	first := r.wantMay(key("google"), Probe)
	r.Pass(30*time.Minute - time.Second)
	r.wantMay(key("google"), No)
	r.Pass(time.Second)
	second := r.wantMay(key("google"), Probe)
	r.Abandon(key("google"), first.Probe) // its session ends at last: that is not the end of the second
	r.want(key("google"), Probing, 0, 30*time.Minute)
	r.Abandon(key("google"), second.Probe)
	r.want(key("google"), Suspended, 0, 2*time.Minute)
}

func TestWhatIsNotAboutUsEndsNoProbe(t *testing.T) {
	r := suspended(t, Options{})
	r.Pass(2 * time.Hour)
	probe := r.wantMay(key("google"), Probe).Probe
	unknown := Evidence{IP: ours, Provider: "google", Tenant: "acme", Destination: "example.net", Class: event.RecipientInvalid, Scope: event.ScopeRecipient, Suspend: event.SuspendNo}
	r.Observe(unknown)
	r.Observe(tooFast("google"))
	r.want(key("google"), Probing, 0, 30*time.Minute)
	r.Succeeded(key("google"), "acme")
	r.Abandon(key("google"), probe) // at the end of the session: changes nothing
	r.want(key("google"), Slowed, 0.1, 15*time.Minute)
}

func TestSuccessesOfOldSessionsDoNotEndASuspension(t *testing.T) {
	r := suspended(t, Options{})
	for range 100 {
		r.Succeeded(key("google"), "acme")
	}
	r.want(key("google"), Suspended, 0, 2*time.Hour)
}

func TestRefusalsOfOldSessionsAreNoFurtherStrikes(t *testing.T) {
	r := suspended(t, Options{})
	r.Pass(time.Minute)
	for range 10 {
		if changed := r.Observe(listing("google")); len(changed) != 0 {
			t.Fatalf("changed: %+v", changed)
		}
	}
	if s := r.want(key("google"), Suspended, 0, 2*time.Hour-time.Minute); s.Strikes != 1 {
		t.Errorf("strikes: %d", s.Strikes)
	}
}

func TestListingProlongsASuspensionThatWasADoubt(t *testing.T) {
	r := newRig(t, Options{})
	for _, d := range []string{"a.example", "b.example", "c.example"} {
		r.Observe(doubt("google", "acme", d))
		r.Observe(doubt("google", "beta", d))
	}
	r.want(key("google"), Suspended, 0, 30*time.Minute)
	r.Pass(time.Minute)
	r.Observe(listing("google"))
	if s := r.want(key("google"), Suspended, 0, 2*time.Hour); s.Strikes != 1 || s.Rule != "listed" {
		t.Errorf("standing: %+v", s)
	}
}

func TestThrottlingHalvesTheShareAndDoublesTheHold(t *testing.T) {
	r := newRig(t, Options{})
	k := key("google")
	r.Observe(tooFast("google"))
	r.want(k, Active, 1, 0)
	const h = time.Hour
	for _, step := range []struct {
		share float64
		hold  time.Duration
	}{{0.5, h / 2}, {0.25, h}, {0.125, 2 * h}, {0.0625, 4 * h}, {0.05, 8 * h}, {0.05, 16 * h}, {0.05, 24 * h}, {0.05, 24 * h}} {
		r.Observe(tooFast("google"))
		r.want(k, Slowed, step.share, step.hold)
		r.Observe(tooFast("google")) // what was under way
		r.Observe(tooFast("google"))
		r.want(k, Slowed, step.share, step.hold)
		r.Pass(time.Minute)
	}
	for _, share := range []float64{0.1, 0.3, 1} { // as slowly as it was held
		s, _ := r.Show(k)
		r.Pass(s.Until.Sub(r.Now()))
		for range 5 {
			r.Succeeded(k, "acme")
		}
		if share < 1 {
			r.want(k, Slowed, share, 24*h)
		}
	}
	if s := r.want(k, Active, 1, 0); s.Strikes != 0 {
		t.Errorf("slowing is no strike: %+v", s)
	}
}

func TestByHand(t *testing.T) {
	r := suspended(t, Options{})
	k := key("google")
	if err := r.Stop(k, "talking to them", "alice"); err != nil {
		t.Fatal(err)
	}
	r.Pass(1000 * time.Hour)
	r.Observe(listing("google"))
	r.Succeeded(k, "acme")
	r.Abandon(k, 1)
	if p := r.wantMay(k, No); p.State != Stopped || !p.Until.IsZero() || p.Why != "talking to them" {
		t.Errorf("permit: %+v", p)
	}
	if s := r.want(k, Stopped, 0, 0); s.By != "operator alice" {
		t.Errorf("by %q", s.By)
	}
	if err := r.Resume(k, "alice"); err != nil {
		t.Fatal(err)
	}
	if s := r.want(k, Active, 1, 0); s.Strikes != 0 {
		t.Errorf("strikes: %d", s.Strikes)
	}

	if err := r.Suspend(k, r.Now().Add(time.Hour), "maintenance", "bob"); err != nil {
		t.Fatal(err)
	}
	r.Observe(listing("google")) // an operator's word stands
	r.want(k, Suspended, 0, time.Hour)
	r.Pass(time.Hour)
	r.wantMay(k, Probe)
	r.Observe(listing("google"))
	if s := r.want(k, Suspended, 0, 2*time.Hour); s.By != ByEvidence || s.Strikes != 1 {
		t.Errorf("standing: %+v", s)
	}

	if err := r.Suspend(k, r.Now(), "", ""); err == nil {
		t.Error("suspended until now")
	}
	for _, wrong := range []Key{{}, {IP: ours}, {Provider: "google"}, {ours, "a\x1b[2Jb"}, {ours, strings.Repeat("x", maxKey+1)}} {
		if r.Stop(wrong, "", "") == nil || r.Resume(wrong, "") == nil || r.Suspend(wrong, r.Now().Add(time.Hour), "", "") == nil {
			t.Errorf("%q was taken for a key", wrong)
		}
	}
}

func TestWholeIPByHand(t *testing.T) {
	r := suspended(t, Options{})
	if err := r.Suspend(key(Every), r.Now().Add(3*time.Hour), "move", "alice"); err != nil {
		t.Fatal(err)
	}
	for _, provider := range []string{"google", "yahoo", Every} {
		if p := r.wantMay(key(provider), No); p.Why != "move" {
			t.Errorf("why: %q", p.Why)
		}
	}
	if s, seen := r.Show(key("google")); s.Provider != Every || len(seen) != 1 {
		t.Errorf("shown: %v, %v", s, seen)
	}
	r.wantMay(Key{beside, "google"}, Yes)
	r.Pass(3 * time.Hour)
	r.wantMay(key("yahoo"), Yes)    // it was nothing of its own
	r.wantMay(key("google"), Probe) // its own two hours are over
	if all := r.List(); len(all) != 1 || all[0].Provider != "google" {
		t.Errorf("list: %+v", all)
	}
	if err := r.Stop(key(Every), "", ""); err != nil {
		t.Fatal(err)
	}
	r.wantMay(key("yahoo"), No)
	if err := r.Resume(key(Every), ""); err != nil {
		t.Fatal(err)
	}
	r.wantMay(key("yahoo"), Yes)
	r.want(key("google"), Probing, 0, 30*time.Minute) // what its own replies led to stays
}
