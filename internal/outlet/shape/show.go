package shape

import (
	"net/netip"
	"time"
)

// A Shown is how a sending IP stands with one of a provider's limits.
type Shown struct {
	Limit
	Now   int64 // what it may have now: Amount, or what is left of it; 0: there is no bound
	Used  int64 // of what is counted for all connections together, and kept to
	Since time.Time

	ByTime bool // what is left is what the times of mail have left
}

// Tightened reports whether less is left than the amount.
func (s *Shown) Tightened() bool { return !s.Since.IsZero() }

// Show says what a provider takes, and how much of that a sending IP has and may have.
func (m *Memory) Show(t *Takes, ip netip.Addr) (all []Shown) {
	l := Lane{m: m, takes: t, ip: ip, text: m.textOf(ip)}
	for c := Connections; c < countCount; c++ {
		left, by, found := m.left(t, c, ip)
		shown := Shown{Limit: Limit{Count: c, Amount: t.kept[c].amount, Keep: true}, Now: left, Since: by.At, ByTime: found && by.ByTime()}
		if wants := l.want(nil, c); len(wants) > 0 {
			shown.Used = m.counter.Explain(wants)[0].Used
		}
		listed := false
		for _, known := range t.limits {
			if known.Count == c {
				if listed = true; known.Keep {
					known.Amount = t.kept[c].amount
					all = append(all, Shown{Limit: known, Now: shown.Now, Used: shown.Used, Since: shown.Since, ByTime: shown.ByTime})
				} else {
					all = append(all, Shown{Limit: known})
				}
			}
		}
		if !listed && (found || shown.Used > 0) {
			all = append(all, shown)
		}
	}
	return all
}

// Tightenings gives all that hold.
func (m *Memory) Tightenings() (all []Tightening) {
	now := m.clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, t := range m.tight {
		if t.over(now) {
			m.drop(key)
		} else {
			all = append(all, t)
		}
	}
	return all
}
