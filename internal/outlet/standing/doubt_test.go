package standing

import (
	"testing"
	"time"
)

// What one message has done to a key can be taken back, unless anything else speaks against the IP, or a person has spoken.
//
// law: I19
func TestADoubtTakesBackWhatOneMessageDid(t *testing.T) {
	of := func(ev Evidence, message uint64) Evidence { ev.Message = message; return ev }
	for _, test := range []struct {
		name  string
		meets func(r *rig)
		want  State
	}{
		{"nothing else", func(r *rig) { r.Observe(of(listing("google"), 1)) }, Active},
		{"the same message twice", func(r *rig) { r.Observe(of(listing("google"), 1)); r.Observe(of(listing("google"), 1)) }, Active},
		{"a doubt of the same tenant before", func(r *rig) {
			r.Observe(of(doubt("google", "acme", "a.example"), 9))
			r.Observe(of(listing("google"), 1))
		}, Active},
		{"slowed before", func(r *rig) {
			r.Observe(tooFast("google"))
			r.Observe(tooFast("google"))
			r.Observe(of(listing("google"), 1))
		}, Slowed},
		{"another listing behind it", func(r *rig) { r.Observe(of(listing("google"), 1)); r.Observe(of(listing("google"), 2)) }, Suspended},
		{"a doubt behind it", func(r *rig) {
			r.Observe(of(listing("google"), 1))
			r.Observe(of(doubt("google", "t2", "b.example"), 2))
		}, Suspended},
		{"a doubt of another tenant before", func(r *rig) {
			r.Observe(of(doubt("google", "acme", "a.example"), 8))
			r.Observe(of(doubt("google", "t2", "b.example"), 9))
			r.Observe(of(listing("google"), 1))
		}, Suspended},
		{"another message's", func(r *rig) { r.Observe(of(listing("google"), 2)) }, Suspended},
		{"nobody knows which message's", func(r *rig) { r.Observe(listing("google")) }, Suspended},
		{"by hand", func(r *rig) {
			r.Observe(of(listing("google"), 1))
			if err := r.Suspend(key("google"), r.Now().Add(time.Hour), "why", "me"); err != nil {
				r.t.Fatal(err)
			}
		}, Suspended},
		{"a refused probe", func(r *rig) {
			r.Observe(of(listing("google"), 2))
			r.Pass(3 * time.Hour)
			r.wantMay(key("google"), Probe)
			r.Observe(of(listing("google"), 1))
		}, Suspended},
	} {
		r := newRig(t, Options{})
		test.meets(r)
		r.Doubt(key("google"), 1)
		r.Doubt(key("nobody"), 1)
		if s, _ := r.Show(key("google")); s.State != test.want {
			t.Errorf("%s: %v (%s)", test.name, s.State, s.Reason)
		} else if s.State == Active && (s.Strikes != 0 || s.Length != 0) {
			t.Errorf("%s: it counts as a strike: %v", test.name, s)
		}
	}
}

// What was taken back is still a doubt: with those of others it suspends.
//
// law: I19
func TestWhatIsTakenBackIsStillADoubt(t *testing.T) {
	r := newRig(t, Options{})
	ev := listing("google")
	ev.Message = 1
	r.Observe(ev)
	r.Doubt(key("google"), 1)
	r.want(key("google"), Active, 1, 0)
	r.Observe(doubt("google", "t2", "b.example"))
	r.Observe(doubt("google", "t2", "c.example"))
	if s, _ := r.Show(key("google")); s.State != Suspended {
		t.Errorf("two tenants, three destinations: %v", s.State)
	}
}
