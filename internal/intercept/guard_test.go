package intercept

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A guardRig is a guard in virtual time, with a kernel of its own.
type guardRig struct {
	t       *testing.T
	keeper  *Keeper
	report  *Report
	changes chan change
	stop    func()

	mu     sync.Mutex
	log    bytes.Buffer
	lost   []Loss // what the kernel lacks
	thief  bool   // takes the table away again and again, as soon as it is back
	broken error  // of putting back
	puts   []time.Time
}

// Write takes what is logged.
func (rig *guardRig) Write(text []byte) (int, error) {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	return rig.log.Write(text)
}

// said is the log so far.
func (rig *guardRig) said() string {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	return rig.log.String()
}

// set changes what the kernel does.
func (rig *guardRig) set(change func()) {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	change()
}

// count is how often rules were put back.
func (rig *guardRig) count() int {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	return len(rig.puts)
}

// after lets time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var flushed = []Loss{{"table inet kanmon is gone", true}}

// newGuardRig starts a guard of rules that are in force.
func newGuardRig(t *testing.T) *guardRig {
	t.Helper()
	rig := &guardRig{t: t, keeper: &Keeper{Dir: t.TempDir()}, report: &Report{Dir: t.TempDir()}, changes: make(chan change, 1)}
	kept := Kept{Rules: goldenRules["redirect"], Applied: time.Now(), Imprint: imprintForm + "1"}
	if err := rig.keeper.write(kept); err != nil {
		t.Fatal(err)
	}
	rig.start()
	t.Cleanup(func() { rig.stop() })
	return rig
}

func (rig *guardRig) start() {
	g := &Guard{
		Keeper: rig.keeper, Report: rig.report, Log: slog.New(slog.NewTextHandler(rig, nil)),
		watch: func(context.Context, string) (<-chan change, error) { return rig.changes, nil },
		losses: func(context.Context, Kept) (lost []Loss, err error) {
			rig.set(func() { lost = rig.lost })
			return lost, nil
		},
		put: func(context.Context, Kept) error {
			rig.mu.Lock()
			defer rig.mu.Unlock()
			rig.puts = append(rig.puts, time.Now())
			if rig.broken == nil && !rig.thief {
				rig.lost = nil
			}
			if rig.thief {
				rig.changes <- change{by: "thief (process 7)"}
			}
			return rig.broken
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx, func() {}) }()
	rig.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			rig.t.Error(err)
		}
		rig.stop = func() {}
	}
	synctest.Wait()
}

// flush takes the table away, as another program does.
func (rig *guardRig) flush() {
	rig.set(func() { rig.lost = flushed })
	rig.changes <- change{by: "nft (process 812)"}
	synctest.Wait()
}

func (rig *guardRig) mustSay(texts ...string) {
	rig.t.Helper()
	for _, text := range texts {
		if !strings.Contains(rig.said(), text) {
			rig.t.Errorf("the log does not say %q:\n%s", text, rig.said())
		}
	}
}

// What is taken away is back at once, and the log says what it was, by whom, and for how long mail could leave directly.
// firstday-1, trouble-O03
func TestGuardPutsBackAtOnceAndSaysForHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig := newGuardRig(t)
		rig.flush()
		if rig.count() != 1 {
			t.Fatalf("put back %d times", rig.count())
		}
		rig.mustSay("firewall rules lost", "table inet kanmon is gone", "nft (process 812)", "leaves directly", "firewall rules put back", "for=0s", "left directly")
		g, err := rig.report.Read()
		if err != nil || g.Episodes != 1 || g.Last == nil || !g.Last.Open || len(g.Lost) != 0 {
			t.Errorf("reported %+v, %v", g, err)
		}
	})
}

// Where no message tells of it, a look finds it, and the time counts from when the rules were seen last.
func TestGuardFindsWhatNobodyToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig := newGuardRig(t)
		rig.set(func() { rig.lost = flushed })
		after(guardLook + time.Second)
		if rig.count() != 1 {
			t.Fatalf("put back %d times", rig.count())
		}
		rig.mustSay("for=10s")
	})
}

// A guard that comes back finds what was taken away meanwhile, and counts from when the one before has seen the rules last.
func TestGuardCountsWhatHappenedWithoutIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig := newGuardRig(t)
		after(time.Second)
		rig.stop()
		if _, err := rig.report.Read(); !errors.Is(err, ErrNoGuard) {
			t.Errorf("the guard has ended, and it is reported: %v", err)
		}
		rig.set(func() { rig.lost = flushed })
		after(4 * time.Second)
		rig.start()
		if rig.count() != 1 {
			t.Fatalf("put back %d times", rig.count())
		}
		rig.mustSay("for=5s")
	})
}

// Two programs that undo each other must not keep the host busy, and kanmon never gives up: five times at once, then once a minute, with
// an alarm.
func TestGuardSlowsDownAndNeverGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig := newGuardRig(t)
		rig.set(func() { rig.thief = true })
		began := time.Now()
		rig.flush()
		if rig.count() != guardTimes {
			t.Errorf("put back %d times at once, want %d", rig.count(), guardTimes)
		}
		rig.mustSay("again and again", "thief (process 7)")
		alarms := strings.Count(rig.said(), "again and again")
		after(time.Hour)
		if n := rig.count() - guardTimes; n < 58 || n > 60 {
			t.Errorf("put back %d times in the hour behind, want once a minute", n)
		}
		if n := strings.Count(rig.said(), "again and again"); n <= alarms {
			t.Errorf("one alarm in an hour")
		}
		rig.set(func() { rig.thief, rig.lost = false, flushed })
		after(guardInterval)
		if g, err := rig.report.Read(); err != nil || len(g.Lost) != 0 {
			t.Errorf("%v after the first loss not mended: %+v, %v", time.Since(began), g, err)
		}
	})
}

// What cannot be put back is tried again, and the mail's fate told.
func TestGuardTriesAgainWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig := newGuardRig(t)
		rig.set(func() { rig.broken = errors.New("nft is gone, too") })
		rig.flush()
		after(5 * time.Minute)
		if n := rig.count(); n < guardTimes+3 || n > guardTimes+5 {
			t.Errorf("tried %d times in five minutes", n)
		}
		if g, err := rig.report.Read(); err != nil || len(g.Lost) != 1 {
			t.Errorf("reported %+v, %v", g, err)
		}
		rig.mustSay("not put back", "nft is gone, too", "leaves directly")
		rig.set(func() { rig.broken = nil })
		after(guardInterval)
		rig.mustSay("firewall rules put back")
	})
}

// A person's word counts: what `rules remove` has taken away stays away, until `rules apply`.
func TestGuardNeverActsAgainstAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig := newGuardRig(t)
		if err := rig.keeper.markRemoved(false); err != nil {
			t.Fatal(err)
		}
		rig.flush()
		after(time.Hour)
		if rig.count() != 0 {
			t.Fatalf("put back %d times what a person has removed", rig.count())
		}
		rig.mustSay("not guarded", "a person has removed the rules")
		if n := strings.Count(rig.said(), "not guarded"); n != 1 {
			t.Errorf("told %d times", n)
		}
		g, err := rig.report.Read()
		if err != nil || !strings.Contains(g.String(), "a person has removed the rules") {
			t.Errorf("reported %q, %v", g, err)
		}
	})
}

// A full disk does not make the guard act against a person: without the file nothing is put back.
func TestRemovalHoldsWhereNothingCanBeWritten(t *testing.T) {
	k := &Keeper{Dir: t.TempDir()}
	if err := k.write(Kept{Rules: goldenRules["redirect"]}); err != nil {
		t.Fatal(err)
	}
	k.writeFile = func(string, []byte) error { return errors.New("no space left on device") }
	if err := k.markRemoved(false); err == nil {
		t.Error("nothing was said of the disk")
	}
	if _, err := k.read(); !errors.Is(err, ErrNothingKept) {
		t.Errorf("kept after all: %v", err)
	}
}

// A person's removal holds however often the service starts; a stop of the service holds until it starts.
func TestRemovalHoldsForStarts(t *testing.T) {
	for _, untilStart := range []bool{false, true} {
		k := &Keeper{Dir: t.TempDir()}
		if err := k.write(Kept{Rules: goldenRules["redirect"]}); err != nil {
			t.Fatal(err)
		}
		if removed, err := k.Opened(); removed != nil || err != nil {
			t.Errorf("in force, and opened %v, %v", removed, err)
		}
		if err := k.markRemoved(untilStart); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if removed, err := k.Opened(); err != nil || (removed == nil) != untilStart {
				t.Errorf("until start %t: opened %v, %v", untilStart, removed, err)
			}
		}
	}
}

// What is kept is the same rules when read, whatever they are.
func TestKeptRulesAreTheSame(t *testing.T) {
	for name, rules := range goldenRules {
		k := &Keeper{Dir: t.TempDir()}
		if err := k.write(Kept{Rules: rules}); err != nil {
			t.Fatal(err)
		}
		kept, err := k.Last()
		if err != nil || kept.Rules.Text() != rules.Text() || !same(kept.Rules, rules) {
			t.Errorf("%s: %v, rules\n%s", name, err, kept.Rules.Text())
		}
	}
}

// A policy route that stays away is told of, and again when it is back; what a guard mends within a second is not worth a word.
// trouble-O02
func TestRouteWatchTellsOfWhatStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var lost atomic.Pointer[[]Loss]
		lost.Store(new([]Loss))
		changes := make(latest, 1)
		w := &RouteWatch{
			Log:    slog.New(slog.NewTextHandler(&log, nil)),
			watch:  func(context.Context) (<-chan change, error) { return changes, nil },
			losses: func() ([]Loss, error) { return *lost.Load(), nil },
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		happen := func(now []Loss, within time.Duration) {
			lost.Store(&now)
			changes.tell(change{})
			time.Sleep(within)
			synctest.Wait()
		}
		gone := []Loss{{"the IPv4 policy rule for mark 0x1000 is gone", false}}
		happen(gone, routeGrace/2)
		happen(nil, 2*routeGrace)
		if log.Len() > 0 {
			t.Errorf("told of what was mended at once: %s", log.String())
		}
		happen(gone, 2*routeGrace)
		happen(gone, 2*routeGrace)
		happen(nil, 2*routeGrace)
		for _, text := range []string{"policy routes are missing", gone[0].What, "policy routes are back"} {
			if n := strings.Count(log.String(), "msg=\"policy routes"); n != 2 || !strings.Contains(log.String(), text) {
				t.Errorf("%d lines, want 2, and %q among them: %s", n, text, log.String())
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
