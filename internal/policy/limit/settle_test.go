package limit

import (
	"math"
	"sync"
	"testing"
	"time"
)

func TestGiveBack(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	var tickets []*Ticket
	for range 10 {
		tickets = append(tickets, r.taken(want(l, "alice", 1)))
	}
	for i, ticket := range tickets {
		r.used(want(l, "alice", 1), int64(10-i))
		r.Settle(ticket, false, 0)
		r.Settle(ticket, false, 0) // once
	}
	r.used(want(l, "alice", 1), 0)
	r.Settle(r.taken(want(l, "alice", 3)), true, 0)
	r.used(want(l, "alice", 1), 3)
	ticket := r.taken(want(l, "alice", 1))
	r.Settle(ticket, true, 0)
	r.Settle(ticket, false, 0)
	r.used(want(l, "alice", 1), 4)
	if v := r.Take([]Want{want(l, "alice", 2)}, ticket); !v.OK { // a settled ticket is as good as a new one
		t.Fatalf("%+v", v)
	}
	r.used(want(l, "alice", 1), 6)
	r.Settle(ticket, false, 0)
	r.used(want(l, "alice", 1), 4)
}

// Whoever keeps many tickets for long and gives them back has his burst once, not once for each.
func TestGiveBackLate(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	var old []*Ticket
	for range 5 {
		old = append(old, r.taken(want(l, "alice", 10)))
		r.Pass(10 * time.Minute)
	}
	passed := 0
	for _, ticket := range old {
		for r.Take([]Want{want(l, "alice", 1)}, &Ticket{}).OK {
			passed++
		}
		r.Settle(ticket, false, 0)
	}
	for r.Take([]Want{want(l, "alice", 1)}, &Ticket{}).OK {
		passed++
	}
	if passed != 10 {
		t.Errorf("%d at once, want 10", passed)
	}
}

// What time has not given back yet is given back, and no more.
func TestGiveBackTheRest(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	ticket := r.taken(want(l, "alice", 8))
	r.Pass(3 * time.Minute)
	r.used(want(l, "alice", 1), 5)
	r.Settle(ticket, false, 0)
	r.used(want(l, "alice", 1), 0)

	first := r.taken(want(l, "alice", 4))
	r.taken(want(l, "alice", 4))
	r.Pass(3 * time.Minute)
	r.Settle(first, false, 0)
	r.used(want(l, "alice", 1), 4)
}

// What others gave back brings a charge forward: time has passed over it sooner.
func TestGiveBackAfterOthers(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	first, second := r.taken(want(l, "alice", 5)), r.taken(want(l, "alice", 5))
	r.Settle(first, false, 0)
	r.Pass(5 * time.Minute)
	r.taken(want(l, "alice", 10))
	r.Settle(second, false, 0)
	if n := r.room(want(l, "alice", 1)); n != 0 {
		t.Errorf("room for %d more than the burst", n)
	}
}

// What is taken in pieces is given back as a whole, whether or not others come between.
func TestGiveBackPieces(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	others := compile(t, Rule{Name: "others", Measure: Recipients, Amount: 1000, Per: time.Hour, Burst: 1000})
	ticket := &Ticket{}
	kept := 0
	for i := range 200 {
		wants := []Want{want(others, "acme", 1)}
		if i < 5 {
			wants = append(wants, want(l, "alice", 1))
		}
		if !r.Take(wants, ticket).OK {
			t.Fatal("refused")
		}
		if i == 20 || i == 30 {
			r.taken(want(others, "acme", 100))
			kept += 100
		}
	}
	if len(ticket.taken) != 4 {
		t.Errorf("the ticket has %d parts", len(ticket.taken))
	}
	r.Settle(ticket, false, 0)
	r.used(want(l, "alice", 1), 0)
	r.used(want(others, "acme", 1), int64(kept))
}

// A ticket of more parts than it remembers gives back less, not more; here nothing, as time has passed over its first part.
func TestGiveBackManyPieces(t *testing.T) {
	r, l := newRig(t, 0), compile(t, Rule{Name: "wide", Measure: Recipients, Amount: 3600, Per: time.Hour, Burst: 1000})
	ticket := &Ticket{}
	for range 100 {
		if !r.Take([]Want{want(l, "acme", 1)}, ticket).OK {
			t.Fatal("refused")
		}
		r.taken(want(l, "acme", 1))
	}
	if len(ticket.taken) != mostParts {
		t.Errorf("the ticket has %d parts", len(ticket.taken))
	}
	r.Pass(50 * time.Second)
	r.Settle(ticket, false, 0)
	// 200 were taken, time passed over 50, 25 of them the ticket's; 75 could have been given back.
	used := r.Explain([]Want{want(l, "acme", 1)})[0].Used
	if used < 150-75 || used > 150 {
		t.Errorf("%d used", used)
	}
}

// Octets of a ticket are one part, and what others took meanwhile is not given back with it.
func TestGiveBackJoined(t *testing.T) {
	r, l := newRig(t, 0), size(t)
	ticket := r.taken(want(l, "acme", 1000))
	r.Pass(900 * time.Millisecond)
	r.taken(want(l, "acme", 8000))
	if !r.Take([]Want{want(l, "acme", 1000)}, ticket).OK || len(ticket.taken) != 1 {
		t.Fatalf("%+v", ticket.taken)
	}
	r.Pass(4100 * time.Millisecond)
	r.Settle(ticket, false, 0)
	if used := r.Explain([]Want{want(l, "acme", 0)})[0].Used; used < 8000-4100 {
		t.Errorf("%d used: the others alone have more", used)
	}
}

// Two goroutines that settle the same ticket settle it once.
func TestSettleOnce(t *testing.T) {
	r := newRig(t, 0)
	l := compile(t, Rule{Name: "places", Measure: Sessions, Amount: 100})
	for range 200 {
		r.taken(want(l, "acme", 1))
		ticket := r.taken(want(l, "acme", 1))
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { r.Settle(ticket, false, 0) })
		}
		both.Wait()
		if c := r.Explain([]Want{want(l, "acme", 1)})[0]; c.Used != 1 {
			t.Fatalf("%d held", c.Used)
		}
		r.Memory = New(Options{Clock: r.Now})
	}
}

// Where a reload has changed the rate between a mail's beginning and its end, what is given back is what was taken, in units: no more where
// the limit was raised, no less where it was lowered, and of octets and shares as well.
func TestGiveBackBehindAReload(t *testing.T) {
	type reload struct{ before, after int64 }
	for _, c := range []reload{{100, 3600}, {3600, 100}, {100, 100}, {360, 120}} {
		for _, fair := range []bool{false, true} {
			rule := func(amount int64) *Limit {
				return compile(t, Rule{Name: "hour", Measure: Messages, Amount: amount, Per: time.Hour, Burst: 400, Fair: fair})
			}
			r, w := newRig(t, 0), func(l *Limit) Want { return Want{Limit: l, Subject: Subject{Of: "acme"}, Member: "acme", N: 1} }
			var open []*Ticket
			for range 100 {
				open = append(open, r.taken(w(rule(c.before))))
			}
			for i, ticket := range open[:60] { // some of them before the reload
				if i >= 50 {
					r.Settle(ticket, true, 0)
				}
			}
			r.taken(w(rule(c.after)))
			for i, ticket := range open {
				r.Settle(ticket, i >= 50, 0)
			}
			if used := r.Explain([]Want{w(rule(c.after))})[0].Used; used != 51 {
				t.Errorf("%+v, fair %t: %d used of 50 delivered mails and one at hand, want 51", c, fair, used)
			}
		}
	}
	r := newRig(t, 0)
	octets := func(amount int64) Want {
		return want(compile(t, Rule{Name: "size", Measure: Octets, Amount: amount, Per: time.Hour, Burst: 100_000}), "acme", 20_000)
	}
	small, large := r.taken(octets(1_000_000)), r.taken(octets(1_000_000))
	r.taken(octets(36_000_000))
	r.Settle(small, true, 5_000)
	r.Settle(large, true, 30_000)
	r.used(octets(36_000_000), 55_000)
}

// size is 1,000 octets a second, 10,000 at once.
func size(t testing.TB) *Limit {
	return compile(t, Rule{Name: "size", Measure: Octets, Amount: 3_600_000, Per: time.Hour, Burst: 10_000})
}

func TestOctets(t *testing.T) {
	r, l := newRig(t, 0), size(t)
	r.Settle(r.taken(want(l, "declared less", 2000)), true, 5000)
	r.used(want(l, "declared less", 0), 5000)
	r.Settle(r.taken(want(l, "declared more", 9000)), true, 5000)
	r.used(want(l, "declared more", 0), 5000)
	r.Settle(r.taken(want(l, "declared nothing", 0)), true, 5000)
	r.used(want(l, "declared nothing", 0), 5000)
	r.Settle(r.taken(want(l, "undelivered", 9000)), false, 4000)
	r.used(want(l, "undelivered", 0), 0)
	r.Settle(r.taken(want(l, "undelivered, undeclared", 0)), false, 4000)
	r.used(want(l, "undelivered, undeclared", 0), 0)
	for _, declared := range []int64{0, 4000, 9000} {
		w := want(l, "spent", declared)
		w.Spent = true
		r.Settle(r.taken(w), false, 5000)
		r.used(w, 5000)
		r.Pass(5 * time.Second)
	}
	r.Settle(r.taken(want(l, "no body", 9000)), false, 0)
	r.used(want(l, "no body", 0), 0)
	r.Settle(r.taken(want(l, "nonsense", -9000)), true, -5000)
	r.used(want(l, "nonsense", 0), 0)

	// More than the burst counts as the burst, and what is beyond becomes a debt.
	ticket := r.taken(want(l, "large", 25_000))
	r.used(want(l, "large", 0), 10_000)
	r.refused(want(l, "large", 0))
	r.Settle(ticket, true, 25_000)
	r.used(want(l, "large", 0), 25_000)
	if v := r.refused(want(l, "large", 0)); v.Wait != 15*time.Second+1 || v.Never {
		t.Errorf("%+v", v)
	}
	if v := r.refused(want(l, "large", 4000)); v.Wait != 19*time.Second {
		t.Errorf("%+v", v)
	}
	r.Pass(15 * time.Second)
	r.refused(want(l, "large", 0))
	r.Pass(1)
	r.taken(want(l, "large", 0))
}

// A debt is waited for no longer than Per, however large the body was.
func TestOctetsDebtIsBounded(t *testing.T) {
	r, l := newRig(t, 0), size(t)
	for _, passed := range []int64{4_000_000, 1 << 40, math.MaxInt64} {
		var tickets []*Ticket
		for range 20 { // all at once: none sees the others' bodies
			tickets = append(tickets, r.taken(want(l, "alice", 0)))
		}
		for _, ticket := range tickets {
			r.Settle(ticket, true, passed)
		}
		if v := r.refused(want(l, "alice", 0)); v.Wait != time.Hour+1 {
			t.Errorf("%d octets: %v", passed, v.Wait)
		}
		r.Pass(time.Hour)
		r.refused(want(l, "alice", 0))
		r.Pass(1)
		r.taken(want(l, "alice", 0))
		r.Pass(time.Hour)
	}
}

// In the long run the rate holds, whatever is declared.
func TestOctetsRate(t *testing.T) {
	r, l := newRig(t, 0), size(t)
	total := int64(0)
	for i := range int64(10_000) {
		ticket := &Ticket{}
		if r.Take([]Want{want(l, "alice", i%3*500)}, ticket).OK {
			delivered := i%5 > 0
			if r.Settle(ticket, delivered, 3000); delivered {
				total += 3000
			}
		}
		r.Pass(time.Second)
	}
	if most := int64(10_000*1000 + 10_000 + 3000); total > most || total < most*9/10 {
		t.Errorf("%d octets, want just below %d", total, most)
	}
}
