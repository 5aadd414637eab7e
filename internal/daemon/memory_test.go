package daemon

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

func TestCollectorFollowsTheMemoryInUse(t *testing.T) {
	for _, c := range []struct {
		inUse uint64
		want  int
	}{{0, 400}, {1 << 20, 400}, {16 << 20, 200}, {32 << 20, 100}, {1 << 30, 100}} {
		p := collectorPace{percent: 1}
		if got, _ := p.tick(memoryUse{inUse: c.inUse}); got != c.want {
			t.Errorf("%d octets in use: %d %%, want %d %%", c.inUse, got, c.want)
		}
	}
	runtime.GC() // before the first one nothing is known to be live
	if use := readMemoryUse(); use.inUse < 64<<10 || use.allocated < 64<<10 {
		t.Error("the runtime's metrics have other names now")
	}
}

// After a busy time memory is given back, once.
func TestMemoryIsGivenBackInTheQuietAfterABusyTime(t *testing.T) {
	var p collectorPace
	var allocated uint64
	released := 0
	pass := func(ticks int, perTick uint64) {
		for range ticks {
			allocated += perTick
			if _, release := p.tick(memoryUse{allocated: allocated}); release {
				released++
			}
		}
	}
	pass(10, 100<<10) // never busy
	if released != 0 {
		t.Fatal("given back without need")
	}
	pass(10, 20<<20)
	if released != 0 {
		t.Fatal("given back while busy")
	}
	pass(100, 100<<10)
	if released != 1 {
		t.Fatalf("given back %d times after one busy time", released)
	}
}

func TestPaceCollectorRestoresWhatWas(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		paceCollector(ctx)
	})
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("left at %d %%", got)
	}
}
