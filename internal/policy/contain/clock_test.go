package contain

import (
	"testing"
	"time"

	"kanmon/internal/event"
)

const year = 365 * 24 * time.Hour

var jumps = []time.Duration{-20 * year, -year, -2 * time.Hour, -time.Minute, 2 * time.Hour, 9 * 24 * time.Hour, year, 20 * year}

// A jump of the clock frees nobody.
func TestJumpFreesNobody(t *testing.T) {
	for _, jump := range jumps {
		r := newRig(t, nil)
		worst(r)
		if err := r.Block(bob, r.at.Add(48*time.Hour), "carol", ""); err != nil {
			t.Fatal(err)
		}
		down := r.Explain(alice).DownIn
		r.pass(time.Hour)
		r.leap(jump)
		r.want(alice, Stop)
		r.wantAsk(bob, Answer{Level: Stop, Would: Stop, Hand: true})
		r.pass(down - time.Hour - time.Minute)
		r.want(alice, Stop)
		r.leap(-jump)
		r.pass(3 * time.Minute) // a minute of which makes good the small jump back
		r.want(alice, Divert)
		r.wantAsk(bob, Answer{Level: Stop, Would: Stop, Hand: true})
		r.pass(48 * time.Hour)
		r.wantAsk(bob, Answer{})
	}
}

// A jump contains nobody: history is not held against those who send at what is now another time of the week.
func TestJumpContainsNobody(t *testing.T) {
	for _, by := range jumps {
		r := newRig(t, nil)
		for range 5 {
			r.monday(6000)
		}
		r.pass(24 * time.Hour)
		r.want(alice, Normal)
		r.leap(by)
		r.monday(6500)
		r.want(alice, Normal)
		if by.Abs() > jump {
			r.leap(by)
			r.pass(time.Hour)
			r.blast(alice, 6500)
			r.want(alice, Normal)
		}
	}
}

// What was counted before a jump is not put together with what is counted after it.
func TestJumpPartsWhatWasCounted(t *testing.T) {
	for _, by := range jumps {
		r := newRig(t, nil)
		r.send(alice, 32, 4, event.RecipientInvalid)
		r.send(alice, 4, 0, event.NoRefusal)
		r.want(alice, Normal)
		r.leap(by)
		r.send(alice, 8, 2, event.RecipientInvalid)
		want := Normal
		if by.Abs() <= jump {
			want = Slow
		}
		r.want(alice, want)
	}
}

// Small steps back and forth are not time that passes.
func TestOscillationIsNotTime(t *testing.T) {
	r := newRig(t, nil)
	worst(r)
	for range 1000 {
		r.leap(-50 * time.Minute)
		r.Tick()
		r.leap(50 * time.Minute)
		r.Tick()
	}
	r.want(alice, Stop)
}

// With the real clock no jump of the wall clock is seen at all by what lasts.
func TestMonotonic(t *testing.T) {
	d, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.time.now = d.time.now.Round(0).Add(-20 * year) // as if it had been set, without a monotonic reading
	d.Tick()
	if d.time.jumps != 1 || d.time.age > time.Minute {
		t.Errorf("%d jumps, age %v", d.time.jumps, d.time.age)
	}
	now := time.Now()
	d.time.now, d.time.clock = now, func() time.Time { return now.Add(30 * time.Minute) }
	d.Tick()
	if age := d.time.age; age < 29*time.Minute || age > 31*time.Minute {
		t.Errorf("age %v", age)
	}
}
