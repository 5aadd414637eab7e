package intercept

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files")

func addrPorts(list ...string) []netip.AddrPort {
	var aps []netip.AddrPort
	for _, s := range list {
		aps = append(aps, netip.MustParseAddrPort(s))
	}
	return aps
}

func prefixes(list ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// goldenRules has one entry for each file testdata/NAME.nft.
var goldenRules = map[string]Rules{
	"redirect": {
		Listen:  addrPorts("0.0.0.0:10025", "[::]:10025"),
		Sources: prefixes("10.20.1.5/16", "10.20.7.0/24", "192.0.2.1/32", "fd00:20::/48"),
	},
	"redirect-interfaces": {
		Listen:     addrPorts("[::]:10025"),
		Sources:    prefixes("10.20.0.0/16", "fd00:20::/48"),
		Interfaces: []string{"eth1", "msa*"},
	},
	"redirect-interfaces-only": {Listen: addrPorts("[::]:10025"), Interfaces: []string{"eth1"}},
	"redirect-local-user":      {Listen: addrPorts("127.0.0.1:2525", "[::1]:2525"), Local: true, User: "kanmon"},
	"redirect-local-mark": {
		Listen:  addrPorts("[::]:10025"),
		Sources: prefixes("10.20.0.0/16"),
		Local:   true, User: "990", Mark: 0x2525, Table: "gate",
	},
	"tproxy": {
		Mode:    TProxy,
		Listen:  addrPorts("127.0.0.1:10025", "[::1]:10025"),
		Sources: prefixes("10.20.0.0/16", "fd00:20::/48"),
	},
	"tproxy-interfaces": {
		Mode:       TProxy,
		Listen:     addrPorts("0.0.0.0:10025", "[::]:10025"),
		Interfaces: []string{"eth1", "msa*"}, RouteMark: 0x19, RouteTable: 100,
	},
	"redirect-dedicated": {
		Listen:    addrPorts("0.0.0.0:10025", "[::]:10025"),
		Dedicated: []Dedicated{{Port: 10026, Interfaces: []string{"vlan31"}}, {Port: 10027}, {Port: 10028, Interfaces: []string{"tun0", "ppp*"}}},
		Sources:   prefixes("10.20.0.0/16"),
	},
	"tproxy-dedicated": {
		Mode:      TProxy,
		Listen:    addrPorts("127.0.0.1:10025", "[::1]:10025"),
		Dedicated: []Dedicated{{Port: 10026, Interfaces: []string{"vlan31"}}},
	},
	"redirect-no-ipv6": {
		Listen:    addrPorts("0.0.0.0:10025", "[::]:10025"),
		Sources:   prefixes("10.20.0.0/16", "fd00:20::/48"),
		Dedicated: []Dedicated{{Port: 10026, Interfaces: []string{"vlan31"}}},
		Local:     true, User: "kanmon", NoIPv6: true,
	},
	"redirect-no-ipv4": {Listen: addrPorts("[::]:10025"), Interfaces: []string{"eth1"}, NoIPv4: true},
	"tproxy-no-ipv6": {
		Mode: TProxy, Listen: addrPorts("127.0.0.1:10025", "[::1]:10025"),
		Sources: prefixes("10.20.0.0/16", "fd00:20::/48"), Interfaces: []string{"msa*"}, Local: true, User: "kanmon", NoIPv6: true,
	},
	"tproxy-ipv4-local": {
		Mode: TProxy, Listen: addrPorts("127.0.0.1:10025"),
		Interfaces: []string{"msa*"}, Sources: prefixes("10.20.0.0/16", "fd00:20::/48"), Local: true, Mark: 0x2525,
	},
}

func TestText(t *testing.T) {
	for name, rules := range goldenRules {
		t.Run(name, func(t *testing.T) {
			if err := rules.Validate(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".nft")
			if *update {
				if err := os.WriteFile(file, []byte(rules.Text()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), rules.Text()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
	files, err := filepath.Glob("testdata/*.nft")
	if err != nil || len(files) != len(goldenRules) {
		t.Errorf("%d files in testdata, %d rules (%v)", len(files), len(goldenRules), err)
	}
}

// nft itself must take the text, in a network namespace of the test's own. The user "kanmon" may not exist here.
func TestNftAcceptsText(t *testing.T) {
	for name, rules := range goldenRules {
		t.Run(name, func(t *testing.T) {
			runtime.LockOSThread() // the namespace ends with the thread
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				t.Fatalf("unshare: %v (this test needs root)", err)
			}
			if rules.User == "kanmon" {
				rules.User = "nobody"
			}
			if _, err := run(t.Context(), rules.Text(), "nft", "-c", "-f", "-"); err != nil {
				t.Error(err)
			}
			wrong := strings.Replace(rules.Text(), "chain input", "chain", 1)
			if _, err := run(t.Context(), wrong, "nft", "-c", "-f", "-"); err == nil {
				t.Error("nft takes anything")
			}
		})
	}
}

func TestValidate(t *testing.T) {
	listen, sources := addrPorts("[::]:10025"), prefixes("10.20.0.0/16")
	for name, tc := range map[string]struct {
		rules Rules
		want  string
	}{
		"no listener":      {Rules{Sources: sources}, "no listen address"},
		"port 25":          {Rules{Listen: addrPorts("[::]:25"), Sources: sources}, "listen address [::]:25: the port must not be 0 or 25"},
		"no port":          {Rules{Listen: addrPorts("[::]:0"), Sources: sources}, "listen address [::]:0: the port must not be 0 or 25"},
		"two ports":        {Rules{Listen: addrPorts("[::]:1025", "0.0.0.0:1026"), Sources: sources}, "listen addresses [::]:1025 and 0.0.0.0:1026: all must have the same port"},
		"nothing":          {Rules{Listen: listen}, "nothing to intercept: no sources, no interfaces, and not this host's own mail"},
		"source":           {Rules{Listen: listen, Sources: []netip.Prefix{{}}}, "source invalid Prefix is not an IPv4 or IPv6 prefix"},
		"mapped source":    {Rules{Listen: listen, Sources: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.0"), 104)}}, "source ::ffff:10.0.0.0/104 is not an IPv4 or IPv6 prefix"},
		"interface":        {Rules{Listen: listen, Interfaces: []string{"a\" accept\n"}}, `interface "a\" accept\n" is not an interface name`},
		"dedicated to 25":  {Rules{Listen: listen, Dedicated: []Dedicated{{25, []string{"eth1"}}}}, "dedicated port 25: it must be one of its own, and not 0 or 25"},
		"dedicated twice":  {Rules{Listen: listen, Dedicated: []Dedicated{{26, []string{"eth1"}}, {27, []string{"eth1"}}}}, `interface "eth1" has two dedicated ports`},
		"dedicated alone":  {Rules{Listen: listen, Dedicated: []Dedicated{{26, nil}}}, "nothing to intercept: no sources, no interfaces, and not this host's own mail"},
		"user":             {Rules{Listen: listen, Local: true, User: "a b"}, `user "a b" is not a user name or uid`},
		"no exclusion":     {Rules{Listen: listen, Local: true}, "this host's own mail: kanmon's own needs an exclusion, by user or by mark"},
		"table":            {Rules{Listen: listen, Sources: sources, Table: "a;b"}, `table "a;b" is not a table name`},
		"same mark":        {Rules{Mode: TProxy, Listen: listen, Local: true, Mark: 0x19, RouteMark: 0x19}, "kanmon's own mark 0x19 and the policy route's 0x19 are looked at bit by bit, and one contains the other"},
		"main table":       {Rules{Mode: TProxy, Listen: listen, Sources: sources, RouteTable: 254}, "routing table 254 belongs to the system"},
		"loopback only":    {Rules{Listen: addrPorts("127.0.0.1:1025"), Sources: sources}, "redirect of forwarded mail: it comes to the address of the incoming interface, but only loopback addresses are listened on"},
		"local not looped": {Rules{Listen: addrPorts("10.0.0.1:1025"), Local: true, Mark: 1}, "redirect of this host's own mail: it comes to 127.0.0.1 and ::1, but neither is listened on"},
	} {
		if err := tc.rules.Validate(); err == nil || err.Error() != tc.want {
			t.Errorf("%s:\n got %v\nwant %s", name, err, tc.want)
		}
	}
}

func TestCommandErrors(t *testing.T) {
	rules := goldenRules["redirect"]
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare: %v (this test needs root)", err)
	}
	_, err := run(t.Context(), "table inet {", "nft", "-f", "-")
	if err == nil || !strings.HasPrefix(err.Error(), "nft -f -: exit status 1: /dev/stdin:1:12-12: Error: syntax error") {
		t.Errorf("bad text: %v", err)
	}
	_, err = run(t.Context(), "", "nft-that-is-not-there")
	if err == nil {
		t.Error("a missing command is no error")
	}
	rules.Table = "a b"
	if err := rules.Apply(t.Context()); err == nil || !strings.Contains(err.Error(), "not a table name") {
		t.Errorf("invalid rules: %v", err)
	}
}
