package limit

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"kanmon/test/handclock"
)

func places(t testing.TB, n int64, fair bool) *Limit {
	return compile(t, Rule{Name: "places", Scope: PerIPProvider, Measure: Sessions, Amount: n, Fair: fair})
}

func of(l *Limit, member string) Want {
	return Want{Limit: l, Subject: Subject{"203.0.113.10", "google"}, Member: member, N: 1}
}

func TestSessions(t *testing.T) {
	r, l := newRig(t, 0), places(t, 3, false)
	var tickets []*Ticket
	for range 3 {
		tickets = append(tickets, r.taken(of(l, "acme")))
	}
	if v := r.refused(of(l, "acme")); v.Wait != sessionWait || v.Used != 3 || v.Max != 3 {
		t.Errorf("%+v", v)
	}
	r.Pass(100 * time.Hour) // a session does not run out
	r.refused(of(l, "acme"))
	r.Settle(tickets[0], true, 0)
	r.Settle(tickets[0], true, 0)
	tickets[0] = r.taken(of(l, "acme"))
	r.refused(of(l, "acme"))
	for _, ticket := range tickets {
		r.Settle(ticket, false, 0)
	}
	r.used(of(l, "acme"), 0)
	many := of(l, "acme")
	many.N = 4
	if v := r.refused(many); !v.Never {
		t.Errorf("%+v", v)
	}
}

// A refused Take leaves no session behind, of a fair limit neither.
func TestSessionsAllOrNothing(t *testing.T) {
	r := newRig(t, 0)
	plain, fair := places(t, 8, false), compile(t, Rule{Name: "fair", Measure: Sessions, Amount: 8, Fair: true})
	l := hourly(t)
	r.taken(want(l, "alice", 10))
	for range 50 {
		r.refused(of(plain, "acme"), of(fair, "acme"), want(l, "alice", 1), of(fair, "acme"))
	}
	r.used(of(plain, "acme"), 0)
	r.used(of(fair, "acme"), 0)
	if n := r.room(of(fair, "acme")); n != 7 {
		t.Errorf("room for %d", n)
	}
	if n := r.room(of(fair, "acme")); n != 7 {
		t.Errorf("room for %d the second time", n)
	}
}

// A refused Take does not move a session from the reserve to where others want to be, or back.
func TestSessionsRefusedMoveNothing(t *testing.T) {
	r, l, other := newRig(t, 0), places(t, 20, true), hourly(t)
	r.taken(want(other, "alice", 10))
	var tickets []*Ticket
	for range 15 {
		tickets = append(tickets, r.taken(of(l, "greedy")))
	}
	r.taken(of(l, "modest"))
	for _, ticket := range tickets[:5] {
		r.Settle(ticket, true, 0)
	}
	for range 5 {
		r.refused(of(l, "modest"), want(other, "alice", 1))
	}
	s, w := &r.shards[r.place(of(l, "").Subject)], of(l, "modest")
	if share, over := s.entries[w.shareKey()].share, s.entries[w.key()].pool.over; share != 1 || over != 10 {
		t.Errorf("%d of the reserve, %d others", share, over)
	}
}

// What a sole member gets of a fair limit, as the package comment says; and then there is a place for who comes next.
func TestSessionsOfASoleMember(t *testing.T) {
	for amount, most := range map[int64]int{2: 1, 5: 4, 20: 17, 100: 87} {
		r, l := newRig(t, 0), places(t, amount, true)
		for range most {
			r.taken(of(l, "greedy"))
		}
		r.refused(of(l, "greedy"))
		r.taken(of(l, "modest"))
	}
}

// One tenant tries to get every place that becomes free; the other comes now and then with one session.
func TestSessionsAreShared(t *testing.T) {
	for _, amount := range []int64{2, 5, 20, 100} {
		synctest.Test(t, func(t *testing.T) {
			m, l := New(Options{}), places(t, amount, true)
			for i := range 400 {
				go func() {
					for step := range 300 {
						ticket := &Ticket{}
						if m.Take([]Want{of(l, "greedy")}, ticket).OK {
							time.Sleep(time.Duration(1+(i*step)%17) * time.Second)
							m.Settle(ticket, true, 0)
						}
						time.Sleep(time.Second)
					}
				}()
			}
			synctest.Wait()
			for i := range 30 {
				time.Sleep(time.Duration(i) * time.Second) // up to half a minute; without it for so long that it is forgotten
				if i%15 == 14 {
					time.Sleep(2 * shareWindow)
				}
				ticket := &Ticket{}
				if v := m.Take([]Want{of(l, "modest")}, ticket); !v.OK {
					t.Fatalf("of %d: the %d. session is refused: %+v", amount, i, v)
				}
				time.Sleep(5 * time.Second)
				m.Settle(ticket, true, 0)
			}
			time.Sleep(4 * time.Hour)
		})
	}
}

// Whatever is taken and settled: never more than the limit, and at the end all of it is free.
func TestSessionsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &rig{Clock: handclock.At(start)}
		r.Memory = New(Options{Clock: r.Now})
		amount := rapid.Int64Range(2, 30).Draw(t, "amount")
		fair, err := Compile(Rule{Name: "fair", Measure: Sessions, Amount: amount, Fair: true})
		if err != nil {
			t.Fatalf("%v", err)
		}
		var open []*Ticket
		held := int64(0)
		for range rapid.IntRange(50, 150).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				r.Pass(time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute)
			case 1:
				if len(open) > 0 {
					i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
					held -= open[i].taken[0].units
					r.Settle(open[i], rapid.Bool().Draw(t, "delivered"), 0)
					open = append(open[:i], open[i+1:]...)
				}
			default:
				w, ticket := of(fair, rapid.SampledFrom([]string{"a", "b", "c", ""}).Draw(t, "member")), &Ticket{}
				w.N = rapid.Int64Range(1, 3).Draw(t, "n")
				if r.Take([]Want{w}, ticket).OK {
					held += w.N
					open = append(open, ticket)
				}
			}
			c := r.Explain([]Want{of(fair, "a")})[0]
			if c.Used != held || held > amount {
				t.Fatalf("%d held, %d counted, of %d", held, c.Used, amount)
			}
		}
		for _, ticket := range open {
			r.Settle(ticket, true, 0)
		}
		s := &r.shards[r.place(of(fair, "").Subject)]
		for k, e := range s.entries {
			if e.held != 0 || e.share != 0 || e.pins != 0 || e.pool != nil && (e.pool.over != 0 || e.pool.holders != 0) {
				t.Fatalf("left of %v: %+v, %+v", k, e, e.pool)
			}
		}
	})
}
