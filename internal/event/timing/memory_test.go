package timing

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

func TestAKeyAndAPlaceHaveTheirSize(t *testing.T) {
	if n := unsafe.Sizeof(key{}); n > 768 {
		t.Errorf("a key has %d octets", n)
	}
	if n := unsafe.Sizeof(place{}); n > 384 {
		t.Errorf("a place has %d octets", n)
	}
}

func plain(n int, ip, provider string) *Observation {
	o := &Observation{At: time.Unix(int64(n)*60, 0), ID: uint64(n + 1), IP: ip, Provider: provider, Host: "mx", Tenant: "t", New: true, Size: 1000, Took: Absence}
	for f := range Phases {
		o.Took[f] = .1
	}
	return o
}

func TestAFullMemoryForgetsThoseThatWereNotUsedAndNotThoseWithAHistory(t *testing.T) {
	d := newDetector(64)
	known := func(n int) {
		for i := range 8 {
			d.Observe(plain(n, fmt.Sprint("ip", i%4), fmt.Sprint("known", i/4)))
		}
	}
	n := 0
	for ; n < 100; n++ {
		known(n)
	}
	for ; n < 3000; n++ {
		d.Observe(plain(n, "ip0", fmt.Sprint("stranger", n)))
		if n%30 == 0 {
			known(n)
		}
		if d.Keys() > 64 || len(d.order) != len(d.keys) || len(d.places) > len(d.keys) || len(d.sources) > len(d.keys) {
			t.Fatalf("%d keys, %d in order, %d places, %d sources; the bound is 64", len(d.keys), len(d.order), len(d.places), len(d.sources))
		}
	}
	for i := range 8 {
		k := d.keys[pair{fmt.Sprint("ip", i%4), fmt.Sprint("known", i/4)}]
		if k == nil || k.learnt[Rcpt] < needHistory {
			t.Errorf("key %d has been forgotten for strangers", i)
		}
	}
}

func TestAMailCostsNoAllocation(t *testing.T) {
	d := New()
	n := 0
	one := plain(0, "ip0", "p")
	send := func() {
		n++
		o := one
		o.At, o.ID, o.IP = time.Unix(int64(n)*30, 0), uint64(n), [...]string{"ip0", "ip1", "ip2"}[n%3]
		d.Observe(o)
	}
	for range 1000 {
		send()
	}
	if a := testing.AllocsPerRun(1000, send); a != 0 {
		t.Errorf("%v allocations a mail", a)
	}
}

// lone keys are of as many providers: nothing is shared.
func TestAKeyCostsTwoKiBAtMost(t *testing.T) {
	const n = 2000
	for name, ips := range map[string]int{"lone": 1, "of four IPs": 4} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		d := New()
		for mail := range 40 {
			for i := range n {
				o := plain(mail*n+i, fmt.Sprint("192.0.2.", i%ips), fmt.Sprint("provider", i/ips, ".example"))
				o.Host = fmt.Sprint("mx", mail%2, ".", o.Provider)
				o.At = time.Unix(int64(mail)*1800, int64(i)*1e5)
				d.Observe(o)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if a := int(after.HeapAlloc-before.HeapAlloc) / d.Keys(); a > 2048 {
			t.Errorf("%s: %d octets a key", name, a)
		} else {
			t.Logf("%s: %d octets a key", name, a)
		}
		runtime.KeepAlive(d)
	}
}
