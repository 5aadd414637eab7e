package daemon

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/intercept"
	"kanmon/internal/outlet"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

func addrPort(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// Each key of [timeouts] is the name of a phase, and reaches that phase.
func TestTimeoutsReachTheirPhases(t *testing.T) {
	var timeouts config.Timeouts
	v := reflect.ValueOf(&timeouts).Elem()
	var keys []string
	for i := range v.NumField() {
		v.Field(i).SetInt(int64(i+1) * int64(time.Second))
		keys = append(keys, v.Type().Field(i).Tag.Get("toml"))
	}
	got := timeoutsOf(&timeouts)
	if len(keys) != len(got) {
		t.Errorf("%d keys, %d phases", len(keys), len(got))
	}
	for phase := range event.PhaseCount {
		i := slices.Index(keys, phase.String())
		if i < 0 || got[phase] != time.Duration(i+1)*time.Second {
			t.Errorf("phase %s has timeout %s of key %d", phase, got[phase], i)
		}
	}
}

func TestLimitsReachTheEngine(t *testing.T) {
	cfg := &config.Config{Limits: config.Limits{
		Sessions: 1, SessionsPerSource: 2, Recipients: 3, BadCommands: 4, IdleCommands: 5, Transactions: 6, BodyBytes: 7, SessionsReserve: 8,
	}}
	want := session.Limits{Sessions: 1, SessionsPerSource: 2, Recipients: 3, BadCommands: 4, IdleCommands: 5, Transactions: 6, BodyBytes: 7}
	for tenants, reserve := range []int{0, 0, 8} { // who is alone has all
		cfg.Tenants, want.SessionsReserve = make([]config.Tenant, tenants), reserve
		if got := limitsOf(cfg); got != want {
			t.Errorf("%d tenants: limits %+v, want %+v", tenants, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	cfg, err := config.Parse("kanmon.toml", []byte(`[intercept]
mode = "tproxy"
sources = ["10.20.0.0/16"]
interfaces = ["msa*"]
local = true
mark = 1
tproxy_mark = 2
tproxy_table = 3
`))
	if err != nil {
		t.Fatal(err)
	}
	want := intercept.Rules{
		Mode:       intercept.TProxy,
		Listen:     []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:10025"), netip.MustParseAddrPort("[::1]:10025")},
		Sources:    []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")},
		Interfaces: []string{"msa*"},
		Local:      true,
		Mark:       1,
		RouteMark:  2,
		RouteTable: 3,
	}
	got := Rules(cfg)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("rules %+v, want %+v", got, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

// What the configuration lets pass, the rules take: otherwise an operator learns of an error when mail already waits.
// A family for which there is no sending IP is refused by the rules; who only observes has none, and lets both pass.
func TestRulesRefuseAFamilyWithoutASendingIP(t *testing.T) {
	const v4, v6 = "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'out10.example.jp'\n", "[[sending_ip]]\naddress = '2001:db8::10'\nehlo = 'out10.example.jp'\n"
	for document, want := range map[string][2]bool{"": {}, v4: {false, true}, v6: {true, false}, v4 + v6: {}} {
		cfg := configOf(t, "[intercept]\nsources = ['10.20.0.0/16']\n"+document)
		if got := Rules(cfg); got.NoIPv4 != want[0] || got.NoIPv6 != want[1] {
			t.Errorf("%q: no IPv4 %t, no IPv6 %t", document, got.NoIPv4, got.NoIPv6)
		}
	}
}

func TestGoodConfigurationsGiveGoodRules(t *testing.T) {
	files, err := filepath.Glob("../config/testdata/good/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, file := range files {
		cfg, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if in := cfg.Intercept; !in.Local && len(in.Sources)+len(in.Interfaces) == 0 {
			continue
		}
		judged++
		if err := Rules(cfg).Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if judged < 4 {
		t.Errorf("%d files judged", judged)
	}
}

// The defaults of both packages must stay the same: the documentation names one.
func TestRouteDefaults(t *testing.T) {
	cfg := configOf(t, "")
	if in := cfg.Intercept; in.TProxyMark != intercept.DefaultRouteMark || in.TProxyTable != intercept.DefaultRouteTable {
		t.Errorf("mark %#x and table %d, want %#x and %d", in.TProxyMark, in.TProxyTable, intercept.DefaultRouteMark, intercept.DefaultRouteTable)
	}
}

func TestMostSpecificDestinationWins(t *testing.T) {
	network := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	find := Destinations(&config.Config{Destinations: []config.Destination{
		{Networks: network("192.0.2.0/24"), TLS: session.TLSRequire},
		{Networks: network("0.0.0.0/0"), TLS: session.TLSOff},
		{Networks: network("192.0.2.7/32"), TLS: session.TLSOpportunistic, Passthrough: true},
		{Networks: network("2001:db8::/32"), TLS: session.TLSRequire},
	}})
	for addr, want := range map[string]session.Destination{
		"192.0.2.7":        {Passthrough: true},
		"192.0.2.8":        {TLS: session.TLSRequire},
		"::ffff:192.0.2.8": {TLS: session.TLSRequire},
		"198.51.100.1":     {TLS: session.TLSOff},
		"2001:db8::25":     {TLS: session.TLSRequire},
		"2001:db9::25":     {},
	} {
		if got := find(netip.MustParseAddr(addr)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", addr, got, want)
		}
	}
}

// The Go runtime raises the soft limit of open files to the hard one. limits.sessions relies on it.
func TestFileLimitIsRaised(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur != limit.Max {
		t.Errorf("soft limit %d, hard limit %d", limit.Cur, limit.Max)
	}
}

func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	w := newWorld(t, listenTable+"[limits]\nmemory = '3GiB'\n")
	w.start()
	if got := debug.SetMemoryLimit(-1); got != 3<<30 {
		t.Errorf("limit %d while running, want %d", got, 3<<30)
	}
	next := *w.daemon.cfg
	next.Limits.Memory = 0
	if err := w.daemon.Reload(t.Context(), &next); err != nil {
		t.Fatal(err)
	}
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("limit %d once it is no longer asked for, want %d", got, before)
	}
	w.stop()
}

func TestGroups(t *testing.T) {
	parse := func(list ...string) (out []netip.AddrPort) {
		for _, s := range list {
			out = append(out, netip.MustParseAddrPort(s))
		}
		return out
	}
	got := groups(parse("[::]:10025", "10.20.0.1:10026", "0.0.0.0:10025"))
	want := [][]netip.AddrPort{parse("10.20.0.1:10026"), parse("0.0.0.0:10025", "[::]:10025")}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
}

// Messages are kept for a rescue where there may be one, and where it is to be seen what there would be.
func TestBodiesAreKeptForRescue(t *testing.T) {
	const twoIPs = "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'out10.example.jp'\n[[sending_ip]]\naddress = '203.0.113.11'\nehlo = 'out11.example.jp'\n"
	for document, kept := range map[string]bool{
		twoIPs: true, twoIPs + "[rescue]\nmode = 'observe'\n": true, twoIPs + "[rescue]\nmode = 'off'\n": false,
		twoIPs + "[rescue]\nmode = 'off'\n[[route]]\nnull_sender = true\nrescue = 'on'\n": true,
		twoIPs + "[rescue]\nbody_bytes = 0\n":                                             false, "": false,
	} {
		cfg := configOf(t, document)
		if got := rescueOf(cfg).BodyBytes; got > 0 != kept {
			t.Errorf("%q: %d octets", document, got)
		}
	}
}

// What is said of refusals reaches the outlet: of all mail, of a route's, and where nothing is said.
func TestHandlingsReachTheOutlet(t *testing.T) {
	for document, want := range map[string][]outlet.Handling{
		"":                              {{Soften: true, Suspend: true, PerHour: 20}},
		"[rescue]\nmode = 'off'\n":      {{Rescue: outlet.RescueOff, Soften: true, Suspend: true, PerHour: 20}},
		"[rescue]\nmode = 'observe'\n":  {{Rescue: outlet.RescueObserve, Soften: true, Suspend: true, PerHour: 20}},
		"[rescue]\nsoften = false\n":    {{Suspend: true, PerHour: 20}},
		"[rescue]\nper_hour = 3\n":      {{Soften: true, Suspend: true, PerHour: 3}},
		"[standing]\nsuspend = false\n": {{Soften: true, PerHour: 20}},
		"[[route]]\nnull_sender = true\nrescue = 'off'\nsoften = false\nsuspend = false\nrescue_per_hour = 1\n": {
			{Soften: true, Suspend: true, PerHour: 20}, {Rescue: outlet.RescueOff, PerHour: 1},
		},
	} {
		if got := handlingsOf(configOf(t, document)); !slices.Equal(got, want) {
			t.Errorf("%q: %+v, want %+v", document, got, want)
		}
	}
	if got, want := blockOf(configOf(t, "")), (standing.Block{V4: 24, V6: 48}); got != want {
		t.Errorf("a netblock is %+v, want %+v", got, want)
	}
}

// The numbers of the configuration are those of the standing, and without any the defaults are its own.
func TestStandingSettings(t *testing.T) {
	if got, want := *bookSettings(configOf(t, "")).Numbers, *standing.DefaultNumbers(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	own := bookSettings(configOf(t, "[standing]\nlisted_replies = 2\nlisted_destinations = 64\n")).Numbers
	if own.Listed.Replies != 2 || own.Listed.Destinations != 64 {
		t.Errorf("%+v", own.Listed)
	}
}
