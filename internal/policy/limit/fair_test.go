package limit

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"kanmon/test/handclock"
)

// provider is 600 messages an hour from a sending IP to a provider, one every six seconds, 60 at once, shared.
func provider(t testing.TB) *Limit {
	return compile(t, Rule{
		Name: "google", Scope: PerIPProvider, Measure: Messages, Amount: 600, Per: time.Hour, Burst: 60, Fair: true,
	})
}

// grab asks in 400 sessions, one after the other, every 150 ms in all, and settles what it gets as it comes.
func grab(m *Memory, w Want, span time.Duration) (got *atomic.Int64) {
	got = new(atomic.Int64)
	begun := time.Now()
	for i := range 400 {
		go func() {
			time.Sleep(time.Duration(i) * 150 * time.Millisecond)
			for time.Since(begun) < span {
				var ticket Ticket
				if m.Take([]Want{w}, &ticket).OK {
					got.Add(1)
					m.Settle(&ticket, true, 0)
				}
				time.Sleep(time.Minute)
			}
		}()
	}
	return got
}

// Against 400 sessions of another tenant, one session gets its share each time that it asks: when it comes rarely, so that it
// has been forgotten each time, when it comes with some at once, and when it comes as often as its share says.
func TestShare(t *testing.T) {
	for name, c := range map[string]struct {
		every time.Duration
		n     int
	}{
		"rarely":      {25 * time.Minute, 1},
		"some":        {25 * time.Minute, 10},
		"steadily":    {18 * time.Second, 1}, // a third of the rate: n is 2
		"on and off":  {4 * time.Minute, 10},
		"once an age": {70 * time.Minute, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, l := New(Options{}), provider(t)
				const span = 3 * time.Hour
				greedy := grab(m, of(l, "greedy"), span)
				time.Sleep(13 * time.Second)
				modest := 0
				for begun := time.Now(); time.Since(begun) < span-time.Minute; time.Sleep(c.every) {
					for range c.n {
						if v := m.Take([]Want{of(l, "modest")}, &Ticket{}); !v.OK {
							t.Fatalf("after %v and %d: %+v", time.Since(begun), modest, v)
						}
						modest++
					}
				}
				time.Sleep(2 * time.Hour)
				// Nothing is lost by it: together they have the whole rate.
				if all := int(greedy.Load()) + modest; all > 60+1800 || all < 1800-60 {
					t.Errorf("%d and %d, together not about 1,800", greedy.Load(), modest)
				}
			})
		})
	}
}

// A sole member has all of it.
func TestShareOfASoleMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := New(Options{}), provider(t)
		greedy := grab(m, of(l, "greedy"), 5*time.Hour)
		time.Sleep(6 * time.Hour)
		if n := greedy.Load(); n > 60+3000 || n < 3000 {
			t.Errorf("%d, want about 3,000", n)
		}
	})
}

// Many who ask as much as they can get about the same, though one has half of all sessions.
func TestSharesAreEven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := New(Options{}), provider(t)
		const members, span = 9, 10 * time.Hour
		grab(m, of(l, "greedy"), span)
		var got [members]atomic.Int64
		for i := range members {
			go func() {
				for begun := time.Now(); time.Since(begun) < span; time.Sleep(30 * time.Second) {
					if m.Take([]Want{of(l, string(rune('a'+i)))}, &Ticket{}).OK {
						got[i].Add(1)
					}
				}
			}()
		}
		time.Sleep(span + time.Hour)
		for i := range got {
			n := got[i].Load()
			if share := int64(600 * 10 / (members + 2)); n < share*9/10 { // ten members, and the one to come
				t.Errorf("member %d got %d, want %d", i, n, share)
			}
		}
	})
}

// The promise: while the members stay the same, a take within the share is granted, whatever the others do and when.
func TestSharePromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &rig{Clock: handclock.At(start)}
		r.Memory = New(Options{Clock: r.Now})
		l, err := Compile(Rule{
			Name: "shared", Amount: rapid.Int64Range(1, 5000).Draw(t, "amount"), Per: time.Hour,
			Burst: rapid.Int64Range(8, 200).Draw(t, "burst"), Fair: true,
		})
		if err != nil {
			t.Fatalf("%v", err)
		}
		// All have asked, so that n is what it will be; what the first round took is free again.
		n := rapid.IntRange(1, 6).Draw(t, "members")
		for i := range n {
			r.Settle(r.ask(of(l, string(rune('a'+i)))), false, 0)
		}
		if l.reserve < int64(n+1) {
			return // no promise
		}
		cost := l.cost(1) * int64(n+1)
		owes := map[string]time.Time{} // what each has had, by its share: when that will have come back
		last := r.Now()
		for range rapid.IntRange(100, 400).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				r.Pass(time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "pass")))
			default:
				member := string(rune('a' + rapid.IntRange(0, n-1).Draw(t, "member")))
				debt := max(0, int64(owes[member].Sub(r.Now())))
				granted := len(r.ask(of(l, member)).taken) > 0
				if !granted && debt+cost <= l.fullShare {
					t.Fatalf("%s is within its share and refused: %+v", member, r.Explain([]Want{of(l, member)}))
				}
				if granted {
					owes[member] = r.Now().Add(time.Duration(debt + cost))
				}
			}
			if r.Now().Sub(last) > time.Minute { // keep all of them counted
				last = r.Now()
				for i := range n {
					r.Settle(r.ask(of(l, string(rune('a'+i)))), false, 0)
				}
			}
		}
	})
}

// ask takes if it may.
func (r *rig) ask(w Want) *Ticket {
	ticket := &Ticket{}
	r.Take([]Want{w}, ticket)
	return ticket
}

// A member without anything to its name has a share like the others.
func TestShareWithoutName(t *testing.T) {
	r, l := newRig(t, 0), provider(t)
	for r.Take([]Want{of(l, "greedy")}, &Ticket{}).OK {
	}
	r.taken(of(l, ""))
	if c := r.Explain([]Want{of(l, "")})[0]; c.Members != 2 {
		t.Errorf("%+v", c)
	}
}

// With more members than the reserve has units, each that owes nothing gets what comes free before one that has had its share.
func TestShareOfMany(t *testing.T) {
	r, l := newRig(t, 0), compile(t, Rule{Name: "small", Measure: Messages, Amount: 60, Per: time.Hour, Burst: 4, Fair: true})
	grab := func() {
		for r.Take([]Want{of(l, "greedy")}, &Ticket{}).OK {
		}
	}
	grab()
	for i := range 30 {
		member := string(rune('A' + i))
		minutes := 0
		for !r.Take([]Want{of(l, member)}, &Ticket{}).OK && minutes < 10 {
			r.Pass(time.Minute) // one is free, and the other asks first
			grab()
			minutes++
		}
		if minutes > 2 {
			t.Errorf("member %d waits %d minutes", i, minutes)
		}
	}
}

// A share that was given back, or that a Take had no use for because another limit refused, is whole again.
func TestShareGivenBack(t *testing.T) {
	r, l, other := newRig(t, 0), provider(t), hourly(t)
	r.taken(want(other, "alice", 10))
	for r.Take([]Want{of(l, "greedy")}, &Ticket{}).OK {
	}
	for range 20 {
		r.refused(of(l, "modest"), want(other, "alice", 1))
	}
	for range 20 {
		ticket := &Ticket{}
		for range 10 { // a third of the reserve of 30
			if v := r.Take([]Want{of(l, "modest")}, ticket); !v.OK {
				t.Fatalf("%+v", v)
			}
		}
		r.refused(of(l, "modest"))
		r.Settle(ticket, false, 0)
	}
}
