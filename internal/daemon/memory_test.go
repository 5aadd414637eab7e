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

// Where it is quiet memory is given back: soon after a busy time, and also where a quiet time has gathered it; never while it is busy, and
// seldom. A time of day has nothing to do with it.
func TestMemoryIsGivenBackWhereItIsQuiet(t *testing.T) {
	for name, c := range map[string]struct {
		busy, quiet int    // seconds
		spare       uint64 // from the end of the busy time on
		gathered    uint64 // more in each second of the quiet one
		kept        uint64 // that cannot be given back: it lies between what is live
		want        int    // times
	}{
		"nothing to give":                 {0, 1000, 1 << 20, 0, 0, 0},
		"while it is busy":                {1000, 0, 100 << 20, 0, 0, 0},
		"after a busy time, once":         {60, 1000, 50 << 20, 0, 0, 1},
		"a moment of quiet":               {60, 2, 50 << 20, 0, 0, 0},
		"gathered in the quiet":           {60, 1000, 0, 1 << 19, 0, 9},
		"gathered slowly":                 {60, 3600, 0, 10 << 10, 0, 4},
		"what cannot be given back":       {60, 1000, 50 << 20, 0, 30 << 20, 1},
		"busy for a moment, now and then": {3, 3, 50 << 20, 0, 0, 5},
	} {
		t.Run(name, func(t *testing.T) {
			var p collectorPace
			use := memoryUse{}
			released := 0
			pass := func(ticks int, perTick, gathered uint64) {
				for range ticks {
					use.allocated += perTick
					use.spare += gathered
					if _, release := p.tick(use); release {
						released++
						use.spare = c.kept
					}
				}
			}
			for range 10 {
				pass(c.busy, 20<<20, 0)
				use.spare = max(use.spare, c.spare)
				pass(c.quiet, 100<<10, c.gathered)
				if name != "busy for a moment, now and then" {
					break
				}
			}
			if released != c.want {
				t.Errorf("given back %d times, want %d", released, c.want)
			}
		})
	}
}

// Sessions that are opened behind a busy time, and held, are soon all that takes memory.
func TestMemoryIsGivenBackBehindEachBusyTime(t *testing.T) {
	var p collectorPace
	use, released := memoryUse{}, 0
	for range 3 {
		for range 5 {
			use.allocated += 30 << 20
			use.spare += 10 << 20
			p.tick(use)
		}
		for range 8 {
			if _, release := p.tick(use); release {
				released++
				use.spare = 0
			}
		}
	}
	if released != 3 {
		t.Errorf("given back %d times behind three busy times", released)
	}
}

// Ten thousand sessions that are held allocate a little with each look at them, told one after the other: that does not keep what they began with from
// being given back. Where as much is allocated until the next time as there is to give, nothing is.
func TestMemoryIsGivenBackThoughALittleIsUsed(t *testing.T) {
	const spare = 90 << 20
	for perTick, want := range map[uint64]bool{600 << 10: true, 1 << 20: false} {
		var p collectorPace
		use, released := memoryUse{}, false
		for range 6 {
			use.allocated += 30 << 20
			use.spare = spare
			p.tick(use)
		}
		for range quietTicks {
			use.allocated += perTick
			_, release := p.tick(use)
			released = released || release
		}
		if released != want {
			t.Errorf("%d MiB to give back, and %d KiB used in a second: given back is %v", spare>>20, perTick>>10, released)
		}
	}
}

// What the runtime says of spare memory is what is given back.
func TestSpareMemoryIsWhatIsGivenBack(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or it is collected, and given back, before anybody looks
	ballast := make([][]byte, 64)
	for i := range ballast {
		ballast[i] = make([]byte, 1<<20)
	}
	clear(ballast)
	if use := readMemoryUse(); use.spare < 32<<20 {
		t.Errorf("64 MiB of garbage, and %d octets of spare memory", use.spare)
	}
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	if use := readMemoryUse(); use.spare > 16<<20 {
		t.Errorf("%d octets are spare behind it", use.spare)
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
