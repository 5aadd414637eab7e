package standing

import (
	"hash/maphash"
	"time"
)

// seed makes hashes of names differ from one run to the next: nobody can choose names that collide.
var seed = maphash.MakeSeed()

// A meter counts evidence toward a Trigger. It keeps no more than the trigger asks for, which loses nothing: if n distinct
// names were seen within a time, the n seen last were.
type meter struct {
	replies               []mark
	tenants, destinations []mark
}

// A mark is when a name was last seen. Replies are all of the same name: none.
type mark struct {
	name uint64
	at   time.Time
}

// add counts a piece of evidence, and says whether the trigger has been reached.
func (m *meter) add(t Trigger, tenant, destination string, now time.Time) bool {
	m.replies = replaceOldest(m.replies, mark{0, now}, t.Replies)
	m.tenants = see(m.tenants, mark{maphash.String(seed, tenant), now}, t.Tenants)
	m.destinations = see(m.destinations, mark{maphash.String(seed, destination), now}, t.Destinations)
	return within(m.replies, t.Within, now) >= t.Replies &&
		within(m.tenants, t.Within, now) >= t.Tenants &&
		within(m.destinations, t.Within, now) >= t.Destinations
}

// see notes a name, once.
func see(marks []mark, m mark, limit int) []mark {
	for i := range marks {
		if marks[i].name == m.name {
			marks[i].at = m.at
			return marks
		}
	}
	return replaceOldest(marks, m, limit)
}

func replaceOldest(marks []mark, m mark, limit int) []mark {
	if len(marks) < limit {
		return append(marks, m)
	}
	oldest, most := 0, time.Duration(-1)
	for i := range marks {
		age := m.at.Sub(marks[i].at)
		if age < 0 { // of before the clock was set back: worth nothing, see within
			age = 1<<63 - 1
		}
		if age > most {
			oldest, most = i, age
		}
	}
	marks[oldest] = m
	return marks
}

// within counts the marks not older than span. Those of the future are from before the clock was set back: how old they
// are is not known, so they do not count.
func within(marks []mark, span time.Duration, now time.Time) int {
	n := 0
	for _, m := range marks {
		if age := now.Sub(m.at); age >= 0 && age < span {
			n++
		}
	}
	return n
}
