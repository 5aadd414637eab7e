package standing

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// coherent checks what holds of a Book at every moment.
func coherent(t testing.TB, b *Book) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	entries, queued := 0, 0
	for ip, at := range b.ips {
		if at.whole == nil && len(at.keys) == 0 {
			t.Fatalf("%v is kept for nothing", ip)
		}
		for provider, e := range at.keys {
			if e.IP != ip || e.Provider != provider {
				t.Fatalf("%v is at %v %s", e.Key, ip, provider)
			}
			entries++
			sound(t, b, e)
		}
		if at.whole != nil {
			entries++
		}
	}
	for r := range ranks {
		for place := range b.queues[r].All() {
			e := place.Value
			queued++
			if e.rank != r || e.place != place || e.rankNow() != r || b.entry(e.Key) != e {
				t.Fatalf("%v is in the wrong queue", e.Key)
			}
			if place.Owner() != "" && !e.strange() {
				t.Fatalf("%v is %s's", e.Key, place.Owner())
			}
		}
	}
	if entries != b.count || queued != b.count {
		t.Fatalf("%d entries, %d queued, count %d", entries, queued, b.count)
	}
}

// sound checks what holds of a standing in every state.
func sound(t testing.TB, b *Book, e *entry) {
	t.Helper()
	share := e.Share == 0
	switch e.State {
	case Active:
		share = e.Share == 1
	case Slowed:
		share = e.Share > 0 && e.Share < 1
	}
	timed := e.State == Slowed || e.State == Suspended || e.State == Probing
	longest := b.policy(e.Provider).Longest
	if e.byHand() {
		longest = b.policy(e.Provider).HandLongest
	}
	if !share || timed == e.Until.IsZero() || timed && e.Until.Sub(e.Since) > longest || e.Strikes < 0 {
		t.Fatalf("unsound: %+v", e.Standing)
	}
	if len(e.seen) > maxSeen || len(e.Lists) > maxLists || len(e.Sample) > maxSample {
		t.Fatalf("unbounded: %+v", e.Standing)
	}
}

// A million refusals, of as many providers, tenants and destinations as a stranger can think of.
func TestMemoryIsBounded(t *testing.T) {
	const keys = 1000
	store := &memory{}
	r := newRig(t, Options{MaxKeys: keys, Store: store, Check: hangs{}})
	r.Observe(listing("google"))
	store.setDead(true)
	long := strings.Repeat("x", maxSample+1)
	rnd := rand.New(rand.NewPCG(1, 2))
	heap := uint64(0)
	for i := range 1_000_000 {
		ev := Evidence{
			IP:       netip.AddrFrom4([4]byte{203, 0, 113, byte(rnd.IntN(4))}),
			Provider: fmt.Sprint("mx:", rnd.IntN(200_000), ".example"), Tenant: fmt.Sprint(rnd.IntN(1000)),
			Destination: fmt.Sprint(rnd.Uint64()), Class: event.IPBlocklisted, Scope: event.ScopeIP, Suspend: event.SuspendYes, Rule: "listed", Sample: long,
			Lists: []List{{Name: fmt.Sprint(rnd.Uint64()), Zone: fmt.Sprint(rnd.Uint64(), ".example"), Weight: event.WeightStrong}},
		}
		if rnd.IntN(2) == 0 {
			ev.Suspend = event.SuspendMay
		}
		r.Observe(ev)
		if i%50_000 == 0 {
			r.Pass(time.Minute)
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			heap = max(heap, m.HeapAlloc)
			coherent(t, r.Book)
		}
	}
	b := r.Book
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count > keys || len(b.dirty) > 3*keys || len(b.checks.known) > maxChecks {
		t.Errorf("%d keys, %d to be written, %d checks", b.count, len(b.dirty), len(b.checks.known))
	}
	t.Logf("heap at most %d KB for %d keys", heap>>10, b.count)
	if heap > keys*8<<10+8<<20 {
		t.Errorf("heap %d MB", heap>>20)
	}
	// A provider with a name is not what is forgotten.
	if e := b.entry(key("google")); e == nil || e.State != Suspended {
		t.Error("google was forgotten")
	}
}

// A flood of strangers that are suspended leaves room for evidence about others.
func TestStrangersLeaveRoom(t *testing.T) {
	r := newRig(t, Options{MaxKeys: 100})
	if err := r.Stop(key("mx:by-hand"), "", ""); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		r.Observe(listing(fmt.Sprint("mx:", i)))
	}
	for i := range 3 {
		r.Observe(doubt("google", fmt.Sprint("t", i), fmt.Sprint("d", i)))
		for n := range 20 {
			r.Observe(doubt(fmt.Sprint("mx:quiet", n), "acme", "example.net"))
			r.Observe(listing(fmt.Sprint("mx:more", i, n)))
		}
	}
	r.want(key("google"), Suspended, 0, 30*time.Minute)
	r.want(key("mx:by-hand"), Stopped, 0, 0)
	coherent(t, r.Book)
}

func TestOldKeysAreForgotten(t *testing.T) {
	r := suspended(t, Options{})
	r.Observe(doubt("yahoo", "acme", "example.net"))
	for _, c := range []struct {
		wait          time.Duration
		google, yahoo bool
	}{{24*time.Hour - time.Second, true, true}, {time.Second, true, false}, {29*24*time.Hour - time.Second, true, false}, {time.Second, false, false}} {
		r.Pass(c.wait)
		r.Observe(doubt("mx:"+r.Now().String(), "acme", "example.net"))
		coherent(t, r.Book)
		if google, yahoo := r.entry(key("google")) != nil, r.entry(key("yahoo")) != nil; google != c.google || yahoo != c.yahoo {
			t.Errorf("after %v: google %v, yahoo %v", r.Now().Sub(start), google, yahoo)
		}
	}
}

// What was forgotten for want of room goes out of the store, too.
func TestForgottenKeysLeaveTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		r := newRig(t, Options{MaxKeys: 10, Store: store, Clock: time.Now})
		for i := range 100 {
			ev := listing(fmt.Sprint("mx:", i))
			ev.Tenant = fmt.Sprint("t", i)
			r.Observe(ev)
			time.Sleep(SaveEvery)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if len(store.rows) != 10 {
			t.Errorf("%d rows", len(store.rows))
		}
	})
}

func TestDeadStoreIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		store.setDead(true)
		r := newRig(t, Options{Store: store, Clock: time.Now})
		r.Observe(listing("google"))
		time.Sleep(time.Hour)
		r.wantMay(key("google"), No)
		if n := store.setDead(false); n < 50 || n > 70 { // once a minute
			t.Errorf("%d attempts in an hour", n)
		}
		time.Sleep(time.Minute)
		store.mu.Lock()
		s := store.rows[key("google")]
		store.mu.Unlock()
		if s.State != Suspended {
			t.Errorf("not written: %+v", s)
		}
		store.setDead(true)
		r.Observe(listing("yahoo"))
		if err := r.Close(); err == nil {
			t.Error("nothing said of what was not written")
		}
	})
}

// A disk that takes a second for each batch is slow, not dead: what there is is written, however long it takes.
func TestSlowStoreIsWaitedForWhileItTakesStandings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{takes: time.Second}
		r := newRig(t, Options{Store: store, Clock: time.Now})
		const keys = 20 * saveBatch // 20 s: more than Close waits for a dead one
		for i := range keys {
			ev := listing(fmt.Sprint("mx:", i))
			ev.Tenant = fmt.Sprint("t", i)
			r.Observe(ev)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if len(store.rows) < keys {
			t.Errorf("%d of %d rows", len(store.rows), keys)
		}
	})
}

// Everything at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	r := newRig(t, Options{MaxKeys: 50, Store: &memory{}, Check: &zones{}, Settings: Settings{Neighbours: []netip.Addr{ours, beside, elsewhere}}})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 0))
			for range 2000 {
				k := Key{[]netip.Addr{ours, beside, elsewhere}[rnd.IntN(3)], fmt.Sprint("mx:", rnd.IntN(40))}
				switch rnd.IntN(10) {
				case 0, 1:
					ev := naming(listing(k.Provider), sbl)
					ev.IP = k.IP
					ev.Scope = []event.Scope{event.ScopeIP, event.ScopeNetblock}[rnd.IntN(2)]
					r.Observe(ev)
				case 2, 3:
					r.Succeeded(k, "acme")
				case 4:
					r.Abandon(k, rnd.Uint64N(100))
				case 5:
					r.List()
					r.Show(k)
				case 6:
					_ = r.Suspend(k, r.Now().Add(time.Minute), "", "")
					_ = r.Resume(k, "")
				case 7:
					r.Pass(time.Minute)
				default:
					r.May(k)
				}
			}
		})
	}
	wg.Wait()
	coherent(t, r.Book)
}

func TestPolicyIsChecked(t *testing.T) {
	for i, spoil := range []func(*Numbers){
		func(p *Numbers) { p.Listed.Replies = 0 }, func(p *Numbers) { p.Refused.Tenants = 65 },
		func(p *Numbers) { p.Throttled.Within = 0 }, func(p *Numbers) { p.Longest = time.Minute },
		func(p *Numbers) { p.ProbeRetry = 0 }, func(p *Numbers) { p.ThrottleFactor = 1 }, func(p *Numbers) { p.NeighbourShare = 0 },
		func(p *Numbers) { p.RefusedPart = 2 }, func(p *Numbers) { p.Restore = nil }, func(p *Numbers) { p.Restore = []float64{0.3, 0.1} },
		func(p *Numbers) { p.Restore = []float64{0.3, 1} }, func(p *Numbers) { p.ThrottleSettle = -1 }, func(p *Numbers) { p.RestoreSuccesses = -1 },
	} {
		p := DefaultNumbers()
		spoil(p)
		if _, err := New(Options{Settings: Settings{Numbers: p}}); err == nil {
			t.Errorf("policy %d was taken", i)
		}
		if _, err := New(Options{Settings: Settings{Providers: map[string]*Numbers{"google": p, "yahoo": nil}}}); err == nil {
			t.Errorf("policy %d was taken for a provider", i)
		}
	}
}

func BenchmarkMay(b *testing.B) {
	r := newRig(b, Options{Clock: time.Now})
	for i := range DefaultMaxKeys - 3 {
		ev := listing(fmt.Sprint("mx:", i))
		ev.IP = elsewhere
		r.Observe(ev)
	}
	r.Observe(listing("suspended"))
	r.Observe(tooFast("slowed"))
	r.Observe(tooFast("slowed"))
	for _, provider := range []string{"active", "suspended", "slowed"} {
		b.Run(provider, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.May(key(provider))
			}
		})
		b.Run(provider+"-parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r.May(key(provider))
				}
			})
		})
	}
}

func TestMayDoesNotAllocate(t *testing.T) {
	r := suspended(t, Options{Clock: time.Now})
	r.Observe(tooFast("slowed"))
	r.Observe(tooFast("slowed"))
	for _, provider := range []string{"active", "google", "slowed"} {
		if n := testing.AllocsPerRun(100, func() { r.May(key(provider)); r.Succeeded(key("active"), "acme") }); n != 0 {
			t.Errorf("%s: %v allocations", provider, n)
		}
	}
}

// A tenant with MXs and domains of its own, of which each suspends our IPs, costs no other tenant a standing, not even at an MX
// that nobody knows, and itself none of a provider with a name.
func TestATenantHasItsPartOfTheKeys(t *testing.T) {
	const keys = 400
	r := newRig(t, Options{MaxKeys: keys})
	for i := range keys / 8 {
		ev := listing(fmt.Sprint("mx:honest", i))
		ev.Tenant = "honest"
		r.Observe(ev)
	}
	ev := listing("google")
	ev.Tenant = "evil"
	r.Observe(ev)
	for i := range 20 * keys {
		ev := listing(fmt.Sprint("mx:evil", i/2))
		if ev.Tenant = "evil"; i%2 == 1 {
			ev.Provider, ev.Place = "office365", fmt.Sprint("evil", i, ".example")
		}
		ev.Witness = "evil.example"
		r.Observe(ev)
		r.Pass(time.Second)
	}
	for i := range keys / 8 {
		if s, _ := r.Show(key(fmt.Sprint("mx:honest", i))); s.State != Suspended {
			t.Fatalf("%v", s)
		}
	}
	if s, _ := r.Show(key("google")); s.State != Suspended {
		t.Errorf("%v", s)
	}
	coherent(t, r.Book)
	if n := len(r.List()); n > keys {
		t.Errorf("%d standings", n)
	}
}

// Tenants come one after the other, make as many keys as they can, and send no more; or a restart has left as many to nobody. Who comes late has
// his part all the same: an IP that his MXs have listed is suspended there.
func TestALateTenantHasItsPartOfTheKeys(t *testing.T) {
	const keys, late = 1000, 40
	fill := func(r *rig, tenant string, keys int) {
		for i := range keys {
			ev := listing(fmt.Sprint("mx:", tenant, i))
			ev.Tenant = tenant
			r.Observe(ev)
		}
	}
	for name, full := range map[string]func(*testing.T) *rig{
		"twelve tenants": func(t *testing.T) *rig {
			r := newRig(t, Options{MaxKeys: keys})
			for tenant := range 12 {
				fill(r, fmt.Sprint("tenant", tenant), keys+200)
			}
			return r
		},
		"a restart": func(t *testing.T) *rig {
			store := &memory{}
			before := newRig(t, Options{MaxKeys: keys, Store: store})
			fill(before, "tenant", keys)
			if err := before.Close(); err != nil {
				t.Fatal(err)
			}
			return newRig(t, Options{MaxKeys: keys, Store: store})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := full(t)
			fill(r, "late", late)
			for i := range late {
				if s, _ := r.Show(key(fmt.Sprint("mx:late", i))); s.State != Suspended {
					t.Fatalf("%d of %d: %v", i, late, s)
				}
			}
			coherent(t, r.Book)
		})
	}
}
