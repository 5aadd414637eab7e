package days

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
)

// A kill may leave the file of a day in the middle of its making: without its tables, or with what SQLite has to take back first. The next
// process that keeps history makes it whole, and keeps what belongs there.
func TestADaysFileThatWasBegunIsMadeWhole(t *testing.T) {
	at := time.Date(2026, 11, 29, 23, 0, 0, 0, time.UTC)
	for name, begin := range map[string]func(path string) error{
		"no tables yet": func(path string) error { return write(path, "PRAGMA user_version = 0") },
		"a change that did not end": func(path string) error {
			other := path + "-other"
			f, err := sql.Open("sqlite", "file:"+other+"?_pragma=journal_mode(DELETE)&_pragma=synchronous(FULL)&_pragma=cache_size(1)")
			if err != nil {
				return err
			}
			f.SetMaxOpenConns(1)
			for _, do := range []string{
				"CREATE TABLE one (text)", "BEGIN IMMEDIATE", "CREATE TABLE two (text)",
				"INSERT INTO one WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT hex(randomblob(200)) FROM n",
			} {
				if _, err := f.Exec(do); err != nil {
					return err
				}
			}
			err = errors.Join(copyFile(other, path), copyFile(other+"-journal", path+"-journal"))
			_, rolled := f.Exec("ROLLBACK")
			return errors.Join(err, rolled, f.Close(), os.Remove(other))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := begin(filepath.Join(dir, dayOf(at).file(detail))); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(dir); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			line := historytest.NewFeed("gw1", at).Attempt(historytest.Mail{At: at, Sender: "a@acme.example", To: []string{"b@example.com"}})
			if err := s.Add(t.Context(), []history.Line{line}, "", history.Mark{}); err != nil {
				t.Fatal(err)
			}
			if list, _, err := s.Attempts(t.Context(), history.Filter{}, history.Page{}); err != nil || len(list) != 1 {
				t.Errorf("%d attempts, %v", len(list), err)
			}
		})
	}
}

func write(path, do string) error {
	f, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	_, err = f.Exec(do)
	return errors.Join(err, f.Close())
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o640)
}
