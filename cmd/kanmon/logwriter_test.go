package main

import (
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/config"
)

// Nobody who logs waits for a log that nobody reads, not even the end of the program; what is not written is told of, in its place, as soon
// as somebody reads again.
//
// law: I14
func TestAStuckLogHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := newStuck()
		log, end := newLogger(stuck, config.FormatText, slog.LevelInfo)
		const all = 50_000
		begun := time.Now()
		for i := range all {
			log.Info("line", "n", i)
		}
		if end(); time.Since(begun) > logPatience {
			t.Errorf("held up for %s", time.Since(begun))
		}
		close(stuck.free)
		synctest.Wait()
		written, gaps, lost := 0, 0, 0
		for line := range strings.Lines(stuck.String()) {
			switch _, n, isGap := strings.Cut(line, "lines="); {
			case isGap:
				n, _ := strconv.Atoi(strings.TrimSpace(n))
				gaps, lost = gaps+1, lost+n
			case strings.Contains(line, "n="+strconv.Itoa(written)+"\n"):
				written++
			default:
				t.Fatalf("line %d is %q", written, line)
			}
		}
		if written+lost != all || gaps != 1 || written < 1000 {
			t.Errorf("%d lines written, %d told of as lost in %d gaps, of %d", written, lost, gaps, all)
		}
	})
}

// All that was logged before the end is written, in order, and by whoever it was in whole lines.
func TestLogIsWrittenAtTheEnd(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(r)
		text <- string(all)
	}()
	log, end := newLogger(w, config.FormatJSON, slog.LevelInfo)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				log.Info("line", "text", strings.Repeat("x", 100))
			}
		})
	}
	all.Wait()
	end()
	_ = w.Close()
	lines := strings.Split(strings.TrimSuffix(<-text, "\n"), "\n")
	for _, line := range lines {
		if !strings.HasPrefix(line, `{"time":`) || !strings.HasSuffix(line, `x"}`) {
			t.Fatalf("torn: %q", line)
		}
	}
	if len(lines) != 4000 {
		t.Errorf("%d of 4000 lines", len(lines))
	}
}

// A stuckWriter waits until it is freed.
type stuckWriter struct {
	strings.Builder
	free chan struct{}
}

func newStuck() *stuckWriter { return &stuckWriter{free: make(chan struct{})} }

func (w *stuckWriter) Write(p []byte) (int, error) {
	<-w.free
	return w.Builder.Write(p)
}
