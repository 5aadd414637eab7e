package limit

import (
	"maps"
	"time"
)

// An Inheritance adds to a [Memory] what another process goes on to charge, from whose debts the Memory was restored. It is for one goroutine.
type Inheritance struct {
	memory *Memory
	over   map[key]time.Time // by that process's wall clock, as it has last said
}

// Inherit begins an Inheritance: the Snapshot is what the Memory was restored from.
func (m *Memory) Inherit(s Snapshot) *Inheritance {
	in := &Inheritance{m, make(map[key]time.Time, len(s.Debts))}
	for i := range s.Debts {
		in.over[s.Debts[i].key()] = s.Debts[i].over()
	}
	return in
}

func (d *Debt) over() time.Time { return d.Taken.Add(d.Owes) }

// Learn takes over debts that the other process has now: of each only what has been added since it was last told, or given back. Both have
// charged meanwhile, and both charges are owed. Those of limits that are not among the given ones are left out.
func (in *Inheritance) Learn(debts []Debt, limits []*Limit) {
	known := make(map[name]*Limit, len(limits))
	for _, l := range limits {
		known[l.id] = l
	}
	for i := range debts {
		d := &debts[i]
		l := known[counterID(d.Measure, d.Limit)]
		if l == nil || l.rule.Measure == Sessions || d.Taken.IsZero() {
			continue
		}
		over, was := d.over(), in.over[d.key()]
		if was.Before(d.Taken) {
			was = d.Taken // what was owed then has been over since
		}
		if in.remember(d.key(), over, d.Taken); over.Equal(was) {
			continue
		}
		in.memory.add(Want{Limit: l, Subject: Subject{d.Of, d.To}}, over.Sub(was))
	}
}

// remember keeps when a debt is over: of as many counters as there may be. Beyond that those that are over make room, and if none is, the next
// word of the counter adds all that is owed then: too much, and no too little.
func (in *Inheritance) remember(k key, over, now time.Time) {
	if len(in.over) >= DefaultMaxKeys {
		maps.DeleteFunc(in.over, func(_ key, t time.Time) bool { return t.Before(now) })
	}
	if _, known := in.over[k]; known || len(in.over) < DefaultMaxKeys {
		in.over[k] = over
	}
}

// add adds to a debt, or takes from it, within what the limit allows to be owed.
func (m *Memory) add(w Want, debt time.Duration) {
	s := &m.shards[m.place(w.Subject)]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.time.read()
	e := s.find(w.key(), w.Limit, now)
	if e == nil {
		return
	}
	e.free = min(max(e.free, now)+int64(min(debt, time.Duration(w.Limit.farthest()))), now+w.Limit.farthest())
	e.dirty = true
	e.pins--
}
