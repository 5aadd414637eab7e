package standing

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// many are sending IPs.
func many(n int) (ips []netip.Addr) {
	for i := range n {
		ips = append(ips, netip.AddrFrom4([4]byte{203, byte(i >> 8), byte(i), 10}))
	}
	return ips
}

// refusedEverywhere has each IP refused so often by each of so many providers.
func refusedEverywhere(b *Book, ips []netip.Addr, providers, times int) {
	for i := range times {
		for _, ip := range ips {
			for p := range providers {
				ev := listing(fmt.Sprintf("provider-%d", p))
				ev.IP, ev.Tenant, ev.Destination = ip, fmt.Sprintf("tenant-%d", i), fmt.Sprintf("domain-%d.example", i%3)
				ev.Sample = fmt.Sprintf("550 5.7.1 [%v] our system has detected that this message is likely unsolicited mail; see https://provider-%d.example/help", ip, p)
				b.Observe(ev)
			}
		}
	}
}

// The more sending IPs are configured, the more room there is: a hundred of them at 200 providers each lose no suspension to one another.
func TestRoomGrowsWithTheSendingIPs(t *testing.T) {
	ips := many(100)
	r := newRig(t, Options{Settings: Settings{Neighbours: ips}})
	refusedEverywhere(r.Book, ips, 200, 1)
	if n := len(r.List()); n != 20_000 {
		t.Errorf("%d are suspended, want 20,000", n)
	}
	coherent(t, r.Book)
}

// A reload that names more IPs makes room for them, one that names fewer takes none away.
func TestRoomGrowsWithAReload(t *testing.T) {
	r := newRig(t, Options{})
	for _, c := range []struct{ ips, want int }{{1, DefaultMaxKeys}, {100, 20_000}, {1, 20_000}} {
		if err := r.Configure(Settings{Neighbours: many(c.ips)}); err != nil {
			t.Fatal(err)
		}
		if r.maxKeys != c.want {
			t.Errorf("%d IPs: room for %d, want %d", c.ips, r.maxKeys, c.want)
		}
	}
}

// With the room grows each tenant's part of it: by a reload as by a start.
func TestAReloadRaisesEachPart(t *testing.T) {
	ips := many(1000)
	for name, r := range map[string]*rig{
		"there from the start": newRig(t, Options{Settings: Settings{Neighbours: ips}}), "named by a reload": newRig(t, Options{}),
	} {
		if err := r.Configure(Settings{Neighbours: ips}); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		first := r.entryOf(Key{ours, "mx:192.0.2.1"}, "first", start)
		for _, ip := range ips {
			r.entryOf(Key{ip, "mx:192.0.2.2"}, "second", start)
		}
		if leaves := r.queues[first.rank].Leaves("third"); leaves.Owner() != "first" {
			t.Errorf("1,000 IPs, %s: with 1,000 of %d keys the second tenant has more than its part, and loses one", name, r.maxKeys)
		}
		r.mu.Unlock()
	}
}

// BenchmarkStandings is 1,000 sending IPs, each refused by 200 providers, once or as often as is kept: what a key costs, and what a mail at one more
// refusal.
func BenchmarkStandings(b *testing.B) {
	for _, times := range []int{1, maxSeen} {
		b.Run(fmt.Sprint(times, "replies"), func(b *testing.B) {
			ips := many(1000)
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				book, err := New(Options{Settings: Settings{Neighbours: ips}})
				if err != nil {
					b.Fatal(err)
				}
				begun := time.Now()
				refusedEverywhere(book, ips, 200, times)
				took := time.Since(begun)
				runtime.GC()
				runtime.ReadMemStats(&after)
				heap := float64(after.HeapAlloc - before.HeapAlloc)
				b.ReportMetric(heap/200_000, "B/key")
				b.ReportMetric(heap/(1<<20), "MiB")
				b.ReportMetric(float64(took.Microseconds())/float64(200_000*times), "us/refusal")
				if err := book.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// audit-E6: a refusal that names a list on which the IP is known to be looks at no other key of that IP.
func TestARefusalLooksAtItsOwnKey(t *testing.T) {
	r := newRig(t, Options{Check: hangs{}, MaxKeys: 20_000})
	r.Observe(naming(listing("first"), sbl))
	r.answered(question{ours, sbl.Zone}, true, nil)
	took := func() time.Duration {
		least := time.Hour
		for range 100 {
			begun := time.Now()
			r.Observe(naming(listing("last"), sbl))
			least = min(least, time.Since(begun))
		}
		return least
	}
	few := took()
	for p := range 10_000 {
		r.Observe(listing(fmt.Sprint("provider-", p)))
	}
	if many := took(); many > 10*few+50*time.Microsecond {
		t.Errorf("%v with two keys of the IP, %v with 10,000", few, many)
	}
	if s, _ := r.Show(key("last")); len(s.Lists) != 1 || !s.Lists[0].Confirmed {
		t.Errorf("not confirmed: %+v", s.Lists)
	}
}
