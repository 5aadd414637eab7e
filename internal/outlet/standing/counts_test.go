package standing

import (
	"errors"
	"testing"
	"time"
)

// What comes of probes is counted by provider; MXs without a name are one.
func TestProbesAreCounted(t *testing.T) {
	r := newRig(t, Options{})
	probe := func(provider string) Permit {
		t.Helper()
		r.Pass(48 * time.Hour)
		return r.wantMay(key(provider), Probe)
	}
	for _, provider := range []string{"google", "mx:192.0.2.1"} {
		r.Observe(listing(provider))
		if provider != "google" {
			continue
		}
		probe(provider)
		r.Observe(listing(provider))
		r.Abandon(key(provider), probe(provider).Probe)
		probe(provider)
		r.Succeeded(key(provider), "acme")
	}
	probe("mx:192.0.2.1")
	r.Succeeded(key("mx:192.0.2.1"), "acme")
	got := r.Counts().Probes
	for of, want := range map[Outcome]uint64{{"google", "refused"}: 1, {"google", "silent"}: 1, {"google", "accepted"}: 1, {"", "accepted"}: 1} {
		if got[of] != want {
			t.Errorf("%v: %d, want %d (of %v)", of, got[of], want, got)
		}
	}
}

// What lists answer is counted, and shown as long as it is not out of date.
func TestAnswersOfListsAreCounted(t *testing.T) {
	z := &zones{}
	z.set(ours, sbl.Zone, true, nil)
	inBubble(t, Options{}, z, func(t *testing.T, r *rig) {
		r.Observe(naming(listing("yahoo"), sbl))
		soon()
		if all := r.Listings(); len(all) != 1 || all[0] != (Listing{ours, sbl.Name, true}) {
			t.Errorf("listings %v", all)
		}
		z.set(ours, sbl.Zone, false, errors.New("no answer"))
		time.Sleep(checkAgain + 2*checkSweep)
		soon()
		z.set(ours, sbl.Zone, false, nil)
		time.Sleep(checkFailed + 2*checkSweep)
		soon()
		if all := r.Listings(); len(all) != 1 || all[0].Listed {
			t.Errorf("listings behind the end of it %v", all)
		}
		got := r.Counts().Asked
		for _, result := range []string{"yes", "no", "error"} {
			if got[Answered{sbl.Name, result}] == 0 {
				t.Errorf("nothing is counted as %s: %v", result, got)
			}
		}
	})
}

// A store that does not take anything is counted.
func TestWhatCouldNotBeSavedIsCounted(t *testing.T) {
	r := newRig(t, Options{Store: &memory{dead: true}})
	if err := r.Stop(key("google"), "maintenance", "alice"); !errors.Is(err, ErrNotKept) {
		t.Fatal(err)
	}
	if n := r.Counts().Unsaved; n == 0 {
		t.Error("nothing is counted")
	}
}

// However many providers there are, so many are told apart.
func TestCountsAreBounded(t *testing.T) {
	r := newRig(t, Options{})
	for i := range 2 * mostCounted {
		provider := "p" + string(rune('a'+i%26)) + time.Duration(i).String()
		r.Observe(listing(provider))
	}
	r.Pass(48 * time.Hour)
	for i := range 2 * mostCounted {
		provider := "p" + string(rune('a'+i%26)) + time.Duration(i).String()
		if r.May(key(provider)).Answer == Probe {
			r.Succeeded(key(provider), "acme")
		}
	}
	got, all := r.Counts().Probes, uint64(0)
	for _, n := range got {
		all += n
	}
	if len(got) > mostCounted+3 || all != 2*mostCounted || got[Outcome{"", "accepted"}] == 0 {
		t.Errorf("%d are told apart, %d counted", len(got), all)
	}
}
