package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// A configuration that changes the addresses and one that changes them back write to the same file as the first, whose sessions live on. All
// lines are whole, and a journal that ends takes nothing from the others.
func TestGenerationsWriteToOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	var files Files
	var generations []*Journal
	for _, mode := range []AddressMode{AddressesClear, AddressesDomain, AddressesClear} {
		j, err := New(Options{JSON: path, Addresses: mode, Files: &files, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		generations = append(generations, j)
	}
	const each = 3000
	var all sync.WaitGroup
	for i, j := range generations {
		all.Go(func() {
			for n := range each {
				r := transactionRecord("a@b.example", strings.Repeat("c", n%700)+"@d.example")
				r.Session.ID = event.ID(i)
				j.Record(r)
				if n%50 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			closeNow(t, j)
		})
	}
	all.Wait()
	if n := len(linesOf(t, path, "transaction")); n != len(generations)*each {
		t.Errorf("%d records, want %d", n, len(generations)*each)
	}
	if len(files.sinks) != 0 {
		t.Errorf("%d sinks are left", len(files.sinks))
	}
}

// A configuration that comes back to a file waits, a bounded time, for whoever has left it and has not ended: a file has one writer.
func TestBackToAFileThatIsStillWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var files Files
		old, refused, fresh := newPipeFile(), newPipeFile(), newPipeFile()
		old.gate = make(chan struct{})
		path := to(jsonSheet, old, refused, fresh)
		first := mustStart(t, Options{Files: &files}, path)
		first.Record(transactionRecord("first@b.example"))
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			closeNow(t, first)
		}()
		time.Sleep(time.Second)
		began := time.Now()
		if _, err := open(Options{Files: &files, Log: quiet}, []unopened{path}); !errors.Is(err, errStuck) || time.Since(began) > openPatience {
			t.Errorf("while the old one writes: %v after %v", err, time.Since(began))
		}
		time.AfterFunc(time.Second, func() { close(old.gate) })
		second := mustStart(t, Options{Files: &files}, path)
		if n := strings.Count(old.String(), "first@"); n != 1 {
			t.Errorf("%d records are in the file when the next one begins", n)
		}
		second.Record(transactionRecord("second@b.example"))
		<-closed
		closeNow(t, second)
		if n := strings.Count(fresh.String(), "second@"); n != 1 || len(files.sinks) != 0 {
			t.Errorf("%d records of the next one; %d sinks are left", n, len(files.sinks))
		}
	})
}

// A kanmon that comes with a new configuration writes to what stands at the path now, and so do those before it.
func TestGenerationsFollowTheRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	var files Files
	first, err := New(Options{JSON: path, Files: &files, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	second, err := New(Options{JSON: path, Addresses: AddressesDomain, Files: &files, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	first.Record(transactionRecord("first@b.example"))
	closeNow(t, first)
	second.Record(transactionRecord("second@b.example"))
	closeNow(t, second)
	if n := len(linesOf(t, path, "transaction")); n != 2 {
		t.Errorf("%d records at the path, want 2", n)
	}
	if old := readFile(t, path+".1"); old != "" {
		t.Errorf("in the old file: %q", old)
	}
}

// What a killed kanmon has left of a line does not take the first record of the next one with it.
func TestHalfALineIsEnded(t *testing.T) {
	for name, before := range map[string]string{"half": `{"type":"transa`, "whole": "{}\n", "none": ""} {
		path := filepath.Join(t.TempDir(), "records.jsonl")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := New(Options{JSON: path, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		j.Record(transactionRecord("a@b.example"))
		closeNow(t, j)
		got, whole := strings.CutPrefix(readFile(t, path), before)
		if want := map[string]string{"half": "\n{\"type\":\"transaction\"", "whole": `{"type":"transaction"`, "none": `{"type":"transaction"`}[name]; !whole || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.60q", name, got)
		}
	}
}

// A Write has whole records, so that nobody else's text can come between the parts of one.
func TestWritesEndWithARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPipeFile()
		f.gate = make(chan struct{})
		j := mustStart(t, Options{}, to(jsonSheet, f))
		for i := range 90 {
			var rcpts []string
			for range []int{1, 10, 1500}[i%3] { // the longest is more than is written at once
				rcpts = append(rcpts, strings.Repeat("c", 40)+"@d.example")
			}
			j.Record(transactionRecord("a@b.example", rcpts...))
		}
		for written := 0; ; {
			select {
			case f.gate <- struct{}{}:
			case <-time.After(time.Second):
				if n := strings.Count(f.String(), "\n"); n != 90 {
					t.Errorf("%d records", n)
				}
				close(f.gate)
				closeNow(t, j)
				return
			}
			synctest.Wait()
			got := f.String()
			if !strings.HasSuffix(got, "}\n") || strings.Count(got[written:], "\n") > 1 && len(got)-written > writeChunk {
				t.Fatalf("a write of %d octets ends in %q", len(got)-written, got[len(got)-20:])
			}
			written = len(got)
		}
	})
}

// A cutFile is one from which what was written in part can be taken out again.
type cutFile struct{ *pipeFile }

func (f cutFile) takeBack(tail []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data.Truncate(f.data.Len() - len(tail))
	return nil
}

// A disk that is full in the middle of a record ends the file with the record before it, so that a rotation meanwhile leaves a whole file; the
// record is written again as a whole.
func TestFullDiskLeavesNoHalfLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := cutFile{newPipeFile()}
		j := mustStart(t, Options{}, unopened{sheet: jsonSheet, open: func() (file, error) { return f, nil }})
		j.Record(transactionRecord("first@b.example"))
		time.Sleep(time.Second)
		whole := f.String()
		f.fail(syscall.ENOSPC)
		f.torn = len(whole) + 17
		j.Record(transactionRecord("third@b.example"))
		j.Record(transactionRecord("forth@b.example"))
		time.Sleep(10 * time.Second)
		if got := f.String(); strings.Count(got, "\n") != 2 || !strings.HasSuffix(got, "}\n") {
			t.Errorf("while the disk is full: …%.40q", got[len(whole):])
		}
		f.fail(nil)
		time.Sleep(2 * time.Second)
		closeNow(t, j)
		if got := f.String(); strings.Count(got, "\n") != 3 || strings.Count(got, `"outcome"`) != 3 {
			t.Errorf("behind it: %q", got)
		}
	})
}

// Only what kanmon has written itself is taken out of a file.
func TestTakeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	opened, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if _, err := opened.Write([]byte("one\ntwo")); err != nil {
		t.Fatal(err)
	}
	if err := opened.takeBack([]byte("xwo")); err == nil {
		t.Error("another's octets are taken out")
	}
	if err := opened.takeBack([]byte("two")); err != nil {
		t.Error(err)
	}
	if got := readFile(t, path); got != "one\n" {
		t.Errorf("%q is left", got)
	}
}

// A deadFile is on a disk that does not answer any more, until the test ends.
type deadFile struct{ until chan struct{} }

func (f deadFile) Write(p []byte) (int, error) { <-f.until; return len(p), nil }
func (f deadFile) Close() error                { <-f.until; return nil }
func (f deadFile) same(file) bool              { <-f.until; return false }
func (f deadFile) endsOpen() bool              { <-f.until; return false }
func (f deadFile) takeBack([]byte) error       { <-f.until; return nil }

// A disk that is dead for good, and kanmon's own log with it, holds up no session, no other sink, no rotation, no reload and no stop.
func TestDeadDiskHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := make(chan struct{})
		var files Files
		live := newPipeFile()
		var started atomic.Bool
		dead := unopened{sheet: sessionLogSheet, path: "/dead", open: func() (file, error) {
			if started.Swap(true) {
				<-until
			}
			return deadFile{until}, nil
		}}
		log := slog.New(waitingHandler{quiet.Handler(), until})
		j := mustStart(t, Options{Files: &files, QueueBytes: 1 << 20, Log: log}, dead, to(jsonSheet, live, newPipeFile()))
		const records = 9000
		for i := range records {
			r := transactionRecord("a@b.example", "c@d.example")
			addLine(r, 0, event.MarkNote, strings.Repeat("x", 1000))
			began := time.Now()
			r.Tenant = fmt.Sprint("tenant", i%3)
			j.Record(r)
			if took := time.Since(began); took > 0 {
				t.Fatalf("a session waited %v", took)
			}
			if i%100 == 0 {
				time.Sleep(2 * gatherTime) // the queue loses nothing
			}
		}
		time.Sleep(2 * gatherTime)
		if n := strings.Count(live.String(), "\n"); n != records {
			t.Errorf("the other sink has %d records, want %d", n, records)
		}
		bounded := func(what string, most time.Duration, do func() error) {
			began := time.Now()
			if err := do(); err == nil {
				t.Errorf("%s: no error", what)
			}
			if took := time.Since(began); took > most {
				t.Errorf("%s took %v", what, took)
			}
		}
		bounded("rotation", openPatience, j.Reopen)
		bounded("reload", openPatience, func() error {
			_, err := open(Options{Files: &files, Log: log}, []unopened{dead})
			if !errors.Is(err, errStuck) {
				t.Error(err)
			}
			return err
		})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		bounded("stop", 13*time.Second, func() error { return j.Close(ctx) })
		if j.Dropped() != records {
			t.Errorf("dropped %d of %d", j.Dropped(), records)
		}
		close(until)
		time.Sleep(time.Second)
	})
}
