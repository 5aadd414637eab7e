package backup

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/store"
)

var known = map[string]int{"ledger": 2}

// A site is a folder with what a kanmon has.
type site struct {
	t     *testing.T
	dir   string
	state string
	items []Item
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, dir: dir, state: filepath.Join(dir, "lib", "state.db")}
	if err := os.Mkdir(filepath.Dir(s.state), 0o750); err != nil {
		t.Fatal(err)
	}
	s.write("kanmon.toml", "[senders]\nfile = 'state.db'\n", 0o640)
	s.write("rules.toml", "# ours\n", 0o600)
	db := s.open(s.state)
	s.exec(db, "CREATE TABLE ledger_schema (version INTEGER NOT NULL)", "INSERT INTO ledger_schema VALUES (1), (2)",
		"CREATE TABLE taken (n INTEGER PRIMARY KEY)", "CREATE TABLE given (n INTEGER PRIMARY KEY)")
	s.items = []Item{
		{Configuration, "", filepath.Join(dir, "kanmon.toml")},
		{Configuration, "classification.rules", filepath.Join(dir, "rules.toml")},
		{Database, "standing.file", s.state},
		{Database, "senders.file", s.state},
	}
	return s
}

func (s *site) write(name, text string, mode fs.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

// open opens a database as kanmon does, until the test ends.
func (s *site) open(path string) *sql.DB {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *site) exec(db *sql.DB, all ...string) {
	s.t.Helper()
	for _, text := range all {
		if _, err := db.Exec(text); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
}

// counts gives the rows of both tables.
func (s *site) counts(path string) (taken, given int) {
	s.t.Helper()
	db := s.open(path)
	defer db.Close()
	if err := db.QueryRow("SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM given)").Scan(&taken, &given); err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	return taken, given
}

// save makes a backup of the site.
func (s *site) save(name string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	var w bytes.Buffer
	if _, err := Write(s.t.Context(), &w, Set{Items: s.items, Program: "kanmon v1", Scratch: s.dir}); err != nil {
		s.t.Fatal(err)
	}
	s.write(name, w.String(), 0o600)
	return path
}

func (s *site) restore(path string, to Target) ([]Placed, error) {
	a, err := Open(path)
	if err != nil {
		return nil, err
	}
	to.Known, to.Program = known, "kanmon v1"
	return a.Restore(context.Background(), to)
}

// files gives what is below the folder, by name, without what SQLite makes and removes beside an open database.
func (s *site) files() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, s.dir)] = string(text)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// A backup that is made while somebody writes has what was said to be written before it began, and no transaction in part; what a plain copy
// of the file leaves behind, since it is in the file beside it, is in it.
//
// firstday-16
func TestABackupUnderWritesIsWhole(t *testing.T) {
	s := newSite(t)
	db := s.open(s.state)
	s.exec(db, "PRAGMA wal_autocheckpoint = 0") // as where the last checkpoint was a while ago
	var done atomic.Int64
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			tx, err := db.Begin()
			if err != nil {
				t.Error(err)
				return
			}
			_, first := tx.Exec("INSERT INTO taken VALUES (?)", n)
			_, second := tx.Exec("INSERT INTO given VALUES (?)", n)
			if err := errors.Join(first, second, tx.Commit()); err != nil {
				t.Error(err)
				return
			}
			done.Store(int64(n))
		}
	})
	lost := 0
	for i := range 20 {
		for done.Load() < int64(10*(i+1)) {
			time.Sleep(time.Millisecond)
		}
		before := int(done.Load())
		root := filepath.Join(s.dir, fmt.Sprint("root", i))
		if _, err := s.restore(s.save(fmt.Sprint(i, ".tar.gz")), Target{Root: root}); err != nil {
			t.Fatal(err)
		}
		taken, given := s.counts(filepath.Join(root, s.state))
		if taken != given || taken < before {
			t.Errorf("backup %d has %d and %d rows, %d had been written before it", i, taken, given, before)
		}
		plain := filepath.Join(s.dir, fmt.Sprint("plain", i, ".db"))
		if err := copyFile(s.state, plain); err != nil {
			t.Fatal(err)
		}
		if err := s.open(plain).QueryRow("SELECT count(*) FROM taken").Scan(&taken); err != nil || taken < before {
			lost++
		}
	}
	close(stop)
	writer.Wait()
	if lost == 0 {
		t.Error("a plain copy would have done: the test shows nothing")
	}
}

// A restore puts back what was saved, each file once, with its mode; what was there is kept beside it, a database with its WAL.
func TestARestoreKeepsWhatWasThere(t *testing.T) {
	s := newSite(t)
	s.exec(s.open(s.state), "INSERT INTO taken VALUES (1)")
	path := s.save("a.tar.gz")
	later := s.open(s.state)
	s.exec(later, "PRAGMA wal_autocheckpoint = 0", "INSERT INTO taken VALUES (2), (3)")
	s.write("kanmon.toml", "# broken [\n", 0o640)
	clock := func() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }
	all, err := s.restore(path, Target{Clock: clock})
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	const suffix = ".before-restore-20260701T120000Z"
	if taken, _ := s.counts(s.state); taken != 1 {
		t.Errorf("%d rows, want the one that was saved", taken)
	}
	if err := later.Close(); err != nil {
		t.Fatal(err)
	}
	if taken, _ := s.counts(s.state + suffix); taken != 3 {
		t.Errorf("%d rows in what was there, want 3", taken)
	}
	files := s.files()
	if files["/kanmon.toml"] != "[senders]\nfile = 'state.db'\n" || files["/kanmon.toml"+suffix] != "# broken [\n" || files["/rules.toml"] != "# ours\n" {
		t.Errorf("configuration: %q", files)
	}
	for _, p := range all {
		info, err := os.Stat(p.At)
		if err != nil || info.Mode().Perm() != p.Mode || p.Kept != p.At+suffix {
			t.Errorf("%s: %v, %v, kept as %q", p.At, info.Mode(), err, p.Kept)
		}
	}
	if keys := all[2].Keys; strings.Join(keys, " ") != "standing.file senders.file" {
		t.Errorf("the database is of %q", keys)
	}
	for name := range files {
		if strings.Contains(name, ".restore-") {
			t.Errorf("%s is left", name)
		}
	}
}

// While a kanmon has the state there is no restore, and nothing is touched.
func TestNothingIsRestoredOverARunningKanmon(t *testing.T) {
	s := newSite(t)
	path := s.save("a.tar.gz")
	lock, err := store.Lock(s.state)
	if err != nil {
		t.Fatal(err)
	}
	before := s.files()
	if _, err := s.restore(path, Target{}); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("Restore = %v", err)
	}
	if !maps.Equal(s.files(), before) {
		t.Error("something has changed")
	}
	if _, err := s.restore(path, Target{Kinds: []string{Configuration}}); err != nil {
		t.Errorf("the configuration alone: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.restore(path, Target{Kinds: []string{Database}}); err != nil {
		t.Errorf("once it has stopped: %v", err)
	}
}

// What a newer kanmon has written is refused, with the words that say which one, and what this one knows.
func TestANewerBackupIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		make string
		want string
	}{
		"schema": {"INSERT INTO ledger_schema VALUES (3)", "schema 3 of ledger, this kanmon knows up to 2; it was made by kanmon v1"},
		"part":   {"CREATE TABLE metrics_schema (version INTEGER NOT NULL); INSERT INTO metrics_schema VALUES (1)", `a part "metrics" that this kanmon does not know`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.exec(s.open(s.state), c.make)
			path := s.save("a.tar.gz")
			before := s.files()
			if _, err := s.restore(path, Target{}); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Restore = %v", err)
			}
			if !maps.Equal(s.files(), before) {
				t.Error("something has changed")
			}
		})
	}
}

// Whatever octet of a backup is wrong, and wherever it ends: it is refused before anything is touched.
func TestADamagedBackupIsRefused(t *testing.T) {
	s := newSite(t)
	path := s.save("a.tar.gz")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	step := max(1, len(whole)/150)
	for at := 0; at < len(whole); at += step {
		broken := bytes.Clone(whole)
		broken[at] ^= 0x10
		for kind, text := range map[string][]byte{"wrong": broken, "cut": whole[:at]} {
			s.write("b.tar.gz", string(text), 0o600)
			_, err := Open(filepath.Join(s.dir, "b.tar.gz"))
			const header = 10                                                  // of gzip, with its date and system
			same := err == nil && bytes.Equal(unpacked(text), unpacked(whole)) // there are several ways to pack what repeats itself
			if !errors.Is(err, ErrDamaged) && !same && (at >= header || kind == "cut") {
				t.Errorf("%s at octet %d of %d: %v", kind, at, len(whole), err)
			}
		}
	}
	s.write("b.tar.gz", "no archive", 0o600)
	if _, err := Open(filepath.Join(s.dir, "b.tar.gz")); !errors.Is(err, ErrDamaged) {
		t.Errorf("a text: %v", err)
	}
}

func unpacked(text []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	all, _ := io.ReadAll(r)
	return all
}

// A restore that fails half way leaves all as it was.
func TestARestoreIsAllOrNothing(t *testing.T) {
	s := newSite(t)
	path := s.save("a.tar.gz")
	s.write("kanmon.toml", "# newer\n", 0o640)
	clock := func() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }
	if err := os.Mkdir(s.state+".before-restore-20260701T120000Z", 0o700); err != nil { // where the database, the last one, would be put aside
		t.Fatal(err)
	}
	before := s.files()
	if _, err := s.restore(path, Target{Clock: clock}); err == nil {
		t.Fatal("restored")
	}
	if !maps.Equal(s.files(), before) {
		t.Errorf("something has changed: %q", s.files())
	}
}
