package policy

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
)

// startWith makes a kanmon that finds a state by names that it folds, and what it has kept of that by then.
func startWith(t *testing.T, old State, limits ...*Limit) (*rig, Store) {
	t.Helper()
	store := open(t, filepath.Join(t.TempDir(), "senders.db"))
	old.Containment.Version, old.Containment.At = contain.SnapshotVersion, time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	for i := range old.Limits.Debts {
		old.Limits.Debts[i].Taken = old.Containment.At
	}
	if err := saved(store, old); err != nil {
		t.Fatal(err)
	}
	return newRig(t, settingsWith(limits...), store), store
}

// What is owed by an old name is owed by the new one alone: a person's order holds for all of it, also after a restart.
func TestDebtsAreKeptByTheirNewNames(t *testing.T) {
	debt := func(of string, owes time.Duration) limit.Debt {
		return limit.Debt{Limit: "hour", Measure: "messages", Of: of, To: "acme", Owes: owes}
	}
	blocks := func() *Limit {
		l := rule("hour", limit.PerAccount, 100)
		l.Action = limit.Block
		return l
	}
	r, store := startWith(t, State{Limits: limit.Snapshot{Debts: []limit.Debt{
		debt("bob+x@acme.example", 50*time.Minute), debt("bob@acme.example", 10*time.Minute), debt("bob+y@acme.example", 20*time.Minute),
		debt("carol+x@acme.example", 30*time.Minute),
	}}}, blocks())
	kept := func() (all []string) {
		t.Helper()
		s, _, err := store.Load()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range s.Limits.Debts {
			all = append(all, fmt.Sprint(d.Of, " ", d.Owes))
		}
		slices.Sort(all)
		return all
	}
	if got, want := kept(), []string{"bob@acme.example 50m0s", "carol@acme.example 30m0s"}; !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	if err := errors.Join(r.Block(bob, time.Time{}, "alice", ""), r.Unblock(bob, "alice", "")); err != nil {
		t.Fatal(err)
	}
	if got, want := kept(), []string{"carol@acme.example 30m0s"}; !slices.Equal(got, want) {
		t.Errorf("bob was let go: kept %q, want %q", got, want)
	}
	s, _, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	if again := newRig(t, settingsWith(blocks()), &memory{state: &s}); again.used(bob, "hour") != 0 {
		t.Error("bob was let go, and owes after a restart")
	}
}

// Of several orders about what is one account now one holds, in memory and in the file: what was said of the account by its own name, else the
// smallest amount, and the mark that was made last.
func TestOfOrdersThatFallTogetherOneHolds(t *testing.T) {
	given := func(account string, amount int64) Given {
		return Given{Subject: contain.Subject{Tenant: "acme", Account: account}, Limit: "hour", Amount: amount}
	}
	mark := func(account string, kind contain.Kind, minute int) Mark {
		return Mark{
			Subject: contain.Subject{Tenant: "acme", Account: account}, Kind: kind, By: "alice", At: time.Date(2026, 3, 1, 10, minute, 0, 0, time.UTC),
		}
	}
	r, store := startWith(t, State{
		Given: []Given{
			given("bob+1@acme.example", 10), given("bob@acme.example", 20), given("bob+2@acme.example", 5),
			given("carol+2@acme.example", 40), given("carol+1@acme.example", 30), given("carol+3@acme.example", 50),
		},
		Marks: []Mark{
			mark("bob@acme.example", contain.List, 1), mark("bob+1@acme.example", contain.Forwarder, 2),
			mark("carol+1@acme.example", contain.List, 2), mark("carol+2@acme.example", contain.Forwarder, 1),
		},
	}, rule("hour", limit.PerAccount, 100))
	carol := contain.Subject{Tenant: "acme", Account: "carol@acme.example"}
	for s, want := range map[contain.Subject]int64{bob: 20, carol: 30} {
		if amount := r.Usages(s)[0].Rule.Amount; amount != want {
			t.Errorf("%v has %d, want %d", s, amount, want)
		}
		if m, own := r.MarkOf(s); m.Kind != contain.List || !own {
			t.Errorf("%v is %v", s, m)
		}
	}
	s, _, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	byName := func(a, b contain.Subject) int { return cmp.Compare(a.Account, b.Account) }
	slices.SortFunc(s.Given, func(a, b Given) int { return byName(a.Subject, b.Subject) })
	if want := []Given{given(bob.Account, 20), given(carol.Account, 30)}; !slices.Equal(s.Given, want) {
		t.Errorf("kept %v, want %v", s.Given, want)
	}
	slices.SortFunc(s.Marks, func(a, b Mark) int { return byName(a.Subject, b.Subject) })
	if want := []Mark{mark(bob.Account, contain.List, 1), mark(carol.Account, contain.List, 2)}; !slices.Equal(s.Marks, want) {
		t.Errorf("kept %v, want %v", s.Marks, want)
	}
}
