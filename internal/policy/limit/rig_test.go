package limit

import (
	"testing"
	"time"

	"kanmon/test/handclock"
)

// start is when the tests' clock begins. It has no monotonic reading, so that jumps of it are seen.
var start = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

// A rig is a Memory whose clock the test turns.
type rig struct {
	*Memory
	*handclock.Clock
	t testing.TB
}

func newRig(t testing.TB, maxKeys int) *rig { return newRigAt(t, maxKeys, start) }

func newRigAt(t testing.TB, maxKeys int, at time.Time) *rig {
	r := &rig{t: t, Clock: handclock.At(at)}
	r.Memory = New(Options{Clock: r.Now, MaxKeys: maxKeys})
	return r
}

// snapshot is what a store has that has heard of all changes.
func (r *rig) snapshot() Snapshot {
	s := Snapshot{Version: SnapshotVersion}
	for part := range Parts {
		s.Debts = r.changedIn(s.Debts, part)
	}
	return s
}

func (r *rig) changedIn(to []Debt, part int) []Debt {
	for more := true; more; {
		to, more = r.Changed(to, part, 3)
	}
	return to
}

func compile(t testing.TB, r Rule) *Limit {
	t.Helper()
	l, err := Compile(r)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// hourly is 60 messages an hour, 10 at once: one a minute.
func hourly(t testing.TB) *Limit {
	return compile(t, Rule{Name: "hourly", Scope: PerAccount, Measure: Messages, Amount: 60, Per: time.Hour, Burst: 10})
}

func want(l *Limit, of string, n int64) Want { return Want{Limit: l, Subject: Subject{Of: of}, N: n} }

// taken takes into a new ticket, or fails.
func (r *rig) taken(wants ...Want) *Ticket {
	r.t.Helper()
	t := &Ticket{}
	if v := r.Take(wants, t); !v.OK {
		r.t.Fatalf("refused: %+v", v)
	}
	return t
}

// passed takes, and all of it is used.
func (r *rig) passed(wants ...Want) {
	r.t.Helper()
	r.Settle(r.taken(wants...), true, 0)
}

func (r *rig) refused(wants ...Want) Verdict {
	r.t.Helper()
	v := r.Take(wants, &Ticket{})
	if v.OK {
		r.t.Fatal("granted")
	}
	return v
}

// used checks what is used of a want's counter.
func (r *rig) used(w Want, n int64) Counter {
	r.t.Helper()
	c := r.Explain([]Want{w})[0]
	if c.Used != n {
		r.t.Fatalf("%s of %v: %d used, want %d (%+v)", c.Rule.Name, c.Subject, c.Used, n, c)
	}
	return c
}

// room gives how much can be taken at once, and gives it back.
func (r *rig) room(w Want) int {
	w.N = 1
	t := &Ticket{}
	n := 0
	for r.Take([]Want{w}, t).OK {
		n++
	}
	r.Settle(t, false, 0)
	return n
}
