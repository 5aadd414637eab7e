package outlet

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/dial"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/smtp/smtptest"
	"kanmon/internal/store"
)

// A gateway is what a test has configured. Its methods give another one.
type gateway struct {
	ips       []string
	floating  []string // of them
	pools     []route.Pool
	tenants   []route.Tenant
	unknown   string // tenant
	routes    []route.Route
	handlings []Handling // of mail without a route, and of each
	policy    standing.Numbers
	block     standing.Block
}

// sending is a gateway with nothing but sending IPs. The numbers are those of a configuration that names none; a test of package daemon
// compares those of the standing.
func sending(ips ...string) gateway {
	return gateway{
		ips: ips, handlings: []Handling{{Soften: true, Suspend: true, PerHour: 20}}, policy: *standing.DefaultNumbers(), block: standing.Block{V4: 24, V6: 48},
	}
}

// pool has a pool of these sending IPs, sticky by sender domain.
func (g gateway) pool(name string, ips ...string) gateway {
	p := route.Pool{Name: name, BySender: true}
	for _, ip := range ips {
		p.IPs = append(p.IPs, weighted(ip))
	}
	g.pools = append(slices.Clone(g.pools), p)
	return g
}

// byTenant makes the last pool sticky by tenant alone.
func (g gateway) byTenant() gateway {
	g.pools = slices.Clone(g.pools)
	g.pools[len(g.pools)-1].BySender = false
	return g
}

func (g gateway) tenant(name, source string) gateway {
	return g.claimed(route.Tenant{Name: name, Sources: []netip.Prefix{netip.MustParsePrefix(source)}, Pool: route.DefaultPool})
}

func (g gateway) claimed(t route.Tenant) gateway {
	g.tenants = append(slices.Clone(g.tenants), t)
	return g
}

// route has a route whose refusals are handled as those of all mail, but for what changes.
func (g gateway) route(r route.Route, changes func(*Handling)) gateway {
	how := g.handlings[0]
	if changes != nil {
		changes(&how)
	}
	g.routes, g.handlings = append(slices.Clone(g.routes), r), append(slices.Clone(g.handlings), how)
	return g
}

// handling changes what is done about refusals of mail without a route, and of that of the routes to come.
func (g gateway) handling(changes func(*Handling)) gateway {
	g.handlings = slices.Clone(g.handlings)
	changes(&g.handlings[0])
	return g
}

func (g gateway) standing(changes func(*standing.Numbers)) gateway {
	changes(&g.policy)
	return g
}

func weighted(ip string) route.WeightedIP {
	return route.WeightedIP{SendingIP: route.SendingIP{Address: netip.MustParseAddr(ip), Name: "out.example.jp"}, Weight: 1}
}

// allPools gives the pools; without any there is one of all sending IPs.
func (g *gateway) allPools() []route.Pool {
	if len(g.pools) > 0 {
		return g.pools
	}
	p := route.Pool{Name: route.DefaultPool}
	for _, ip := range g.ips {
		p.IPs = append(p.IPs, weighted(ip))
	}
	return []route.Pool{p}
}

func (g *gateway) settings() standing.Settings {
	s := standing.Settings{Numbers: &g.policy, Block: g.block}
	for _, ip := range g.ips {
		s.Neighbours = append(s.Neighbours, netip.MustParseAddr(ip))
	}
	return s
}

// sendingIPs are those that the host is watched for.
func (g *gateway) sendingIPs() (list []SendingIP) {
	for _, ip := range g.ips {
		list = append(list, SendingIP{Address: netip.MustParseAddr(ip), Floating: slices.Contains(g.floating, ip)})
	}
	return list
}

// A part is what a test gives an outlet beside its gateway.
type part struct {
	store *standing.SQLite // nil: none
	clock func() time.Time
	dns   provider.Resolver
	wait  time.Duration
	check standing.Check // nil: no list is asked
}

// begin makes an outlet and its state. The end gives the errors of all that there is to close, the store excepted.
func (g gateway) begin(t testing.TB, with part) (o *rig, state *State, end func() []error) {
	t.Helper()
	options := standing.Options{Settings: g.settings(), Clock: with.clock, Check: with.check}
	var file *store.File
	if with.store != nil {
		options.Store, file = with.store, with.store.File()
	}
	book, err := standing.New(options)
	if err != nil {
		t.Fatal(err)
	}
	state, err = OpenState(StateOptions{Book: book, File: file, Clock: with.clock})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := classify.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	out, err := New(Options{
		State: state, Dialer: dial.New(dial.Config{}), Rules: rules, Handlings: g.handlings, Block: g.block,
		Routes:    route.Config{Pools: g.allPools(), Tenants: g.tenants, Unknown: g.unknown, Routes: g.routes},
		Providers: shipped(t), Resolver: with.dns, Wait: with.wait,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Outlet: out, ways: map[caller]*way{}}, state, func() []error {
		out.Close()
		return []error{state.Close(), book.Close()}
	}
}

// shipped are the providers that kanmon knows.
func shipped(t testing.TB) []provider.Provider {
	t.Helper()
	cfg, err := config.Parse("kanmon.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Providers()
}

// newOutlet makes an outlet without DNS, which remembers no mail and guesses no sender.
func newOutlet(t testing.TB, g gateway) *rig {
	t.Helper()
	o, _, end := g.begin(t, part{dns: &smtptest.DNS{}})
	o.pins, o.forecast = nil, nil
	t.Cleanup(func() {
		for _, err := range end() {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return o
}
