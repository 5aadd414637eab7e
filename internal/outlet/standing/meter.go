package standing

import (
	"cmp"
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
	pairs                 []pair // only where the trigger wants several of both
}

// A mark is when a name was last seen. Replies go by their message; those of which it is not known have no name.
type mark struct {
	name uint64
	at   time.Time
}

// A pair is when a tenant was last refused by a destination.
type pair struct {
	tenant, destination uint64
	at                  time.Time
}

// add counts a piece of evidence, and says whether the trigger has been reached. Where there can be but one tenant the destinations
// suffice, and where there can be but one destination the tenants do; where both is so nothing can be told apart.
func (m *meter) add(t Trigger, ev *Evidence, now time.Time) bool {
	tenant, destination := maphash.String(seed, ev.Tenant), maphash.String(seed, cmp.Or(ev.Witness, ev.Destination))
	if ev.Message == 0 {
		m.replies = replaceOldest(m.replies, mark{0, now}, t.Replies)
	} else { // refused for each of its recipients, it is refused once
		m.replies = see(m.replies, mark{ev.Message, now}, t.Replies)
	}
	m.tenants = see(m.tenants, mark{tenant, now}, t.Tenants)
	m.destinations = see(m.destinations, mark{destination, now}, t.Destinations)
	several := t.Tenants > 1 && t.Destinations > 1
	if several {
		m.pairs = seePair(m.pairs, pair{tenant, destination, now}, t.Destinations, t.Tenants)
	}
	if within(m.replies, t.Within, now) < t.Replies {
		return false
	}
	tenants := within(m.tenants, t.Within, now) >= t.Tenants
	destinations := within(m.destinations, t.Within, now) >= t.Destinations
	switch {
	case !several:
		return tenants && destinations
	case ev.OneTenant && ev.OneDestination:
		return false
	case ev.OneTenant:
		return destinations
	case ev.OneDestination:
		return tenants
	}
	return tenants && destinations && m.apart(t, now)
}

// apart reports whether the refusals would be some without the tenant that was refused by most destinations: one who sends bad mail to
// many and a stray refusal of another are one tenant's. If that tenant alone is refused by as many as the trigger wants, the
// others must have been refused by two; else they must have been by one that it was not refused by.
func (m *meter) apart(t Trigger, now time.Time) bool {
	reached := map[uint64]map[uint64]bool{}
	var loudest uint64
	for _, p := range m.pairs {
		if !isWithin(p.at, t.Within, now) {
			continue
		}
		if reached[p.tenant] == nil {
			reached[p.tenant] = map[uint64]bool{}
		}
		reached[p.tenant][p.destination] = true
		if len(reached[p.tenant]) > len(reached[loudest]) {
			loudest = p.tenant
		}
	}
	others, own := map[uint64]bool{}, false
	for tenant, destinations := range reached {
		for d := range destinations {
			if tenant != loudest {
				others[d] = true
				own = own || !reached[loudest][d]
			}
		}
	}
	return len(others) >= 2 || own && len(reached[loudest]) < t.Destinations
}

// seePair notes a pair, once: of one tenant as many as there must be destinations, and of all together as many as leave room for
// those of one more than there must be tenants. What is left out for others can have been no less than what they are.
func seePair(pairs []pair, p pair, destinations, tenants int) []pair {
	of, oldestOf, oldest := 0, -1, 0
	for i := range pairs {
		switch {
		case pairs[i].tenant == p.tenant && pairs[i].destination == p.destination:
			pairs[i].at = p.at
			return pairs
		case pairs[i].tenant == p.tenant:
			of++
			if oldestOf < 0 || pairs[i].at.Before(pairs[oldestOf].at) {
				oldestOf = i
			}
		}
		if pairs[i].at.Before(pairs[oldest].at) {
			oldest = i
		}
	}
	switch {
	case of >= destinations:
		pairs[oldestOf] = p
	case len(pairs) < destinations*(tenants+1):
		return append(pairs, p)
	default:
		pairs[oldest] = p
	}
	return pairs
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
		if isWithin(m.at, span, now) {
			n++
		}
	}
	return n
}

func isWithin(at time.Time, span time.Duration, now time.Time) bool {
	age := now.Sub(at)
	return age >= 0 && age < span
}
