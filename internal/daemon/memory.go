package daemon

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// garbageBudget is how much garbage a small kanmon may gather before it is collected, in octets: the runtime's own measure
// (GOGC), as much as there is in use, means a collection every few megabytes where little is in use.
const garbageBudget = 32 << 20

// Bounds of the percentage that the budget is turned into.
const (
	minGCPercent = 100
	maxGCPercent = 400
)

// Where it is quiet, what a busy time has left behind, or a quiet one has gathered, is collected and given back to the system. That costs
// two collections, so it is done seldom: soon where a busy time is over, as sessions that are held may follow it for long.
const (
	worthReleasing = 8 << 20  // octets
	quietRate      = 1 << 18  // octets allocated in a second: more is no quiet, but where there is far more to give back
	quietTicks     = 3        // seconds of quiet
	releaseApart   = 120      // seconds between one time and the next
	busyOctets     = 32 << 20 // allocated since the last time: it was a busy one
	busyApart      = 8        // seconds, where a busy time lies between
)

// memoryUse is what the runtime says about memory, in octets.
type memoryUse struct {
	inUse     uint64 // live heap and stacks: what the collector's percentage counts from
	allocated uint64 // since the start
	spare     uint64 // of the heap, not live and not given back
}

// collectorPace decides, once a second, about the garbage collector.
type collectorPace struct {
	percent  int
	last     uint64 // allocated at the last tick
	quiet    int    // ticks
	released int    // ticks until memory may be given back again
	since    uint64 // allocated when it was given back last
	floor    uint64 // spare memory that the last time has left: it lies between what is live
}

// tick says which percentage is right now, and whether to give memory back.
func (p *collectorPace) tick(use memoryUse) (percent int, release bool) {
	if use.allocated-p.last > max(quietRate, use.spare/releaseApart) { // what is given back would be taken again until the next time
		p.quiet = 0
	} else {
		p.quiet++
	}
	p.last = use.allocated
	if p.floor = min(p.floor, use.spare); p.released == releaseApart {
		p.floor = use.spare
	}
	p.released = max(0, p.released-1)
	wait := p.released
	if use.allocated-p.since > busyOctets {
		wait -= releaseApart - busyApart
	}
	if p.quiet >= quietTicks && wait <= 0 && use.spare >= p.floor+worthReleasing {
		p.released, p.since = releaseApart, use.allocated
		release = true
	}
	want := int(min(max(100*garbageBudget/max(use.inUse, 1), minGCPercent), maxGCPercent))
	// Setting it stops the world for a moment: only for a real change.
	if want < p.percent*4/5 || want > p.percent*5/4 {
		p.percent = want
	}
	return p.percent, release
}

// paceCollector keeps garbage within its budget until ctx ends, and then restores what was.
// An operator who sets GOGC has the last word.
func paceCollector(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	pace := collectorPace{percent: 100}
	percent := pace.percent
	previous := debug.SetGCPercent(percent)
	defer debug.SetGCPercent(previous)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		want, release := pace.tick(readMemoryUse())
		if want != percent {
			percent = want
			debug.SetGCPercent(percent)
		}
		if release {
			debug.FreeOSMemory() // pooled buffers survive one collection
			debug.FreeOSMemory()
		}
	}
}

func readMemoryUse() memoryUse {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	live, held := samples[0].Value.Uint64(), uint64(0)
	for _, part := range samples[3:] {
		held += part.Value.Uint64()
	}
	return memoryUse{
		inUse:     live + samples[1].Value.Uint64(),
		allocated: samples[2].Value.Uint64(),
		spare:     held - min(held, live),
	}
}

// startPacing keeps kanmon's garbage within its budget until Stop.
func (d *Daemon) startPacing() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		paceCollector(ctx)
	}()
	d.onStop("garbage budget", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// limitMemory sets the soft limit that the configuration asks for, or the one there was.
func (d *Daemon) limitMemory() {
	limit := d.memory
	if d.cfg.Limits.Memory > 0 {
		limit = int64(d.cfg.Limits.Memory)
	}
	debug.SetMemoryLimit(limit)
}
