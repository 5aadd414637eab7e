package limit

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const manyAccounts = 100_000

// A crowd is 100,000 accounts of 300 tenants that send to 50 providers from 16 addresses, each with a counter.
type crowd struct {
	*Memory
	account, tenant, atProvider, fromIP *Limit // the last one fair
	accounts, tenants, providers, ips   []string
}

func newCrowd(t testing.TB) *crowd {
	rule := func(name string, fair bool) *Limit {
		return compile(t, Rule{Name: name, Measure: Messages, Amount: 1 << 40, Per: time.Hour, Fair: fair})
	}
	c := &crowd{
		Memory: New(Options{}), tenant: rule("tenant", false), atProvider: rule("tenant × provider", false),
		account: compile(t, Rule{Name: "account", Measure: Messages, Amount: 1 << 30, Per: 24 * time.Hour}),
		fromIP:  rule("sending IP × provider", true),
	}
	names := func(n int, format string) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return all
	}
	c.accounts, c.tenants = names(manyAccounts, "user%d@example.com"), names(300, "tenant-%d")
	c.providers, c.ips = names(50, "provider-%d"), names(16, "203.0.113.%d")
	for i := range manyAccounts {
		wants := c.mail(i)
		wants[1].N = 10_000_000 // for a while not to be forgotten
		var ticket Ticket
		if v := c.Take(wants[:], &ticket); !v.OK {
			t.Fatalf("%+v", v)
		}
		c.Settle(&ticket, true, 0)
	}
	return c
}

// mail is what a mail of the account wants.
func (c *crowd) mail(account int) [4]Want {
	tenant, to := c.tenants[account%len(c.tenants)], c.providers[account%len(c.providers)]
	return [4]Want{
		{Limit: c.tenant, Subject: Subject{Of: tenant}, N: 1},
		{Limit: c.account, Subject: Subject{Of: c.accounts[account]}, N: 1},
		{Limit: c.atProvider, Subject: Subject{tenant, to}, N: 1},
		{Limit: c.fromIP, Subject: Subject{c.ips[account%len(c.ips)], to}, Member: tenant, N: 1},
	}
}

// Take of four limits, of which one is fair, and Settle.
func BenchmarkTake(b *testing.B) {
	c := newCrowd(b)
	for name, accounts := range map[string]int{"any of 100,000 accounts": manyAccounts, "one of 100 accounts": 100} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var ticket Ticket
			for i := 0; b.Loop(); i++ {
				wants := c.mail(i * 7919 % accounts)
				if !c.Take(wants[:], &ticket).OK {
					b.Fatal("refused")
				}
				c.Settle(&ticket, true, 0)
			}
		})
	}
	b.Run("500 sessions", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(500 / runtime.GOMAXPROCS(0))
		var session atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			var ticket Ticket
			for i := int(session.Add(1)) * 101; pb.Next(); i++ {
				wants := c.mail(i * 7919 % manyAccounts)
				c.Take(wants[:], &ticket)
				c.Settle(&ticket, true, 0)
			}
		})
	})
}

func BenchmarkMemory(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	l := compile(b, Rule{Name: "account", Measure: Messages, Amount: 100, Per: 24 * time.Hour, Burst: 100})
	for b.Loop() {
		before := heap()
		m := New(Options{})
		var ticket Ticket
		for i := range manyAccounts {
			m.Take([]Want{{Limit: l, Subject: Subject{Of: fmt.Sprintf("user%d@example.com", i)}, N: 50}}, &ticket)
			m.Settle(&ticket, true, 0)
		}
		b.ReportMetric(float64(heap()-before)/float64(m.Stats().Keys), "B/key")
	}
}

func TestNoAllocation(t *testing.T) {
	c := newCrowd(t)
	var ticket Ticket
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		wants := c.mail(i * 7919 % manyAccounts)
		c.Take(wants[:], &ticket)
		c.Settle(&ticket, i%2 == 0, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkChanged is for how long a part of the subjects is locked while what is owed of all of them is copied, with as many counters as there can be.
func BenchmarkChanged(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var longest time.Duration
	debts := 0
	for b.Loop() {
		b.StopTimer()
		c := newCrowd(b)
		l := compile(b, Rule{Name: "more", Measure: Messages, Amount: 1 << 30, Per: 24 * time.Hour})
		for i := range DefaultMaxKeys {
			var ticket Ticket
			c.Take([]Want{{Limit: l, Subject: Subject{Of: fmt.Sprint("more", i)}, N: 10_000_000}}, &ticket)
			c.Settle(&ticket, true, 0)
		}
		b.StartTimer()
		for part := range Parts {
			for more := true; more; {
				var some []Debt
				begun := threadTime()
				some, more = c.Changed(make([]Debt, 0, 256), part, 256)
				longest = max(longest, threadTime()-begun)
				debts += len(some)
			}
		}
	}
	b.ReportMetric(float64(debts)/float64(b.N), "debts")
	b.ReportMetric(float64(longest.Microseconds())/1000, "ms-lock")
}

// threadTime is of this thread, whatever else the machine does.
func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}
