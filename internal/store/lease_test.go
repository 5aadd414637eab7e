package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// keeps writes a word, or has the heir told.
func keeps(ctx context.Context, f *File, word string) error {
	return f.Keep(ctx, "words", word, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO words_word (word) VALUES (?)", word)
		return err
	})
}

// While a file changes hands nobody writes to it. Who waited is told to the heir, or writes when the file is this process's again.
func TestNobodyWritesWhileAFileChangesHands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "words.db")
	lock, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	f := opened(t, path, words)
	ctx := t.Context()
	letGo := func() {
		t.Helper()
		if err := errors.Join(f.Pause(ctx), Unlock(lock)); err != nil {
			t.Fatal(err)
		}
	}
	letGo()
	other, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	hasty, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := keeps(hasty, f, "hasty"); !errors.Is(err, ErrPaused) {
		t.Errorf("written while another one has the file: %v", err)
	}
	if err := f.Within(ctx, func(*sql.Tx) error { return nil }); !errors.Is(err, ErrPaused) {
		t.Errorf("a transaction of its own: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- keeps(ctx, f, "patient") }()
	if err := Relock(lock); !errors.Is(err, ErrInUse) {
		t.Errorf("locked by two: %v", err)
	}
	if n := count(t, f); n != 1 {
		t.Errorf("%d words: who reads goes on", n)
	}
	_ = other.Close() // it is lost
	if err := Relock(lock); err != nil {
		t.Fatal(err)
	}
	f.Resume()
	if err := <-waited; err != nil || count(t, f) != 2 {
		t.Errorf("%v, %d words", err, count(t, f))
	}

	letGo()
	go func() { waited <- keeps(ctx, f, "late") }()
	var told []string
	f.Bequeath(func(part string, rows any) error {
		told = append(told, part+" "+rows.(string))
		return nil
	})
	f.Resume() // too late
	if err := errors.Join(<-waited, keeps(ctx, f, "later")); err != nil || len(told) != 2 || told[1] != "words later" || count(t, f) != 2 {
		t.Errorf("%v, told %q, %d words", err, told, count(t, f))
	}
}

// A pause waits for who writes, and nobody's transaction is in the file behind it.
func TestAPauseWaitsForWhoWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "words.db")
	f := opened(t, path, words)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for {
				err := f.Within(t.Context(), func(tx *sql.Tx) error {
					_, err := tx.Exec("INSERT OR REPLACE INTO words_word (word) VALUES (hex(randomblob(8)))")
					return err
				})
				if err != nil {
					if !errors.Is(err, ErrPaused) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	if err := f.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := count(t, f)
	writers.Wait()
	if got := count(t, f); got != n {
		t.Errorf("%d words behind the pause, %d later", n, got)
	}
}
