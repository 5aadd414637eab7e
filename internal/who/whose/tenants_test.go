package whose

import (
	"net/netip"
	"slices"
	"testing"
)

func networks(list ...string) (all []netip.Prefix) {
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func tenantsOf(t testing.TB, unknown string, list ...Tenant) *Tenants {
	t.Helper()
	all, err := New(list, unknown)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	acme   = Tenant{Name: "acme", Sources: networks("10.20.1.0/24", "fd00:1::/64")}
	shared = Tenant{Name: "shared", Sources: networks("10.20.2.0/24")}
	blue   = Tenant{Name: "blue", Sources: networks("10.20.2.0/24"), SenderDomains: []string{"blue.example", "*.Blue.example", "Bücher.example"}}
	cyan   = Tenant{Name: "cyan", Sources: networks("10.20.3.0/24"), SenderDomains: []string{"cyan.example"}}
	vlan   = Tenant{Name: "vlan", Port: 10026, SenderDomains: []string{"vlan.example"}}
	alumni = Tenant{Name: "alumni", Sources: networks("10.20.2.0/24"), SenderDomains: []string{"alumni.example"}, AllSenders: true}
)

// An asked is a question, and what must be answered.
type asked struct {
	port   uint16
	source string
	sender string // "-": not known yet
	want   Owner
}

func ask(t *testing.T, all *Tenants, list []asked) {
	t.Helper()
	for _, a := range list {
		var sender Sender
		if a.sender != "-" {
			sender = SenderOf(a.sender)
		}
		got := *all.Find(netip.MustParseAddr(a.source), a.port, sender)
		got.number = 0
		if got != a.want {
			t.Errorf("port %d, source %s, sender %q: %+v, want %+v", a.port, a.source, a.sender, got, a.want)
		}
	}
}

// The MSA's address tells whose a mail is, and the sender's domain where several are behind one.
//
// law: I11
func TestFind(t *testing.T) {
	ask(t, tenantsOf(t, "", acme, shared, blue, cyan), []asked{
		{0, "10.20.1.5", "-", Owner{Tenant: "acme"}},
		{0, "::ffff:10.20.1.5", "-", Owner{Tenant: "acme"}},
		{0, "fd00:1::5", "", Owner{Tenant: "acme"}},
		{0, "10.20.1.5", "a@blue.example", Owner{Tenant: "acme", Spoofed: "blue"}},
		{0, "10.20.2.5", "-", Owner{Tenant: "shared"}},
		{0, "10.20.2.5", "a@blue.example", Owner{Tenant: "blue"}},
		{0, "10.20.2.5", "a@x.y.blue.example", Owner{Tenant: "blue"}},
		{0, "10.20.2.5", "a@notblue.example", Owner{Tenant: "shared"}},
		{0, "10.20.2.5", "a@xn--bcher-kva.example", Owner{Tenant: "blue"}},
		{0, "10.20.2.5", "a@cyan.example", Owner{Tenant: "shared", Spoofed: "cyan"}},
		{0, "10.20.3.5", "-", Owner{Later: true}},
		{0, "10.20.3.5", "a@cyan.example", Owner{Tenant: "cyan"}},
		{0, "10.20.3.5", "a@other.example", Owner{}},
		{0, "10.30.0.1", "-", Owner{}},
		{0, "10.30.0.1", "a@cyan.example", Owner{}}, // the domain alone makes nobody a tenant
	})
}

// Mail that no tenant claims is that of the one for all others, which does not speak for another one's domain.
//
// law: I11
func TestFindOfStrangers(t *testing.T) {
	ask(t, tenantsOf(t, "acme", acme, cyan), []asked{
		{0, "10.20.1.5", "-", Owner{Tenant: "acme"}},
		{0, "10.30.0.1", "-", Owner{Tenant: "acme", Unclaimed: true}},
		{0, "10.30.0.1", "a@cyan.example", Owner{Tenant: "acme", Unclaimed: true, Spoofed: "cyan"}},
		{0, "10.20.3.5", "-", Owner{Later: true}},
		{0, "10.20.3.5", "a@other.example", Owner{Tenant: "acme", Unclaimed: true}},
	})
	if _, err := New([]Tenant{acme}, "nobody"); err == nil || err.Error() != `there is no tenant "nobody"` {
		t.Errorf("an unknown that is no tenant: %v", err)
	}
}

// A tenant that forwards has senders of its own and those of strangers; another tenant's behind the same sources stay that one's.
func TestAllSenders(t *testing.T) {
	ask(t, tenantsOf(t, "", acme, blue, alumni), []asked{
		{0, "10.20.2.5", "a@alumni.example", Owner{Tenant: "alumni"}},
		{0, "10.20.2.5", "a@elsewhere.example", Owner{Tenant: "alumni"}},
		{0, "10.20.2.5", "a@blue.example", Owner{Tenant: "blue"}},
		{0, "10.20.1.5", "a@alumni.example", Owner{Tenant: "acme", Spoofed: "alumni"}},
	})
}

// The listener says whose mail it is before the MSA's address and the sender do, and nothing is left to be told by the sender.
func TestListenerOfATenant(t *testing.T) {
	ask(t, tenantsOf(t, "", acme, blue, vlan), []asked{
		{10026, "10.20.1.5", "", Owner{Tenant: "vlan"}},
		{10026, "10.99.0.1", "a@elsewhere.example", Owner{Tenant: "vlan"}},
		{10026, "10.20.2.5", "a@blue.example", Owner{Tenant: "vlan", Spoofed: "blue"}},
		{10026, "10.20.2.5", "a@vlan.example", Owner{Tenant: "vlan"}},
		{10025, "10.20.1.5", "a@vlan.example", Owner{Tenant: "acme", Spoofed: "vlan"}},
		{0, "10.20.1.5", "a@acme.example", Owner{Tenant: "acme"}},
		{10025, "10.99.0.1", "a@vlan.example", Owner{}},
	})
}

// Where no sender can tell anything, the first answer is the last one; where there are no tenants, each MSA is one.
func TestFinalAnswers(t *testing.T) {
	ask(t, tenantsOf(t, ""), []asked{{0, "10.20.1.5", "-", Owner{Apart: true, Final: true}}, {0, "10.20.1.5", "a@b.example", Owner{Apart: true, Final: true}}})
	ask(t, tenantsOf(t, "shared", acme, shared), []asked{
		{0, "10.20.1.5", "-", Owner{Tenant: "acme", Final: true}},
		{0, "10.30.0.1", "-", Owner{Tenant: "shared", Unclaimed: true, Final: true}},
	})
	ask(t, tenantsOf(t, "", acme), []asked{{0, "10.30.0.1", "-", Owner{Final: true}}})
}

// A session whose senders nobody will see may be of any of them.
func TestBehind(t *testing.T) {
	all := tenantsOf(t, "acme", acme, shared, blue, cyan, vlan)
	for _, test := range []struct {
		port   uint16
		source string
		want   []string
	}{
		{0, "10.20.1.5", []string{"acme"}},
		{0, "::ffff:10.20.2.5", []string{"shared", "blue"}},
		{0, "10.20.3.5", []string{"cyan", "acme"}}, // a sender that is not cyan's is a stranger's
		{0, "10.30.0.1", []string{"acme"}},
		{10026, "10.20.1.5", []string{"vlan"}},
	} {
		if got := all.Behind(netip.MustParseAddr(test.source), test.port); !slices.Equal(got, test.want) {
			t.Errorf("port %d, source %s: %v, want %v", test.port, test.source, got, test.want)
		}
	}
}

// It is asked at every MAIL.
func TestFindDoesNotAllocate(t *testing.T) {
	all := tenantsOf(t, "acme", acme, shared, blue, cyan)
	for _, source := range []string{"10.20.1.5", "10.20.2.5", "10.20.3.5", "10.30.0.1", "fd00:1::5", "fd00:2::5"} {
		addr := netip.MustParseAddr(source)
		for _, sender := range []string{"a@x.y.other.example", ""} {
			if n := testing.AllocsPerRun(100, func() { all.Find(addr, 0, SenderOf(sender)) }); n != 0 {
				t.Errorf("source %s, sender %q: %v allocations, want 0", source, sender, n)
			}
		}
	}
}

func BenchmarkFind(b *testing.B) {
	var list []Tenant
	for i := range 10_000 {
		list = append(list, Tenant{Name: "t", Sources: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)}})
	}
	all, source, sender := tenantsOf(b, "", append(list, blue)...), netip.MustParseAddr("10.7.8.9"), SenderOf("a@b.c.example")
	b.ReportAllocs()
	for b.Loop() {
		all.Find(source, 0, sender)
	}
}
