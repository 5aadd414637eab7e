package check

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/config"
)

// A gateway is a network namespace of a test's own with the real kernel's answers: eth0 toward the Internet with the default route and
// 203.0.113.10, eth2 toward another uplink with 198.51.100.10, eth1 toward the MSAs.
type gateway struct {
	*testing.T
	service *Service
}

// inGateway runs a test in a namespace. All that it does must be done by this goroutine.
func inGateway(t *testing.T, test func(*gateway)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: it makes a network namespace")
	}
	_, err := aside(func() ([]byte, error) {
		g := &gateway{T: t, service: &Service{Unit: serviceUnit, User: "root", FileLimit: unlimited, RulesOn: true}}
		for _, name := range []string{"eth0", "eth1", "eth2"} {
			g.run("ip link add " + name + " type veth peer name " + name + "p")
			g.run("ip link set " + name + "p up")
			g.run("ip link set " + name + " up")
		}
		g.run("ip link set lo up")
		g.run("ip address add 203.0.113.9/24 dev eth0")
		g.run("ip address add 203.0.113.10/24 dev eth0")
		g.run("ip address add 10.20.0.1/16 dev eth1")
		g.run("ip address add 198.51.100.10/24 dev eth2")
		g.run("ip route add default via 203.0.113.1")
		test(g)
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a command, and reports whether it could.
func (g *gateway) run(command string) {
	g.Helper()
	if out, err := exec.CommandContext(g.Context(), "sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; "+command).CombinedOutput(); err != nil {
		g.Errorf("%s: %v: %s", command, err, out)
	}
}

// want judges a configuration by the kernel alone, and wants one finding of these, or none.
func (g *gateway) want(doc, id, text string) {
	g.Helper()
	cfg, err := config.Parse("kanmon.toml", []byte(strings.ReplaceAll(doc, "DIR", g.TempDir())))
	if err != nil {
		g.Error(err)
		return
	}
	kept := newRig(g.T).Kept // a guard that runs
	host := &Host{Kept: kept, Service: func(context.Context) (*Service, error) { return g.service, nil }}
	findings := Run(g.Context(), Site{Config: cfg, Rules: rulesOf(cfg), Host: host})
	// What depends on the machine that the test runs on.
	for _, other := range []string{"backlog-short", "conntrack-small", "conntrack-filling", "ports-few", "family-missing"} {
		findings = except(findings, other)
	}
	(&rig{T: g.T}).wantOnly(findings, id, text)
}

func except(findings []Finding, id string) (list []Finding) {
	for _, f := range findings {
		if f.ID != id {
			list = append(list, f)
		}
	}
	return list
}

const (
	oneUplink   = plain + "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'a.example.jp'\n"
	otherUplink = plain + "[[sending_ip]]\naddress = '198.51.100.10'\nehlo = 'a.example.jp'\n"
)

// apply loads the rules of a configuration.
func (g *gateway) apply(doc string) {
	g.Helper()
	cfg, err := config.Parse("kanmon.toml", []byte(strings.ReplaceAll(doc, "DIR", "/tmp")))
	if err == nil {
		err = rulesOf(cfg).Apply(g.Context())
	}
	if err != nil {
		g.Error(err)
	}
}

// trouble-O10: the address is right, and the route is wrong.
func TestRoutesOfSendingIPsAreTheKernels(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.apply(oneUplink)
		g.want(oneUplink, "", "")
		g.want(otherUplink, "route-elsewhere", "198.51.100.10 is an address of eth2, and mail from it leaves by eth0")
		g.run("ip rule add from 198.51.100.10 lookup 100")
		g.run("ip route add default via 198.51.100.1 dev eth2 table 100")
		g.want(otherUplink, "", "")
		g.run("ip route del default")
		g.want(oneUplink, "route-missing", "there is no route from 203.0.113.10")
		g.want(otherUplink, "", "")
	})
}

func TestStrictReversePathIsTheKernels(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.apply(otherUplink)
		g.run("echo 1 > /proc/sys/net/ipv4/conf/eth2/rp_filter")
		cfg, err := config.Parse("kanmon.toml", []byte(strings.ReplaceAll(otherUplink, "DIR", "/tmp")))
		if err != nil {
			g.Error(err)
			return
		}
		found := Run(g.Context(), Site{Config: cfg, Rules: rulesOf(cfg), Host: &Host{}})
		(&rig{T: g.T}).wantOnly(only(found, "reply-filtered"), "reply-filtered", "answers to 198.51.100.10 that come in by eth2 are dropped (net.ipv4.conf.eth2.rp_filter = 1), since the way back leads by eth0")
	})
}

// Two wires with the same addresses: the kernel itself drops what comes in by the second.
func TestStrictReversePathOfAWireIsTheKernels(t *testing.T) {
	inGateway(t, func(g *gateway) {
		doc := acme + "[[tenant]]\nname = 'wire'\nlisten_port = 10031\ninterfaces = ['eth2']\n"
		g.run("ip address add 10.20.0.1/16 dev eth2 metric 9")
		g.run("echo 1 > /proc/sys/net/ipv4/conf/eth2/rp_filter")
		g.apply(doc)
		g.want(doc, "source-filtered", "packets from 10.20.0.0/16 that come in by eth2 are dropped (net.ipv4.conf.eth2.rp_filter = 1), since the way back leads by eth1")
		g.run("echo 2 > /proc/sys/net/ipv4/conf/eth2/rp_filter")
		g.want(doc, "", "")
	})
}

// trouble-O10: a rule of the host gives mail another address. nft itself lists the rules here.
func TestMasqueradeIsSeenInTheKernelsRules(t *testing.T) {
	const table = "table ip nat { chain post { type nat hook postrouting priority srcnat; "
	cases := map[string]struct{ rules, id string }{
		"none":                       {table + `} }`, ""},
		"everything":                 {table + `oifname "eth0" masquerade } }`, "source-rewritten"},
		"every interface that":       {table + `oifname "eth*" masquerade } }`, "source-rewritten"},
		"another interface":          {table + `oifname "eth2" masquerade } }`, ""},
		"the MSAs alone":             {table + `ip saddr 10.20.0.0/16 oifname "eth0" masquerade } }`, ""},
		"all but some":               {table + `ip saddr != { 203.0.113.10, 203.0.113.11 } masquerade } }`, ""},
		"accepted before":            {table + `ip saddr 203.0.113.8-203.0.113.11 accept; masquerade } }`, ""},
		"returned before":            {table + `ip saddr 203.0.113.0/24 tcp dport { 25, 587 } return; oifname "eth0" snat to 203.0.113.99 } }`, ""},
		"the same address":           {table + `oifname "eth0" snat to 203.0.113.10 } }`, ""},
		"another address":            {table + `oifname "eth0" snat to 203.0.113.99 } }`, "source-rewritten"},
		"web alone":                  {table + `tcp dport { 80, 443 } masquerade } }`, ""},
		"UDP alone":                  {table + `udp dport 25 masquerade } }`, ""},
		"forwarded alone":            {table + `iifname "eth1" masquerade } }`, ""},
		"a mark":                     {table + `meta mark and 0x4000 == 0x4000 masquerade } }`, ""},
		"no mark":                    {table + `meta mark and 0x4000 != 0x4000 return; masquerade } }`, ""},
		"another user":               {table + `meta skuid 33 masquerade } }`, ""},
		"a set":                      {`table ip nat { set own { type ipv4_addr; flags interval; elements = { 203.0.113.0/28 } }; chain post { type nat hook postrouting priority srcnat; ip saddr @own masquerade } }`, "source-rewritten"},
		"a set of others":            {`table ip nat { set own { type ipv4_addr; flags interval; elements = { 203.0.113.16/28 } }; chain post { type nat hook postrouting priority srcnat; ip saddr @own masquerade } }`, ""},
		"by a jump":                  {`table inet fw { chain out { oifname "eth0" masquerade; }; chain post { type nat hook postrouting priority srcnat; meta l4proto tcp jump out } }`, "source-rewritten"},
		"behind a jump that accepts": {`table inet fw { chain own { ip saddr 203.0.113.10 accept; }; chain post { type nat hook postrouting priority srcnat; jump own; masquerade } }`, ""},
		"behind a jump that returns": {`table inet fw { chain own { ip saddr 203.0.113.10 return; }; chain post { type nat hook postrouting priority srcnat; jump own; masquerade } }`, "source-rewritten"},
		"behind a goto":              {`table inet fw { chain own { ip saddr 203.0.113.10 return; }; chain post { type nat hook postrouting priority srcnat; goto own; masquerade } }`, ""},
		"something unknown":          {table + `ip saddr 203.0.113.10 meta cgroup 7 masquerade } }`, "source-maybe-rewritten"},
		"an unknown way out":         {table + `meta cgroup 7 accept; ip saddr 203.0.113.10 masquerade } }`, "source-maybe-rewritten"},
		"IPv6":                       {`table ip6 nat { chain post { type nat hook postrouting priority srcnat; masquerade } }`, ""},
		"another hook":               {`table ip nat { chain pre { type nat hook prerouting priority dstnat; tcp dport 25 dnat to 203.0.113.9 } }`, ""},
	}
	inGateway(t, func(g *gateway) {
		far := g.internet()
		defer far.close()
		g.run("ip address add 203.0.113.99/32 dev eth0") // that rules rewrite to
		g.apply(oneUplink)
		for name, test := range cases {
			g.Logf("case: %s", name)
			rules := strings.ReplaceAll(strings.TrimSuffix(test.rules, "} }"), "; ", ";\n") + "\n}\n}"
			g.run("printf '%s\n' '" + rules + "' | nft -f -")
			g.want(oneUplink, test.id, "")
			// And the MX sees what was said.
			if seen := far.sees("203.0.113.10"); test.id != "source-maybe-rewritten" && (seen != "203.0.113.10") != (test.id == "source-rewritten") {
				g.Errorf("%s: the MX sees %s", name, seen)
			}
			family, table, _ := strings.Cut(strings.TrimPrefix(rules, "table "), " ")
			g.run("nft delete table " + family + " " + table[:strings.IndexByte(table, ' ')])
		}
	})
}

// A gateway with one address masquerades it by itself: the usual rule of a small site is no fault.
func TestMasqueradeByTheAddressItselfIsNone(t *testing.T) {
	inGateway(t, func(g *gateway) {
		far := g.internet()
		defer far.close()
		g.apply(oneUplink)
		g.run("printf 'table ip nat {\nchain post {\ntype nat hook postrouting priority srcnat;\noifname \"eth0\" masquerade\n}\n}\n' | nft -f -")
		for first, id := range map[string]string{"203.0.113.9": "source-rewritten", "203.0.113.10": ""} {
			g.run("ip address flush dev eth0 && ip address add " + first + "/24 dev eth0")
			g.run("ip address replace 203.0.113.10/24 dev eth0 && ip address replace 203.0.113.9/24 dev eth0 && ip route replace default via 203.0.113.1")
			g.want(oneUplink, id, "")
			if seen := far.sees("203.0.113.10"); seen != first {
				g.Errorf("with %s first the MX sees %s", first, seen)
			}
		}
	})
}

// A farSide is what stands behind eth0: an MX at the address that routes are asked for, in a namespace of its own.
type farSide struct {
	g        *gateway
	listener net.Listener // it keeps the namespace
}

// internet makes it.
func (g *gateway) internet() *farSide {
	g.Helper()
	f, ended := &farSide{g: g}, make(chan error, 1)
	thread, moved := make(chan int), make(chan struct{})
	go func() {
		_, err := aside(func() ([]byte, error) {
			thread <- unix.Gettid()
			<-moved
			for _, command := range []string{
				"ip link set lo up", "ip link set eth0p up", "ip address add 203.0.113.1/24 dev eth0p", "ip address add " + far4.String() + "/32 dev lo",
			} {
				g.run(command)
			}
			var err error
			f.listener, err = net.Listen("tcp4", far4.String()+":25")
			return nil, err
		})
		ended <- err
	}()
	g.run(fmt.Sprintf("ip link set eth0p netns %d", <-thread))
	close(moved)
	if err := <-ended; err != nil {
		g.Error(err)
	}
	return f
}

// sees connects from an address, and gives the one that the other side sees.
func (f *farSide) sees(from string) string {
	f.g.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(f.g.Context(), "tcp4", far4.String()+":25")
	if err != nil {
		f.g.Error(err)
		return ""
	}
	defer func() { _ = conn.Close() }()
	other, err := f.listener.Accept()
	if err != nil {
		f.g.Error(err)
		return ""
	}
	defer func() { _ = other.Close() }()
	return other.RemoteAddr().(*net.TCPAddr).IP.String()
}

func (f *farSide) close() { _ = f.listener.Close() }

// Rules in force against rules configured, in both modes.
func TestRulesInForceAreThoseOfTheConfiguration(t *testing.T) {
	for name, doc := range map[string]string{"redirect": plain, "tproxy": tproxy(plain), "interfaces": in(plain, "interfaces = ['eth1', 'msa*']")} {
		t.Run(name, func(t *testing.T) {
			inGateway(t, func(g *gateway) {
				g.want(doc, "rules-gone", "it is not in the kernel, and kanmon runs")
				g.service.RulesOn = false
				g.want(doc, "rules-not-applied", "")
				g.apply(doc)
				g.want(doc, "", "")
				g.apply(in(doc, "local = true\nuser = '65534'")) // a configuration that was changed, and not applied
				g.want(doc, "rules-differ", "the rules in force are not those of the configuration")
				g.apply(doc)
				g.run("nft flush chain inet kanmon forward")
				g.want(doc, "rules-differ", "; there is no \"")
			})
		})
	}
}

// trouble-O02: what tproxy's packets are led by.
func TestPolicyRoutesAreTheKernels(t *testing.T) {
	inGateway(t, func(g *gateway) {
		doc := tproxy(plain)
		g.apply(doc)
		g.want(doc, "", "")
		g.run("ip rule del lookup 27501")
		g.want(doc, "policy-route-missing", "the rule of tproxy's policy route of IPv4 is missing")
		g.apply(doc)
		g.run("ip -6 route flush table 27501")
		g.want(doc, "policy-route-missing", "the route of tproxy's policy route of IPv6 is missing")
	})
}

// firstday-6: what the routes say of the MSAs.
func TestIPv6OfTheMSAsIsSeen(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.apply(plain)
		g.run("ip address add fd20::1/64 dev eth1 nodad")
		g.want(plain, "", "")
		g.run("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
		g.want(plain, "ipv6-not-intercepted", "mail of 10.20.0.0/16 comes in by eth1, which has IPv6 (fd20::/64)")
		both := edited(plain, `"10.20.0.0/16"`, `"10.20.0.0/16", "fd20::/64"`)
		g.apply(both)
		g.want(both, "", "")
	})
}

// Redirected connections come to the address that is listened on, also by an interface that has another one, or none. audit-F13
func TestAListenerOnAnotherInterfaceIsReached(t *testing.T) {
	inGateway(t, func(g *gateway) {
		doc := in(plain, "listen = ['203.0.113.10:10025']")
		g.apply(doc)
		g.want(doc, "", "")
		g.run("ip address flush dev eth1 && ip route add 10.20.0.0/16 dev eth1")
		g.want(doc, "", "")
	})
}

// A port of a bridge comes in by the bridge.
func TestAPortOfABridgeIsSeen(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.run("ip link add br0 type bridge && ip link set br0 up && ip link set eth1 master br0")
		g.run("ip address flush dev eth1 && ip address add 10.20.0.1/16 dev br0")
		g.run("for f in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do test ! -e $f || echo 0 > $f; done")
		for name, id := range map[string]string{"eth1": "interface-is-port", "br0": ""} {
			doc := in(plain, "interfaces = ['"+name+"']")
			g.apply(doc)
			g.want(doc, id, "eth1 is a port of br0")
		}
	})
}
