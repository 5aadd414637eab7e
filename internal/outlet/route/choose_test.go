package route

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"kanmon/internal/session"
)

// pool gives n sending IPs of each family, neighbours as in real netblocks.
func pool(n int) []SendingIP {
	var ips []SendingIP
	for i := range n {
		ips = append(ips,
			SendingIP{netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}), fmt.Sprintf("out%d.example.jp", i)},
			SendingIP{netip.MustParseAddr(fmt.Sprintf("2001:db8::25:%x", i+1)), fmt.Sprintf("out%d.example.jp", i)})
	}
	return ips
}

type pair struct{ msa, mx netip.Addr }

// pairs gives neighbouring tenants × neighbouring MXs: the input that a weak hash would not spread.
func pairs(family string, n int) []pair {
	msa, mx := netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr("192.0.2.1")
	if family == "ipv6" {
		msa, mx = netip.MustParseAddr("fd00:20::1"), netip.MustParseAddr("2001:db8:2::1")
	}
	var list []pair
	for range n {
		to := mx
		for range n {
			list = append(list, pair{msa, to})
			to = to.Next()
		}
		msa = msa.Next()
	}
	return list
}

// onePool makes the router of a gateway that has nothing but sending IPs.
func onePool(ips []SendingIP) *Router {
	p := Pool{Name: DefaultPool}
	for _, ip := range ips {
		p.IPs = append(p.IPs, WeightedIP{SendingIP: ip})
	}
	r, _ := NewRouter(Config{Pools: []Pool{p}}) // the only pool is the one that is needed
	return r
}

// choose gives the sending IP for what is known when a connection is opened.
func choose(r *Router, msa, mx netip.Addr) (SendingIP, error) {
	choice, err := r.Choose(Query{Source: msa, Destination: netip.AddrPortFrom(mx, 0), Suspicion: -1})
	return choice.IP, err
}

func choices(t *testing.T, d *Router, list []pair) []netip.Addr {
	t.Helper()
	var got []netip.Addr
	for _, p := range list {
		ip, err := choose(d, p.msa, p.mx)
		if err != nil {
			t.Fatalf("Choose(%s, %s): %v", p.msa, p.mx, err)
		}
		got = append(got, ip.Address)
	}
	return got
}

func TestChoiceDoesNotDependOnListOrder(t *testing.T) {
	ips := pool(20)
	list := pairs("ipv4", 50)
	want := choices(t, onePool(ips), list)
	for seed := range uint64(5) {
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(ips), func(i, j int) { ips[i], ips[j] = ips[j], ips[i] })
		if got := choices(t, onePool(ips), list); !slices.Equal(got, want) {
			t.Fatalf("shuffle %d: the choice changed with the order of the list", seed)
		}
	}
}

// A release that changes these moves every tenant to another sending IP.
func TestChoiceIsTheSameInEveryRelease(t *testing.T) {
	d := onePool(pool(4))
	for _, tc := range []struct{ msa, mx, want string }{
		{"10.20.1.5", "192.0.2.25", "203.0.113.3"},
		{"10.20.1.6", "192.0.2.25", "203.0.113.2"},
		{"10.20.1.5", "198.51.100.7", "203.0.113.2"},
		{"fd00:20::5", "2001:db8:2::25", "2001:db8::25:2"},
		{"::ffff:10.20.1.5", "::ffff:192.0.2.25", "203.0.113.3"},
	} {
		ip, err := choose(d, netip.MustParseAddr(tc.msa), netip.MustParseAddr(tc.mx))
		if err != nil || ip.Address.String() != tc.want {
			t.Errorf("Choose(%s, %s) = %s, %v; want %s", tc.msa, tc.mx, ip.Address, err, tc.want)
		}
	}
}

func TestChoiceIsEven(t *testing.T) {
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, n := range []int{2, 3, 10, 64} {
			list := pairs(family, 200)
			count := map[netip.Addr]int{}
			for _, ip := range choices(t, onePool(pool(n)), list) {
				count[ip]++
			}
			if len(count) != n {
				t.Errorf("%s: %d of %d sending IPs are used", family, len(count), n)
			}
			want := float64(len(list)) / float64(n)
			limit := 6 * math.Sqrt(want) // six standard deviations of a fair draw
			for ip, c := range count {
				if math.Abs(float64(c)-want) > limit {
					t.Errorf("%s, %d sending IPs: %s got %d of %d, want %.0f ± %.0f", family, n, ip, c, len(list), want, limit)
				}
			}
		}
	}
}

// A tenant must not get the same share of every provider, nor a provider all its mail from one IP.
func TestChoiceIsEvenForOneTenantAndForOneMX(t *testing.T) {
	const n, size = 8, 200
	d := onePool(pool(n))
	got := choices(t, d, pairs("ipv4", size))
	byTenant, byMX := map[netip.Addr]int{}, map[netip.Addr]int{}
	for i := range size {
		byTenant[got[17*size+i]]++
		byMX[got[i*size+17]]++
	}
	for name, count := range map[string]map[netip.Addr]int{"tenant": byTenant, "MX": byMX} {
		for ip, c := range count {
			if c < 5 || c > 60 { // 25 expected
				t.Errorf("one %s: %s got %d of %d", name, ip, c, size)
			}
		}
		if len(count) != n {
			t.Errorf("one %s: %d of %d sending IPs are used", name, len(count), n)
		}
	}
}

func TestEditOfTheListMovesOnlyWhatItMust(t *testing.T) {
	list := pairs("ipv4", 200)
	ips := pool(10)
	all := choices(t, onePool(ips), list)
	gone := ips[6].Address // an IPv4 address; ips alternate
	without := choices(t, onePool(slices.Delete(slices.Clone(ips), 6, 7)), list)
	moved := 0
	for i := range list {
		if all[i] == without[i] {
			continue
		}
		moved++
		if all[i] != gone {
			t.Fatalf("removing %s moved a pair from %s to %s", gone, all[i], without[i])
		}
	}
	// Read backwards it is the same for an address that is added: only the pairs it takes over move.
	if share := float64(moved) / float64(len(list)); share < 0.08 || share > 0.12 {
		t.Errorf("removing one of ten moved %.3f of the pairs, want about 0.1", share)
	}
}

func TestFamily(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:2::1")
	msa := netip.MustParseAddr("10.20.0.1")
	only4 := onePool([]SendingIP{{Address: netip.MustParseAddr("203.0.113.1")}})
	only6 := onePool([]SendingIP{{Address: netip.MustParseAddr("2001:db8::1")}})
	if ip, err := choose(only4, msa, v4); err != nil || ip.Address != netip.MustParseAddr("203.0.113.1") {
		t.Errorf("IPv4 MX, IPv4 sending IP: %v, %v", ip, err)
	}
	if _, err := choose(only4, msa, v6); !errors.Is(err, session.ErrNoSendingIP) {
		t.Errorf("IPv6 MX, only IPv4 sending IPs: error %v, want session.ErrNoSendingIP", err)
	}
	if _, err := choose(only6, msa, v4); !errors.Is(err, session.ErrNoSendingIP) {
		t.Errorf("IPv4 MX, only IPv6 sending IPs: error %v, want session.ErrNoSendingIP", err)
	}
	if ip, err := choose(onePool(nil), msa, v4); err != nil || ip != (SendingIP{}) {
		t.Errorf("observe mode: %v, %v, want the zero SendingIP", ip, err)
	}
}

func TestChoiceDoesNotAllocate(t *testing.T) {
	d := onePool(pool(64))
	msa, mx := netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr("192.0.2.1")
	if n := testing.AllocsPerRun(100, func() { _, _ = choose(d, msa, mx) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, n := range []int{1, 8, 64, 1024} {
		ips := pool(min(n, 250))
		for i := range n - min(n, 250) {
			ips = append(ips, SendingIP{Address: netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})})
		}
		d := onePool(ips)
		msa, mx := netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr("192.0.2.1")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = choose(d, msa, mx)
			}
		})
	}
}
