package journal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// A pipeFile is a sink under the test's control.
type pipeFile struct {
	mu     sync.Mutex
	data   bytes.Buffer
	err    error         // what Write returns
	gate   chan struct{} // if set, each Write takes one token, or ends when the file is closed
	closed chan struct{}
	torn   int // octets that a failing Write writes all the same
}

func newPipeFile() *pipeFile { return &pipeFile{closed: make(chan struct{})} }

func (f *pipeFile) Write(p []byte) (int, error) {
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-f.closed:
			return 0, os.ErrClosed
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		n, _ := f.data.Write(p[:min(f.torn, len(p))])
		f.torn = 0
		return n, f.err
	}
	return f.data.Write(p)
}

func (f *pipeFile) Close() error {
	close(f.closed)
	return nil
}

func (f *pipeFile) same(file) bool { return false }

func (f *pipeFile) endsOpen() bool { return false }

func (f *pipeFile) takeBack([]byte) error { return errors.ErrUnsupported }

func (f *pipeFile) fail(err error) {
	f.mu.Lock()
	f.err = err
	f.mu.Unlock()
}

func (f *pipeFile) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.data.String()
}

func to(s sheet, files ...*pipeFile) unopened {
	return unopened{sheet: s, open: func() (file, error) {
		f := files[0]
		files = files[1:]
		return f, nil
	}}
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestFullDiskIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPipeFile()
		f.fail(syscall.ENOSPC)
		f.torn = 10
		var warned bytes.Buffer
		j := mustStart(t, Options{Log: slog.New(slog.NewTextHandler(&warned, nil))}, to(jsonSheet, f))
		for range 150 { // 150 s of a full disk
			j.Record(transactionRecord("a@b.example"))
			time.Sleep(time.Second)
		}
		f.fail(nil)
		time.Sleep(2 * time.Second)
		closeNow(t, j)
		for line := range strings.Lines(f.String()) {
			if !strings.HasPrefix(line, `{"type":"transaction",`) || !strings.HasSuffix(line, "}\n") {
				t.Errorf("torn line %q", line)
			}
		}
		if n := strings.Count(f.String(), "\n"); n != 150 || j.Dropped() != 0 {
			t.Errorf("%d lines, dropped %d", n, j.Dropped())
		}
		synctest.Wait()
		if n := strings.Count(warned.String(), "journal sink fails"); n != 3 {
			t.Errorf("logged %d times in 150 s, want 3:\n%s", n, &warned)
		}
	})
}

func TestReopenRepeatsATornRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := newPipeFile(), newPipeFile()
		f.fail(syscall.ENOSPC)
		f.torn = 20
		j := mustStart(t, Options{}, to(jsonSheet, f, g))
		j.Record(transactionRecord("first@b.example"))
		j.Record(transactionRecord("second@b.example"))
		time.Sleep(2 * gatherTime)
		synctest.Wait()
		if err := j.Reopen(); err != nil {
			t.Fatal(err)
		}
		closeNow(t, j)
		got := g.String()
		if n := strings.Count(got, "\n"); n != 2 || !strings.HasPrefix(got, `{"type":`) || !strings.Contains(got, "first@") {
			t.Errorf("new file:\n%s", got)
		}
		if len(f.String()) != 20 || j.Dropped() != 0 {
			t.Errorf("old file %q, dropped %d", f, j.Dropped())
		}
	})
}

func TestReopenAfterRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.log")
	j, err := New(Options{SessionLog: path, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	j.Record(noteRecord("before"))
	waitFor(t, path, "before")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	j.Record(noteRecord("between"))
	waitFor(t, path+".1", "between")
	if err := j.Reopen(); err != nil {
		t.Fatal(err)
	}
	if err := j.Reopen(); err != nil { // nothing to do
		t.Fatal(err)
	}
	j.Record(noteRecord("after"))
	closeNow(t, j)
	waitFor(t, path, "after")
	old, _ := os.ReadFile(path + ".1")
	if bytes.Contains(old, []byte("after")) || bytes.Count(old, newline) != 2 {
		t.Errorf("old file:\n%s", old)
	}
	fresh, _ := os.ReadFile(path)
	if bytes.Count(fresh, newline) != 1 {
		t.Errorf("new file:\n%s", fresh)
	}
}

func TestReopenFailureKeepsTheFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "session.log")
	j, err := New(Options{SessionLog: path, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := j.Reopen(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "session_log") {
		t.Errorf("Reopen: %v", err)
	}
	j.Record(noteRecord("still here"))
	closeNow(t, j)
	waitFor(t, filepath.Join(dir+".old", "session.log"), "still here")
}

func TestFIFOThatNobodyReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := New(Options{JSON: path, QueueBytes: 1 << 16, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	const records = 2000
	var worst time.Duration
	for range records {
		r := transactionRecord("a@b.example", "c@d.example")
		began := time.Now()
		j.Record(r)
		worst = max(worst, time.Since(began))
	}
	if worst > 10*time.Second { // whoever waited for a reader would wait for ever
		t.Errorf("Record took %v", worst)
	}
	// A reader comes: it gets whole lines, then how many are missing.
	reader, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		text, _ := io.ReadAll(reader)
		got <- string(text)
	}()
	closeNow(t, j)
	text := <-got
	_ = reader.Close()
	told := toldLost(text)
	stood := uint64(strings.Count(text, `"type":"transaction"`))
	if told == 0 || told != j.Dropped() || stood+told != records {
		t.Errorf("%d read + %d told lost, Dropped %d, of %d", stood, told, j.Dropped(), records)
	}
}

func TestCloseWithFIFOThatNobodyReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := New(Options{JSON: path, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	const records = 500 // more than a pipe holds
	for range records {
		j.Record(transactionRecord("a@b.example", "c@d.example"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := j.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if took := time.Since(began); took > 20*time.Second { // likewise
		t.Errorf("Close took %v", took)
	}
	if n := j.Dropped(); n == 0 || n >= records {
		t.Errorf("dropped %d of %d", n, records)
	}
}

func TestDevFull(t *testing.T) {
	j, err := New(Options{SessionLog: "/dev/full", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	j.Record(noteRecord("x"))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := j.Close(ctx); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close: %v", err)
	}
	if j.Dropped() != 1 {
		t.Errorf("dropped %d, want 1", j.Dropped())
	}
}

func TestBrokenStdoutDoesNotKill(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), stdoutChild+"=1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	cmd.Stdout = w
	if err := cmd.Run(); err != nil {
		t.Errorf("child: %v", err)
	}
	_ = w.Close()
}

func waitFor(t *testing.T, path, text string) {
	t.Helper()
	var got []byte
	for range 500 {
		if got, _ = os.ReadFile(path); bytes.Contains(got, []byte(text)) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: no %q in %q", filepath.Base(path), text, got)
}
