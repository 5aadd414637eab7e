package contain

import (
	"errors"
	"testing"
	"time"

	"kanmon/internal/event"
)

// worst has alice at Stop by evidence.
func worst(r *rig) {
	for range 4 {
		r.send(alice, 400, 2, event.RecipientInvalid)
		r.pass(3 * time.Minute)
		r.send(alice, 400, 2, event.RecipientInvalid)
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
		{DefaultNumbers().Enforce, Normal},
		{Enforce{true, true, true, true}, Stop},
		{Enforce{true, true, true, false}, Divert},
		{Enforce{true, true, false, false}, Slow},
		{Enforce{true, false, false, false}, Normal},
		{Enforce{true, false, false, true}, Stop},
		{Enforce{false, true, true, true}, Normal},
	} {
		p := DefaultNumbers()
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
	if err := r.Unblock(Subject{"nobody", ""}, ""); !errors.Is(err, ErrNothing) {
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
	r.send(alice, 20, 2, event.RecipientInvalid)
	r.wantAsk(alice, Answer{})
	r.send(alice, 40, 2, event.RecipientInvalid)
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

// The next mail of a sender that a person has let go does not undo it, whatever led to its level: what was counted is forgotten.
func TestTheNextMailDoesNotUndoThePerson(t *testing.T) {
	for name, c := range map[string]struct {
		of   Subject
		lead func(r *rig)
	}{
		"an account's volume": {alice, func(r *rig) { r.blast(alice, 4000) }},
		"a tenant's volume": {acme, func(r *rig) {
			for i := range 12_000 {
				r.leap(275 * time.Millisecond)
				r.mail(account(i%40), providers[i%4], event.NoRefusal)
			}
		}},
		"a tenant's contained accounts": {acme, func(r *rig) {
			for i := range 6 {
				r.send(account(i), 300, 6, event.RecipientInvalid)
			}
		}},
		"what is spread over a tenant": {acme, func(r *rig) {
			for i := range 1200 {
				r.leap(time.Second)
				r.mail(account(i%200), providers[i/3%4], each(i, 3, event.RecipientInvalid))
			}
		}},
		"outcomes": {alice, worst},
		"a block": {alice, func(r *rig) {
			r.blast(alice, 4000)
			if err := r.Block(alice, time.Time{}, "carol", ""); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, enforced())
			c.lead(r)
			if r.Explain(c.of).Answer.Level == Normal {
				t.Fatal("not contained")
			}
			if err := r.Unblock(c.of, "carol"); err != nil {
				t.Fatal(err)
			}
			mine := c.of
			if mine.Account == "" {
				mine.Account = "new@acme.example"
			}
			for range 20 {
				r.leap(10 * time.Second)
				r.mail(mine, "google", event.NoRefusal)
				r.Tick()
				r.want(c.of, Normal)
			}
			if x := r.Explain(c.of); x.Distinct > 40 || x.Hour.Answered > 20 {
				t.Errorf("what was counted is not forgotten: %d distinct recipients, %+v", x.Distinct, x.Hour)
			}
			again := r.restart(0)
			again.pass(2 * time.Minute)
			again.want(c.of, Normal)
		})
	}
}

// A tenant that was let go is contained again when its accounts go on: fresh evidence against those that were contained counts.
func TestFreshEvidenceBehindAPardon(t *testing.T) {
	r := newRig(t, enforced())
	for i := range 6 {
		r.send(account(i), 300, 6, event.RecipientInvalid)
	}
	r.want(acme, Slow)
	if err := r.Unblock(acme, "carol"); err != nil {
		t.Fatal(err)
	}
	r.pass(3 * time.Minute)
	r.want(acme, Normal)
	for i := range 6 {
		r.send(account(i), 300, 2, event.RecipientInvalid)
	}
	if x := r.Explain(acme); x.Level == Normal {
		t.Errorf("still normal: %+v", x.Readings)
	}
}
