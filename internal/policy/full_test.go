package policy

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"kanmon/internal/contain"
)

// BenchmarkFull is a kanmon with 100,000 accounts that have a history: what it costs to save them, and what a person waits for meanwhile.
func BenchmarkFull(b *testing.B) {
	store, err := OpenStore(filepath.Join(b.TempDir(), "senders.db"))
	if err != nil {
		b.Fatal(err)
	}
	p, err := New(Options{Settings: settingsWith(), Store: store})
	if err != nil {
		b.Fatal(err)
	}
	s := contain.Snapshot{Version: contain.SnapshotVersion, At: time.Now()}
	for i := range 100_000 {
		s.Subjects = append(s.Subjects, contain.Saved{
			Subject: contain.Subject{Tenant: fmt.Sprint("t", i%100), Account: fmt.Sprintf("user%d@some.example", i)}, History: make([]byte, 840), Known: 5,
		})
	}
	if err := p.detector.Restore(s); err != nil {
		b.Fatal(err)
	}
	s.Subjects = nil
	runtime.GC()
	for b.Loop() {
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		peak := before.HeapAlloc
		saved := make(chan time.Duration)
		begun := time.Now()
		go func() {
			if err := p.save(context.Background()); err != nil {
				b.Error(err)
			}
			saved <- time.Since(begun)
		}()
		var longest, ask time.Duration
		for took := time.Duration(0); took == 0; {
			select {
			case took = <-saved:
				b.ReportMetric(took.Seconds(), "s-save")
			case <-time.After(20 * time.Millisecond):
				at := time.Now()
				p.detector.Ask("acme", "bob@acme.example")
				ask = max(ask, time.Since(at))
				at = time.Now()
				if err := p.Block(bob, time.Time{}, "alice", "an order"); err != nil {
					b.Error(err)
				}
				longest = max(longest, time.Since(at))
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapAlloc)
			}
		}
		b.ReportMetric(float64(longest.Milliseconds()), "ms-order")
		b.ReportMetric(float64(ask.Milliseconds()), "ms-Ask")
		b.ReportMetric(float64(peak-before.HeapAlloc)/(1<<20), "MiB-more")
	}
	begun := time.Now()
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(begun).Seconds(), "s-Close")
}
