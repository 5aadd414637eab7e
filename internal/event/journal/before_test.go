package journal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
)

// runTells writes what a run tells into a file; a stopped one tells that last.
func runTells(t *testing.T, path string, run time.Time, news ...event.News) {
	t.Helper()
	j, err := New(Options{JSON: path, Gateway: "gw1", Run: run, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	var s event.Stream
	s.Replace(j)
	for _, n := range news {
		s.Tell(n)
	}
	closeNow(t, j)
}

// audit-D22: who was killed has lost lines that nobody counts; the next run knows of it by how the lines end, and whose and which was the last.
func TestARunThatWasKilledIsKnownByItsLastLine(t *testing.T) {
	began, stopped, beat := event.Gateway{Did: event.Started}, event.Gateway{Did: event.Stopped}, event.Heartbeat{Sessions: 1}
	left := event.Gateway{Did: event.Left}
	first, second := start, start.Add(time.Hour)
	for _, c := range []struct {
		name   string
		write  func(path string)
		unsaid uint64 // the last line of the run that was killed; 0: none was
		of     time.Time
	}{
		{"stopped", func(p string) { runTells(t, p, first, began, beat, stopped) }, 0, first},
		{"stopped, and what had been counted behind that", func(p string) { runTells(t, p, first, began, stopped, beat) }, 0, first},
		{"killed", func(p string) { runTells(t, p, first, began, beat, beat) }, 3, first},
		{"killed behind one that was stopped", func(p string) {
			runTells(t, p, first, began, stopped)
			runTells(t, p, second, began)
		}, 1, second},
		{"killed, and the next could not start", func(p string) {
			runTells(t, p, first, began, beat)
			runTells(t, p, second, beat, stopped)
		}, 2, first},
		{"stopped, and the next could not start", func(p string) {
			runTells(t, p, first, began, stopped)
			runTells(t, p, second, stopped)
		}, 0, first},
		{"stopped elsewhere: a reload had the records go there", func(p string) { runTells(t, p, first, began, left, beat) }, 0, first},
		{"killed, and the records had come back", func(p string) {
			runTells(t, p, first, began, left)
			runTells(t, p, first, event.Gateway{Did: event.Reloaded}, beat)
		}, 2, first},
		{"stopped elsewhere, behind one that was killed", func(p string) {
			runTells(t, p, first, began, beat)
			runTells(t, p, second, began, left)
		}, 0, second},
		{"taken over from, and both stopped, each beside lines of the other", func(p string) {
			runTells(t, p, first, began, beat)
			runTells(t, p, second, began)
			runTells(t, p, first, beat)
			runTells(t, p, second, beat, beat)
			runTells(t, p, first, stopped)
			runTells(t, p, second, beat, stopped)
		}, 0, second},
		{"taken over from, and the second killed", func(p string) {
			runTells(t, p, first, began, beat)
			runTells(t, p, second, began)
			runTells(t, p, first, beat, stopped)
			runTells(t, p, second, beat)
		}, 1, second},
		{"killed in the middle of a line", func(p string) {
			runTells(t, p, first, began, beat)
			appendTo(t, p, `{"type":"heartbeat","at":"20`)
		}, 2, first},
		{"rotated away", func(p string) {
			runTells(t, p+".2", first, began, stopped)
			runTells(t, p+".1", second, began, beat)
			appendTo(t, p+".1.gz", "no text")
			appendTo(t, p, "")
		}, 2, second},
		{"of another program", func(p string) { appendTo(t, p, "hello\n{\"type\":\"gateway\",\"action\":\"start\"}\n") }, 0, first},
		{"a FIFO", func(p string) {
			if err := unix.Mkfifo(p, 0o600); err != nil {
				t.Fatal(err)
			}
		}, 0, first},
		{"nothing", func(string) {}, 0, first},
	} {
		path := filepath.Join(t.TempDir(), "records.jsonl")
		c.write(path)
		got := Unclean(path)
		switch {
		case c.unsaid == 0 && got != nil:
			t.Errorf("%s: %+v", c.name, *got)
		case c.unsaid > 0 && (got == nil || got.Line != c.unsaid || got.Name != c.of.UTC().Format(timeFormat) || got.At.IsZero()):
			t.Errorf("%s: %+v, want line %d of the run of %s", c.name, got, c.unsaid, c.of)
		}
	}
}

// What had been counted until a stop is written behind it: that may be much.
func TestAStopIsFoundBehindMuch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	runTells(t, path, start, event.Gateway{Did: event.Started}, event.Gateway{Did: event.Stopped})
	appendTo(t, path, strings.Repeat(`{"type":"decision","gateway":"gw1","run":"`+start.UTC().Format(timeFormat)+`","line":9}`+"\n", 20_000))
	if got := Unclean(path); got != nil {
		t.Errorf("%+v", *got)
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
