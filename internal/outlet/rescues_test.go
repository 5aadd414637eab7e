package outlet

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
)

// However rescues fall, there are never more than so many within an hour.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, step := range []time.Duration{time.Second, 7 * time.Second, time.Minute, 179 * time.Second, 4 * time.Minute, 31 * time.Minute, 5 * time.Hour} {
			var b budget
			var taken []time.Time
			for range 3000 {
				if time.Sleep(step); b.take(time.Now(), 20) {
					taken = append(taken, time.Now())
				}
			}
			for i := 20; i < len(taken); i++ {
				if taken[i].Sub(taken[i-20]) < time.Hour {
					t.Fatalf("every %s: 21 within %s", step, taken[i].Sub(taken[i-20]))
				}
			}
			if most := int(3000 * step / (66 * time.Minute) * 20); len(taken) < min(most, 3000) {
				t.Errorf("every %s: %d taken of %d that there was room for", step, len(taken), most)
			}
		}
	})
}

// Sessions that a suspension has overtaken are helped without being counted, each once.
//
// law: I19
func TestSessionsUnderWayDoNotCount(t *testing.T) {
	o := newOutlet(t, threeIPs)
	for i := range 200 {
		if j := o.judged(with(listed(1, first, ""), sender)); !j.Rescue {
			t.Fatalf("session %d under way: %+v", i, j)
		}
	}
	again := with(with(listed(1, first, ""), sender), func(r *refused) { r.Again = true })
	rescued := 0
	for range 200 {
		if o.judged(again).Rescue {
			rescued++
		}
	}
	if rescued != 19 { // the first of all made the suspension, and counted
		t.Errorf("%d sessions went on to a third IP", rescued)
	}
	heedless := newOutlet(t, threeIPs.handling(noSuspending))
	rescued = 0
	for range 200 {
		if heedless.judged(listed(1, first, "b@example.net")).Rescue {
			rescued++
		}
	}
	if rescued != 20 {
		t.Errorf("suspensions are not heeded, and %d of 200 are rescued", rescued)
	}
}

// The number of an hour is the operator's, for each route.
func TestRescuesPerHourAreConfigured(t *testing.T) {
	perHour := func(n int) func(*Handling) { return func(h *Handling) { h.PerHour = n } }
	g := threeIPs.handling(noSuspending).handling(perHour(3)).
		route(route.Route{RecipientDomains: []string{"few.example"}}, perHour(1)).
		route(route.Route{RecipientDomains: []string{"none.example"}}, perHour(0))
	for to, want := range map[string]int{"x@example.net": 3, "x@few.example": 1, "x@none.example": 0} {
		o, rescued := newOutlet(t, g), 0
		for range 10 {
			if o.judged(listed(1, first, to)).Rescue {
				rescued++
			}
		}
		if rescued != want {
			t.Errorf("%s: %d rescued, want %d", to, rescued, want)
		}
	}
}

// Where the mail cannot be said again there is no rescue, and none is counted.
//
// law: I19
func TestARescueThatCannotBeDoesNotCount(t *testing.T) {
	o := newOutlet(t, threeIPs.handling(noSuspending).handling(func(h *Handling) { h.PerHour = 1 }))
	for range 3 {
		o.judged(with(listed(1, first, "b@example.net"), func(r *refused) { r.Unkept = true }))
	}
	if j := o.judged(listed(1, first, "b@example.net")); !j.Rescue {
		t.Errorf("%+v", j)
	}
}

// What a tenant makes kanmon remember is bounded, and is not at the others' expense.
func TestWhatIsRememberedOfRescuesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newOutlet(t, threeIPs).rescues
		for i := range 10 * rescuesOfTenant {
			name := fmt.Sprint("mx:", i)
			r.take(spending{tenant: "acme", provider: name}, 20)
			r.remember("acme", standing.Key{IP: first, Provider: name})
		}
		if r.budgets != rescuesOfTenant || r.turned.Load() != rescuesOfTenant {
			t.Errorf("%d and %d are remembered of one tenant", r.budgets, r.turned.Load())
		}
		if r.take(spending{tenant: "acme", provider: "one more"}, 20) || !r.take(spending{tenant: "beta", provider: "google"}, 20) {
			t.Error("who cannot be counted is rescued, or another tenant is not")
		}
		for i := range 3 * rescuesOfAll {
			r.take(spending{tenant: fmt.Sprint("t", i), provider: "google"}, 20)
			r.remember(fmt.Sprint("t", i), standing.Key{IP: first, Provider: "google"})
		}
		if r.budgets > rescuesOfAll || r.turned.Load() > rescuesOfAll || len(r.tenants) > 2*rescuesOfAll {
			t.Errorf("%d, %d of %d tenants are remembered", r.budgets, r.turned.Load(), len(r.tenants))
		}
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if !r.take(spending{tenant: "late", provider: "google"}, 20) || r.budgets > 2 {
			t.Errorf("%d are remembered for ever", r.budgets)
		}
	})
}
