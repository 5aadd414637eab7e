package limit

import (
	"encoding/json"
	"testing"
	"time"
)

// Two processes charge one sender while one ends: what both have charged is owed, whenever and however often that is told, and what was
// given back there is given back here.
func TestBothProcessesChargesAreOwed(t *testing.T) {
	before, l := newRig(t, 0), hourly(t)
	before.passed(want(l, "alice", 3), want(l, "carol", 2))
	snapshot := before.snapshot()
	after := newRigAt(t, 0, start)
	if _, err := after.Restore(snapshot, []*Limit{l}); err != nil {
		t.Fatal(err)
	}
	in := after.Inherit(snapshot)
	tell := func() {
		t.Helper()
		text, err := json.Marshal(before.snapshot().Debts)
		if err != nil {
			t.Fatal(err)
		}
		var debts []Debt
		if err := json.Unmarshal(text, &debts); err != nil {
			t.Fatal(err)
		}
		in.Learn(debts, []*Limit{l})
		in.Learn(debts, []*Limit{l}) // again
	}
	pass := func(d time.Duration) { before.Pass(d); after.Pass(d) }

	before.passed(want(l, "alice", 2))
	after.passed(want(l, "alice", 1))
	tell()
	after.used(want(l, "alice", 1), 6)
	after.used(want(l, "carol", 1), 2)

	pass(2 * time.Minute)
	after.used(want(l, "alice", 1), 4)
	refused := before.taken(want(l, "alice", 3)) // and given back, for the message was refused
	tell()
	after.used(want(l, "alice", 1), 7)
	before.Settle(refused, false, 0)
	tell()
	after.used(want(l, "alice", 1), 4)

	pass(time.Hour)
	before.passed(want(l, "alice", 2), want(l, "bob", 1))
	tell()
	after.used(want(l, "alice", 1), 2)
	after.used(want(l, "bob", 1), 1)

	in.Learn([]Debt{{Limit: "hourly", Measure: "messages", Of: "bob", Owes: 1<<63 - 1, Taken: after.Now()}, {Limit: "gone", Measure: "messages", Of: "bob", Owes: 1, Taken: after.Now()}}, []*Limit{l})
	if v := after.refused(want(l, "bob", 1)); v.Wait > time.Hour+time.Minute {
		t.Errorf("%+v", v)
	}
}
