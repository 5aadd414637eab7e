package intercept_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/intercept"
)

// places are where an MSA can be: behind the gateway, on it, or behind an interface with a port of its own.
var places = []string{"forwarded", "local", "dedicated"}

// at gives the options for an MSA in a place, and its namespace.
func (l *lab) at(place, mode string) (o options, ns string) {
	switch place {
	case "local":
		return local(mode), l.gw
	case "dedicated":
		o = setup(mode)
		o.Dedicated = []intercept.Dedicated{{Port: 10026, Interfaces: []string{"msa0"}}}
		return o, l.msa
	default:
		return forwarded(mode), l.msa
	}
}

// everywhere runs a test in both modes, for each place.
func everywhere(t *testing.T, test func(t *testing.T, mode, place string)) {
	for _, mode := range []string{"redirect", "tproxy"} {
		for _, place := range places {
			t.Run(mode+" "+place, func(t *testing.T) { test(t, mode, place) })
		}
	}
}

// spy counts what comes to the MX from an address that mail must not come from, and gives the count so far.
func (l *lab) spy(sources ...string) func() string {
	l.t.Helper()
	rules := "table inet spy { chain c { type filter hook prerouting priority raw;\n"
	for _, s := range sources {
		family := "ip"
		if netip.MustParseAddr(s).Is6() {
			family = "ip6"
		}
		rules += fmt.Sprintf("%s saddr %s tcp dport 25 counter\n", family, s)
	}
	command(l.t, rules+"}\n}\n", "ip", "netns", "exec", l.mx, "nft", "-f", "-")
	return func() string {
		l.t.Helper()
		var seen []string
		for line := range strings.Lines(command(l.t, "", "ip", "netns", "exec", l.mx, "nft", "list", "table", "inet", "spy")) {
			if strings.Contains(line, "counter") && !strings.Contains(line, "packets 0 ") {
				seen = append(seen, strings.TrimSpace(line))
			}
		}
		return strings.Join(seen, "\n")
	}
}

// A segment that conntrack cannot place in its connection is not translated: it must neither leave in clear from the MSA's own address, nor
// end the session.
//
// audit-F2
func TestStraySegmentsDoNotLeak(t *testing.T) {
	everywhere(t, func(t *testing.T, mode, place string) {
		l := newLab(t)
		o, ns := l.at(place, mode)
		l.apply(o)
		l.gateway(o)
		leaked := l.spy(l.msaIP["ipv4"], l.msaIP["ipv6"], "10.77.2.1", "fd77:2::1")
		for _, family := range families {
			a := l.send(ns, sending{Target: port25(l.mxIP[family]), Stray: true, Say: "NOOP"})
			if a.Line != "250 mx\r\n" {
				t.Errorf("%s: behind a stray segment the MSA got %q, error %q", family, a.Line, a.Error)
			}
		}
		if seen := leaked(); seen != "" {
			t.Errorf("the MX got from the MSA's own address:\n%s", seen)
		}
	})
}

// A connection that conntrack does not follow is not redirected, and must not be made.
func TestUntrackedMailOfThisHostDoesNotLeak(t *testing.T) {
	l := newLab(t)
	o := local("redirect")
	l.apply(o)
	l.gateway(o)
	command(t, "table inet foreign { chain c { type filter hook output priority raw; meta skuid 0 tcp dport 25 notrack; }\n}\n", "ip", "netns", "exec", l.gw, "nft", "-f", "-")
	for _, family := range families {
		l.mustBeRefused(l.gw, port25(l.mxIP[family]))
	}
	l.mustNotArrive()
}

// Where a family has no policy route, because the loopback interface has no IPv6, its mail is refused, and the other family passes.
//
// audit-F3
func TestFailsClosedWithoutIPv6OnTheLoopbackInterface(t *testing.T) {
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			l := newLab(t)
			command(t, "", "ip", "netns", "exec", l.gw, "sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=1")
			o, ns := l.at(place, "tproxy")
			o.Listen = addrPorts("0.0.0.0:10025", "[::]:10025")
			r := o
			r.Role, r.Unprivileged = "rules", false
			if e := l.start(l.gw, r).expect("failed"); !strings.Contains(e.Error, "policy route") {
				t.Errorf("the rules failed with %q, want the policy route named", e.Error)
			}
			gw := l.gateway(o)
			l.mustPass(gw, ns, "ipv4", "", sending{})
			if a := l.send(ns, sending{Target: port25(l.mxIP["ipv6"]), Timeout: time.Second}); a.Line != "" {
				t.Errorf("IPv6 mail got %q", a.Line)
			}
			l.mustNotArrive()
		})
	}
}

// kanmon may listen on one address of the gateway: it gets the mail of all interfaces there.
//
// audit-F13
func TestListeningOnOneAddress(t *testing.T) {
	everywhere(t, func(t *testing.T, mode, place string) {
		l := newLab(t)
		o, ns := l.at(place, mode)
		o.Listen = addrPorts("10.77.2.1:10025", "[fd77:2::1]:10025") // of another interface than the MSA's
		if mode == "redirect" && place == "local" {
			r := o
			r.Role, r.Unprivileged = "rules", false
			if e := l.start(l.gw, r).expect("failed"); !strings.Contains(e.Error, "it comes to 127.0.0.1 and ::1, but neither is listened on") {
				t.Errorf("the rules failed with %q", e.Error)
			}
			return
		}
		l.apply(o)
		gw := l.gateway(o)
		for _, family := range families {
			l.mustPass(gw, ns, family, "", sending{})
			l.mustBeRefused(l.msa, netip.AddrPortFrom(netip.MustParseAddr(l.gwIP[family]), 10025))
		}
	})
}

// A link behind the gateway that is too narrow for kanmon's packets is found out, in every mode.
//
// audit-F4
func TestNarrowLinkBehindTheGateway(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy", "redirect dedicated", "tproxy dedicated"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			behind := l.narrow()
			name, dedicated := strings.CutSuffix(mode, " dedicated")
			o := setup(name)
			o.Interfaces = []string{"msa*"}
			if dedicated {
				o.Dedicated = []intercept.Dedicated{{Port: 10026, Interfaces: []string{"msa*"}}}
			}
			l.apply(o)
			gw := l.gateway(o)
			for _, family := range families {
				a := l.send(behind, sending{Target: port25(l.mxIP[family]), Say: "BIG"})
				if a.Line != "250 xxxx\r\n" {
					t.Errorf("%s: the MSA got %q, error %q, after %v", family, a.Line, a.Error, a.Took)
				}
				gw.expect("handled")
			}
		})
	}
}

// narrow puts an MSA behind a router on the MSA's side, over a link of 1,280 octets that only the router knows of.
func (l *lab) narrow() (ns string) {
	l.t.Helper()
	ns = l.namespace("far")
	l.ip(l.msa, "link add far0 mtu 1280 type veth peer name eth0 netns "+ns, "address add 10.77.3.1/24 dev far0", "address add fd77:3::1/64 dev far0 nodad", "link set far0 up")
	l.ip(ns, "link set eth0 mtu 1500", "address add 10.77.3.2/24 dev eth0", "address add fd77:3::2/64 dev eth0 nodad", "link set eth0 up", "route add 0.0.0.0/0 via 10.77.3.1", "route add ::/0 via fd77:3::1")
	l.ip(l.gw, "route add 10.77.3.0/24 via "+l.msaIP["ipv4"], "route add fd77:3::/64 via "+l.msaIP["ipv6"])
	command(l.t, "", "ip", "netns", "exec", l.msa, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	return ns
}

// What the kernel sends for a connection that kanmon has closed goes to the MX, and does not come back to kanmon.
//
// audit-F5
func TestClosedConnectionsReachTheirEnd(t *testing.T) {
	everywhere(t, func(t *testing.T, mode, place string) {
		l := newLab(t)
		o, ns := l.at(place, mode)
		l.apply(o)
		gw := l.gateway(o)
		for _, family := range families {
			for range 5 {
				l.mustPass(gw, ns, family, "", sending{})
			}
		}
		open := ""
		for range 50 { // two seconds and a half
			open = strings.TrimSpace(command(t, "", "ip", "netns", "exec", l.mx, "ss", "-Htan", "state", "connected", "sport", "=", ":25"))
			if open == "" {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("connections that the MX cannot end:\n%s", open)
	})
}

// A link-local address says nothing without its interface, which interception loses: such an MX is refused at once.
//
// audit-F15
func TestLinkLocalMXIsRefused(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			o := local(mode)
			l.apply(o)
			l.gateway(o)
			address := ""
			for range 100 {
				fields := strings.Fields(command(t, "", "ip", "-n", l.mx, "-6", "-o", "address", "show", "dev", "eth0", "scope", "link"))
				if len(fields) > 3 {
					address, _, _ = strings.Cut(fields[3], "/")
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			l.mustBeRefused(l.gw, netip.AddrPortFrom(netip.MustParseAddr(address+"%out0"), 25))
			l.mustNotArrive()
		})
	}
}

// Direct connections from before the rules go on where conntrack has followed them, and by no dedicated port: else they are reset.
//
// audit-F11
func TestConnectionsFromBeforeTheRules(t *testing.T) {
	everywhere(t, func(t *testing.T, mode, place string) {
		for _, tracked := range []bool{false, true} {
			l := newLab(t)
			o, ns := l.at(place, mode)
			if tracked {
				command(t, "table inet foreign { chain c { type filter hook forward priority 5; ct state established accept; }\n}\n", "ip", "netns", "exec", l.gw, "nft", "-f", "-")
			}
			for _, family := range families {
				l.tell(ns, sending{Target: port25(l.mxIP[family]), Hold: 1}).expect("holding")
				l.mxs.expect("mail")
				l.apply(o)
				a := l.send(ns, sending{Held: true, Say: "NOOP"})
				if goesOn := a.Line == "250 mx\r\n"; goesOn != (mode == "redirect" && tracked) {
					t.Errorf("%s, tracked %t: the MSA got %q, error %q", family, tracked, a.Line, a.Error)
				}
				r := o
				r.Remove = true
				l.apply(r)
			}
		}
	})
}

// A dedicated port's rules go as a whole, and nothing passes without its policy route.
func TestDedicatedPortFailsClosed(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			before := l.state()
			o, ns := l.at("dedicated", mode)
			l.apply(o)
			for _, family := range families {
				l.mustBeRefused(ns, port25(l.mxIP[family]))
			}
			gw := l.gateway(o)
			for _, family := range families {
				l.mustPass(gw, ns, family, l.msaIP[family], sending{})
				if mode == "tproxy" {
					flag := map[string]string{"ipv4": "-4", "ipv6": "-6"}[family]
					command(t, "", "ip", "-n", l.gw, flag, "rule", "delete", "priority", "250")
					if a := l.send(ns, sending{Target: port25(l.mxIP[family]), Timeout: time.Second}); a.Error == "" {
						t.Errorf("%s: without the policy route the MSA got %q", family, a.Line)
					}
				}
			}
			l.mustNotArrive()
			o.Remove = true
			l.apply(o)
			if diff := cmp.Diff(before, l.state()); diff != "" {
				t.Errorf("Remove left something (-before +after):\n%s", diff)
			}
		})
	}
}

// Sockets may have the mark of the packet that made them: what kanmon answers leaves by the wire all the same, in full segments.
//
// audit-F8
func TestMarksOnAcceptedSockets(t *testing.T) {
	everywhere(t, func(t *testing.T, mode, place string) {
		l := newLab(t)
		command(t, "", "ip", "netns", "exec", l.gw, "sysctl", "-qw", "net.ipv4.tcp_fwmark_accept=1")
		o, ns := l.at(place, mode)
		l.apply(o)
		gw := l.gateway(o)
		for _, family := range families {
			l.mustPass(gw, ns, family, "", sending{})
			if a := l.send(ns, sending{Target: port25(l.mxIP[family]), Say: "BIG"}); a.Line != "250 xxxx\r\n" {
				t.Errorf("%s: the MSA got %q, error %q, after %v", family, a.Line, a.Error, a.Took)
			}
			gw.drop("handled")
			l.mxs.drop("mail")
		}
	})
}
