package route

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"kanmon/internal/session"
)

// An absent sending IP is none of its pool: what it would take is spread over the others, nothing else moves, and all is as before once it is
// back.
//
// trouble-O01
func TestAbsentIPIsNoneOfItsPool(t *testing.T) {
	for _, family := range []string{"ipv4", "ipv6"} {
		for name, pool := range map[string]Pool{"even": weightedPool(1, 1, 1), "weighted": weightedPool(1, 2, 5)} {
			var missing Absence
			r := newRouter(t, Config{Pools: []Pool{pool}, Tenants: tenantsOf(50), Absent: &missing})
			gone := pool.IPs[0].Address
			if family == "ipv6" {
				gone = pool.IPs[1].Address
			}
			list := mails(family, 20)
			before := chosen(t, pool, list)
			missing.Set([]netip.Addr{gone})
			taken := map[netip.Addr]int{}
			for i, q := range list {
				choice, err := r.Choose(q)
				if err != nil {
					t.Fatal(err)
				}
				ips := choice.IPs()
				if ips[0] != choice.IP || len(ips) != 2 || choice.Has(gone) || slices.ContainsFunc(ips, func(ip SendingIP) bool { return ip.Address == gone }) {
					t.Fatalf("%s: %v of %v, which has the absent one: %t", name, choice.IP, ips, choice.Has(gone))
				}
				if before[i] != gone && before[i] != choice.IP.Address {
					t.Fatalf("%s: mail of %v goes to %v, though both are here", name, before[i], choice.IP.Address)
				}
				if before[i] == gone {
					taken[choice.IP.Address]++
				}
			}
			if len(taken) != 2 {
				t.Errorf("%s: the absent one's mail goes to %v, want both others", name, taken)
			}
			missing.Set(nil)
			for i, q := range list {
				if choice, err := r.Choose(q); err != nil || choice.IP.Address != before[i] {
					t.Fatalf("%s: back, and mail of %v goes to %v (%v)", name, before[i], choice.IP.Address, err)
				}
			}
		}
	}
}

// Where none of the MX's family is here, the MSA is to go on to the other family; where none is here at all, it is to wait.
//
// trouble-O01 law: I15
func TestAllOfAFamilyAbsent(t *testing.T) {
	var missing Absence
	pool := weightedPool(1, 1)
	r := newRouter(t, Config{Pools: []Pool{pool}, Absent: &missing})
	v4, v6 := mails("ipv4", 1)[0], mails("ipv6", 1)[0]
	missing.Set([]netip.Addr{pool.IPs[1].Address, pool.IPs[3].Address})
	if choice, err := r.Choose(v6); !errors.Is(err, session.ErrNoSendingIP) || choice.Pool != "default" {
		t.Errorf("IPv6: %v of %q, want session.ErrNoSendingIP", err, choice.Pool)
	}
	if _, err := r.Choose(v4); err != nil {
		t.Errorf("IPv4: %v", err)
	}
	var all []netip.Addr
	for _, ip := range pool.IPs {
		all = append(all, ip.Address)
	}
	missing.Set(all)
	for _, q := range []Query{v4, v6} {
		if choice, err := r.Choose(q); !errors.Is(err, session.ErrNotOnHost) || choice.IP.Address.IsValid() || len(choice.IPs()) != 0 && err == nil {
			t.Errorf("%v of %v, want session.ErrNotOnHost", err, choice.IP)
		}
	}
}

// A choice can be had without one that has turned out not to be usable, and the shared Absence does not change with it.
func TestChoiceWithout(t *testing.T) {
	r := newRouter(t, Config{Pools: []Pool{weightedPool(1, 1, 1)}})
	choice, err := r.Choose(mails("ipv4", 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	order, fewer := choice.IPs(), choice
	for i := range order {
		if fewer.IP != order[i] || !slices.Equal(fewer.IPs(), order[i:]) {
			t.Errorf("without %d: %v of %v, want %v", i, fewer.IP, fewer.IPs(), order[i:])
		}
		fewer = fewer.Without(order[i].Address)
	}
	if len(fewer.IPs()) != 0 || fewer.IP.Address.IsValid() || !slices.Equal(choice.IPs(), order) {
		t.Errorf("without all: %v; the first choice has become %v", fewer.IPs(), choice.IPs())
	}
}
