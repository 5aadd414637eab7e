package timing

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

func TestAKeyAndAPlaceHaveTheirSize(t *testing.T) {
	if n := unsafe.Sizeof(key{}); n > 896 {
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

// ofProviders is of how many IPs a provider has mail.
var ofProviders = []struct {
	name string
	ips  int
}{{"lone", 1}, {"of four IPs", 4}} // lone keys are of as many providers: nothing is shared

const (
	someKeys  = 2000
	mailsEach = 40
)

// filled gives a detector with a history of some keys, and how many octets of the heap each takes.
func filled(ips int) (d *Detector, octets int) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d = New()
	for mail := range mailsEach {
		for i := range someKeys {
			o := plain(mail*someKeys+i, fmt.Sprint("192.0.2.", i%ips), fmt.Sprint("provider", i/ips, ".example"))
			o.Host = fmt.Sprint("mx", mail%2, ".", o.Provider)
			o.At = time.Unix(int64(mail)*1800, int64(i)*1e5)
			d.Observe(o)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	return d, int(after.HeapAlloc-before.HeapAlloc) / d.Keys()
}

func TestAKeyCostsTwoKiBAtMost(t *testing.T) {
	for _, of := range ofProviders {
		d, octets := filled(of.ips)
		if octets > 2048 {
			t.Errorf("%s: %d octets a key", of.name, octets)
		}
		runtime.KeepAlive(d)
	}
}

// BenchmarkKey prints what a key takes of the heap, and what each of its mails takes of time where thousands of keys are known.
func BenchmarkKey(b *testing.B) {
	for _, of := range ofProviders {
		b.Run(of.name, func(b *testing.B) {
			d, octets := filled(of.ips)
			mails := make([]*Observation, someKeys)
			for i := range mails {
				mails[i] = plain(mailsEach*someKeys+i, fmt.Sprint("192.0.2.", i%of.ips), fmt.Sprint("provider", i/of.ips, ".example"))
				mails[i].At = time.Unix(mailsEach*1800, 0)
			}
			i := 0
			for b.Loop() {
				o := mails[i%someKeys]
				o.At, o.ID = o.At.Add(30*time.Minute), o.ID+someKeys
				d.Observe(o)
				i++
			}
			b.ReportMetric(float64(octets), "octets/key")
		})
	}
}
