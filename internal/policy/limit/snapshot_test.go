package limit

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"
)

// A restart, with the clock where it should be and where it should not.
func TestRestore(t *testing.T) {
	for _, c := range []struct {
		passed time.Duration
		used   int64
	}{{0, 8}, {5 * time.Minute, 3}, {8 * time.Minute, 0}, {time.Hour, 0}, {200 * year, 0}, {-time.Second, 8}, {-200 * year, 8}} {
		r, l := newRig(t, 0), hourly(t)
		fair := provider(t)
		r.taken(want(l, "alice", 8), of(fair, "acme"))
		r.Settle(r.taken(want(l, "bob", 8)), false, 0)
		r.taken(of(places(t, 5, true), "acme"))
		text, err := json.Marshal(r.snapshot())
		if err != nil {
			t.Fatal(err)
		}
		var s Snapshot
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		if len(s.Debts) != 2 { // bob is free, sessions and shares are not kept
			t.Errorf("%s", text)
		}
		again := newRigAt(t, 0, start.Add(c.passed))
		if _, err := again.Restore(s, []*Limit{hourly(t), places(t, 5, true), provider(t)}); err != nil {
			t.Fatal(err)
		}
		again.used(want(l, "alice", 1), c.used)
		again.used(want(l, "bob", 1), 0)
		if n := again.room(want(l, "alice", 1)); n != 10-int(c.used) {
			t.Errorf("%v: room for %d", c.passed, n)
		}
	}
}

// Whatever the file says, nobody waits for longer than the limit's period.
func TestRestoreIsBounded(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	s := Snapshot{Version: SnapshotVersion, Taken: start.Add(50 * year), Debts: []Debt{
		{Limit: "hourly", Measure: "messages", Of: "alice", Owes: 1<<63 - 1},
		{Limit: "hourly", Measure: "messages", Of: "bob", Owes: -1 << 63},
		{Limit: "hourly", Measure: "octets", Of: "carol", Owes: time.Minute},
		{Limit: "gone", Measure: "messages", Of: "carol", Owes: time.Minute},
		{Limit: "hourly", Measure: "messages", Of: "carol", Owes: time.Minute},
	}}
	if n, err := r.Restore(s, []*Limit{l}); n != 2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if v := r.refused(want(l, "alice", 1)); v.Wait > time.Hour+time.Minute {
		t.Errorf("%+v", v)
	}
	r.Pass(time.Hour + time.Minute)
	r.taken(want(l, "alice", 1))
	r.taken(want(l, "bob", 10))
	if _, err := r.Restore(Snapshot{Version: 2}, nil); err == nil {
		t.Error("a version that is not known was taken")
	}
}

// What a Memory has already is not made less, and places are not made for debts.
func TestRestoreIntoUse(t *testing.T) {
	r, l := newRig(t, 64), hourly(t)
	r.taken(want(l, "alice", 8))
	s := Snapshot{Version: SnapshotVersion, Taken: start, Debts: []Debt{{Limit: "hourly", Measure: "messages", Of: "alice", Owes: time.Minute}}}
	for range 500 {
		s.Debts = append(s.Debts, Debt{Limit: "hourly", Measure: "messages", Of: time.Duration(len(s.Debts)).String(), Owes: 9 * time.Minute})
	}
	if n, err := r.Restore(s, []*Limit{l}); n > 65 || n < 32 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	r.used(want(l, "alice", 1), 8)
	if s := r.Stats(); s.Keys > 64 {
		t.Errorf("%+v", s)
	}
}

// A reload makes the limit a shorter or another one: counters go on.
func TestReload(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	r.taken(want(l, "alice", 10))
	short := compile(t, Rule{Name: "hourly", Measure: Messages, Amount: 60, Per: time.Minute, Burst: 2})
	if v := r.refused(want(short, "alice", 1)); v.Wait > time.Minute+time.Second {
		t.Errorf("%+v", v)
	}
	r.Pass(time.Minute + time.Second)
	r.taken(want(short, "alice", 1))
	fair := compile(t, Rule{Name: "hourly", Measure: Messages, Amount: 60, Per: time.Hour, Burst: 4, Fair: true})
	ticket := r.taken(want(fair, "alice", 1))
	r.taken(want(l, "alice", 1))
	r.Settle(ticket, false, 0)
	other := compile(t, Rule{Name: "hourly", Measure: Recipients, Amount: 1, Per: time.Hour})
	r.taken(want(other, "alice", 1))
}

// changed is what has changed since it was last asked.
func (r *rig) changed() map[string]time.Duration {
	all := map[string]time.Duration{}
	for _, d := range r.snapshot().Debts {
		all[d.Of] = d.Owes
	}
	return all
}

// Only what has changed otherwise than by time is given, once; what is free again is given as that, and so is what was forgotten. What could not be
// kept is given again.
func TestChangedGivesWhatHasChanged(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	wants := func(when string, want map[string]time.Duration) {
		t.Helper()
		if got := r.changed(); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	r.taken(want(l, "alice", 8))
	ticket := r.taken(want(l, "bob", 3))
	r.Settle(r.taken(want(l, "carol", 2)), false, 0)
	wants("at first", map[string]time.Duration{"alice": 8 * time.Minute, "bob": 3 * time.Minute})
	r.Pass(time.Minute)
	wants("with time", map[string]time.Duration{})
	r.Settle(ticket, false, 0)
	wants("given back", map[string]time.Duration{"bob": 0})
	r.taken(want(l, "alice", 1))
	var failed []Debt
	for part := range Parts {
		failed = r.changedIn(failed, part)
	}
	r.PutBack(failed)
	wants("not kept", map[string]time.Duration{"alice": 8 * time.Minute})
	r.Forget(want(l, "alice", 1))
	if one := r.ChangedOf(nil, want(l, "alice", 1)); len(one) != 1 || one[0].Owes != 0 {
		t.Errorf("of alice alone: %+v", one)
	}
	wants("told already", map[string]time.Duration{})
	if one := r.ChangedOf(nil, want(l, "dave", 1)); len(one) != 1 || one[0].Owes != 0 || one[0].Of != "dave" {
		t.Errorf("of who is not known: %+v", one)
	}
}

// What makes room for others is not owed in the file, either, unless it is known again by then.
func TestWhatIsForgottenIsFree(t *testing.T) {
	r, l := newRig(t, 64), hourly(t)
	owed := map[string]time.Duration{}
	for i := range 2000 {
		r.Settle(r.taken(want(l, fmt.Sprint("sender", i), 1)), true, 0)
		if i%10 == 0 {
			for _, d := range r.snapshot().Debts {
				if owed[d.Of] = d.Owes; d.Owes == 0 {
					delete(owed, d.Of)
				}
			}
		}
	}
	if n := r.Stats().Keys; n > 64 || len(owed) > 64 {
		t.Errorf("%d counters, %d debts in the file", n, len(owed))
	}
}

// What was given back is not owed in the file, be it that the counter was forgotten before that was written.
func TestWhatIsGivenBackAndForgottenIsNotOwed(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	const senders = 200
	owed := map[string]time.Duration{}
	save := func() {
		for of, owes := range r.changed() {
			if owed[of] = owes; owes == 0 {
				delete(owed, of)
			}
		}
	}
	var tickets []*Ticket
	for i := range senders {
		tickets = append(tickets, r.taken(want(l, fmt.Sprint("sender", i), 8)))
	}
	save()
	if len(owed) != senders {
		t.Fatalf("%d debts in the file", len(owed))
	}
	for _, ticket := range tickets {
		r.Settle(ticket, false, 0)
	}
	r.Pass(time.Second)
	for i := range 20 * senders { // each has some that are free forgotten
		r.Settle(r.taken(want(l, fmt.Sprint("new", i), 1)), false, 0)
	}
	if r.Stats().Keys >= senders {
		t.Fatal("nobody was forgotten")
	}
	if save(); len(owed) > 0 {
		t.Errorf("%d debts in the file that were given back", len(owed))
	}
}

// What is not worth keeping is not given to whoever keeps debts.
func TestBriefDebtsAreNotKept(t *testing.T) {
	r := newRig(t, 0)
	l := compile(t, Rule{Name: "attempts", Scope: PerAccount, Measure: Messages, Amount: 60, Per: time.Hour, Brief: true})
	r.passed(want(l, "alice", 3), want(hourly(t), "alice", 2))
	if all := r.changed(); len(all) != 1 || all["alice"] != 2*time.Minute {
		t.Errorf("%v", all)
	}
	if one := r.ChangedOf(nil, want(l, "alice", 1)); len(one) != 0 {
		t.Errorf("%v", one)
	}
	r.used(want(l, "alice", 1), 3)
}
