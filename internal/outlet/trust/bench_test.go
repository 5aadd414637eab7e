package trust

import (
	"strconv"
	"testing"

	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/session"
)

// What a recipient costs of whose domain nothing is asked, and all is known: at most 2 µs, and nothing is allocated.
func BenchmarkNothingIsAsked(b *testing.B) {
	t := benched(b, nil)
	q, l := question(at1), with(at1, between.issue([]string{mx1}))
	b.ReportAllocs()
	for b.Loop() {
		if !t.Need(q).Judge(l).Pass {
			b.Fatal("it is refused")
		}
	}
}

// What one costs whose domain has a policy, at a leg that has not been judged by it: at most 300 µs.
func BenchmarkPolicy(b *testing.B) {
	for _, hosts := range []int{1, 32} {
		b.Run("STS/"+strconv.Itoa(hosts), func(b *testing.B) {
			t := benched(b, func(r *rig) {
				var names []string
				for i := range hosts {
					names = append(names, "m"+strconv.Itoa(i)+".example.test")
				}
				r.z.set(domain, dns.TypeMX, mxs(names...))
				r.p.set(domain, enforce("*.example.test"))
			})
			loop(b, t, with(at1, between.issue([]string{"*.example.test"})))
		})
	}
	chain := between.issue([]string{mx1})
	b.Run("DANE/EE", func(b *testing.B) {
		loop(b, benched(b, func(r *rig) { r.dane(record(3, 1, 1, chain[0])) }), with(at1, chain))
	})
	b.Run("DANE/TA", func(b *testing.B) {
		loop(b, benched(b, func(r *rig) { r.dane(record(2, 1, 1, between.cert)) }), with(at1, chain))
	})
}

func benched(b *testing.B, set func(*rig)) *Trust {
	r := &rig{z: newZone(), p: newPolicies(), m: NewMemory()}
	r.c = Config{Enforce: true, DNS: r.z, DANE: true, STS: r.p, Roots: public.pool()}
	r.z.set(domain, dns.TypeMX, mxs(mx1)).set(mx1, dns.TypeA, addrs(at1))
	if set != nil {
		set(r)
	}
	t := New(r.c, r.m)
	b.Cleanup(t.Close)
	wait(t.Need(question(at1)))
	return t
}

func loop(b *testing.B, t *Trust, l session.TrustLeg) {
	q := question(at1)
	b.ReportAllocs()
	for b.Loop() {
		if v := t.Need(q).Judge(l); !v.Pass {
			b.Fatal(text(v))
		}
	}
}

// Where nothing is asked nothing is allocated, whatever the operator has exempted.
func TestNothingIsAllocated(t *testing.T) {
	r := newRig(t)
	r.c.ExemptDomains = []string{"exempt.test"}
	q, l := question(at1), with(at1, between.issue([]string{mx1}))
	r.need(at1)
	if n := testing.AllocsPerRun(100, func() { r.the.Need(q).Judge(l) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { r.the.ServerName(at1) }); n != 0 {
		t.Errorf("%v allocations for a name", n)
	}
	r.the.Proved(at1, mx1)
	if n := testing.AllocsPerRun(100, func() { r.the.ServerName(at1) }); n != 0 {
		t.Errorf("%v allocations for a name that is known", n)
	}
}
