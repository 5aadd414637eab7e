package web

import (
	"net/netip"
	"testing"

	"kanmon/internal/view/viewtest"
)

var testWays = Ways{
	IPs:        []SendingIP{{netip.MustParseAddr("192.0.2.1"), "out1.example", []string{"default"}}, {netip.MustParseAddr("192.0.2.2"), "out2.example", []string{"default"}}},
	Thresholds: Thresholds{ListedReplies: 1, ListedDestinations: 1, RefusedTenants: 2, RefusedDestinations: 3},
}

func newFilledRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	g := newRig(t, append([]func(*Options){func(o *Options) { o.Ways = func() Ways { return testWays } }}, change...)...)
	g.kanmon.Set(viewtest.Fill)
	return g
}
