package inspect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// A scanner that says nothing is away behind five messages: nobody waits for it any more. It is pinged each second, and as soon as it answers
// and has a verdict in good time, it is there again. Between these one message of sixteen tries it, and the others do not wait.
func TestAScannerThatSaysNothingIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stopped, silent atomic.Bool
		stopped.Store(true)
		silent.Store(true)
		e := &fake{
			scan: func(ctx context.Context, _ *Mail) event.Scan {
				if stopped.Load() {
					<-ctx.Done()
					return Failed(event.LackUnavailable, "%v", ctx.Err())
				}
				return clean
			},
			ping: func() error {
				if silent.Load() {
					return errors.New("silent")
				}
				return nil
			},
		}
		s := one(e)
		s.AtOnce = 64
		r := room(t, s)
		for range failuresAway {
			began := time.Now()
			if got := r.Inspect(t.Context(), mail("a")); got[0].State != event.ScanFailed || time.Since(began) != s.Within {
				t.Fatalf("%+v after %v", got, time.Since(began))
			}
		}
		expectNoWait := func(when string) event.Scan {
			t.Helper()
			began := time.Now()
			got := r.Inspect(t.Context(), mail("a"))[0]
			if time.Since(began) != 0 || got.State != event.ScanSkipped || got.Lack != event.LackUnavailable {
				t.Errorf("%s: %+v after %v", when, got, time.Since(began))
			}
			return got
		}
		synctest.Wait()
		if why := expectNoWait("away").Why; !strings.HasPrefix(why, "away since 2") {
			t.Errorf("%q", why)
		}
		before := e.pings.Load()
		time.Sleep(10 * time.Second)
		if n := e.pings.Load() - before; n < 9 || n > 11 {
			t.Errorf("%d pings in ten seconds", n)
		}
		if st := r.State()[0]; st.Away.IsZero() || st.Tried {
			t.Errorf("%+v", st)
		}

		silent.Store(false)
		time.Sleep(2 * time.Second)
		var tried sync.WaitGroup
		tried.Go(func() { // the first one tries it, and waits in vain
			if got := r.Inspect(t.Context(), mail("a")); got[0].State != event.ScanFailed {
				t.Errorf("tried: %+v", got)
			}
		})
		synctest.Wait()
		for range 40 {
			expectNoWait("tried")
		}
		tried.Wait()
		synctest.Wait()
		if st := r.State()[0]; st.Away.IsZero() || !st.Tried {
			t.Errorf("%+v", st)
		}

		stopped.Store(false)
		waited := 0
		for r.Inspect(t.Context(), mail("a"))[0].State != event.Scanned {
			if waited++; waited > oneOf {
				t.Fatal("nobody tries it")
			}
		}
		for range 20 {
			if got := r.Inspect(t.Context(), mail("a")); got[0].State != event.Scanned {
				t.Errorf("there again: %+v", got)
			}
		}
		if st := r.State()[0]; !st.Away.IsZero() {
			t.Errorf("%+v", st)
		}
		time.Sleep(3 * time.Second)
		before = e.pings.Load()
		time.Sleep(time.Minute)
		if n := e.pings.Load() - before; n != 0 {
			t.Errorf("%d pings more", n)
		}
	})
}

// Those who wait for a place do not wait for one at a scanner that has gone away meanwhile.
func TestNobodyWaitsForAPlaceAtAScannerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := one(takes(2*time.Second, Failed(event.LackUnavailable, "refused")))
		s.AtOnce = 5
		r := room(t, s)
		var all sync.WaitGroup
		var skipped atomic.Int32
		for range 50 {
			all.Go(func() {
				began := time.Now()
				got := r.Inspect(t.Context(), mail("a"))
				if got[0].Lack != event.LackUnavailable {
					t.Errorf("%+v", got)
				}
				if got[0].State == event.ScanSkipped && time.Since(began) == 2*time.Second {
					skipped.Add(1)
				}
			})
		}
		all.Wait()
		if n := skipped.Load(); n < 50-2*5 { // the first failures have given places to some more
			t.Errorf("%d have not waited", n)
		}
	})
}

// A scanner that answers everything, but half of it late, is away too.
func TestAScannerThatIsSlowIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room(t, one(takes(9*time.Second, clean)))
		n := 0
		for ; r.State()[0].Away.IsZero(); n++ {
			r.Inspect(t.Context(), mail("a"))
			if n > samples {
				t.Fatal("it is there")
			}
		}
		if n != fewSamples || !strings.Contains(r.State()[0].Why, "half of the scans") {
			t.Errorf("behind %d: %+v", n, r.State()[0])
		}
	})
}

// That a scanner is busy, that a message is too large or cannot be put to it, says nothing against the scanner.
func TestWhatIsNoFailureOfTheScanner(t *testing.T) {
	for _, lack := range []event.Lack{event.LackBusy, event.LackTooLarge, event.LackUnfit} {
		r := room(t, one(says(Failed(lack, "so"))))
		for range 3 * failuresAway {
			r.Inspect(t.Context(), mail("a"))
		}
		if st := r.State()[0]; !st.Away.IsZero() {
			t.Errorf("%v: %+v", lack, st)
		}
	}
}

// One tenant whose messages make scans fail takes the scanner from nobody else; where all fail, it is away.
func TestOneTenantDoesNotDriveAScannerAway(t *testing.T) {
	for _, c := range []struct {
		name string
		fail map[string]bool
		ping error
		away bool
	}{
		{"one of two", map[string]bool{"bad": true}, nil, false},
		{"both", map[string]bool{"bad": true, "good": true}, nil, true},
		{"one of two, and it answers no ping", map[string]bool{"bad": true}, errors.New("silent"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fake{scan: func(ctx context.Context, m *Mail) event.Scan {
					if c.fail[m.Tenant] {
						return takes(12*time.Second, Failed(event.LackUnavailable, "incomplete")).scan(ctx, m)
					}
					return clean
				}, ping: func() error { return c.ping }}
				s := one(e)
				s.AtOnce = 64
				r := room(t, s)
				r.Inspect(t.Context(), mail("good"))
				var all sync.WaitGroup
				for range 2 * samples {
					all.Go(func() { r.Inspect(t.Context(), mail("bad")) })
				}
				all.Wait()
				synctest.Wait() // for the answer to the ping
				r.Inspect(t.Context(), mail("good"))
				if away := !r.State()[0].Away.IsZero(); away != c.away {
					t.Errorf("away: %v", away)
				}
			})
		})
	}
}

// Where another upstream is there, one that is away takes nothing but the tries.
func TestAnotherUpstreamTakesTheWholeOfIt(t *testing.T) {
	bad, good := says(Failed(event.LackUnavailable, "refused")), says(clean)
	bad.ping = func() error { return errors.New("refused") }
	r := room(t, one(good, bad))
	for range 50 {
		if got := r.Inspect(t.Context(), mail("a")); got[0].State != event.Scanned {
			t.Errorf("%+v", got)
		}
	}
	if n := bad.scans.Load(); n != failuresAway {
		t.Errorf("%d scans by the one that is away", n)
	}
	if st := r.State()[0]; !st.Away.IsZero() {
		t.Errorf("%+v", st)
	}
}

// Tenants get places in turns: one's thousand messages do not stand before another one's first, and it has no more than its part.
func TestTenantsGetPlacesInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := one(takes(time.Second, clean))
		s.AtOnce = 8
		r := room(t, s)
		var all sync.WaitGroup
		var busy, scanned atomic.Int32
		for range 1000 {
			all.Go(func() {
				if got := r.Inspect(t.Context(), mail("flood"))[0]; got.Lack == event.LackBusy {
					busy.Add(1)
				} else {
					scanned.Add(1)
				}
			})
		}
		synctest.Wait()
		for range 6 {
			began := time.Now()
			if got := r.Inspect(t.Context(), mail("other")); got[0].State != event.Scanned || time.Since(began) > 2*time.Second {
				t.Errorf("%+v after %v", got, time.Since(began))
			}
		}
		all.Wait()
		if busy.Load() == 0 || scanned.Load() < 4*5 || busy.Load()+scanned.Load() != 1000 {
			t.Errorf("%d busy, %d scanned", busy.Load(), scanned.Load())
		}
		if taken, waiting := r.scanners[0].places.count(); taken != 0 || waiting != 0 || len(r.scanners[0].places.turns.of) != 0 {
			t.Errorf("%d taken, %d waiting", taken, waiting)
		}
	})
}

// While others want places, a tenant has an equal part of them, and two at least.
func TestATenantsPartOfThePlaces(t *testing.T) {
	for _, c := range []struct{ most, tenants, part int }{{8, 1, 8}, {8, 2, 4}, {8, 4, 2}, {8, 8, 2}, {1, 2, 1}} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlaces(c.most)
			var all sync.WaitGroup
			ctx, cancel := context.WithCancel(t.Context())
			hold := make(chan struct{})
			begin := func(tenant string) {
				all.Go(func() {
					if p.take(ctx, tenant, time.Hour) == nil {
						<-hold
						p.give(tenant)
					}
				})
			}
			for range 10 { // whoever was there first had all, and gives one back each time
				begin("0")
			}
			synctest.Wait()
			for i := 1; i < c.tenants; i++ {
				for range 10 {
					begin(fmt.Sprint(i))
				}
			}
			for range 30 {
				synctest.Wait()
				p.mu.Lock()
				for tenant, n := range p.held {
					if tenant != "0" && n > c.part && p.turns.has("0") {
						t.Errorf("%+v: %d of %s", c, n, tenant)
					}
				}
				p.mu.Unlock()
				select {
				case hold <- struct{}{}:
				default:
				}
			}
			cancel()
			close(hold)
			all.Wait()
			if p.taken != 0 || len(p.held) != 0 || p.waiting.All() != 0 {
				t.Errorf("%+v: %d taken, %d waiting", c, p.taken, p.waiting.All())
			}
		})
	}
}
