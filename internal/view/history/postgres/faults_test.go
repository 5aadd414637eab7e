package postgres

import (
	"fmt"
	"strings"
	"testing"

	"kanmon/internal/view/history/pgtest"
)

// What would keep history from being kept is said with what is wrong and what would be right, and looking changes nothing.
func TestWhatIsWrongWithADatabaseIsSaid(t *testing.T) {
	server := pgtest.Start(t)
	says := func(url string) string {
		all, err := Faults(t.Context(), Options{Database: url})
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		return fmt.Sprint(all)
	}
	url := server.Database(t)
	if is := says(url); is != "[]" {
		t.Errorf("an empty database: %s", is)
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(url, "postgres://kanmon@/"), "?")
	server.Do(t, name, "CREATE ROLE other LOGIN; CREATE ROLE stranger")
	as := strings.Replace(url, "kanmon@", "other@", 1)
	wants := func(when, url, want string) {
		t.Helper()
		if is := says(url); !strings.Contains(is, want) {
			t.Errorf("%s: %s, want %q", when, is, want)
		}
	}
	wants("no right", as, "the user other may make no schema in database "+name)
	wants("no such database", server.URL("none"), "CREATE DATABASE")
	wants("no such user", strings.Replace(url, "kanmon@", "nobody_at_all@", 1), "database_password_file")
	wants("no server", "postgres://kanmon@/x?host=/nowhere", "is the server up")
	server.Do(t, name, "ALTER ROLE other SET default_transaction_read_only = on")
	wants("only read", as, "the server may only be read")
	s, err := Open(Options{Database: url, Host: "gw1"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if is := says(url); is != "[]" {
		t.Errorf("with its tables: %s", is)
	}
	wants("of another user", as, "belongs to another user than other")
	server.Do(t, name, "INSERT INTO kanmon.schema_version (step, needs) VALUES (1000, 1000)")
	wants("of a later kanmon", url, "upgrade kanmon")
}
