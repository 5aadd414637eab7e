package store

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Who only reads sees what is written meanwhile, writes nothing, and is told of a file that is not as it is to be.
func TestWhoReadsSeesWhatIsWrittenAndWritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "words.db")
	if _, err := Read(path, 2, words); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	vast := words
	vast.Vast = true
	f := opened(t, path, vast)
	reader, err := Read(path, 2, words)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	say(t, f, "later")
	if n := count(t, reader); n != 2 {
		t.Errorf("%d words, want that of the step, and later", n)
	}
	if _, err := reader.Exec("INSERT INTO words_word (word) VALUES ('mine')"); err == nil {
		t.Error("who reads has written")
	}
	for name, of := range map[string]struct {
		Schema
		want error
	}{
		"newer": {Schema{Part: "words", Steps: words.Steps[:1]}, ErrNewer}, "older": {Schema{Part: "words", Steps: append(words.Steps[:2:2], "")}, ErrOlder},
		"unmade": {Schema{Part: "other"}, ErrUnmade},
	} {
		if _, err := Read(path, 1, of.Schema); !errors.Is(err, of.want) || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want %v", name, err, of.want)
		}
	}
}

// A file that is left with Rest has nothing beside it; where somebody reads it the rest stays, and nobody waits.
func TestAFileAtRestHasNothingBesideIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "words.db")
	beside := func() bool {
		_, err := os.Stat(path + "-wal")
		return err == nil
	}
	f := opened(t, path, words)
	say(t, f, "one")
	if !beside() {
		t.Fatal("no WAL to begin with")
	}
	if err := f.Rest(); err != nil || beside() {
		t.Errorf("%v, or a WAL is left", err)
	}
	f = opened(t, path, words)
	reader, err := Read(path, 1, words)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	say(t, f, "two")
	if n := count(t, reader); n != 3 {
		t.Errorf("%d words", n)
	}
	begun := time.Now()
	if err := f.Rest(); err != nil || time.Since(begun) > time.Second {
		t.Errorf("%v, behind %s", err, time.Since(begun))
	}
	if n := count(t, reader); n != 3 {
		t.Errorf("%d words behind it", n)
	}
}

// Of a damaged file it is said once that it is, and once what people can do.
func TestADamagedFileIsToldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "words.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database\n"), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	vast := words
	vast.Vast = true
	_, err := Open(path, time.Second, vast)
	if !errors.Is(err, ErrDamaged) || strings.Count(err.Error(), ErrDamaged.Error()) != 1 || strings.Count(err.Error(), Remedy) != 1 {
		t.Errorf("%v", err)
	}
}
