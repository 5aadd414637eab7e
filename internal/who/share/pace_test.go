package share

import (
	"testing"
	"time"
)

// A mill does as much work in a second as it can, and is strained where it was asked for more.
type mill struct {
	can, asked float64
	pace       Pace[string]
	now        time.Time
}

// run lets owners bring work in pieces of 100 as fast as they want, and gives how much of each was done in the last of some seconds.
func (m *mill) run(seconds int, wants map[string]float64) map[string]float64 {
	if m.now.IsZero() {
		m.now = time.Unix(1e9, 0)
	}
	const step = time.Millisecond
	rests, owed, done := map[string]time.Time{}, map[string]float64{}, map[string]float64{}
	since := m.now
	strained := func() bool {
		yes := m.asked > m.can*m.now.Sub(since).Seconds()
		m.asked, since = 0, m.now
		return yes
	}
	for i := range seconds * int(time.Second/step) {
		if i%1000 == 0 {
			clear(done)
		}
		for owner, want := range wants {
			owed[owner] = min(owed[owner]+want*step.Seconds(), want)
			for owed[owner] >= 100 && !rests[owner].After(m.now) {
				owed[owner] -= 100
				done[owner] += 100
				m.asked += 100
				if rest := m.pace.Spend(owner, 100, m.now, strained); rest > 0 {
					rests[owner] = m.now.Add(rest)
				}
			}
		}
		m.now = m.now.Add(step)
	}
	return done
}

// While there is too much work, who wants more than an equal part is slowed, and nobody else; who is alone is not.
func TestPaceSlowsWhoeverHasMoreThanAPart(t *testing.T) {
	for name, c := range map[string]struct {
		wants map[string]float64
		least map[string]float64 // what each must have in a second
		most  map[string]float64
	}{
		"enough for all":        {map[string]float64{"a": 5_000, "b": 1_000}, map[string]float64{"a": 4_900, "b": 900}, nil},
		"one alone":             {map[string]float64{"a": 50_000}, map[string]float64{"a": 49_000}, nil},
		"one greedy, two small": {map[string]float64{"a": 100_000, "b": 500, "c": 500}, map[string]float64{"a": 3_000, "b": 500, "c": 500}, map[string]float64{"a": 12_000}},
		"as much each":          {map[string]float64{"a": 20_000, "b": 20_000, "c": 20_000, "d": 21_000}, map[string]float64{"a": 19_000, "b": 19_000, "c": 19_000, "d": 19_000}, nil},
		"two greedy, one small": {map[string]float64{"a": 100_000, "b": 50_000, "c": 500}, map[string]float64{"a": 1_500, "b": 1_500, "c": 500}, map[string]float64{"a": 8_000, "b": 8_000}},
	} {
		t.Run(name, func(t *testing.T) {
			m := mill{can: 10_000}
			got := m.run(20, c.wants)
			for owner, least := range c.least {
				if got[owner] < least {
					t.Errorf("%s has %.0f done in a second, want %.0f at least: %v", owner, got[owner], least, got)
				}
			}
			for owner, most := range c.most {
				if got[owner] > most {
					t.Errorf("%s has %.0f done in a second, want %.0f at most: %v", owner, got[owner], most, got)
				}
			}
		})
	}
}

// Who was slowed is free again soon after the strain is over, and who does nothing is forgotten.
func TestPaceForgets(t *testing.T) {
	m := mill{can: 10_000}
	m.run(5, map[string]float64{"a": 100_000, "b": 500})
	if !m.pace.Slowed("a") || m.pace.Slowed("b") {
		t.Fatalf("slowed: a %v, b %v; want a alone", m.pace.Slowed("a"), m.pace.Slowed("b"))
	}
	m.run(15, map[string]float64{"b": 500})
	if m.pace.Slowed("a") || len(m.pace.owners) > 1 {
		t.Errorf("after 15 quiet seconds a is slowed: %v; owners in memory: %d", m.pace.Slowed("a"), len(m.pace.owners))
	}
}

// While there is a strain that does not come from it, who was slowed may have as much as others again; alone, as much as it likes.
func TestPaceRaisesWhoeverHasNoMoreThanOthers(t *testing.T) {
	m := mill{can: 10_000}
	m.run(5, map[string]float64{"a": 100_000, "b": 500})
	strained := func() bool { return true }
	for range 20_000 {
		m.now = m.now.Add(time.Millisecond)
		m.pace.Spend("a", 1, m.now, strained)
	}
	if m.pace.Slowed("a") {
		t.Error("alone under a strain for 20 s, and still slowed")
	}
}

// What was done for sessions that have ended keeps no other session of the owner waiting.
func TestWorkThatHasEndedIsNoDebt(t *testing.T) {
	var p Pace[string]
	now := time.Unix(1e9, 0)
	rest := func() time.Duration { return p.Spend("a", 200, now, func() bool { return true }) }
	for range 100 {
		now = now.Add(20 * time.Millisecond)
		p.Spend("b", 1, now, func() bool { return true })
		rest()
	}
	now = now.Add(time.Minute)
	for range 1000 {
		p.Count("a", 200, now, func() bool { return true })
	}
	if got := rest(); got > 2*time.Second {
		t.Errorf("a session of 200 rests for %s behind a thousand that have ended", got)
	}
}

// However much an owner brings at once, nobody waits for more than some seconds: an MSA must have its replies in time.
func TestPausesAreShort(t *testing.T) {
	var p Pace[string]
	now := time.Unix(1e9, 0)
	longest := time.Duration(0)
	for range 10_000 {
		now = now.Add(time.Millisecond)
		p.Spend("b", 1, now, func() bool { return true })
		longest = max(longest, p.Spend("a", 10_000, now, func() bool { return true }))
	}
	if longest != longestPause {
		t.Errorf("the longest pause is %s, want %s", longest, longestPause)
	}
}
