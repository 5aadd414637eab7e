package sts

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/outlet/trust/sts/ststest"
	"kanmon/test/handclock"
)

// A zone is the DNS as a test says it is.
type zone struct {
	clock *handclock.Clock
	mu    sync.Mutex
	texts map[string]Texts // by name; none: there are no records
	addrs map[string][]netip.Addr
	asked map[string]int
	by    map[string]int
	life  time.Duration // of answers
	hang  chan struct{} // closed: answers come again
}

func (z *zone) Texts(ctx context.Context, name string, by func() string) Texts {
	owner := by() // takes the keeper's lock: never with this one held
	z.mu.Lock()
	z.asked[name]++
	z.by[owner]++
	t, known := z.texts[name]
	hang := z.hang
	z.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return Texts{Err: ctx.Err(), Until: z.clock.Now().Add(30 * time.Second)}
		}
	}
	if !known {
		t = Texts{Answered: true}
	}
	t.Until = z.clock.Now().Add(z.life)
	return t
}

// somewhere is an address of the public Internet, to which nothing is sent.
var somewhere = netip.MustParseAddr("11.1.2.3")

func (z *zone) Addresses(_ context.Context, name string, _ func() string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if addrs, known := z.addrs[name]; known {
		return addrs, nil
	}
	return []netip.Addr{somewhere}, nil
}

func (z *zone) set(domain string, t Texts) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.texts[recordPrefix+domain] = t
}

func (z *zone) fail(domain string) { z.set(domain, Texts{Err: errors.New("SERVFAIL")}) }

func (z *zone) remove(domain string) { z.set(domain, Texts{Answered: true}) }

func (z *zone) questions(domain string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[recordPrefix+domain]
}

// A rig is a Keeper between a zone and policy hosts, with a clock that the test turns.
type rig struct {
	*testing.T
	clock   *handclock.Clock
	zone    *zone
	hosts   *ststest.Server
	options Options
}

func newRig(t *testing.T) *rig {
	t.Helper()
	clock := handclock.At(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC))
	z := &zone{clock: clock, texts: map[string]Texts{}, addrs: map[string][]netip.Addr{}, asked: map[string]int{}, by: map[string]int{}, life: time.Minute}
	hosts := ststest.New(t)
	return &rig{t, clock, z, hosts, Options{Resolver: z, Roots: hosts.Roots(), Dial: hosts.Dial, Clock: clock.Now}}
}

func (r *rig) open() *Keeper {
	r.Helper()
	k, err := New(r.options)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = k.Close() })
	return k
}

// record says that a domain has a policy, with this id.
func (r *rig) record(domain, id string) {
	r.zone.set(domain, Texts{Answered: true, All: []string{"v=STSv1; id=" + id + ";"}})
}

// publish says which policy a domain has.
func (r *rig) publish(domain, id, mode string, age time.Duration, mxs ...string) {
	r.Helper()
	r.record(domain, id)
	r.hosts.Set(domain, ststest.Host{Text: ststest.Policy(mode, age, mxs...)})
}

// look returns what is known of a domain in the end.
func (r *rig) look(k *Keeper, domain, by string) Found {
	r.Helper()
	f, wait := k.Look(domain, by)
	if wait == nil {
		return f
	}
	r.await(wait)
	f, wait = k.Look(domain, by)
	if wait != nil {
		r.Fatalf("%s: looked up, and nothing is known", domain)
	}
	return f
}

func (r *rig) await(c <-chan struct{}) {
	r.Helper()
	select {
	case <-c:
	case <-time.After(50 * time.Second):
		r.Fatal("not within 50 s")
	}
}

// quiet waits until nothing is under way.
func (r *rig) quiet(k *Keeper) {
	r.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if k.Sizes().Lookups == 0 {
			return
		}
		if time.Now().After(end) {
			r.Fatalf("%+v within 20 s", k.Sizes())
		}
	}
}

func (r *rig) wantPolicy(f Found, mode Mode, id string, mxs ...string) {
	r.Helper()
	if f.Policy == nil || !f.Known || f.Policy.Mode != mode || f.Policy.ID != id || strings.Join(f.Policy.MX, " ") != strings.Join(mxs, " ") {
		r.Fatalf("found %+v (%+v), want %s %s of %v", f, f.Policy, mode, id, mxs)
	}
}

// kept returns what is shown of a domain with a policy.
func (r *rig) kept(k *Keeper, domain string) (one Kept) {
	r.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.find(domain)
	if !e.holds(k.now()) {
		r.Fatalf("%s has no policy", domain)
	}
	return Kept{Domain: domain, Found: e.found(k.now()), Stays: e.units > 0}
}

// A diskOfTest is a [Store] in memory, which can be full.
type diskOfTest struct {
	mu   sync.Mutex
	rows map[string]Row
	seen time.Time
	full bool
}

func (d *diskOfTest) Load() (rows []Row, seen time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		p := *r.Policy
		r.Policy = &p
		rows = append(rows, r)
	}
	return rows, d.seen, nil
}

func (d *diskOfTest) Save(rows []Row, seen time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return errors.New("no space left on device")
	}
	if d.rows == nil {
		d.rows = map[string]Row{}
	}
	for _, r := range rows {
		if delete(d.rows, r.Domain); !r.Gone {
			d.rows[r.Domain] = r
		}
	}
	d.seen = seen
	return nil
}

// killed is what a process that is killed now leaves on the disk.
func (d *diskOfTest) killed() *diskOfTest {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &diskOfTest{rows: maps.Clone(d.rows), seen: d.seen}
}

func (d *diskOfTest) has(domain string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, has := d.rows[domain]
	return has
}
