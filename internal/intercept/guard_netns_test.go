package intercept_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// in runs a command line in the gateway.
func (l *lab) in(commandLine string) {
	l.t.Helper()
	command(l.t, "", "ip", append([]string{"netns", "exec", l.gw}, strings.Fields(commandLine)...)...)
}

// soon is how fast the guard must be.
const soon = 2 * time.Second

// Whatever another program takes away is back within two seconds, and all is as it was; the log says what, by whom, and what became of
// mail. The guard has no capability but CAP_NET_ADMIN.
// firstday-1, trouble-O02, trouble-O03
func TestGuardedRulesComeBack(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			o := forwarded(mode)
			o.Local, o.User = true, "65534"
			gw := l.gateway(o)
			o.Role, o.Unprivileged, o.NetAdmin, o.Kept = "guard", false, true, t.TempDir()
			guard := l.start(l.gw, o)
			guard.expect("ready")
			before := l.state()
			thieves := []struct{ does, lost, by string }{
				{"nft flush ruleset", "table inet kanmon is gone", "nft ("},
				{"nft delete table inet kanmon", "table inet kanmon is gone", "nft ("},
				{"nft flush chain inet kanmon prerouting", "table inet kanmon is changed", "nft ("},
				{"nft insert rule inet kanmon prerouting return", "table inet kanmon is changed", "nft ("},
				{"nft add element inet kanmon sources4 { 192.0.2.0/24 }", "table inet kanmon is changed", "nft ("},
			}
			if mode == "tproxy" {
				thieves = append(thieves, []struct{ does, lost, by string }{
					{"ip -4 rule delete priority 250", "the IPv4 policy rule for mark 0x1000 is gone", ""},
					{"ip -6 rule delete priority 250", "the IPv6 policy rule for mark 0x1000 is gone", ""},
					{"ip -4 route flush table 27501", "the IPv4 route to lo in table 27501 is gone", ""},
					{"ip -6 route flush table 27501", "the IPv6 route to lo in table 27501 is gone", ""},
				}...)
			}
			for i, thief := range thieves {
				if i == 4 { // it slows down at the sixth in ten minutes
					guard = l.restartGuard(guard, o)
				}
				if i == 8 {
					guard = l.restartGuard(guard, o)
				}
				began := time.Now()
				l.in(thief.does)
				if e := guard.expect("firewall rules lost"); e.Lost != thief.lost || !strings.HasPrefix(e.By, thief.by) {
					t.Errorf("%s: lost %q by %q", thief.does, e.Lost, e.By)
				}
				guard.expect("firewall rules put back")
				if took := time.Since(began); took > soon {
					t.Errorf("%s: mended after %v", thief.does, took)
				}
				if diff := cmp.Diff(before, l.state()); diff != "" {
					t.Errorf("%s: not as it was (-before +after):\n%s", thief.does, diff)
				}
			}
			l.mustPass(gw, l.msa, "ipv4", l.msaIP["ipv4"], sending{})
		})
	}
}

// restartGuard ends a guard and starts another one, which has put nothing back yet.
func (l *lab) restartGuard(c *child, o options) *child {
	l.t.Helper()
	c.stdin.Close()
	for range c.events { // until it has ended: two guards do each other's work
	}
	next := l.start(l.gw, o)
	next.expect("ready")
	return next
}

// Sessions live on when their rules are flushed and put back, in both modes.
func TestSessionsOutliveAFlush(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			o := forwarded(mode)
			o.Hold = true
			gw := l.gateway(o)
			o.Role, o.Unprivileged, o.NetAdmin, o.Kept = "guard", false, true, t.TempDir()
			guard := l.start(l.gw, o)
			guard.expect("ready")
			l.tell(l.msa, sending{Target: port25(l.mxIP["ipv4"]), Hold: 1}).expect("holding")
			gw.expect("handled")
			l.in("nft flush ruleset")
			guard.expect("firewall rules put back")
			if n := gw.count("ended"); n != 0 {
				t.Fatalf("the session ended with the rules")
			}
			l.tell(l.msa, sending{Target: port25(l.mxIP["ipv4"]), Hold: 1}).expect("holding") // closes the first
			gw.expect("ended")
		})
	}
}

// A changed mark, table or mode leaves nothing of the one before, and remove leaves nothing at all, whatever was in force.
// audit-F14
func TestPolicyRoutesOfTheOneBeforeAreGone(t *testing.T) {
	l := newLab(t)
	l.in("ip -4 rule add fwmark 7 lookup 77 priority 250") // another program's
	l.in("ip -4 route add unreachable default table 77")
	before := l.state()
	o := forwarded("tproxy")
	l.apply(o)
	for _, change := range []func(*options){
		func(o *options) { o.RouteMark = 0x20000 },
		func(o *options) { o.RouteTable = 300 },
		func(o *options) { o.RouteMark, o.RouteTable = 0x80000, 301 },
		func(o *options) { o.Mode, o.Listen = "redirect", setup("redirect").Listen },
	} {
		change(&o)
		l.apply(o)
		changed := l.state()
		remove := setup("redirect")
		remove.Remove, remove.Sources = true, o.Sources
		l.apply(remove) // of other rules than those in force
		if diff := cmp.Diff(before, l.state()); diff != "" {
			t.Errorf("Remove left something (-before +after):\n%s", diff)
		}
		l.apply(o)
		if diff := cmp.Diff(l.state(), changed); diff != "" {
			t.Errorf("the rules before left something (-fresh +changed):\n%s", diff)
		}
	}
}

// What versions have left that set no protocol goes when the rules of this one come, or when they are removed.
// audit-F14, trouble-O04
func TestRulesOfAFormerVersionAreReplaced(t *testing.T) {
	for _, former := range []struct{ name, mark, table string }{{"by default", "0x6b6d", "27501"}, {"as configured", "0x19", "100"}} {
		t.Run(former.name, func(t *testing.T) {
			l := newLab(t)
			before := l.state()
			o := forwarded("tproxy")
			remove := o
			remove.Remove = true
			l.apply(o)
			fresh := l.state()
			l.apply(remove)
			for _, next := range []struct {
				o    options
				want string
			}{{remove, before}, {o, fresh}, {remove, before}} {
				if next.want == before {
					l.apply(remove)
				}
				for _, f := range []string{"-4", "-6"} {
					l.in("ip " + f + " route add local default dev lo table " + former.table)
					l.in("ip " + f + " rule add fwmark " + former.mark + " lookup " + former.table + " priority 250")
				}
				l.apply(next.o)
				if diff := cmp.Diff(anybodys(next.want), anybodys(l.state())); diff != "" {
					t.Errorf("something is left (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// anybodys leaves out who has made a route: one that is there already may stay.
func anybodys(state string) string { return strings.ReplaceAll(state, " proto 107", "") }

// Programs that mark packets on the same host, and act on marks, neither take kanmon's mail for theirs nor lose theirs to it.
// trouble-O04
func TestMarksOfOtherProgramsStandAside(t *testing.T) {
	for name, foreign := range map[string]string{
		"kube-proxy": `chain post { type nat hook postrouting priority srcnat; meta mark & 0x4000 == 0x4000 masquerade; }
			chain out { type filter hook output priority filter; meta mark & 0x8000 == 0x8000 drop; }
			chain pre { type filter hook prerouting priority filter; meta mark & 0x8000 == 0x8000 drop; }`,
		"Calico": `chain out { type filter hook output priority -149; meta mark set meta mark | 0x10000; }
			chain pre { type filter hook prerouting priority -149; meta mark set meta mark | 0x10000; }`,
		"Cilium": `chain pre { type filter hook prerouting priority filter; meta mark & 0xf00 == 0xb00 drop; }
			chain out { type filter hook output priority filter; meta mark & 0xf00 == 0xb00 drop; }`,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			command(t, "table inet foreign {\n"+foreign+"\n}", "ip", "netns", "exec", l.gw, "nft", "-f", "-")
			o := forwarded("tproxy")
			o.Local, o.User = true, "65534"
			l.apply(o)
			gw := l.gateway(o)
			own := map[string]string{"ipv4": "10.77.2.1", "ipv6": "fd77:2::1"}
			for _, family := range families {
				l.mustPass(gw, l.msa, family, l.msaIP[family], sending{})
				l.mustPass(gw, l.gw, family, own[family], sending{})
			}
		})
	}
}

// firewalld drops IPv6 packets that would be answered by another interface, and looks at their mark.
func TestTheWayBackIsCheckedBeforeTheMark(t *testing.T) {
	l := newLab(t)
	command(t, `table inet foreign {
		chain rpfilter { type filter hook prerouting priority filter + 10; fib saddr . mark . iif oif missing drop; }
		}`, "ip", "netns", "exec", l.gw, "nft", "-f", "-")
	o := forwarded("tproxy")
	o.Local, o.User = true, "65534"
	l.apply(o)
	gw := l.gateway(o)
	for _, family := range families {
		l.mustPass(gw, l.msa, family, l.msaIP[family], sending{})
		l.mustPass(gw, l.gw, family, "", sending{})
	}
}

// A mark that another program has put on a packet is still there when kanmon's rules have seen it.
// trouble-O04
func TestMarksOfOtherProgramsStay(t *testing.T) {
	l := newLab(t)
	command(t, `table inet foreign {
		chain before { type filter hook prerouting priority -200; tcp dport 25 meta mark set 0x30000; }
		chain behind { type filter hook input priority filter; tcp dport 25 meta mark & 0x30000 != 0x30000 drop; }
		}`, "ip", "netns", "exec", l.gw, "nft", "-f", "-")
	o := forwarded("tproxy")
	l.apply(o)
	gw := l.gateway(o)
	for _, family := range families {
		l.mustPass(gw, l.msa, family, l.msaIP[family], sending{})
	}
}

// A family without a sending IP is refused with a reset, also by rules that were put back.
func TestRulesPutBackRefuseAFamily(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			o := forwarded(mode)
			o.NoIPv6 = true
			gw := l.gateway(o)
			o.Role, o.Unprivileged, o.NetAdmin, o.Kept = "guard", false, true, t.TempDir()
			guard := l.start(l.gw, o)
			guard.expect("ready")
			l.in("nft flush ruleset")
			guard.expect("firewall rules put back")
			l.mustBeRefused(l.msa, port25(l.mxIP["ipv6"]))
			l.mustPass(gw, l.msa, "ipv4", l.msaIP["ipv4"], sending{})
		})
	}
}

// An interface that the rules name and that goes is told of within two seconds, and when it is back.
func TestGuardTellsOfAnInterfaceThatGoes(t *testing.T) {
	l := newLab(t)
	o := forwarded("redirect")
	o.Interfaces = []string{"msa0"}
	o.Role, o.Unprivileged, o.NetAdmin, o.Kept = "guard", false, true, t.TempDir()
	guard := l.start(l.gw, o)
	guard.expect("ready")
	for _, rename := range []struct{ from, to, says string }{
		{"msa0", "other0", "interfaces of the firewall rules are gone: no mail comes in by them"},
		{"other0", "msa0", "interfaces of the firewall rules are back"},
	} {
		began := time.Now()
		l.in("ip link set " + rename.from + " down")
		l.in("ip link set " + rename.from + " name " + rename.to)
		guard.expect(rename.says)
		if took := time.Since(began); took > soon {
			t.Errorf("%q after %v", rename.says, took)
		}
	}
	if n := guard.count("firewall rules lost"); n != 0 {
		t.Errorf("rules lost %d times: they are as they were", n)
	}
}
