package session

import (
	"net/netip"
	"testing"
)

// A tenant that sends large messages leaves room to keep those of the others; who is alone has all of it.
//
// audit-B: memory of rescue bodies
func TestBodiesAreShared(t *testing.T) {
	for name, test := range map[string]struct {
		tenant func(Origin) string
		want   [2]int
	}{
		"two tenants": {func(o Origin) string { return o.Source.Addr().String() }, [2]int{50, 25}},
		"one":         {nil, [2]int{100, 0}},
	} {
		e := &Engine{Live: &Live{}, Tenant: test.tenant, Rescue: Rescue{BodiesBytes: 100 * outBuffer}}
		var got [2]int
		var sessions [2]*session
		for i := range sessions {
			sessions[i] = &session{e: e}
			sessions[i].info.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 20, 1, byte(i)}), 40000)
			for e.Live.bodies.take(sessions[i]) {
				got[i]++
			}
		}
		if got != test.want {
			t.Errorf("%s: %v pieces, want %v", name, got, test.want)
		}
		for i, s := range sessions {
			e.Live.bodies.give(s, got[i])
		}
		if n := KeptOctets(e.Live); n != 0 {
			t.Errorf("%s: %d octets are left", name, n)
		}
	}
}
