package slow

import (
	"bytes"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event/timing"
	"kanmon/internal/store/keep"
)

// copied gives what a store has now: all that a kill leaves.
func (s *shelf) copied() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &shelf{rows: maps.Clone(s.rows)}
}

// tarpitted gives a gateway whose IP waits for a minute with each mail at google, and that has moved its mail from there.
func tarpitted(t *testing.T, store keep.Store) (g *gateway, k Key) {
	g = newGateway(t, Move, 4)
	g.end()
	g.begin(Move, store)
	k = Key{g.ips[1], google}
	g.sends(1500, never)
	g.restrict(k.IP, time.Minute)
	if _, held := g.sends(1500, func() bool { return isFound(g.of(k)) && g.w.Share(k) == moveShare }); !held {
		t.Fatal("nothing found")
	}
	return g, k
}

// A finding goes on behind a restart: its share holds before the first mail, it has the same since, and nobody is told that it has begun or that anything is done
// anew. So it is where the process was killed, as soon as a minute has gone since it was found.
func TestAFindingOutlivesTheProcess(t *testing.T) {
	for _, killed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := &shelf{rows: map[string]keep.Row{}}
			g, k := tarpitted(t, store)
			time.Sleep(saveSoon + time.Second)
			left := store.copied()
			before, _ := g.of(k)
			if g.end(); !killed {
				left = store
			}
			time.Sleep(10 * time.Minute)
			g.told = nil
			g.begin(Move, left)
			if share := g.w.Share(k); share != moveShare {
				t.Errorf("killed %v: share %v before the first mail", killed, share)
			}
			after, found := g.of(k)
			if !isFound(after, found) || after.Since.Sub(before.Since).Abs() > time.Second || after.Phase != before.Phase || after.Did != Moved || after.Waits < 30*time.Second {
				t.Errorf("killed %v: it was %+v\nand is %+v", killed, before, after)
			}
			g.sends(300, never)
			if !onlyStill(g.told) {
				t.Errorf("killed %v: told %v", killed, g.steps())
			}
			g.trouble = nil
			if _, held := g.sends(6000, func() bool { return !isFound(g.of(k)) }); !held || g.w.Speaks() {
				t.Errorf("killed %v: it never ends", killed)
			}
			time.Sleep(saveSoon + time.Second)
			over := left.copied()
			g.end()
			g.told = nil
			g.begin(Move, over)
			if _, found := g.of(k); found || len(g.told) > 0 {
				t.Errorf("killed %v: what has ended is there again: %v", killed, g.steps())
			}
		})
	}
}

func onlyStill(told []Found) bool {
	return !slices.ContainsFunc(told, func(f Found) bool { return !f.Still })
}

// What had no mail for a day has ended meanwhile, and that is told: somebody was told that it had begun.
func TestAnOldFindingHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{rows: map[string]keep.Row{}}
		g, k := tarpitted(t, store)
		g.end()
		time.Sleep(25 * time.Hour)
		for process := range 2 {
			g.told = nil
			g.begin(Move, store)
			if steps := g.steps(); process == 0 && !slices.Equal(steps, []string{"cleared told"}) || process == 1 && len(steps) > 0 {
				t.Errorf("process %d has told %v", process, steps)
			}
			if _, found := g.of(k); found || g.w.Speaks() {
				t.Error("it still stands")
			}
			time.Sleep(saveSoon + time.Second)
			synctest.Wait()
			g.end()
		}
	})
}

// What was switched off was told to have ended, and is not there again when it is switched on, nor behind a restart.
func TestWhatWasSwitchedOffDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{rows: map[string]keep.Row{}}
		g, k := tarpitted(t, store)
		g.w.Configure(Settings{Act: Off})
		synctest.Wait()
		g.w.Configure(Settings{Act: Move})
		if _, found := g.of(k); found || g.w.Speaks() {
			t.Error("it is there again")
		}
		if v, known := g.w.detector.Look(k.IP.String(), k.Provider); !known || !v.History {
			t.Error("what is usual is forgotten")
		}
		g.w.Configure(Settings{Act: Off})
		g.end()
		g.begin(Move, store)
		if _, found := g.of(k); found {
			t.Error("it is there again behind a restart")
		}
	})
}

// What an operator wants to follow may be something else behind the restart: that is told.
func TestAnotherActBehindARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{rows: map[string]keep.Row{}}
		g, k := tarpitted(t, store)
		g.end()
		g.told = nil
		g.begin(Tell, store)
		if f, found := g.of(k); !isFound(f, found) || g.w.Speaks() {
			t.Errorf("%+v, speaks %v", f, g.w.Speaks())
		}
		if steps := g.steps(); !slices.Equal(steps, []string{"acted told"}) {
			t.Errorf("told %v", steps)
		}
	})
}

// Rows of another form, and such as make no sense, are no finding; what is usual there stays known.
func TestRowsOfAnotherForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{rows: map[string]keep.Row{}}
		g, k := tarpitted(t, store)
		g.end()
		name := k.IP.String() + " " + k.Provider
		for _, change := range [][2]string{{`"phase":"`, `"phase":"x`}, {`"also":"moved`, `"also":"hopped`}, {`"stands":{`, `"stood":{`}} {
			var log bytes.Buffer
			changed := store.copied()
			row := changed.rows[name]
			if row.Value = strings.Replace(row.Value, change[0], change[1], 1); row.Value == changed.rows[name].Value {
				t.Fatalf("there is no %s in %s", change[0], row.Value)
			}
			changed.rows[name] = row
			g.told, g.log = nil, slog.New(slog.NewTextHandler(&log, nil))
			g.begin(Move, changed)
			v, known := g.w.detector.Look(k.IP.String(), k.Provider)
			if other := change[1] == `"also":"hopped`; !known || !v.History && !strings.Contains(log.String(), "no sense") || v.Told != other {
				t.Errorf("%s: %+v\n%s", change[1], v, log.String())
			}
			g.end()
		}
	})
}

// As long as anything follows from what stands, that is told every ten minutes; where nothing does, once a day.
func TestWhatSomethingFollowsFromIsToldAgain(t *testing.T) {
	for act, want := range map[Act][2]int{Tell: {0, 1}, Slow: {11, 13}} {
		synctest.Test(t, func(t *testing.T) {
			g := newGateway(t, act, 4)
			for _, ip := range g.ips {
				g.sendFrom(ip, google)
			}
			g.drips(g.ips[0])
			time.Sleep(2 * time.Minute) // of this day it has been told
			synctest.Wait()
			told := len(g.told)
			g.sendFrom(g.ips[1], google) // mail goes on
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if n := len(g.told) - told; n < want[0] || n > want[1] || !onlyStill(g.told[told:]) {
				t.Errorf("act %s: told %d times in two hours", act, n)
			}
			for _, f := range g.told[told:] {
				if f.Key.IP != g.ips[0] || act == Slow && f.Did != Slowed || f.Scope != timing.ThisIPHere {
					t.Errorf("told of %+v", f)
				}
			}
		})
	}
}
