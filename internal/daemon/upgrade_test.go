package daemon

import (
	"bytes"
	"database/sql"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/store"
)

// change changes a database that no kanmon has open.
func change(t *testing.T, path string, all ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, text := range all {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// toSchema3 makes of a database of senders what the kanmon before schema 4 wrote.
var toSchema3 = []string{
	"INSERT INTO policy_order (said) SELECT json_object('sender', json(state)) FROM policy_sender",
	"DROP TABLE policy_sender", "DROP TABLE policy_clock", "DROP TABLE policy_debt", "DROP TABLE policy_given", "DROP TABLE policy_mark",
	"DELETE FROM policy_schema WHERE version = 4",
}

// A kanmon that is newer than the database changes it, and keeps it beside as it was: with that, the older one goes on. What was kept holds in
// both.
//
// firstday-16
func TestAnUpgradeKeepsWhatTheOlderKanmonReads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "senders.db")
	w, c := withSocket(t, customersIn(file))
	if _, err := c.Carry(t.Context(), admin.Subject{Tenant: "acme"}, admin.Order{Do: "block", Reason: "unpaid"}); err != nil {
		t.Fatal(err)
	}
	w.stop()
	change(t, file, toSchema3...)
	w, c = withSocket(t, customersIn(file))
	x, err := c.Sender(t.Context(), admin.Subject{Tenant: "acme"})
	if err != nil || !x.Blocked {
		t.Errorf("the block is forgotten: %+v, %v", x.Sender, err)
	}
	if all, err := c.Changes(t.Context(), admin.Subject{}, netip.Addr{}, 10); err != nil || len(all) != 1 || all[0].Why != "unpaid" {
		t.Errorf("the audit: %+v, %v", all, err)
	}
	w.stop()
	for path, want := range map[string]int{file: 4, file + ".before-policy-4": 3} {
		if have, err := store.Versions(t.Context(), path); err != nil || have["policy"] != want {
			t.Errorf("%s: %v, %v, want schema %d", path, have, err, want)
		}
	}
}

// A copy from before an upgrade that has ended half way is not taken for one: what bears its name is whole, and only kanmon's own can read it.
func TestTheCopyBeforeAnUpgradeIsWholeOrNotThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "senders.db")
	kept := file + ".before-policy-4"
	w := newWorld(t, customersIn(file))
	w.start()
	w.stop()
	change(t, file, append(toSchema3, "CREATE TABLE padding (text TEXT)", "INSERT INTO padding VALUES (hex(zeroblob(1000000)))")...)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	holed := bytes.Clone(whole)
	clear(holed[len(holed)/2 : len(holed)/4*3])
	if err := os.WriteFile(file, holed, 0o600); err != nil { // the copy fails in its middle
		t.Fatal(err)
	}
	if err := newWorld(t, customersIn(file)).daemon.Start(t.Context()); err == nil {
		t.Fatal("started with a damaged database")
	}
	if all, err := filepath.Glob(kept + "*"); err != nil || len(all) > 0 {
		t.Errorf("left behind: %v, %v", all, err)
	}
	if err := errors.Join(os.WriteFile(file, whole, 0o600), os.WriteFile(kept+".part", whole[:5000], 0o600)); err != nil { // killed in its middle
		t.Fatal(err)
	}
	w = newWorld(t, customersIn(file))
	w.start()
	w.stop()
	if have, err := store.Versions(t.Context(), kept); err != nil || have["policy"] != 3 {
		t.Errorf("kept: %v, %v, want schema 3", have, err)
	}
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("kept: %v, %v, want mode 0640", info, err)
	}
	if all, err := filepath.Glob(kept + "*"); err != nil || len(all) != 1 {
		t.Errorf("beside it: %v, %v", all, err)
	}
}

// A kanmon that is older than the database does not start, and does not touch it: it says which versions meet, and what can be done.
//
// firstday-16
func TestAnOlderKanmonLeavesTheDatabaseAlone(t *testing.T) {
	for key, part := range map[string]string{"standing": "standing", "senders": "policy"} {
		file := filepath.Join(t.TempDir(), "state.db")
		tables := listenTable + "[" + key + "]\nfile = '" + file + "'\n"
		w := newWorld(t, tables)
		w.start()
		w.stop()
		change(t, file, "INSERT INTO "+part+"_schema VALUES (99)", "PRAGMA journal_mode(DELETE)")
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		err = newWorld(t, tables).daemon.Start(t.Context())
		if err == nil {
			t.Fatalf("%s: started", key)
		}
		for _, want := range []string{key + ".file", file, "of a newer kanmon", "it has schema 99, this one reads up to", "kanmon restore"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", key, err, want)
			}
		}
		if n := strings.Count(err.Error(), file); n != 1 {
			t.Errorf("%s: the path is named %d times: %v", key, n, err)
		}
		change(t, file, "PRAGMA journal_mode(DELETE)")
		have, err := store.Versions(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		if after, err := os.ReadFile(file); err != nil || len(after) != len(before) || have[part] != 99 {
			t.Errorf("%s: the file has changed: %v, %v", key, have, err)
		}
	}
}
