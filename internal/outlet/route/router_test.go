package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

func networks(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// members gives sending IPs of weight 1.
func members(addresses ...string) []WeightedIP {
	var out []WeightedIP
	for _, a := range addresses {
		out = append(out, WeightedIP{SendingIP{Address: netip.MustParseAddr(a), Name: "out.example.jp"}, 1})
	}
	return out
}

func newRouter(t testing.TB, c Config) *Router {
	t.Helper()
	r, err := NewRouter(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// example is a gateway with one of everything. The pools have one address of each family, but "v4" only one.
func example() Config {
	return Config{
		Pools: []Pool{
			{Name: "acme", IPs: members("203.0.113.1", "2001:db8::1"), BySender: true},
			{Name: "default", IPs: members("203.0.113.2", "2001:db8::2"), BySender: true},
			{Name: "high", IPs: members("203.0.113.3", "2001:db8::3"), HighRisk: true},
			{Name: "v4", IPs: members("203.0.113.4")},
		},
		Tenants: []Tenant{
			{Name: "acme", Sources: networks("10.20.1.0/24", "fd00:1::/64"), Pool: "acme"},
			{Name: "shared", Sources: networks("10.20.2.0/24"), Pool: "default"},
			{Name: "blue", Sources: networks("10.20.2.0/24"), SenderDomains: []string{"blue.example", "*.Blue.example", "Bücher.example"}, Pool: "v4"},
		},
		Routes: []Route{
			{Name: "bounces", NullSender: true, Tenants: []string{"acme"}, Pool: "high"},
			{Name: "network", Destinations: networks("192.0.2.0/24", "2001:db8:2::/48"), Pool: "high"},
			{Name: "account", Senders: []string{"News@acme.example"}, Pool: "v4"},
			{Name: "domain", SenderDomains: []string{"*.acme.example"}, RecipientDomains: []string{"example.com"}, Pool: "v4"},
			{Name: "provider", Providers: []string{"google", "docomo"}, SenderDomains: []string{"acme.example"}, Pool: "v4"},
			{Name: "suspect", SuspicionMin: 0.8, Pool: "high"},
		},
	}
}

// query gives a Query of acme's, changed.
func query(change func(*Query)) Query {
	q := Query{
		Source: netip.MustParseAddr("10.20.1.5"), Destination: netip.MustParseAddrPort("198.51.100.25:25"),
		Sender: "a@other.example", SenderKnown: true, RecipientDomain: "example.net", Suspicion: -1,
	}
	change(&q)
	q.Sender = mailbox.Form([]byte(q.Sender)) // as sessions give them
	q.RecipientDomain, _ = mailbox.Domain(q.RecipientDomain)
	return q
}

func TestRoutes(t *testing.T) {
	r := newRouter(t, example())
	for _, tc := range []struct {
		name   string
		change func(*Query)
		want   string // tenant, pool, route
	}{
		{"nothing matches", func(*Query) {}, "acme acme pool of the tenant"},
		{"nobody's", func(q *Query) { q.Source = netip.MustParseAddr("10.30.0.1") }, " default default pool"},
		{"mapped source", func(q *Query) { q.Source = netip.MustParseAddr("::ffff:10.20.1.5") }, "acme acme pool of the tenant"},
		{"null sender", func(q *Query) { q.Sender = "" }, "acme high bounces"},
		{"null sender of another", func(q *Query) { q.Sender = ""; q.Source = netip.MustParseAddr("10.30.0.1") }, " default default pool"},
		{"null sender not known yet", func(q *Query) { q.Sender = ""; q.SenderKnown = false }, "acme acme pool of the tenant"},
		{"network", func(q *Query) { q.Destination = netip.MustParseAddrPort("192.0.2.25:25") }, "acme high network"},
		{"mapped network", func(q *Query) { q.Destination = netip.MustParseAddrPort("[::ffff:192.0.2.25]:25") }, "acme high network"},
		{"IPv6 network", func(q *Query) { q.Destination = netip.MustParseAddrPort("[2001:db8:2::25]:25") }, "acme high network"},
		{"account in any case", func(q *Query) { q.Sender = "nEWS@Acme.example" }, "acme v4 account"},
		{"account in another spelling", func(q *Query) { q.Sender = `@r.example:"news"@acme(x).example.` }, "acme v4 account"},
		{"account with tags", func(q *Query) { q.Sender = "prvs=1234abcdef=news+carol=example.net@acme.example" }, "acme v4 account"},
		{"null sender in another spelling", func(q *Query) { q.Sender = "@r.example:" }, "acme high bounces"},
		{"unreadable sender", func(q *Query) { q.Sender = "news@acme.example@x" }, "acme acme pool of the tenant"},
		{"domain in U-labels", func(q *Query) { q.Source = netip.MustParseAddr("10.20.2.5"); q.Sender = "x@BÜCHER.example" }, "blue v4 pool of the tenant"},
		{"domain in A-labels", func(q *Query) { q.Source = netip.MustParseAddr("10.20.2.5"); q.Sender = "x@xn--bcher-kva.example" }, "blue v4 pool of the tenant"},
		{"account not known yet", func(q *Query) { q.Sender = "news@acme.example"; q.SenderKnown = false }, "acme acme pool of the tenant"},
		{"sender and recipient", func(q *Query) { q.Sender = "x@a.b.ACME.example"; q.RecipientDomain = "EXAMPLE.com." }, "acme v4 domain"},
		{"sender alone", func(q *Query) { q.Sender = "x@a.acme.example" }, "acme acme pool of the tenant"},
		{"domain itself is not below", func(q *Query) { q.Sender = "x@acme.example"; q.RecipientDomain = "example.com" }, "acme acme pool of the tenant"},
		{"domain beside is not below", func(q *Query) { q.Sender = "x@bacme.example"; q.RecipientDomain = "example.com" }, "acme acme pool of the tenant"},
		{"recipient not known yet", func(q *Query) { q.Sender = "x@a.acme.example"; q.RecipientDomain = "" }, "acme acme pool of the tenant"},
		{"provider", func(q *Query) { q.Sender = "x@acme.example"; q.Provider = "docomo" }, "acme v4 provider"},
		{"provider without recipient", func(q *Query) { q.Sender = "x@acme.example"; q.Provider = "docomo"; q.RecipientDomain = "" }, "acme v4 provider"},
		{"other provider", func(q *Query) { q.Sender = "x@acme.example"; q.Provider = "au" }, "acme acme pool of the tenant"},
		{"suspect", func(q *Query) { q.Suspicion = 0.8 }, "acme high suspect"},
		{"not suspect", func(q *Query) { q.Suspicion = 0.79 }, "acme acme pool of the tenant"},
		{"first match wins", func(q *Query) { q.Sender = "news@acme.example"; q.Suspicion = 1 }, "acme v4 account"},
		{"shared source", func(q *Query) { q.Source = netip.MustParseAddr("10.20.2.5") }, "shared default pool of the tenant"},
		{"one of a shared source", func(q *Query) { q.Source = netip.MustParseAddr("10.20.2.5"); q.Sender = "x@BLUE.example" }, "blue v4 pool of the tenant"},
		{"one below, of a shared source", func(q *Query) { q.Source = netip.MustParseAddr("10.20.2.5"); q.Sender = "x@a.b.blue.example" }, "blue v4 pool of the tenant"},
		{"its domain from elsewhere", func(q *Query) { q.Sender = "x@blue.example" }, "acme acme pool of the tenant"},
		{"a domain beside", func(q *Query) { q.Source = netip.MustParseAddr("10.20.2.5"); q.Sender = "x@lightblue.example" }, "shared default pool of the tenant"},
		{"sender without domain", func(q *Query) { q.Sender = "postmaster" }, "acme acme pool of the tenant"},
		{"quoted local part", func(q *Query) { q.Sender = `"a@acme.example"@other.example` }, "acme acme pool of the tenant"},
	} {
		c, err := r.Choose(query(tc.change))
		if got := c.Tenant + " " + c.Pool + " " + c.Route; got != tc.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, err, tc.want)
		}
		if c.HighRisk != (c.Pool == "high") {
			t.Errorf("%s: pool %s has HighRisk %t", tc.name, c.Pool, c.HighRisk)
		}
		explained, err := r.Explain(query(tc.change))
		if explained.Pool != c.Pool || explained.Route != c.Route || explained.IP != c.IP || err != nil {
			t.Errorf("%s: explained as %+v, chosen %+v (%v)", tc.name, explained, c, err)
		}
	}
}

// A pool that somebody asked for and that is not there is no other pool.
//
// law: I18
func TestPoolThatIsNotThere(t *testing.T) {
	r := newRouter(t, example())
	q := Query{Source: netip.MustParseAddr("10.20.1.5"), Destination: netip.MustParseAddrPort("198.51.100.25:25"), Suspicion: -1, Pool: "gone"}
	if choice, err := r.Choose(q); err == nil || choice.IP.Address.IsValid() || choice.Pool != "" {
		t.Errorf("chosen: %+v, %v", choice, err)
	}
	q.Pool = "high"
	if choice, err := r.Choose(q); err != nil || choice.Pool != "high" {
		t.Errorf("chosen: %+v, %v", choice, err)
	}
}

// Whose a mail is decides what the session was told, where it was, and else what is known of the mail.
//
// law: I11
func TestOwnerOfTheQueryHolds(t *testing.T) {
	r := newRouter(t, example())
	q := query(func(*Query) {})
	elsewhere := query(func(q *Query) { q.Source = netip.MustParseAddr("10.30.0.1") })
	elsewhere.Owner = r.Owner(q)
	for _, mail := range []Query{q, elsewhere} {
		if c, err := r.Choose(mail); c.Tenant != "acme" || c.Pool != "acme" || err != nil {
			t.Errorf("from %s: %+v, %v; want acme's", mail.Source, c, err)
		}
	}
	if r.Owner(elsewhere) != elsewhere.Owner {
		t.Error("it is asked again whose the mail is")
	}
}

func TestFamilyOfAPool(t *testing.T) {
	r := newRouter(t, example())
	c, err := r.Choose(query(func(q *Query) {
		q.Sender, q.Destination = "news@acme.example", netip.MustParseAddrPort("[2001:db8:9::25]:25")
	}))
	if !errors.Is(err, session.ErrNoSendingIP) || c.Pool != "v4" || c.IP.Address.IsValid() || len(c.IPs()) != 0 {
		t.Errorf("IPv6 MX, pool with IPv4 alone: %+v, %v; want session.ErrNoSendingIP, and no address of another pool", c, err)
	}
	if want := `pool "v4": no sending IP of the destination's address family`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	for address, want := range map[string]string{"198.51.100.25:25": "203.0.113.1", "[2001:db8:9::25]:25": "2001:db8::1"} {
		c, err := r.Choose(query(func(q *Query) { q.Destination = netip.MustParseAddrPort(address) }))
		if err != nil || c.IP.Address.String() != want {
			t.Errorf("toward %s: %v, %v; want %s", address, c.IP, err, want)
		}
	}
}

// Why names each route that was tried, in order, and the condition that it failed by.
func TestExplain(t *testing.T) {
	r := newRouter(t, example())
	for _, tc := range []struct {
		change func(*Query)
		want   []string
	}{
		{func(q *Query) { q.Source = netip.MustParseAddr("10.30.0.1") }, []string{
			"bounces: the tenant is none, not acme",
			"network: the MX 198.51.100.25 is not in 192.0.2.0/24 or 2001:db8:2::/48",
			"account: the sender is a@other.example, not news@acme.example",
			"domain: the sender domain is other.example, not *.acme.example",
			"provider: the sender domain is other.example, not acme.example",
			"suspect: no suspicion score is known",
		}},
		{func(q *Query) {
			q.SenderKnown, q.RecipientDomain = false, ""
			q.Destination, q.Suspicion = netip.AddrPortFrom(netip.IPv4Unspecified(), 25), 0.5
		}, []string{
			"bounces: the sender is not known",
			"network: the MX's address is not known",
			"account: the sender is not known",
			"domain: the sender is not known",
			"provider: the sender is not known",
			"suspect: the suspicion score 0.5 is below 0.8",
		}},
		{func(q *Query) { q.Sender = "a@acme.example"; q.Provider = "au" }, []string{
			"bounces: the sender is not null",
			"network: the MX 198.51.100.25 is not in 192.0.2.0/24 or 2001:db8:2::/48",
			"account: the sender is a@acme.example, not news@acme.example",
			"domain: the sender domain is acme.example, not *.acme.example",
			"provider: the provider is au, not google or docomo",
			"suspect: no suspicion score is known",
		}},
		{func(q *Query) { q.Sender = "a@b.acme.example"; q.RecipientDomain = ""; q.Suspicion = 0.9 }, []string{
			"bounces: the sender is not null",
			"network: the MX 198.51.100.25 is not in 192.0.2.0/24 or 2001:db8:2::/48",
			"account: the sender is a@b.acme.example, not news@acme.example",
			"domain: the recipient is not known",
			"provider: the sender domain is b.acme.example, not acme.example",
		}},
	} {
		c, err := r.Explain(query(tc.change))
		if err != nil || !slices.Equal(c.Why, tc.want) {
			t.Errorf("%v\n got %s\nwant %s", err, strings.Join(c.Why, "\n     "), strings.Join(tc.want, "\n     "))
		}
	}
	many := Route{Name: "many", Providers: []string{"a", "b", "c", "d"}, Pool: "default"}
	c, _ := newRouter(t, Config{Pools: []Pool{{Name: "default", IPs: members("203.0.113.2")}}, Routes: []Route{many}}).Explain(query(func(*Query) {}))
	if want := []string{"many: the provider is none that is known, not one of 4"}; !slices.Equal(c.Why, want) {
		t.Errorf("a long list: %q, want %q", c.Why, want)
	}
}

// A lookup must not be needed when this says no: that is compared with the choice itself.
func TestNeedsProvider(t *testing.T) {
	pools := []Pool{{Name: "default", IPs: members("203.0.113.1"), BySender: true}, {Name: "other", IPs: members("203.0.113.9")}}
	google := []string{"google"}
	known := func(q *Query) { q.SenderKnown, q.Sender = true, "a@acme.example" }
	for _, tc := range []struct {
		name   string
		routes []Route
		change func(*Query)
		want   bool
	}{
		{"no route", nil, nil, false},
		{"recipient route", []Route{{RecipientDomains: []string{"a.example"}}}, nil, false},
		{"provider route", []Route{{Providers: google}}, nil, true},
		{"provider route, recipient known", []Route{{Providers: google}}, func(q *Query) { q.RecipientDomain = "example.com" }, true},
		{"provider route, provider known", []Route{{Providers: google}}, func(q *Query) { q.Provider = "au" }, false},
		{"route of another tenant", []Route{{Tenants: []string{"acme"}, Providers: google}}, nil, false},
		{"route of another network", []Route{{Destinations: networks("192.0.2.0/24"), Providers: google}}, nil, false},
		{"route of another sender", []Route{{SenderDomains: []string{"b.example"}, Providers: google}}, known, false},
		{"behind one that matches", []Route{{}, {Providers: google}}, nil, false},
	} {
		for i := range tc.routes {
			tc.routes[i].Pool = "other"
		}
		r := newRouter(t, Config{
			Pools: pools, Routes: tc.routes, Tenants: []Tenant{{Name: "acme", Sources: networks("10.99.0.0/16"), Pool: "default"}},
		})
		q := Query{Source: netip.MustParseAddr("10.20.1.5"), Destination: netip.MustParseAddrPort("198.51.100.25:25"), Suspicion: -1}
		if tc.change != nil {
			tc.change(&q)
		}
		if got := r.NeedsProvider(q); got != tc.want {
			t.Errorf("%s: %t, want %t", tc.name, got, tc.want)
		}
	}
	if newRouter(t, Config{}).NeedsProvider(Query{}) {
		t.Error("observe mode: needed")
	}
}

func TestProviderNotNeededMeansNoChange(t *testing.T) {
	full := example()
	for i := range full.Pools { // several addresses, so that the key matters too
		full.Pools[i].IPs = append(full.Pools[i].IPs, members(fmt.Sprintf("198.51.100.%d", i+1))...)
	}
	senders := []string{"", "news@acme.example", "a@b.acme.example", "a@acme.example", "a@blue.example", "a@other.example"}
	for mask := range 1 << len(full.Routes) {
		c := full
		c.Routes = nil
		for i, route := range full.Routes {
			if mask>>i&1 == 1 {
				c.Routes = append(c.Routes, route)
			}
		}
		r := newRouter(t, c)
		for _, source := range []string{"10.20.1.5", "10.20.2.5", "10.30.0.1"} {
			dial := Query{Source: netip.MustParseAddr(source), Destination: netip.MustParseAddrPort("198.51.100.25:25"), Suspicion: -1}
			for _, sender := range senders {
				mail := dial
				mail.Sender, mail.SenderKnown = sender, true
				for _, provider := range []string{"", "google", "au"} {
					rcpt := mail
					rcpt.RecipientDomain, rcpt.Provider = "example.com", provider
					last, _ := r.Choose(rcpt)
					unknown := rcpt
					unknown.Provider = ""
					without, _ := r.Choose(unknown)
					if !r.NeedsProvider(unknown) && last.Pool != without.Pool {
						t.Fatalf("routes %06b, %s, %q: the provider changes %s to %s, and is not needed", mask, source, sender, without.Pool, last.Pool)
					}
				}
			}
		}
	}
}

func TestObserveModeKnowsTenants(t *testing.T) {
	r := newRouter(t, Config{
		Pools:   []Pool{{Name: "default"}},
		Tenants: []Tenant{{Name: "acme", Sources: networks("10.20.1.0/24"), Pool: "default"}},
	})
	c, err := r.Choose(query(func(*Query) {}))
	if err != nil || c.Tenant != "acme" || c.Pool != "" || c.IP != (SendingIP{}) || c.IPs() != nil {
		t.Errorf("%+v, %v; want the tenant and no sending IP", c, err)
	}
}

// A route without a pool leaves the mail where it is, and is told of all the same.
func TestRouteWithoutPool(t *testing.T) {
	c := example()
	c.Routes = append([]Route{{Name: "careful", RecipientDomains: []string{"careful.example"}}}, c.Routes...)
	r := newRouter(t, c)
	for source, pool := range map[string]string{"10.20.1.5": "acme", "10.30.0.1": "default"} {
		q := query(func(q *Query) { q.Source, q.RecipientDomain = netip.MustParseAddr(source), "careful.example" })
		choice, err := r.Choose(q)
		if err != nil || choice.Pool != pool || choice.Route != "careful" || choice.Number != 1 || !choice.IP.Address.IsValid() {
			t.Errorf("%s: %+v, %v", source, choice, err)
		}
		q.RecipientDomain = "other.example"
		if choice, err = r.Choose(q); err != nil || choice.Pool != pool || choice.Number != 0 {
			t.Errorf("%s, another domain: %+v, %v", source, choice, err)
		}
	}
}

func TestRouterErrors(t *testing.T) {
	pools := []Pool{{Name: "default", IPs: members("203.0.113.1")}}
	for want, c := range map[string]Config{
		`there is no pool "default"`:             {Pools: []Pool{{Name: "bulk", IPs: members("203.0.113.1")}}},
		`tenant "acme": there is no pool "bulk"`: {Pools: pools, Tenants: []Tenant{{Name: "acme", Pool: "bulk"}}},
		`route 1: there is no pool "bulk"`:       {Pools: pools, Routes: []Route{{Name: "route 1", Pool: "bulk"}}},
		`route 1: there is no tenant "acme"`:     {Pools: pools, Routes: []Route{{Name: "route 1", Tenants: []string{"acme"}, Pool: "default"}}},
	} {
		if _, err := NewRouter(c); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestRouterDoesNotAllocate(t *testing.T) {
	r := newRouter(t, example())
	q := query(func(q *Query) {
		q.Sender = "a@a.b.blue.example"
		q.Source = netip.MustParseAddr("10.20.2.5")
		q.Provider = "au"
	})
	if n := testing.AllocsPerRun(100, func() {
		_, _ = r.Choose(q)
		r.NeedsProvider(q)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// BenchmarkRouter: routes that all fail by their sender domain, or by the recipient's, and a pool of eight.
func BenchmarkRouter(b *testing.B) {
	for _, n := range []int{0, 1, 10, 100, 1000} {
		c := Config{Tenants: []Tenant{{Name: "acme", Sources: networks("10.20.1.0/24"), Pool: "default"}}}
		p := Pool{Name: "default", BySender: true}
		for i := range 8 {
			p.IPs = append(p.IPs, WeightedIP{SendingIP{Address: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})}, 1})
		}
		c.Pools = []Pool{p}
		for i := range n {
			route := Route{SenderDomains: []string{fmt.Sprintf("d%03d.example", i)}, Pool: "default"}
			if i%2 == 1 {
				route = Route{RecipientDomains: []string{fmt.Sprintf("*.r%03d.example", i)}, Providers: []string{"google"}, Pool: "default"}
			}
			c.Routes = append(c.Routes, route)
		}
		r := newRouter(b, c)
		q := query(func(q *Query) { q.Sender = "a@dxxx.example" })
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = r.Choose(q)
			}
		})
	}
}
