package admin

import (
	"net"
	"testing"
)

// Which connection is closed when there is no room: one of the user who has most, whatever it does. So nobody keeps another out, not even by
// connections that all wait for an answer.
//
// audit-B10
func TestWhoHasMostGivesWay(t *testing.T) {
	type one struct {
		user    string
		waiting bool
	}
	eve, asks, root := one{"eve", false}, one{"eve", true}, one{"root", false}
	many := func(n int, of one, then ...one) (all []one) {
		for range n {
			all = append(all, of)
		}
		return append(all, then...)
	}
	for name, c := range map[string]struct {
		all  []one // in the order in which they came
		want int
	}{
		"idle ones, the oldest":               {many(32, eve, root), 0},
		"all of hers ask, the newest of them": {many(32, asks, root), 31},
		"one of hers does not ask":            {append(many(3, asks, eve), many(28, asks, root)...), 3},
		"an operator who asks":                {append([]one{{"root", true}}, many(31, asks, root)...), 31},
		"an operator's are older":             {append([]one{root}, many(32, asks)...), 32},
		"as many of both, who does not ask":   {append(many(16, asks), many(16, root)...), 16},
	} {
		conns := connections{open: map[net.Conn]*connection{}}
		for i, who := range c.all {
			end, other := net.Pipe()
			defer other.Close()
			defer end.Close()
			conns.open[end] = &connection{net: end, user: who.user, waiting: who.waiting, number: uint64(i)}
		}
		if got := conns.leastNeeded(); got.number != uint64(c.want) {
			t.Errorf("%s: number %d of %s leaves, want %d", name, got.number, got.user, c.want)
		}
	}
}
