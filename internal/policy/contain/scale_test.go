package contain

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
)

// audit-E2: a tenant of which something stands is not forgotten, and stands in nobody's way: a new one finds the room of one that may be, however many
// others there are that were not heard of for longer.
func TestStandingTenantsAreInNobodysWay(t *testing.T) {
	r := newRigWith(t, Options{MaxTenants: 300})
	tenant := func(i int) Subject { return Subject{Tenant: fmt.Sprint("standing", i)} }
	for i := range 200 {
		var err error
		switch i % 3 {
		case 0:
			err = r.Block(tenant(i), time.Time{}, "carol", "")
		case 1:
			err = r.Exempt(Subject{tenant(i).Tenant, "a"}, time.Time{}, "carol", "")
		case 2:
			_, err = r.BlockByRule(Subject{tenant(i).Tenant, "a"}, "limit day", "reached")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		s := Subject{fmt.Sprint("new", i), "a"}
		if r.mail(s, "google", event.NoRefusal); !r.Explain(s).Known {
			t.Fatalf("there is no room for tenant %d", i)
		}
	}
	for i := range 200 {
		if !r.Explain(tenant(i)).Known {
			t.Fatalf("%v is forgotten", tenant(i))
		}
	}
	if s := r.Stats(); s.Tenants != 300 || s.NoRoom > 0 {
		t.Errorf("%+v", s)
	}
	for i := range 200 { // what stood is lifted: they are as others
		_ = r.Unblock(tenant(i), "carol")
		_ = r.Unexempt(Subject{tenant(i).Tenant, "a"}, "carol")
		_ = r.Unblock(Subject{tenant(i).Tenant, "a"}, "carol")
	}
	for i := range 300 {
		r.mail(Subject{fmt.Sprint("later", i), "a"}, "google", event.NoRefusal)
	}
	if r.Explain(tenant(0)).Known || r.Explain(tenant(1)).Known || r.Explain(tenant(2)).Known {
		t.Error("what stood once is never forgotten")
	}
	sound(t, r.Detector)
	r.wantWhole(t)
}

// There is room for all tenants of a configuration, and for ten accounts of each; a smaller configuration takes none away.
func TestRoomGrowsWithTheTenants(t *testing.T) {
	r := newRigWith(t, Options{MaxTenants: 10, MaxAccounts: 100})
	r.Grow(50)
	r.Grow(1)
	for i := range 500 {
		r.mail(Subject{fmt.Sprint("t", i%50), fmt.Sprint("u", i)}, "google", event.NoRefusal)
	}
	if s := r.Stats(); s.Tenants != 50 || s.Accounts != 500 || s.NoRoom > 0 {
		t.Errorf("%+v", s)
	}
}

// everybody has tenants with ten accounts each send, all of them one after the other, and returns what a mail costs: of this thread, whatever else the
// machine does.
func (r *rig) everybody(from, tenants int) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun := threadTime()
	for i := range 10 * tenants {
		s := Subject{fmt.Sprint("t", from+i%tenants), fmt.Sprint("u", i/tenants)}
		r.one++
		r.Begin(Mail{Tenant: s.Tenant, Account: s.Account})
		r.Message(Message{Tenant: s.Tenant, Account: s.Account, Provider: "google", Hash: r.one, Class: event.NoRefusal})
	}
	return (threadTime() - begun) / time.Duration(10*tenants)
}

func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

// audit-E2: what a mail costs of a tenant that is not remembered, where all room is taken, does not grow with how many tenants there are.
func TestForgettingLooksAtFew(t *testing.T) {
	costs := func(tenants int) time.Duration {
		r := newRigWith(t, Options{MaxTenants: tenants, MaxAccounts: 10 * tenants})
		r.everybody(0, tenants)
		return min(r.everybody(tenants, tenants), r.everybody(2*tenants, tenants), r.everybody(3*tenants, tenants))
	}
	if few, many := costs(100), costs(2000); many > 10*few+20*time.Microsecond {
		t.Errorf("%v with 100 tenants, %v with 2,000", few, many)
	}
}

// BenchmarkTenants is 100,000 tenants with ten accounts each: those that are remembered, and as many others that push them out; and what a person's
// order takes meanwhile.
func BenchmarkTenants(b *testing.B) {
	for _, tenants := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(tenants), func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				r := newRig(b, nil)
				r.Grow(tenants)
				r.everybody(0, tenants)
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
				us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
				b.ReportMetric(us(r.everybody(0, tenants)), "us/mail-known")
				b.ReportMetric(us(r.everybody(tenants, tenants)), "us/mail-new")
				var longest time.Duration
				for i := range 1000 {
					begun := time.Now()
					if err := r.Block(Subject{fmt.Sprint("t", 7*i), "u1"}, time.Time{}, "carol", ""); err != nil {
						b.Fatal(err)
					}
					longest = max(longest, time.Since(begun))
				}
				b.ReportMetric(us(longest)/1000, "ms-order")
				begun := time.Now()
				r.Tick()
				b.ReportMetric(us(time.Since(begun))/1000, "ms-Tick")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
