package route

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
)

// sharedPool is a router of four sending IPs, and what the last of them has of its senders.
func sharedPool(t *testing.T) (r *Router, shares *Shares, warming netip.Addr) {
	t.Helper()
	p := Pool{Name: DefaultPool, BySender: true}
	for i := range 4 {
		p.IPs = append(p.IPs, WeightedIP{SendingIP: SendingIP{Address: netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)})}, Weight: 1})
	}
	shares = &Shares{}
	r, err := NewRouter(Config{Pools: []Pool{p}, Shares: shares})
	if err != nil {
		t.Fatal(err)
	}
	return r, shares, p.IPs[3].Address
}

// senders gives where each of n senders' mail leaves from.
func senders(t *testing.T, r *Router, n int) []netip.Addr {
	t.Helper()
	at := make([]netip.Addr, n)
	for i := range at {
		c, err := r.Choose(Query{
			Source: netip.MustParseAddr("10.20.0.1"), Destination: netip.MustParseAddrPort("192.0.2.1:25"),
			Sender: fmt.Sprintf("a@s%d.example", i), SenderKnown: true, Suspicion: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		at[i] = c.IP.Address
	}
	return at
}

func TestSendersMoveToAWarmingIPByItsShareAndStay(t *testing.T) {
	r, shares, warming := sharedPool(t)
	const n = 20_000
	full := senders(t, r, n)
	var before []netip.Addr
	for _, share := range []float64{0, 0.01, 0.05, 0.2, 0.5, 1} {
		shares.Set(map[netip.Addr]float64{warming: share})
		now, moved := senders(t, r, n), 0
		for i := range now {
			if now[i] == warming {
				moved++
			}
			switch {
			case before == nil || now[i] == before[i] || now[i] == warming:
			default:
				t.Fatalf("at share %v a sender moves from %v to %v", share, before[i], now[i])
			}
		}
		want := share / (3 + share)
		if got := float64(moved) / n; math.Abs(got-want) > 0.25*want+0.0005 {
			t.Errorf("at share %v the IP has %.4f of the senders, want %.4f", share, got, want)
		}
		before = now
	}
	shares.Set(nil)
	for i, ip := range senders(t, r, n) {
		if ip != before[i] || ip != full[i] {
			t.Fatalf("with its full weight a sender is at %v, with share 1 at %v, without shares at %v", ip, before[i], full[i])
		}
	}
}

func TestAPoolWhoseIPsAllWarmIsThere(t *testing.T) {
	r, shares, _ := sharedPool(t)
	all := map[netip.Addr]float64{}
	for i := range 4 {
		all[netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)})] = 0
	}
	shares.Set(all)
	seen := map[netip.Addr]bool{}
	for _, ip := range senders(t, r, 200) {
		seen[ip] = true
	}
	if len(seen) != 4 {
		t.Errorf("mail leaves from %d of 4 IPs that wait for their first day", len(seen))
	}
}

func TestChoosingByShareDoesNotAllocate(t *testing.T) {
	r, shares, warming := sharedPool(t)
	shares.Set(map[netip.Addr]float64{warming: 0.1})
	q := Query{Source: netip.MustParseAddr("10.20.0.1"), Destination: netip.MustParseAddrPort("192.0.2.1:25"), Sender: "a@s.example", SenderKnown: true, Suspicion: -1}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Choose(q); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
