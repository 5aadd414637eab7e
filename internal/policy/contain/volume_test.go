package contain

import (
	"testing"
	"time"

	"kanmon/internal/event"
)

// blast sends n mails within an hour of the clock, all accepted.
func (r *rig) blast(s Subject, n int) {
	for range n {
		r.leap(time.Duration(55*60*1e9) / time.Duration(n))
		r.mail(s, providers[r.one%4], event.NoRefusal)
	}
}

// Volume alone slows and goes no further, however much it is and however long.
func TestVolumeAloneSlows(t *testing.T) {
	r := newRig(t, nil)
	r.blast(alice, 1400)
	r.want(alice, Normal)
	r.pass(time.Hour)
	for range 10 {
		r.blast(alice, 20000)
		r.pass(5 * time.Minute)
	}
	r.want(alice, Slow)
	if d := r.lastOf(alice); d.Reading.Signal != Volume || d.Reading.Bad < 2000 || d.Reading.Threshold != 2000 {
		t.Errorf("%+v", d)
	}
	r.want(acme, Slow) // it had 20,000 within an hour, too; but no account of it has bad outcomes
	r.pass(3 * time.Hour)
	r.want(alice, Normal)
}

// Mail to the same few recipients is no volume.
func TestVolumeIsDistinctRecipients(t *testing.T) {
	r := newRig(t, nil)
	for i := range 20000 {
		r.leap(100 * time.Millisecond)
		r.mailTo(alice, providers[i%4], event.NoRefusal, mix(uint64(i%50), 5))
	}
	if x := r.Explain(alice); x.Level != Normal || x.Distinct < 35 || x.Distinct > 65 {
		t.Errorf("%v, %d distinct", x.Level, x.Distinct)
	}
}

// monday lets a week pass up to Monday, nine o'clock, and sends.
func (r *rig) monday(n int) {
	next := time.Date(r.at.Year(), r.at.Month(), r.at.Day(), 9, 2, 0, 0, time.UTC)
	for !next.After(r.at) || next.Weekday() != time.Monday {
		next = next.Add(24 * time.Hour)
	}
	for r.at.Before(next) {
		r.leap(min(30*time.Minute, next.Sub(r.at)))
		r.Tick()
	}
	r.blast(alice, n)
}

// A newsletter is slowed once at most, and not when it is a bit larger, an hour late, or misses a week.
func TestHistory(t *testing.T) {
	r := newRig(t, nil)
	r.monday(8000)
	r.want(alice, Slow)
	for _, n := range []int{8000, 9000, 9000, 0, 10000, 11000} {
		r.monday(n)
		r.want(alice, Normal)
	}
	if x := r.Explain(alice); x.AllowanceFrom != basisWeek || x.Allowance < 20000 {
		t.Errorf("allowed %d by %s", x.Allowance, x.AllowanceFrom)
	}
	r.monday(0)
	r.pass(time.Hour)
	r.blast(alice, 9000)
	r.want(alice, Normal)
	r.pass(34 * time.Hour)
	r.blast(alice, 8000) // a Tuesday evening
	r.want(alice, Slow)
}

// What comes on the same day of every month is known after the first time.
func TestMonthly(t *testing.T) {
	r := newRig(t, nil)
	r.monday(0)
	for month, n := range []int{6000, 7000, 8000} {
		r.blast(alice, n)
		if month > 0 {
			r.want(alice, Normal)
		}
		for range 31*48 - 2 {
			r.leap(30 * time.Minute)
			r.Tick()
		}
		r.leap(5 * time.Minute)
	}
}

// An hour with bad outcomes is not learned.
func TestAbuseIsNotLearned(t *testing.T) {
	r := newRig(t, nil)
	r.monday(1500)
	r.pass(time.Hour)
	allowed := r.Explain(alice).Allowance
	for i := range 20000 {
		r.leap(100 * time.Millisecond)
		r.mail(alice, providers[i/5%4], each(i, 5, event.ContentRejected))
	}
	r.pass(14 * 24 * time.Hour)
	r.want(alice, Normal)
	for range 24 {
		r.pass(time.Hour)
		if x := r.Explain(alice); x.Allowance > max(allowed, 2*1500) {
			t.Fatalf("allowed %d by %s", x.Allowance, x.AllowanceFrom)
		}
	}
}

// Volume beyond all history makes Divert easier to reach by outcomes, and nothing else.
func TestVolumeWithBadOutcomes(t *testing.T) {
	for _, c := range []struct {
		n    int
		want Level
	}{{1500, Slow}, {20000, Divert}} {
		r := newRig(t, nil)
		for i := range c.n {
			r.leap(50 * time.Minute / time.Duration(c.n))
			r.mail(alice, providers[i/12%4], each(i, 12, event.ContentRejected))
		}
		r.want(alice, c.want)
	}
	r := newRig(t, nil)
	r.blast(alice, 4000)
	r.want(alice, Slow)
	r.pass(70 * time.Minute)
	r.send(alice, 1500, 12, event.ContentRejected) // in another hour, within the allowance
	r.want(alice, Slow)
	if d := r.lastOf(alice); d.Reading.Signal != Content {
		t.Errorf("%+v", d)
	}
}

// Nor does volume keep a subject at what it was contained for.
func TestVolumeKeepsNobody(t *testing.T) {
	r := newRig(t, nil)
	worst(r)
	for range 25 {
		r.blast(alice, 3000)
		r.pass(5 * time.Minute)
	}
	r.want(alice, Divert)
}

// What a reload says of volume holds with the next recipient, in the middle of an hour, and is shown at once.
func TestVolumeOfAReloadHoldsAtOnce(t *testing.T) {
	for _, s := range []Subject{alice, acme} {
		for _, c := range []struct {
			before, sent, after int
			want                Level
		}{{2000, 500, 100, Slow}, {2000, 1400, 10_000, Normal}} {
			r := newRig(t, nil)
			all := func(volume int) {
				p := enforced()
				p.AccountVolume, p.TenantVolume = float64(volume), float64(volume)
				if err := r.Configure(p); err != nil {
					t.Fatal(err)
				}
				if x := r.Explain(s); x.Known && x.Allowance != volume {
					t.Errorf("%v: %d allowed, want %d", s, x.Allowance, volume)
				}
			}
			quickly := func(n int) {
				for range n {
					r.leap(100 * time.Millisecond)
					r.mail(alice, providers[r.one%4], event.NoRefusal)
				}
			}
			all(c.before)
			quickly(c.sent)
			r.want(s, Normal)
			all(c.after)
			quickly(c.sent)
			r.want(s, c.want)
		}
	}
}

// audit-D19: what is shown of a tenant is the recipients of all its mail, and beside it how many of them count: none of those of an account that is
// contained.
func TestATenantsRecipientsAreThoseOfAllItsMail(t *testing.T) {
	r := newRig(t, enforced())
	r.send(alice, 100, 0, event.NoRefusal)
	r.send(bob, 100, 2, event.ContentRejected)
	r.want(bob, Slow)
	r.send(bob, 102, 0, event.NoRefusal)
	sent := float64(r.one)
	x := r.Explain(acme)
	if got := float64(x.Distinct); got < 0.7*sent || got > 1.3*sent {
		t.Errorf("%v distinct recipients, %v were sent to", got, sent)
	}
	if x.Counting >= x.Distinct || x.Counting < 70 {
		t.Errorf("%d of %d count: want those of alice, and of bob until he is contained", x.Counting, x.Distinct)
	}
	if y := r.Explain(bob); y.Counting != y.Distinct || y.Distinct == 0 {
		t.Errorf("of an account %d of %d count", y.Counting, y.Distinct)
	}
	r.pass(time.Hour)
	r.mail(alice, "google", event.NoRefusal)
	if x := r.Explain(acme); x.Distinct != 1 || x.Counting != 1 {
		t.Errorf("in the next hour %d, %d of them count", x.Distinct, x.Counting)
	}
}
