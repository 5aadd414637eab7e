package limit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowdRules are four limits that overlap: of the tenant, the account, the tenant at the provider, the sending IP there.
func crowdRules(t testing.TB) (sessions, connections, account, tenant, shared *Limit) {
	sessions = compile(t, Rule{Name: "sessions", Measure: Sessions, Amount: 60})
	connections = compile(t, Rule{Name: "connections", Measure: Connections, Amount: 6000, Per: time.Minute, Burst: 200})
	account = compile(t, Rule{Name: "account", Measure: Messages, Amount: 2400, Per: time.Minute, Burst: 20})
	tenant = compile(t, Rule{Name: "tenant", Measure: Messages, Amount: 4800, Per: time.Minute, Burst: 40})
	shared = compile(t, Rule{Name: "shared", Measure: Messages, Amount: 4500, Per: time.Minute, Burst: 90, Fair: true})
	return sessions, connections, account, tenant, shared
}

// 500 goroutines connect, send and leave as they like, with wants in any order: nothing is over its limit at any time, and
// at the end everything is free.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{})
		sessions, connections, account, tenant, shared := crowdRules(t)
		var mu sync.Mutex
		held, most := 0, 0
		events := map[*Limit][]event{}
		begun := time.Now()
		hold := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			held += n
			most = max(most, held)
		}
		note := func(kept ...*Limit) {
			mu.Lock()
			defer mu.Unlock()
			for _, l := range kept {
				events[l] = append(events[l], event{time.Since(begun), 1})
			}
		}
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(i), 1))
				var session, transaction Ticket
				name := []string{"a", "b", "c"}[i%3]
				for range 12 {
					time.Sleep(time.Duration(rnd.IntN(4000)) * time.Millisecond)
					if !m.Take([]Want{want(sessions, "acme", 1), want(connections, "acme", 1)}, &session).OK {
						continue
					}
					hold(1)
					note(connections)
					for range rnd.IntN(4) {
						wants := []Want{want(account, name, 1), want(tenant, "acme", 1), want(shared, "google", 1)}
						wants[2].Member = name
						rnd.Shuffle(3, func(i, j int) { wants[i], wants[j] = wants[j], wants[i] })
						if m.Take(wants, &transaction).OK {
							delivered := rnd.IntN(4) > 0
							if delivered {
								note(account, tenant, shared)
							}
							time.Sleep(time.Duration(rnd.IntN(900)) * time.Millisecond)
							m.Settle(&transaction, delivered, 0)
						}
					}
					hold(-1)
					m.Settle(&session, true, 0)
				}
			})
		}
		all.Wait()
		if most != 60 {
			t.Errorf("%d sessions at once, want 60", most)
		}
		for _, l := range []*Limit{connections, tenant, shared} {
			if len(events[l]) < 500 {
				t.Errorf("%s: only %d", l.Rule().Name, len(events[l]))
			}
			lawful(t, l.Rule(), events[l][:min(len(events[l]), 1500)])
		}
		time.Sleep(time.Hour)
		for _, l := range []*Limit{sessions, connections, tenant} {
			if c := m.Explain([]Want{want(l, "acme", 1)})[0]; c.Used != 0 || !c.Now.OK {
				t.Errorf("%+v", c)
			}
		}
	})
}

// In real time, with goroutines that truly run at once: two limits in both orders neither block each other nor let more pass
// than there is.
func TestOrders(t *testing.T) {
	m := New(Options{})
	l := compile(t, Rule{Name: "daily", Measure: Messages, Amount: 1000, Per: Longest, Burst: 1000})
	var granted atomic.Int64
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			wants := []Want{want(l, "one", 1), want(l, "two", 1), want(l, "three", 1)}
			if i%2 == 0 {
				wants[0], wants[2] = wants[2], wants[0]
			}
			var ticket Ticket
			for range 20 {
				if m.Take(wants, &ticket).OK {
					granted.Add(1)
					m.Settle(&ticket, i%5 > 0, 0)
					if i%5 == 0 {
						granted.Add(-1)
					}
				}
			}
		})
	}
	all.Wait()
	if n := granted.Load(); n > 1000 || n < 990 {
		t.Errorf("%d granted, want 1,000", n)
	}
}

// Explain says what is, and changes nothing.
func TestExplain(t *testing.T) {
	r, l, fair := newRig(t, 0), hourly(t), provider(t)
	if c := r.Explain([]Want{want(l, "nobody", 1), of(fair, "nobody"), want(l, "nobody", 11)}); !c[0].Now.OK || c[1].Members != 0 ||
		!c[2].Now.Never || r.Stats().Keys != 0 {
		t.Errorf("%+v", c)
	}
	r.taken(want(l, "alice", 10))
	r.taken(of(fair, "acme"))
	var all []Want
	for _, w := range []Want{want(l, "alice", 2), of(fair, "beta"), of(places(t, 5, true), "acme")} {
		for range 100 {
			all = append(all, w)
		}
	}
	counters := r.Explain(all)
	if c := counters[99]; c.Used != 10 || c.Max != 10 || c.Free != 10*time.Minute || c.Now.Wait != 2*time.Minute || c.Rule.Name != "hourly" {
		t.Errorf("%+v", c)
	}
	if c := counters[199]; c.Used != 1 || c.Max != 60 || c.Members != 1 || !c.Now.OK {
		t.Errorf("%+v", c)
	}
	if c := counters[299]; c.Used != 0 || c.Max != 5 || !c.Now.OK {
		t.Errorf("%+v", c)
	}
}
