package watch

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// shuffled answers with the names of a PTR in another order each time, as servers do.
type shuffled struct{ names []string }

func (s *shuffled) LookupAddr(context.Context, string) ([]string, error) {
	s.names = append(s.names[1:], s.names[0])
	return slices.Clone(s.names), nil
}

func (*shuffled) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{out10.IP}, nil
}

// Of a PTR with many names the same are looked at each time, and the one that kanmon says itself is among them.
func TestOfManyNamesTheSameAreLookedAt(t *testing.T) {
	r := &shuffled{names: []string{"Out10.example.jp."}}
	for n := range 20 {
		r.names = append(r.names, fmt.Sprintf("a%02d.example.jp.", n))
	}
	first := LookUp(t.Context(), r, out10)
	for range 20 {
		if n := LookUp(t.Context(), r, out10); !n.Same || !n.Back || !slices.Equal(n.PTR, first.PTR) || len(n.PTR) != mostNames {
			t.Fatalf("%+v, before %+v", n, first)
		}
	}
}
