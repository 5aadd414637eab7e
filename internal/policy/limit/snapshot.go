package limit

import (
	"fmt"
	"slices"
	"time"
)

// SnapshotVersion is of the Snapshots that this package makes and reads.
const SnapshotVersion = 1

// A Snapshot is what is worth keeping over a restart: the debts of the rates. Sessions end with the process, and shares
// begin anew.
type Snapshot struct {
	Version int       `json:"version"`
	Taken   time.Time `json:"taken"` // by the wall clock; of debts that do not say
	Debts   []Debt    `json:"debts"`
}

// A Debt is a counter of a rate that is not free.
type Debt struct {
	Limit   string        `json:"limit"` // the rule's name
	Measure string        `json:"measure"`
	Of      string        `json:"of"`
	To      string        `json:"to,omitempty"`
	Owes    time.Duration `json:"owes_ns"` // until all is free; 0: it is
	Taken   time.Time     `json:"taken,omitzero"`
}

// Parts is how many parts [Memory.Changed] gives the debts in.
const Parts = shards

// Changed adds debts of a part that have changed since they were last given, otherwise than by time; the first time all
// that there are. It adds so many at most, and reports whether there may be more. It goes through the part's counters
// for them, whose subjects are locked meanwhile. What could not be kept goes to [Memory.PutBack].
func (m *Memory) Changed(to []Debt, part, most int) (all []Debt, more bool) {
	s := &m.shards[part]
	taken := m.time.clock().Round(0).UTC()
	to = slices.Grow(to, most) // not with the lock held
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.time.read()
	for ; len(s.lost) > 0 && most > 0; most-- {
		d := s.lost[len(s.lost)-1]
		s.lost = s.lost[:len(s.lost)-1]
		if e := s.entries[d.key()]; e != nil { // it is known again
			e.dirty, e.kept = true, true
		} else {
			to = append(to, d)
		}
	}
	for k, e := range s.entries {
		if !e.dirty || k.limit != e.limit.id || e.limit.rule.Brief { // or a share
			continue
		}
		if most--; most < 0 {
			return to, true
		}
		e.dirty = false
		debt := e.debt(now)
		if debt == 0 && !e.kept {
			continue
		}
		e.kept = debt > 0
		to = append(to, e.owed(k, debt, taken))
	}
	return to, false
}

// ChangedOf adds what is owed of one want, whether that has changed or not.
func (m *Memory) ChangedOf(to []Debt, w Want) []Debt {
	if w.Limit.rule.Brief {
		return to
	}
	s := &m.shards[m.place(w.Subject)]
	taken := m.time.clock().Round(0).UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.time.read()
	e, debt := s.entries[w.key()], int64(0)
	if e == nil {
		e = &entry{limit: w.Limit}
	} else {
		debt = e.debt(now)
		e.dirty, e.kept = false, debt > 0
	}
	return append(to, e.owed(w.key(), debt, taken))
}

func (e *entry) owed(k key, debt int64, taken time.Time) Debt {
	r := &e.limit.rule
	return Debt{Limit: r.Name, Measure: r.Measure.String(), Of: k.of, To: k.to, Owes: time.Duration(debt), Taken: taken}
}

func (d *Debt) key() key { return key{counterID(d.Measure, d.Limit), d.Of, d.To, ""} }

// PutBack takes back debts that were not kept: they are still to be.
func (m *Memory) PutBack(debts []Debt) {
	for _, d := range debts {
		s := &m.shards[m.place(Subject{d.Of, d.To})]
		s.mu.Lock()
		if e := s.entries[d.key()]; e != nil {
			e.dirty, e.kept = true, true
		} else if d.Owes == 0 && len(s.lost) < s.most {
			s.lost = append(s.lost, d)
		}
		s.mu.Unlock()
	}
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
	now := m.time.clock().Round(0)
	count := 0
	for _, d := range s.Debts {
		if d.Taken.IsZero() {
			d.Taken = s.Taken
		}
		passed := max(0, now.Sub(d.Taken))
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
	e.kept = true
	e.pins--
	return true
}
