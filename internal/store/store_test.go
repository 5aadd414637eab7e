package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// words is a part with a table of words.
var words = Schema{Part: "words", Steps: []string{
	"CREATE TABLE words_word (word TEXT PRIMARY KEY)",
	"ALTER TABLE words_word ADD COLUMN said INTEGER NOT NULL DEFAULT 0; INSERT INTO words_word (word) VALUES ('step two')",
}}

func opened(t *testing.T, path string, s Schema) *File {
	t.Helper()
	f, err := Open(path, time.Second, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func say(t *testing.T, f *File, all ...string) {
	t.Helper()
	if err := f.Within(t.Context(), func(tx *sql.Tx) error {
		for _, word := range all {
			if _, err := tx.Exec("INSERT INTO words_word (word) VALUES (?)", word); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, f *File) (n int) {
	t.Helper()
	if err := f.QueryRow("SELECT count(*) FROM words_word").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A file is made for its group alone, has the version that its steps lead to, and goes on from the one that it has, keeping what is in it; another part
// has its own in the same file.
func TestAFileIsBroughtUpToDate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name?#%20.db")
	before := opened(t, path, Schema{Part: "words", Steps: words.Steps[:1]})
	say(t, before, "old")
	before.Close()
	f := opened(t, path, words)
	if n := count(t, f); n != 2 {
		t.Errorf("%d words, want the old one, and that of the step", n)
	}
	opened(t, path, Schema{Part: "others", Steps: []string{"CREATE TABLE others_one (x)", "CREATE TABLE others_two (x)", "CREATE TABLE others_three (x)"}})
	want := map[string]int{"words": 2, "others": 3}
	if have, err := Versions(t.Context(), path); err != nil || !maps.Equal(have, want) {
		t.Errorf("%v, %v, want %v", have, err, want)
	}
	if have, err := Check(t.Context(), path); err != nil || !maps.Equal(have, want) {
		t.Errorf("checked: %v, %v, want %v", have, err, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again := opened(t, path, words); count(t, again) != 2 {
		t.Error("a step was done twice")
	}
}

// Steps are all done or none: where one fails the file is as it was, and the error says which.
func TestAStepThatFailsLeavesTheFileAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	f := opened(t, path, Schema{Part: "words", Steps: words.Steps[:1]})
	say(t, f, "old")
	f.Close()
	broken := Schema{Part: "words", Steps: append(words.Steps[:2:2], "DELETE FROM words_word; INSERT INTO nowhere VALUES (1)")}
	if _, err := Open(path, time.Second, broken); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "make schema 3") {
		t.Errorf("%v", err)
	}
	if have, err := Versions(t.Context(), path); err != nil || have["words"] != 1 {
		t.Errorf("%v, %v", have, err)
	}
	if n := count(t, opened(t, path, words)); n != 2 {
		t.Errorf("%d words", n)
	}
}

// Files that cannot be used are said at once, with what people can do, and are not touched.
func TestUnusableFilesAreSaidAndLeftAlone(t *testing.T) {
	dir := t.TempDir()
	made := func(name string, s Schema, change func([]byte) []byte) string {
		path := filepath.Join(dir, name)
		f := opened(t, path, s)
		say(t, f, strings.Repeat("x", 20_000))
		f.Close()
		content, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	changed := func(name, how string) string {
		path := filepath.Join(dir, name)
		f := opened(t, path, words)
		_, err := f.Exec(how)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	same := func(b []byte) []byte { return b }
	newer := Schema{Part: "words", Steps: append(words.Steps[:2:2], "CREATE TABLE words_more (x)")}
	for _, c := range []struct {
		path string
		is   error
		says string
	}{
		{made("newer.db", newer, same), ErrNewer, "it has schema 3, this one reads up to 2; run that version again, restore a backup"},
		{made("torn.db", words, func(b []byte) []byte { return b[:5000] }), ErrDamaged, "kanmon restore"},
		{made("holed.db", words, func(b []byte) []byte { clear(b[4096:12288]); return b }), ErrDamaged, "kanmon restore"},
		{made("garbage.db", words, func([]byte) []byte { return bytes.Repeat([]byte("no database "), 1000) }), ErrDamaged, "move the file away"},
		{made("emptied.db", words, func([]byte) []byte { return nil }), ErrDamaged, "it has 0 octets, and none that kanmon makes has; restore a backup"},
		{changed("bare.db", "DROP TABLE words_schema"), ErrDamaged, "make schema 1: SQL logic error: table words_word already exists (1); restore a backup"},
		{changed("versions.db", "UPDATE words_schema SET version = 'x'"), ErrDamaged, "restore a backup"},
	} {
		before, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(c.path, time.Second, words); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.path) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.path, err)
		}
		if after, err := os.ReadFile(c.path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: it has changed, %v", c.path, err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "missing", "state.db")} {
		if _, err := Open(path, time.Second, words); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Whoever has the file locked for longer than the patience is said to have it; what a transaction did before an error is undone.
func TestATransactionIsAllOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	f, other := opened(t, path, words), opened(t, path, words)
	wrong := errors.New("wrong")
	if err := f.Within(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.Exec("DELETE FROM words_word"); err != nil {
			return err
		}
		short, err := Open(path, 10*time.Millisecond, words)
		if !errors.Is(err, ErrBusy) {
			t.Errorf("opened while it is locked: %v, %v", short, err)
		}
		return wrong
	}); !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
	if n := count(t, other); n != 1 {
		t.Errorf("%d words, want that of the step", n)
	}
}

// A file is copied as it is at one moment while it is written to, with what is in its WAL, and looked at without leaving anything beside it.
func TestLookingLeavesNoTrace(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "state.db"), filepath.Join(dir, "copy.db")
	f := opened(t, path, words)
	say(t, f, "in the WAL")
	if err := Copy(t.Context(), path, copied); err != nil {
		t.Fatal(err)
	}
	say(t, f, "later")
	var n int
	if err := Peek(t.Context(), copied, "SELECT count(*) FROM words_word", &n); err != nil || n != 2 {
		t.Errorf("%d words in the copy, %v", n, err)
	}
	if all, err := filepath.Glob(copied + "*"); err != nil || len(all) != 1 {
		t.Errorf("beside the copy: %v, %v", all, err)
	}
	missing := filepath.Join(dir, "missing.db")
	if err := Copy(context.Background(), missing, filepath.Join(dir, "none.db")); err == nil {
		t.Error("copied what is not there")
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a look has made a file")
	}
}

// Nobody who looks takes a file of 0 octets for one that has nothing in it: a backup of it would be one of nothing.
func TestAnEmptiedFileIsNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, look := range map[string]func() error{
		"Copy":     func() error { return Copy(t.Context(), path, path+".copy") },
		"Check":    func() error { _, err := Check(t.Context(), path); return err },
		"Versions": func() error { _, err := Versions(t.Context(), path); return err },
		"Peek":     func() error { return Peek(t.Context(), path, "SELECT 1", new(int)) },
	} {
		if err := look(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "it has 0 octets") {
			t.Errorf("%s = %v", name, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("it has changed: %v, %v", info, err)
	}
}

// Whatever ends the process while it makes a file: under its name there is none, or one that has a database in it. So one of 0 octets is none that
// kanmon made.
func TestAFileIsMadeInOnePiece(t *testing.T) {
	for name, makes := range map[string]func(path string) (io.Closer, error){
		"Lock": func(path string) (io.Closer, error) { return Lock(path) },
		"Open": func(path string) (io.Closer, error) { return Open(path, time.Second, words) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "state.db")
		watch, err := unix.InotifyInit1(unix.IN_NONBLOCK)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(watch)
		if _, err := unix.InotifyAddWatch(watch, dir, unix.IN_CREATE|unix.IN_MODIFY); err != nil {
			t.Fatal(err)
		}
		f, err := makes(path)
		if err != nil {
			t.Fatal(err)
		}
		events := make([]byte, 1<<16)
		n, err := unix.Read(watch, events)
		if err != nil {
			t.Fatal(err)
		}
		// The first words of the folder about this name: it is there. What has been written by then, has been under another one.
		about := bytes.Index(events[:n], append([]byte("state.db"), 0))
		if written := bytes.Index(events[:n], []byte("state.db.new")); written < 0 || about < written {
			t.Errorf("%s: its name is there at %d, that which it is written under at %d", name, about, written)
		}
		if name == "Lock" && bytes.Count(events[:n], append([]byte("state.db"), 0)) != 1 {
			t.Errorf("%s: it has been written to under its name", name)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if all, err := filepath.Glob(path + "*"); err != nil || len(all) != 1 {
			t.Errorf("%s: beside it: %q, %v", name, all, err)
		}
		opened(t, path, words)
	}
}
