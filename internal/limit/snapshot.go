package limit

import (
	"fmt"
	"time"
)

// SnapshotVersion is of the Snapshots that this package makes and reads.
const SnapshotVersion = 1

// A Snapshot is what is worth keeping over a restart: the debts of the rates. Sessions end with the process, and shares
// begin anew.
type Snapshot struct {
	Version int       `json:"version"`
	Taken   time.Time `json:"taken"` // by the wall clock
	Debts   []Debt    `json:"debts"`
}

// A Debt is a counter of a rate that is not free.
type Debt struct {
	Limit   string        `json:"limit"` // the rule's name
	Measure string        `json:"measure"`
	Of      string        `json:"of"`
	To      string        `json:"to,omitempty"`
	Owes    time.Duration `json:"owes_ns"` // until all is free
}

// Snapshot gives the debts. It locks a part of the subjects at a time: it is not of one moment, and need not be.
func (m *Memory) Snapshot() Snapshot {
	out := Snapshot{Version: SnapshotVersion, Taken: m.time.clock().Round(0).UTC()}
	for i := range m.shards {
		out.Debts = m.shards[i].debts(out.Debts, m.time)
	}
	return out
}

func (s *shard) debts(to []Debt, t *timeline) []Debt {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := t.read()
	for k, e := range s.entries {
		if k.limit != e.limit.id || e.debt(now) == 0 { // a share, or free
			continue
		}
		r := &e.limit.rule
		to = append(to, Debt{Limit: r.Name, Measure: r.Measure.String(), Of: k.of, To: k.to, Owes: time.Duration(e.debt(now))})
	}
	return to
}

// Restore takes over the debts of a Snapshot, less the time that the wall clock says has passed: none if it says less than
// none. Nothing is owed for longer than the limit allows, whatever the file says. Debts of limits that are not among the
// given ones are left out, and so are those that there is no place for. It gives how many were taken over.
func (m *Memory) Restore(s Snapshot, limits []*Limit) (int, error) {
	if s.Version != SnapshotVersion {
		return 0, fmt.Errorf("snapshot of limits: version %d, want %d", s.Version, SnapshotVersion)
	}
	known := make(map[name]*Limit, len(limits))
	for _, l := range limits {
		known[l.id] = l
	}
	passed := max(0, m.time.clock().Round(0).Sub(s.Taken))
	count := 0
	for _, d := range s.Debts {
		l := known[counterID(d.Measure, d.Limit)]
		if l == nil || l.rule.Measure == Sessions || d.Owes <= passed {
			continue
		}
		if m.owe(Want{Limit: l, Subject: Subject{d.Of, d.To}}, d.Owes-passed) {
			count++
		}
	}
	return count, nil
}

// owe sets a counter to no less than the debt.
func (m *Memory) owe(w Want, debt time.Duration) bool {
	s := &m.shards[m.place(w.Subject)]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.time.read()
	e := s.find(w.key(), w.Limit, now)
	if e == nil {
		return false
	}
	e.free = max(e.free, now+min(int64(debt), w.Limit.farthest()))
	e.pins--
	return true
}
