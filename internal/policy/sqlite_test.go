package policy

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	file "kanmon/internal/store"
)

var (
	acme    = contain.Subject{Tenant: "acme"}
	bob     = contain.Subject{Tenant: "acme", Account: "bob@acme.example"}
	changed = time.Date(2026, 7, 1, 9, 30, 0, 123_000_000, time.UTC)
)

// twoLimits are the settings of a kanmon with a tenant, one limit for it and one for each of its accounts.
func twoLimits() (s Settings, err error) {
	s = Settings{Tenants: []string{"acme"}}
	for _, r := range []limit.Rule{
		{Name: "tenant-hour", Scope: limit.PerTenant, Measure: limit.Messages, Amount: 1000, Per: time.Hour},
		{Name: "account-hour", Scope: limit.PerAccount, Measure: limit.Recipients, Amount: 100, Per: time.Hour},
	} {
		l, err := limit.Compile(r)
		if err != nil {
			return s, err
		}
		s.Limits = append(s.Limits, &Limit{Limit: l, Enforce: true})
	}
	return s, nil
}

// over makes a Policy of twoLimits over a store.
func over(store Store) (*Policy, error) {
	s, err := twoLimits()
	if err != nil {
		return nil, err
	}
	return New(Options{Settings: s, Store: store})
}

func open(t *testing.T, path string) *SQLite {
	t.Helper()
	store, err := OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// added adds to the audit, saved keeps a state.
func added(store Store, changes ...Change) error {
	return store.Keep(context.Background(), changes, &Part{})
}

func saved(store Store, s State) error {
	return store.Keep(context.Background(), nil, &Part{
		Senders: contain.Changes{Snapshot: s.Containment}, Debts: s.Limits.Debts, Given: s.Given, Marks: s.Marks,
	})
}

func TestLockedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.db")
	store := open(t, path)
	other, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for name, err := range map[string]error{"keep": added(store, Change{At: changed, Subject: acme}), "save": saved(store, State{})} {
		if !errors.Is(err, file.ErrBusy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if took := time.Since(begin); took > 4*busyTime {
		t.Errorf("gave up after %v", took)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(added(store, Change{At: changed, Subject: acme}), saved(store, State{})); err != nil {
		t.Errorf("without the lock: %v", err)
	}
	if all, err := store.Changes(t.Context(), acme, netip.Addr{}, 10); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestStoreGivesBackWhatItWasGiven(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name?#%20.db")
	store := open(t, path)
	if _, found, err := store.Load(); found || err != nil {
		t.Errorf("an empty file: found %t, %v", found, err)
	}
	want := State{
		Limits: limit.Snapshot{Version: 1, Debts: []limit.Debt{{Limit: "hour", Measure: "messages", Of: "acme", Owes: time.Minute, Taken: changed}}},
		Containment: contain.Snapshot{Version: 1, At: changed, Subjects: []contain.Saved{{
			Subject: bob, Level: contain.Divert, Signal: contain.Content, Strikes: 2, History: bytes.Repeat([]byte{7}, 840),
			Block: &contain.SavedHand{ByHand: contain.ByHand{At: changed, By: "alice", Why: "x'\"; é"}, Left: 60},
			Last:  &contain.Decision{Seq: 3, At: changed, Subject: bob, To: contain.Divert, Reading: contain.Reading{Signal: contain.Content, Low: 0.125}},
		}}},
		Given: []Given{{acme, "hour", 50}, {bob, "hour", 5}},
		Marks: []Mark{{Subject: bob, Kind: contain.List, At: changed, By: "alice", Why: "a list"}},
	}
	for range 2 { // replaced, not added
		if err := saved(store, want); err != nil {
			t.Fatal(err)
		}
	}
	got, found, err := store.Load()
	if diff := cmp.Diff(want, got); diff != "" || !found || err != nil {
		t.Errorf("found %t, %v\n%s", found, err, diff)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm()&0o007 != 0 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func TestAudit(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "policy.db"))
	blue := contain.Subject{Tenant: "blue", Account: bob.Account}
	var all []Change
	ip := netip.MustParseAddr("203.0.113.10")
	for i, s := range []contain.Subject{acme, bob, blue, acme, {}} {
		all = append(all, Change{
			At: changed.Add(time.Duration(i) * time.Minute), By: "alice", Subject: s, Did: "block", Before: "normal", After: "stop", Why: "x'\"; é",
		})
		if s.Tenant == "" {
			all[i].IP, all[i].Provider, all[i].Did = ip, "google", "suspend"
		}
		if err := added(store, all[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		of   contain.Subject
		ip   netip.Addr
		most int
		want []Change
	}{
		{contain.Subject{}, netip.Addr{}, 10, all},
		{contain.Subject{}, netip.Addr{}, 2, all[3:]},
		{acme, netip.Addr{}, 10, []Change{all[0], all[1], all[3]}},
		{acme, netip.Addr{}, 2, []Change{all[1], all[3]}},
		{bob, netip.Addr{}, 10, all[1:2]},
		{blue, netip.Addr{}, 10, all[2:3]},
		{contain.Subject{Tenant: "cyan"}, netip.Addr{}, 10, nil},
		{acme, netip.Addr{}, 0, nil},
		{acme, netip.Addr{}, -1, nil},
		{contain.Subject{}, ip, 10, all[4:]},
		{contain.Subject{}, netip.MustParseAddr("203.0.113.11"), 10, nil},
	} {
		got, err := store.Changes(t.Context(), c.of, c.ip, c.most)
		if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
			t.Errorf("the last %d of %q: %v\n%s", c.most, c.of, err, diff)
		}
	}
}

func TestAuditIsBounded(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "policy.db"))
	count := func(why string) (n int) {
		t.Helper()
		if err := store.db.QueryRow("SELECT count(*) FROM policy_audit WHERE why LIKE ?", why).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	add := func(at time.Time, why string) {
		t.Helper()
		if err := added(store, Change{At: at, Subject: acme, Why: why}); err != nil {
			t.Fatal(err)
		}
	}
	add(changed.Add(-auditAge-time.Minute), "old")
	add(changed.Add(-auditAge+time.Minute), "not so old")
	if n := count("old"); n != 1 {
		t.Errorf("%d rows of a year ago, before a year has passed", n)
	}
	add(changed, "new")
	if old, rest := count("old"), count("n%"); old != 0 || rest != 2 {
		t.Errorf("%d old rows and %d others, want 0 and 2", old, rest)
	}
	// What is there in numbers was not added one by one: a row and its sync take milliseconds.
	if _, err := store.db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO policy_audit (at_ms, made_by, tenant, account, did, was, became, why) SELECT ?, '', 'acme', '', '', '', '', 'many' FROM n`,
		auditRows-1, changed.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	add(changed, "last")
	if n, last, first := count("%"), count("last"), count("n%"); n != auditRows || last != 1 || first != 0 {
		t.Errorf("%d rows, want %d; %d of the last, %d of the first", n, auditRows, last, first)
	}
}

var oneSender = State{Containment: contain.Snapshot{Version: contain.SnapshotVersion, At: changed, Subjects: []contain.Saved{{Subject: bob, Known: 1}}}}

// A row that cannot be read is said at once: what it says would else be forgotten.
func TestUnreadableRowsAreSaidAtOnce(t *testing.T) {
	dir := t.TempDir()
	edit := func(name, statement string) string {
		path := filepath.Join(dir, name)
		store := open(t, path)
		if err := errors.Join(saved(store, oneSender), added(store, Change{At: changed, Subject: acme})); err != nil {
			t.Fatal(err)
		}
		if _, err := store.db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for i, damage := range []string{
		"UPDATE policy_clock SET state = '{'", `UPDATE policy_clock SET state = '{"version": 99}'`, `UPDATE policy_sender SET state = '{"level": "asleep"}'`,
		`UPDATE policy_sender SET state = '{"tenant": "acme", "known": -1}'`, `INSERT INTO policy_debt VALUES ('hour', 'messages', 'acme', '', 'much', 0, 0)`,
		`INSERT INTO policy_given VALUES ('acme', '', 'hour', 'many')`, `INSERT INTO policy_mark VALUES ('acme', '', '{"kind": "odd"}')`, "DROP TABLE policy_given",
	} {
		path := edit(fmt.Sprintf("row%d.db", i), damage)
		_, err := over(open(t, path))
		if !errors.Is(err, file.ErrDamaged) || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), "containment") ||
			!strings.Contains(err.Error(), "kanmon restore") {
			t.Errorf("%s: %v", damage, err)
		}
	}
}

// The disk is full: the change is in force and its operator is told that it is not kept; it is kept when there is room.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.db")
	store := open(t, path)
	p, err := over(store)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.db.Exec("PRAGMA max_page_count = 1"); err != nil { // as many as it has
		t.Fatal(err)
	}
	failed := 0
	for i := range 300 {
		s := contain.Subject{Tenant: "acme", Account: fmt.Sprintf("%d@acme.example", i)}
		if err := p.Block(s, time.Time{}, "alice", strings.Repeat("x", 200)); err != nil {
			if failed++; !strings.Contains(err.Error(), "the change is active but not saved") || !strings.Contains(err.Error(), "full") {
				t.Fatalf("block: %v", err)
			}
		}
		if x := p.Explain(s); x.Block == nil {
			t.Fatalf("%v is not blocked", s)
		}
	}
	if failed == 0 {
		t.Fatal("the disk was not full")
	}
	if _, err := store.db.Exec("PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if state, _, err := open(t, path).Load(); err != nil || len(state.Containment.Subjects) < 300 {
		t.Errorf("%d stored, %v", len(state.Containment.Subjects), err)
	}
}
