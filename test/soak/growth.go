package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kanmon/test/netlab"
)

// A growth is what kanmon holds at one time.
type growth struct {
	at         string
	since      time.Duration
	resident   int // KiB
	heap       uint64
	goroutines int
	sessions   int
	files      int
	databases  int64 // octets of the files of state
	dropped    uint64
}

// rows of the growth table, about.
const rows = 20

// watchGrowth notes what kanmon holds until the context ends.
func (r *rig) watchGrowth(ctx context.Context) error {
	if err := r.sample(ctx, "at first"); err != nil {
		return err
	}
	tick := time.NewTicker(max(r.conf.length/rows, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if time.Since(r.began) > r.conf.length {
				continue
			}
			if err := r.sample(ctx, ""); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

func (r *rig) sample(ctx context.Context, at string) error {
	status, err := r.admin.Status(ctx)
	if err != nil {
		return fmt.Errorf("ask kanmon how it is: %w", err)
	}
	g := growth{
		at: at, since: time.Since(r.began), heap: status.HeapLive, goroutines: status.Goroutines, sessions: status.Sessions, dropped: status.RecordsDropped,
	}
	if g.resident, err = netlab.ResidentOf(r.kanmon.PID()); err != nil {
		return err
	}
	if g.files, err = netlab.OpenFiles(r.kanmon.PID()); err != nil {
		return err
	}
	databases, _ := filepath.Glob(filepath.Join(r.kanmon.Folder(), "*.db*"))
	for _, file := range databases {
		if info, err := os.Stat(file); err == nil {
			g.databases += info.Size()
		}
	}
	r.growing.Lock()
	defer r.growing.Unlock()
	r.growth = append(r.growth, g)
	return nil
}

func mib[N uint64 | int64 | int](octets N) string {
	return fmt.Sprintf("%.1f", float64(octets)/(1<<20))
}

func (r *rig) growthTable(w *strings.Builder) {
	fmt.Fprint(w, "| time | sessions | resident MiB | live heap MiB | goroutines | descriptors | databases MiB | records dropped |\n|---|---|---|---|---|---|---|---|\n")
	for _, g := range r.growth {
		at := cmp.Or(g.at, g.since.Round(time.Second).String())
		fmt.Fprintf(w, "| %s | %d | %s | %s | %d | %d | %s | %d |\n",
			at, g.sessions, mib(g.resident<<10), mib(g.heap), g.goroutines, g.files, mib(g.databases), g.dropped)
	}
}

// Bounds of what kanmon may hold.
const (
	maxResident  = 512 << 10 // KiB, at any time
	maxMoreFiles = 6         // at rest, than at first: connections of the databases
	maxMoreGo    = 12        // goroutines
	maxDatabases = 64 << 20
	maxMoreHeap  = 8 << 20 // the median of the last quarter against that of the second
)

// grown says what has grown too much.
func (r *rig) grown() (wrong []string) {
	if len(r.growth) < 2 {
		return []string{"kanmon did not say how it is"}
	}
	first, last := r.growth[0], r.growth[len(r.growth)-1]
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, g := range r.growth {
		if g.resident > maxResident {
			say("%s: %s MiB resident", g.since.Round(time.Second), mib(g.resident<<10))
			break
		}
	}
	if last.files > first.files+maxMoreFiles {
		say("descriptors at rest: %d, at first %d", last.files, first.files)
	}
	if last.goroutines > first.goroutines+maxMoreGo {
		say("goroutines at rest: %d, at first %d", last.goroutines, first.goroutines)
	}
	if last.databases > maxDatabases {
		say("databases: %s MiB", mib(last.databases))
	}
	if last.sessions > 0 {
		say("%d sessions at rest", last.sessions)
	}
	if n := len(r.growth); n >= rows {
		early, late := medianHeap(r.growth[n/4:n/2]), medianHeap(r.growth[3*n/4:n-1])
		if late > early+early/4+maxMoreHeap {
			say("the live heap has grown from %s to %s MiB", mib(early), mib(late))
		}
	}
	return wrong
}

func medianHeap(of []growth) uint64 {
	heaps := make([]uint64, len(of))
	for i, g := range of {
		heaps[i] = g.heap
	}
	slices.Sort(heaps)
	return heaps[len(heaps)/2]
}
