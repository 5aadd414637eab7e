package route

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
)

// weightedPool gives one pool of both families, with these weights in the order of the addresses.
func weightedPool(weights ...int) Pool {
	p := Pool{Name: "default", BySender: true}
	for i, w := range weights {
		p.IPs = append(p.IPs,
			WeightedIP{SendingIP{Address: netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)})}, w},
			WeightedIP{SendingIP{Address: netip.MustParseAddr(fmt.Sprintf("2001:db8::25:%x", i+1))}, w})
	}
	return p
}

// mails gives tenants × sender domains × providers toward one family, alike as names of one platform are.
func mails(family string, n int) []Query {
	mx := netip.MustParseAddrPort("192.0.2.25:25")
	if family == "ipv6" {
		mx = netip.MustParseAddrPort("[2001:db8:2::25]:25")
	}
	var list []Query
	for tenant := range n {
		for domain := range n {
			for _, provider := range []string{"google", "office365", "yahoo", "docomo", "au"} {
				list = append(list, Query{
					Source: netip.AddrFrom4([4]byte{10, 20, byte(tenant), 5}), Destination: mx, Provider: provider,
					Sender: fmt.Sprintf("a@d%d.example", domain), SenderKnown: true, RecipientDomain: "example.com", Suspicion: -1,
				})
			}
		}
	}
	return list
}

func tenantsOf(n int) []Tenant {
	var list []Tenant
	for i := range n {
		list = append(list, Tenant{Name: fmt.Sprintf("tenant%d", i), Sources: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 20, byte(i), 0}), 24)}, Pool: "default"})
	}
	return list
}

// chosen gives the sending IP of each mail.
func chosen(t *testing.T, p Pool, list []Query) []netip.Addr {
	t.Helper()
	r := newRouter(t, Config{Pools: []Pool{p}, Tenants: tenantsOf(50)})
	got := make([]netip.Addr, len(list))
	for i, q := range list {
		c, err := r.Choose(q)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = c.IP.Address
	}
	return got
}

// A release that changes these moves mail to other sending IPs.
func TestStickyChoiceIsTheSameInEveryRelease(t *testing.T) {
	even, uneven, byTenant := weightedPool(1, 1, 1, 1), weightedPool(1, 2, 3, 10), weightedPool(1, 1, 1, 1)
	byTenant.BySender = false
	for _, tc := range []struct {
		pool                               Pool
		source, sender, mx, provider, want string
	}{
		{even, "10.20.1.5", "a@acme.example", "192.0.2.25", "google", "203.0.113.1"},
		{even, "10.20.1.5", "a@acme.example", "192.0.2.25", "", "203.0.113.4"},
		{even, "10.20.1.5", "", "192.0.2.25", "google", "203.0.113.2"},
		{even, "10.20.1.5", "a@acme.example", "2001:db8:2::25", "google", "2001:db8::25:3"},
		{even, "10.99.1.5", "a@acme.example", "192.0.2.25", "docomo", "203.0.113.3"},
		{byTenant, "10.20.1.5", "a@acme.example", "192.0.2.25", "google", "203.0.113.2"},
		{uneven, "10.20.1.5", "a@acme.example", "192.0.2.25", "google", "203.0.113.4"},
		{uneven, "10.20.1.5", "a@acme.example", "192.0.2.25", "docomo", "203.0.113.2"},
		{uneven, "10.20.1.5", "a@blue.example", "2001:db8:2::25", "", "2001:db8::25:2"},
		{byTenant, "10.99.1.5", "a@acme.example", "198.51.100.7", "", "203.0.113.2"},
	} {
		r := newRouter(t, Config{Pools: []Pool{tc.pool}, Tenants: tenantsOf(2)})
		c, err := r.Choose(Query{
			Source: netip.MustParseAddr(tc.source), Destination: netip.AddrPortFrom(netip.MustParseAddr(tc.mx), 25),
			Sender: tc.sender, SenderKnown: true, Provider: tc.provider, Suspicion: -1,
		})
		if err != nil || c.IP.Address.String() != tc.want {
			t.Errorf("%s %q toward %s %q: %s, %v; want %s", tc.source, tc.sender, tc.mx, tc.provider, c.IP.Address, err, tc.want)
		}
	}
}

// As long as nothing but the addresses is known, a pool with equal weights chooses as a gateway without pools.
func TestPoolChoosesAsTheDialerDid(t *testing.T) {
	var ips []WeightedIP
	for _, ip := range pool(10) {
		ips = append(ips, WeightedIP{ip, 7})
	}
	r := newRouter(t, Config{Pools: []Pool{{Name: "default", IPs: ips, BySender: true}}})
	d := onePool(pool(10))
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, p := range pairs(family, 50) {
			want, _ := choose(d, p.msa, p.mx)
			got, err := r.Choose(Query{Source: p.msa, Destination: netip.AddrPortFrom(p.mx, 25), Suspicion: -1})
			if err != nil || got.IP != want {
				t.Fatalf("%s → %s: %v, %v; want %v", p.msa, p.mx, got.IP, err, want)
			}
		}
	}
}

func TestWhatTheChoiceDependsOn(t *testing.T) {
	r := newRouter(t, Config{Pools: []Pool{weightedPool(make([]int, 200)...)}, Tenants: tenantsOf(2)})
	choose := func(change func(*Query)) netip.Addr {
		c, err := r.Choose(query(func(q *Query) { q.Provider = "google"; change(q) }))
		if err != nil {
			t.Fatal(err)
		}
		return c.IP.Address
	}
	base := choose(func(*Query) {})
	for name, change := range map[string]func(*Query){
		"another MSA of the tenant":  func(q *Query) { q.Source = netip.MustParseAddr("10.20.1.9") },
		"another account":            func(q *Query) { q.Sender = "b@OTHER.example" },
		"another MX of the provider": func(q *Query) { q.Destination = netip.MustParseAddrPort("192.0.2.9:25") },
		"another domain of the same": func(q *Query) { q.RecipientDomain = "example.org" },
	} {
		if got := choose(change); got != base {
			t.Errorf("%s: %s, want %s as before", name, got, base)
		}
	}
	for name, change := range map[string]func(*Query){
		"another tenant":        func(q *Query) { q.Source = netip.MustParseAddr("10.20.0.5") },
		"no tenant":             func(q *Query) { q.Source = netip.MustParseAddr("10.99.0.5") },
		"another sender domain": func(q *Query) { q.Sender = "a@blue.example" },
		"no sender":             func(q *Query) { q.Sender = "" },
		"another provider":      func(q *Query) { q.Provider = "yahoo" },
		"no provider":           func(q *Query) { q.Provider = "" },
	} {
		if got := choose(change); got == base { // one in 200, and the hash is always the same
			t.Errorf("%s: %s as before", name, got)
		}
	}
}

func TestWeights(t *testing.T) {
	for _, family := range []string{"ipv4", "ipv6"} {
		list := mails(family, 50)
		for _, weights := range [][]int{{1, 1, 1, 1, 1}, {1, 2, 3, 4}, {1, 1, 10}, {1, 1000}, {5, 5, 5, 1}} {
			total := 0
			for _, w := range weights {
				total += w
			}
			p := weightedPool(weights...)
			count := map[netip.Addr]int{}
			for _, ip := range chosen(t, p, list) {
				count[ip]++
			}
			for i, w := range weights {
				member := p.IPs[2*i].Address
				if family == "ipv6" {
					member = p.IPs[2*i+1].Address
				}
				share := float64(w) / float64(total)
				want := share * float64(len(list))
				limit := 6 * math.Sqrt(want*(1-share)) // six standard deviations of a fair draw
				t.Logf("%s %v: weight %d got %.2f %%, fair %.2f %%", family, weights, w, 100*float64(count[member])/float64(len(list)), 100*share)
				if math.Abs(float64(count[member])-want) > limit {
					t.Errorf("%s %v: weight %d got %d of %d, want %.0f ± %.0f", family, weights, w, count[member], len(list), want, limit)
				}
			}
		}
	}
}

// An edit moves what an address gives up or takes over, and nothing between the others.
func TestEditsMoveFew(t *testing.T) {
	ones := func(n int) []int { return slices.Repeat([]int{1}, n) }
	with := func(weights []int, i, w int) []int { c := slices.Clone(weights); c[i] = w; return c }
	mixed := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, tc := range []struct {
		name          string
		before, after []int
		changed       int // the member
		want          float64
	}{
		{"remove 1 of 10", ones(10), ones(9), 9, 0.1},
		{"add the 11th", ones(10), ones(11), 10, 1.0 / 11},
		{"remove 1 of 2", ones(2), ones(1), 1, 0.5},
		{"remove weight 10 of 55", mixed, mixed[:9], 9, 10.0 / 55},
		{"double 1 of 10", ones(10), with(ones(10), 4, 2), 4, 2.0/11 - 0.1},
		{"halve 4 of 55", mixed, with(mixed, 3, 2), 3, 4.0/55 - 2.0/53},
	} {
		for _, family := range []string{"ipv4", "ipv6"} {
			list := mails(family, 50)
			before, after := chosen(t, weightedPool(tc.before...), list), chosen(t, weightedPool(tc.after...), list)
			member := netip.AddrFrom4([4]byte{203, 0, 113, byte(tc.changed + 1)})
			if family == "ipv6" {
				member = netip.MustParseAddr(fmt.Sprintf("2001:db8::25:%x", tc.changed+1))
			}
			moved := 0
			for i := range list {
				if before[i] == after[i] {
					continue
				}
				moved++
				if before[i] != member && after[i] != member {
					t.Fatalf("%s: a mail moved from %s to %s", tc.name, before[i], after[i])
				}
			}
			share := float64(moved) / float64(len(list))
			t.Logf("%s, %s: %.2f %% of %d moved, ideal %.2f %%", tc.name, family, 100*share, len(list), 100*tc.want)
			if limit := 6 * math.Sqrt(tc.want*(1-tc.want)/float64(len(list))); math.Abs(share-tc.want) > limit {
				t.Errorf("%s, %s: %.4f moved, want %.4f ± %.4f", tc.name, family, share, tc.want, limit)
			}
		}
	}
}

// The order is what remains when the best is taken away: the second of it is the best of a pool without the first.
func TestOrder(t *testing.T) {
	for _, weights := range [][]int{{1, 1, 1, 1, 1}, {1, 2, 3, 4, 5}} {
		for _, q := range mails("ipv4", 10) {
			left := weightedPool(weights...)
			c, err := newRouter(t, Config{Pools: []Pool{left}}).Choose(q)
			if err != nil {
				t.Fatal(err)
			}
			ips := c.IPs()
			if len(ips) != len(weights) {
				t.Fatalf("%d addresses, want the %d of the family", len(ips), len(weights))
			}
			for _, want := range ips {
				c, err := newRouter(t, Config{Pools: []Pool{left}}).Choose(q)
				if err != nil || c.IP != want {
					t.Fatalf("weights %v: %v, %v; want %v of the order %v", weights, c.IP, err, want, ips)
				}
				left.IPs = slices.DeleteFunc(left.IPs, func(ip WeightedIP) bool { return ip.SendingIP == want })
			}
		}
	}
}
