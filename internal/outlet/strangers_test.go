package outlet

import (
	"net/netip"
	"testing"

	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
)

// Two strangers are one tenant: what they meet is no evidence of two.
func TestStrangersAreOneTenant(t *testing.T) {
	source := func(network string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(network)} }
	tenants := []route.Tenant{
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

// Without tenants a host is one MSA, whichever address of its /64 it has, in all that is remembered of it: its next try leaves from another IP
// than the one that may have been refused, and what it meets is no evidence of two.
//
// law: I19
func TestAHostIsOneInAllThatIsRemembered(t *testing.T) {
	o, host := newOutlet(t, withoutTenants), []string{"2001:db8:1:2::1", "2001:db8:1:2::2"}
	req := request{Session: 7, Source: netip.MustParseAddr(host[0]), Destination: mxAddr}
	usual := choiceFor(t, o, req).IP.Address
	for _, source := range host {
		j := o.judged(with(doubtful(1, usual, "b@example.net"), func(r *refused) { r.rejection.Source = netip.MustParseAddr(source) }))
		if j.Rescue || j.SoftenTo == 0 {
			t.Fatalf("%+v", j)
		}
	}
	if ip, _, err := o.permitted(choiceFor(t, o, req), req); err != nil || ip.Address == usual {
		t.Errorf("the next try leaves from %s again (%v)", ip.Address, err)
	}
	_, seen := o.book.Show(o.key(usual, mxAddr.Addr()).At("example.net"))
	if len(seen) != 2 || seen[0].Tenant != seen[1].Tenant {
		t.Errorf("evidence of one host: %+v", seen)
	}
}
