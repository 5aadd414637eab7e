package limit

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const year = 365 * 24 * time.Hour

// The clock is set back or ahead: no more than a burst comes of it, and nobody waits for longer than before.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{-200 * year, -10 * year, -year, -time.Hour, -time.Second, -1, time.Hour, 10 * year, 200 * year} {
		r, l, octets := newRig(t, 0), hourly(t), size(t)
		r.Pass(time.Hour)
		r.taken(want(l, "alice", 10))
		r.Settle(r.taken(want(octets, "alice", 0)), true, 1<<40)
		r.Pass(jump)
		if jump > 0 {
			if n := r.room(want(l, "alice", 1)); n != 10 {
				t.Errorf("%v: room for %d", jump, n)
			}
			continue
		}
		if n := r.room(want(l, "alice", 1)); n != 0 {
			t.Errorf("%v: room for %d", jump, n)
		}
		r.Pass(min(-jump, time.Second) + time.Minute)
		if n := r.room(want(l, "alice", 1)); n != 1 {
			t.Errorf("%v: after a minute room for %d", jump, n)
		}
		r.Pass(time.Hour + time.Second)
		r.taken(want(octets, "alice", 0))
		r.taken(want(l, "alice", 10))
		r.refused(want(l, "alice", 1))
	}
}

// Time never goes back, and never by more than the clock went ahead.
func TestTimeline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := start
		line := newTimeline(func() time.Time { return at })
		first, ahead := line.read(), time.Duration(0)
		last := first
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			step := rapid.SampledFrom([]time.Duration{
				1, time.Microsecond, 3 * time.Millisecond, time.Second, time.Hour, Longest, 290 * year,
				-1, -time.Millisecond, -time.Second, -2 * time.Second, -time.Hour, -Longest, -290 * year,
			}).Draw(t, "step")
			at = at.Add(step)
			if step > 0 {
				ahead += min(step, Longest)
			}
			now := line.read()
			if now < last-lastEvery || now-first > int64(ahead) {
				t.Fatalf("%v: from %d to %d, %v ahead in all", step, last-first, now-first, ahead)
			}
			if step > 2*time.Second && now-last < int64(min(step, Longest))-slack-lastEvery {
				t.Fatalf("%v: from %d to %d", step, last-first, now-first)
			}
			last = max(last, now)
		}
	})
}
