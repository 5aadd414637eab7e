package outlet

import (
	"net/netip"
	"testing"

	"kanmon/internal/egress"
	"kanmon/internal/standing"
)

// Two strangers are one tenant: what they meet is no evidence of two.
func TestStrangersAreOneTenant(t *testing.T) {
	source := func(network string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(network)} }
	tenants := []egress.Tenant{
		{Name: "acme", Sources: source("10.20.1.0/24"), Pool: "acme"},
		{Name: "blue", Sources: source("10.20.2.0/24"), SenderDomains: []string{"blue.example"}, Pool: "default"},
		{Name: "cyan", Sources: source("10.20.2.0/24"), SenderDomains: []string{"cyan.example"}, Pool: "default"},
	}
	g := sending("203.0.113.10", "203.0.113.11", "203.0.113.20").pool("default", "203.0.113.20").pool("acme", "203.0.113.10", "203.0.113.11")
	g.tenants, g.unknown = tenants, "acme"
	o := newOutlet(t, g)
	for i, from := range []string{"192.0.2.77", "192.0.2.78", "10.20.2.5"} {
		r := refusedTo(from, ip10, reviewMX, "a@example.com", []string{"x@example.net", "y@example.org", "z@example.edu"}[i],
			"550 5.7.1 Message rejected due to the poor reputation of your IP")
		o.Judge(r)
	}
	_, seen := o.book.Show(standing.Key{IP: ip10, Provider: o.Provider(reviewMX.Addr())})
	if len(seen) != 3 {
		t.Fatalf("%d pieces of evidence: the test shows nothing", len(seen))
	}
	for _, e := range seen {
		if e.Tenant != "acme" {
			t.Errorf("evidence of tenant %q, want acme's", e.Tenant)
		}
	}
}
