package standing

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/test/handclock"
)

// start is when the tests' clock begins. It has no monotonic reading, as after a restart.
var start = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

var (
	ours      = netip.MustParseAddr("203.0.113.10")
	beside    = netip.MustParseAddr("203.0.113.11")
	elsewhere = netip.MustParseAddr("198.51.100.7")
)

// A rig is a Book whose clock the test turns.
type rig struct {
	*Book
	*handclock.Clock
	t testing.TB
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	return newRigAt(t, o, start)
}

func newRigAt(t testing.TB, o Options, at time.Time) *rig {
	t.Helper()
	r := &rig{t: t, Clock: handclock.At(at)}
	if o.Clock == nil {
		o.Clock = r.Now
	}
	var err error
	if r.Book, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// want checks state, share and time left.
func (r *rig) want(k Key, state State, share float64, left time.Duration) Standing {
	r.t.Helper()
	s, _ := r.Show(k)
	got := time.Duration(0)
	if !s.Until.IsZero() {
		got = s.Until.Sub(r.Now())
	}
	if s.State != state || s.Share != share || got != left {
		r.t.Fatalf("%v is %v, share %v, for %v; want %v, %v, %v (%s)", k, s.State, s.Share, got, state, share, left, s.Reason)
	}
	return s
}

func (r *rig) wantMay(k Key, want Answer) Permit {
	r.t.Helper()
	p := r.May(k)
	if p.Answer != want {
		r.t.Fatalf("May(%v) is %v (%v: %s), want %v", k, p.Answer, p.State, p.Why, want)
	}
	return p
}

func key(provider string) Key { return Key{ours, provider} }

// listing is a reply that says in words that our IP is blocked.
func listing(provider string) Evidence {
	return Evidence{
		IP: ours, Provider: provider, Tenant: "acme", Destination: "example.net", Class: event.IPBlocklisted, Scope: event.ScopeIP, Suspend: event.SuspendYes,
		Rule: "listed", Sample: "550 5.7.1 203.0.113.10 is listed",
	}
}

// doubt is a reply that may be about our IP.
func doubt(provider, tenant, destination string) Evidence {
	return Evidence{
		IP: ours, Provider: provider, Tenant: tenant, Destination: destination, Class: event.IPReputation, Scope: event.ScopeIP, Suspend: event.SuspendMay,
		Rule: "reputation", Sample: "550 5.7.1 poor reputation",
	}
}

func tooFast(provider string) Evidence {
	return Evidence{
		IP: ours, Provider: provider, Tenant: "acme", Destination: "example.net", Class: event.Throttled, Scope: event.ScopeConnections, Suspend: event.SuspendNo,
		Rule: "connections", Sample: "421 4.7.0 too many connections",
	}
}

var sbl = List{Name: "spamhaus-sbl", Zone: "sbl.example.org", Weight: event.WeightStrong}

func naming(ev Evidence, lists ...List) Evidence {
	ev.Lists = lists
	return ev
}

// memory is a store that can be told to fail.
type memory struct {
	mu    sync.Mutex
	rows  map[Key]Standing
	dead  bool
	takes time.Duration // that it works on a batch
	saves int
}

var errDead = errors.New("input/output error")

func (m *memory) Load() ([]Standing, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Standing
	for _, s := range m.rows {
		all = append(all, s)
	}
	return all, nil
}

func (m *memory) Save(changed []Standing) error {
	time.Sleep(m.takes)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves++
	if m.dead {
		return errDead
	}
	if m.rows == nil {
		m.rows = map[Key]Standing{}
	}
	for _, s := range changed {
		if s.blank() {
			delete(m.rows, s.Key)
		} else {
			m.rows[s.Key] = s
		}
	}
	return nil
}

func (m *memory) setDead(dead bool) (saves int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = dead
	return m.saves
}

// suspended gives a rig in which google is suspended for two hours.
func suspended(t testing.TB, o Options) *rig {
	t.Helper()
	r := newRig(t, o)
	if changed := r.Observe(listing("google")); len(changed) != 1 || changed[0].State != Suspended {
		t.Fatalf("changed: %+v", changed)
	}
	return r
}
