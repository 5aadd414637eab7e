package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
)

// A full kanmon has many accounts, each with a history of five weeks, and a file that knows them.
type full struct {
	*Policy
	path     string
	accounts int
	kept     *counting
}

// counting is a Store that counts what is written.
type counting struct {
	Store
	mu           sync.Mutex
	writes, rows int
	most         int // rows in one
}

func (c *counting) Keep(ctx context.Context, changes []Change, part *Part) error {
	c.mu.Lock()
	rows := len(part.Senders.Subjects) + len(part.Senders.Gone) + len(part.Debts)
	c.writes, c.rows, c.most = c.writes+1, c.rows+rows, max(c.most, rows)
	c.mu.Unlock()
	return c.Store.Keep(ctx, changes, part)
}

// since gives what was written since it was last asked.
func (c *counting) since() (writes, rows, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	writes, rows, most = c.writes, c.rows, c.most
	c.writes, c.rows, c.most = 0, 0, 0
	return writes, rows, most
}

func newFull(t testing.TB, accounts int) *full {
	f := &full{path: filepath.Join(t.TempDir(), "senders.db"), accounts: accounts}
	store, err := OpenStore(f.path)
	if err != nil {
		t.Fatal(err)
	}
	f.kept = &counting{Store: store}
	f.Policy, err = New(Options{Settings: settingsWith(rule("day", limit.PerAccount, 1000)), Store: f.kept})
	if err != nil {
		t.Fatal(err)
	}
	s := contain.Snapshot{Version: contain.SnapshotVersion, At: time.Now()}
	history := make([]byte, 840)
	for i := range history {
		history[i] = byte(i * 7 % 97)
	}
	for i := range accounts {
		s.Subjects = append(s.Subjects, contain.Saved{Subject: fullAccount(i), History: history, Known: 5_000_000})
	}
	for some := range slices.Chunk(s.Subjects, 10_000) {
		part := Part{Senders: contain.Changes{Snapshot: contain.Snapshot{Version: s.Version, At: s.At, Subjects: some}}}
		if err := store.Keep(context.Background(), nil, &part); err != nil {
			t.Fatal(err)
		}
	}
	f.detector.Grow(accounts / 5) // nobody is pushed out
	if err := f.detector.Restore(s); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	return f
}

func fullAccount(i int) contain.Subject {
	return contain.Subject{Tenant: fmt.Sprint("t", i%100), Account: fmt.Sprintf("user%d@some.example", i)}
}

// mail has so many accounts send a mail.
func (f *full) mail(from, n int) {
	for i := from; i < from+n; i++ {
		s := fullAccount(i % f.accounts)
		f.detector.Message(contain.Message{
			Tenant: s.Tenant, Account: s.Account, Provider: "google", Hash: uint64(i), Class: event.NoRefusal, Octets: 1000, Recipients: 1,
		})
	}
}

// cost is what keeping takes.
type cost struct{ wall, cpu, lock, order, ask time.Duration }

func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// keepAll keeps what has changed, batch by batch.
func (f *full) keepAll(t testing.TB) (c cost) {
	begun, cpu := time.Now(), cpuTime()
	if err := f.saveAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.wall, c.cpu = time.Since(begun), cpuTime()-cpu
	return c
}

// locked is for how long sessions are kept from the detector by a copy of what has changed: of this thread, whatever else the machine does.
func (f *full) locked() (longest time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for left := 1; left > 0; {
		var c contain.Changes
		begun := threadTime()
		left = f.detector.Changed(&c, copyBatch)
		longest = max(longest, threadTime()-begun)
	}
	return longest
}

// waits has people order and sessions ask while everything is being kept.
func (f *full) waits(t testing.TB) (c cost) {
	var all sync.WaitGroup
	over := make(chan struct{})
	all.Go(func() {
		defer close(over)
		if err := f.saveAll(context.Background()); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() {
		for going := true; going; {
			at := time.Now()
			f.detector.Ask("t1", "user1@some.example")
			c.ask = max(c.ask, time.Since(at))
			select {
			case <-over:
				going = false
			case <-time.After(time.Millisecond):
			}
		}
	})
	for going := true; going; {
		at := time.Now()
		if err := f.Block(bob, time.Time{}, "alice", "an order"); err != nil {
			t.Error(err)
		}
		c.order = max(c.order, time.Since(at))
		select {
		case <-over:
			going = false
		case <-time.After(10 * time.Millisecond):
		}
	}
	all.Wait()
	return c
}

// load starts another process' kanmon on the file.
func (f *full) load(t testing.TB) (c cost) {
	t.Helper()
	begun, cpu := time.Now(), cpuTime()
	store, err := OpenStore(f.path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(Options{Settings: settingsWith(), Store: store})
	if err != nil {
		t.Fatal(err)
	}
	c.wall, c.cpu = time.Since(begun), cpuTime()-cpu
	if n := again.detector.Stats().Accounts; n < f.accounts {
		t.Errorf("%d accounts, want %d", n, f.accounts)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	return c
}

// audit-E1: what is kept costs by what has changed, not by what there is, and neither sessions nor orders wait for all of it. What that takes,
// BenchmarkSave prints.
func TestSavingCostsByWhatHasChanged(t *testing.T) {
	const tenants = 100
	f := newFull(t, 5_000)
	defer f.Close()
	for _, n := range []int{500, 2000} {
		f.mail(0, n)
		f.keepAll(t)
		writes, rows, most := f.kept.since()
		if rows < n || rows > n+tenants || most > saveBatch+copyBatch || writes > rows/saveBatch+2 {
			t.Errorf("%d of %d accounts: %d rows in %d transactions, %d at most in one", n, f.accounts, rows, writes, most)
		}
	}
	f.keepAll(t)
	if writes, rows, _ := f.kept.since(); rows > 0 || writes > 1 {
		t.Errorf("nothing: %d rows in %d transactions", rows, writes)
	}
	f.mail(0, 2000)
	for left := 1; left > 0; {
		var c contain.Changes
		if left = f.detector.Changed(&c, copyBatch); len(c.Subjects)+len(c.Gone) > copyBatch {
			t.Fatalf("%d rows are copied while sessions wait", len(c.Subjects)+len(c.Gone))
		}
	}
}

// audit-E1: what has changed is written a batch at a time, and the rest behind each is long enough for a twentieth of a core, unless there is so much
// that it would not be written in time.
func TestSavingIsSpread(t *testing.T) {
	for _, c := range []struct {
		took, remaining time.Duration
		left            int
		want            time.Duration
	}{
		{10 * time.Millisecond, spread, saveBatch, 190 * time.Millisecond},
		{10 * time.Millisecond, spread, 17_000, 190 * time.Millisecond},
		{20 * time.Millisecond, spread, 100_000, spread / (100_000/saveBatch + 1)},
		{20 * time.Millisecond, -time.Second, 100_000, 0},
		{0, spread, 10, 0},
	} {
		if got := rest(c.took, c.remaining, c.left); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// audit-E1: a kill loses the last thirty seconds of what was counted, and no more: of limits, and of what is usual for a sender.
func TestAKillLosesThirtySecondsOfCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		settings := settingsWith(rule("hour", limit.PerAccount, 100))
		p, err := New(Options{Settings: settings, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		r := rigOf(t, p)
		v, _ := r.enter("10.0.1.1", mx)
		v.send(bob.Account, rcpt, nil)
		time.Sleep(25 * time.Hour) // it is known
		for i := range 10 {
			v.send(bob.Account, []string{fmt.Sprintf("%d@example.net", i)}, nil)
		}
		v.Close()
		time.Sleep(saveEvery + time.Second)
		killed, _, err := store.Load()
		if err != nil {
			t.Fatal(err)
		}
		next, err := New(Options{Settings: settings, Store: &memory{state: &killed}})
		if err != nil {
			t.Fatal(err)
		}
		if now, later := r.used(bob, "hour"), rigOf(t, next).used(bob, "hour"); now != 9 || later != now {
			t.Errorf("used %d; after a kill %d", now, later)
		}
		for _, one := range killed.Containment.Subjects {
			if one.Subject == bob && one.Today[0].Cases != 10 {
				t.Errorf("of today: %+v", one)
			}
		}
		if err := errors.Join(p.Close(), next.Close()); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkSave is a kanmon with 100,000 accounts that have a history: what it costs to keep what has changed of them, and what others wait for
// meanwhile.
func BenchmarkSave(b *testing.B) {
	f := newFull(b, 100_000)
	for _, n := range []int{500, 17_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var sum, most cost
			for b.Loop() {
				f.mail(0, n)
				c := f.keepAll(b)
				sum.wall, sum.cpu = sum.wall+c.wall, sum.cpu+c.cpu
				f.mail(0, n)
				most.lock = max(most.lock, f.locked())
				f.mail(0, n)
				c = f.waits(b)
				most.order, most.ask = max(most.order, c.order), max(most.ask, c.ask)
			}
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ms(sum.wall)/float64(b.N), "ms-wall")
			b.ReportMetric(ms(sum.cpu)/float64(b.N), "ms-cpu")
			b.ReportMetric(100*float64(sum.cpu)/float64(b.N)/float64(saveEvery), "%-of-a-core")
			b.ReportMetric(ms(most.lock), "ms-lock")
			b.ReportMetric(ms(most.order), "ms-order")
			b.ReportMetric(ms(most.ask), "ms-Ask")
		})
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("load", func(b *testing.B) {
		var sum cost
		for b.Loop() {
			c := f.load(b)
			sum.wall, sum.cpu = sum.wall+c.wall, sum.cpu+c.cpu
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(sum.wall.Seconds()/float64(b.N), "s-wall")
		b.ReportMetric(sum.cpu.Seconds()/float64(b.N), "s-cpu")
		info, err := os.Stat(f.path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/(1<<20), "MiB-file")
	})
}

// BenchmarkUpgrade is the first start on a file of 100,000 accounts with a history that the kanmon before rows wrote: mail waits for it.
func BenchmarkUpgrade(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		whole := []string{"INSERT INTO policy_saved VALUES (1, 1)"}
		for piece := range 100 {
			var all []contain.Saved
			for i := range 1000 {
				all = append(all, contain.Saved{Subject: fullAccount(1000*piece + i), History: make([]byte, 840), Known: 5_000_000})
			}
			text, err := json.Marshal(map[string]any{
				"limits": map[string]any{"version": 1, "taken": time.Now(), "debts": nil}, "given": nil,
				"containment": contain.Snapshot{Version: contain.SnapshotVersion, At: time.Now(), Subjects: all},
			})
			if err != nil {
				b.Fatal(err)
			}
			whole = append(whole, fmt.Sprintf("INSERT INTO policy_part VALUES (1, %d, '%s')", piece, text))
		}
		f := full{path: fileOf(b, 3, whole...), accounts: 100_000}
		b.StartTimer()
		c := f.load(b)
		b.ReportMetric(c.wall.Seconds(), "s-wall")
		b.ReportMetric(c.cpu.Seconds(), "s-cpu")
	}
	b.ReportMetric(0, "ns/op")
}
