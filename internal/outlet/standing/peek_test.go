package standing

import (
	"testing"
	"time"
)

func (r *rig) wantPeek(k Key, want Permit) {
	r.t.Helper()
	got := r.Peek(k)
	if got.Answer != want.Answer || got.State != want.State || got.Share != want.Share || got.Probe != 0 {
		r.t.Fatalf("peek at %v: %+v, want %+v", k, got, want)
	}
	if blameless := r.Blameless(k.IP, []byte(k.Provider)); blameless != (want.State == Active) {
		r.t.Fatalf("%v is %v, blameless %t", k, want.State, blameless)
	}
}

// Peek tells what May would, and leaves the probe to whoever uses the key.
func TestPeekBeginsNoProbe(t *testing.T) {
	r := newRig(t, Options{})
	k := key("google")
	r.wantPeek(k, Permit{Answer: Yes, State: Active, Share: 1})
	r.Observe(listing("google"))
	r.wantPeek(k, Permit{Answer: No, State: Suspended})
	r.wantPeek(key("other"), Permit{Answer: Yes, State: Active, Share: 1})
	r.Pass(2 * time.Hour)
	for range 2 {
		r.wantPeek(k, Permit{Answer: Probe, State: Suspended, Share: 1})
	}
	r.wantMay(k, Probe)
	r.wantPeek(k, Permit{Answer: No, State: Probing})
	if err := r.Stop(Key{ours, Every}, "asked", "me"); err != nil {
		t.Fatal(err)
	}
	r.wantPeek(key("other"), Permit{Answer: No, State: Stopped})
}

// Time raises the share of a slowed key, whoever looks.
func TestPeekLetsTimePass(t *testing.T) {
	r := newRig(t, Options{})
	k := key("google")
	r.Observe(tooFast("google"))
	r.Observe(tooFast("google"))
	r.wantPeek(k, Permit{Answer: Yes, State: Slowed, Share: 0.5})
	r.Pass(24 * time.Hour)
	r.wantPeek(k, Permit{Answer: Yes, State: Active, Share: 1})
}

// A probe is under way until it is over, another has its place, or an operator says so.
func TestProbing(t *testing.T) {
	k := key("google")
	for name, tc := range map[string]struct {
		end   func(*rig, uint64)
		under bool
	}{
		"nothing":   {func(*rig, uint64) {}, true},
		"accepted":  {func(r *rig, _ uint64) { r.Succeeded(k, "acme") }, false},
		"refused":   {func(r *rig, _ uint64) { r.Observe(listing("google")) }, false},
		"abandoned": {func(r *rig, probe uint64) { r.Abandon(k, probe) }, false},
		"resumed":   {func(r *rig, _ uint64) { _ = r.Resume(k, "me") }, false},
		"stopped":   {func(r *rig, _ uint64) { _ = r.Stop(k, "asked", "me") }, false},
		"the IP stopped": {func(r *rig, _ uint64) {
			_ = r.Stop(Key{ours, Every}, "asked", "me")
		}, false},
		"replaced": {func(r *rig, _ uint64) {
			r.Pass(30 * time.Minute)
			r.wantMay(k, Probe)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := suspended(t, Options{})
			r.Pass(2 * time.Hour)
			probe := r.wantMay(k, Probe).Probe
			if tc.end(r, probe); r.Probing(k, probe) != tc.under {
				t.Errorf("under way: %t", !tc.under)
			}
		})
	}
}
