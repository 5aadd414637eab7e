package contain

import (
	"errors"
	"testing"
	"time"
)

// worst has alice at Stop by evidence.
func worst(r *rig) {
	for range 4 {
		r.send(alice, 400, 2, "recipient_invalid")
		r.pass(3 * time.Minute)
		r.send(alice, 400, 2, "recipient_invalid")
		r.pass(8 * time.Minute)
	}
	r.want(alice, Stop)
}

// By default nothing is enforced; each step can be left out.
func TestEnforce(t *testing.T) {
	for _, c := range []struct {
		enforce Enforce
		want    Level
	}{
		{DefaultPolicy().Enforce, Normal},
		{Enforce{true, true, true, true}, Stop},
		{Enforce{true, true, true, false}, Divert},
		{Enforce{true, true, false, false}, Slow},
		{Enforce{true, false, false, false}, Normal},
		{Enforce{true, false, false, true}, Stop},
		{Enforce{false, true, true, true}, Normal},
	} {
		p := DefaultPolicy()
		p.Enforce = c.enforce
		r := newRig(t, p)
		worst(r)
		r.wantAsk(alice, Answer{Level: c.want, Would: Stop})
		if d := r.lastOf(alice); d.To != Stop || d.Enforced != c.want {
			t.Errorf("%+v", d)
		}
	}
}

// A block stays, whatever is enforced, until a person lifts it.
func TestBlock(t *testing.T) {
	r := newRig(t, nil)
	if err := r.Block(alice, time.Time{}, "carol", "phishing"); err != nil {
		t.Fatal(err)
	}
	blocked := Answer{Level: Stop, Would: Stop, Hand: true}
	r.wantAsk(alice, blocked)
	r.wantAsk(bob, Answer{})
	for range 100 {
		r.leap(20 * time.Hour)
		r.pass(time.Minute)
	}
	r.pass(400 * time.Hour)
	r.wantAsk(alice, blocked)
	if x := r.Explain(alice); x.Block == nil || x.Block.By != "carol" || x.Block.Why != "phishing" || !x.Block.Until.IsZero() {
		t.Errorf("%+v", x.Block)
	}
	if err := r.Unblock(alice, "dave"); err != nil {
		t.Fatal(err)
	}
	r.wantAsk(alice, Answer{})
	if d := r.lastOf(alice); d.By != "dave" || d.From != Stop || d.To != Normal {
		t.Errorf("%+v", d)
	}
}

func TestBlockUntil(t *testing.T) {
	r := newRig(t, nil)
	if err := r.Block(acme, r.at.Add(2*time.Hour), "carol", ""); err != nil {
		t.Fatal(err)
	}
	r.pass(2*time.Hour - time.Minute)
	r.wantAsk(bob, Answer{Level: Stop, Would: Stop, Tenant: true, Hand: true})
	r.pass(time.Minute)
	r.wantAsk(bob, Answer{})
	for _, c := range []struct {
		s     Subject
		until time.Time
		want  error
	}{{alice, r.at, ErrPast}, {alice, start.Add(-1000 * time.Hour), ErrPast}, {Subject{"", "a"}, time.Time{}, ErrSubject}} {
		if err := r.Block(c.s, c.until, "", ""); !errors.Is(err, c.want) {
			t.Errorf("%v until %v: %v, want %v", c.s, c.until, err, c.want)
		}
	}
	if err := r.Unblock(Subject{"nobody", ""}, ""); !errors.Is(err, ErrSubject) {
		t.Error(err)
	}
}

// Unblock is the fast way down for what evidence has done, too.
func TestUnblockEndsWhatEvidenceDid(t *testing.T) {
	r := newRig(t, enforced())
	worst(r)
	if err := r.Unblock(alice, "carol"); err != nil {
		t.Fatal(err)
	}
	r.wantAsk(alice, Answer{})
	r.send(alice, 20, 2, "recipient_invalid")
	r.wantAsk(alice, Answer{})
	r.send(alice, 40, 2, "recipient_invalid")
	r.wantAsk(alice, Answer{Level: Slow, Would: Slow})
}

// The exempt are not contained; what would be is still to be seen. A block stands above.
func TestExempt(t *testing.T) {
	for _, s := range []Subject{alice, acme} {
		r := newRig(t, enforced())
		if err := r.Exempt(s, time.Time{}, "carol", "known"); err != nil {
			t.Fatal(err)
		}
		worst(r)
		r.wantAsk(alice, Answer{Would: Stop})
		if err := r.Block(alice, time.Time{}, "carol", ""); err != nil {
			t.Fatal(err)
		}
		r.wantAsk(alice, Answer{Level: Stop, Would: Stop, Hand: true})
		if err := r.Unblock(alice, "carol"); err != nil {
			t.Fatal(err)
		}
		worst(r)
		if err := r.Unexempt(s, "carol"); err != nil {
			t.Fatal(err)
		}
		r.wantAsk(alice, Answer{Level: Stop, Would: Stop})
	}
}
