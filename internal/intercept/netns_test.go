package intercept_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/intercept"
	"kanmon/internal/session"
)

func addrPorts(list ...string) []netip.AddrPort {
	var aps []netip.AddrPort
	for _, s := range list {
		aps = append(aps, netip.MustParseAddrPort(s))
	}
	return aps
}

func port25(address string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(address), 25)
}

// setup is what both modes have in common in most tests: the options of the gateway, which are those of its rules.
func setup(mode string) options {
	o := options{
		Role: "gateway", Mode: mode, Unprivileged: true,
		Listen:     addrPorts("0.0.0.0:10025", "[::]:10025"),
		SendingIPs: []netip.Addr{netip.MustParseAddr("10.77.2.10"), netip.MustParseAddr("fd77:2::10")},
	}
	if mode == "tproxy" {
		o.NetRaw = true
		o.Listen = addrPorts("127.0.0.1:10025", "[::1]:10025")
	}
	return o
}

// forwarded has the rules for the MSA's forwarded mail, too.
func forwarded(mode string) options {
	o := setup(mode)
	o.Sources = []netip.Prefix{netip.MustParsePrefix("10.77.1.0/24"), netip.MustParsePrefix("fd77:1::/64")}
	return o
}

// local has the rules for the gateway's own mail.
func local(mode string) options {
	o := setup(mode)
	o.Local, o.User = true, "65534"
	return o
}

func (l *lab) apply(o options) {
	l.t.Helper()
	o.Role, o.Unprivileged = "rules", false
	l.start(l.gw, o).expect("ready")
}

func (l *lab) gateway(o options) *child {
	l.t.Helper()
	gw := l.start(l.gw, o)
	gw.expect("ready")
	return gw
}

func TestForwarded(t *testing.T) {
	for _, tc := range []struct {
		name, mode string
		listen     []netip.AddrPort // nil: as setup has it
		ifaces     []string
		adopt      bool
	}{
		{"redirect", "redirect", nil, nil, false},
		{"redirect dual-stack", "redirect", addrPorts("[::]:10025"), []string{"msa*"}, false},
		{"redirect adopted", "redirect", nil, nil, true},
		{"tproxy", "tproxy", nil, []string{"msa0"}, false},
		{"tproxy dual-stack", "tproxy", addrPorts("[::]:10025"), nil, false},
		{"tproxy adopted", "tproxy", nil, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			o := forwarded(tc.mode)
			o.Interfaces = tc.ifaces
			o.Adopt = tc.adopt
			o.Unprivileged = !tc.adopt // it drops them itself
			if tc.listen != nil {
				o.Listen = tc.listen
			}
			l.apply(o)
			gw := l.gateway(o)
			for _, family := range families {
				l.mustPass(gw, l.msa, family, l.msaIP[family], sending{})
				l.mustPass(gw, l.msa, family, l.msaIP[family], sending{MPTCP: true})
			}
		})
	}
}

// Mail that comes in by an interface with a port of its own goes there, whatever the sources are; the other MSAs' goes where it did.
func TestDedicatedPort(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		for iface, port := range map[string]uint16{"msa*": 10026, "msa1": 10025} {
			t.Run(mode+" "+iface, func(t *testing.T) {
				l := newLab(t)
				o := forwarded(mode)
				o.Dedicated = []intercept.Dedicated{{Port: 10026, Interfaces: []string{iface}}}
				l.apply(o)
				gw := l.gateway(o)
				for _, family := range families {
					s := sending{Target: port25(l.mxIP[family])}
					if a := l.send(l.msa, s); a.Line != "220 mx\r\n" {
						t.Fatalf("%s: the MSA got %q, error %q", family, a.Line, a.Error)
					}
					if h := gw.expect("handled"); h.Port != port || h.Destination != s.Target {
						t.Errorf("%s: port %d and destination %s, want %d and %s", family, h.Port, h.Destination, port, s.Target)
					}
					l.mustBeRefused(l.msa, netip.AddrPortFrom(netip.MustParseAddr(l.gwIP[family]), 10026))
				}
			})
		}
	}
}

func TestTProxyNeedsItsCapability(t *testing.T) {
	l := newLab(t)
	for _, address := range []string{"127.0.0.1:10025", "[::1]:10025"} {
		o := options{Role: "gateway", Mode: "tproxy", Unprivileged: true, Listen: addrPorts(address)}
		e := l.start(l.gw, o).expect("failed")
		if !strings.Contains(e.Error, "listen on "+address) || !strings.Contains(e.Error, "needs CAP_NET_RAW or CAP_NET_ADMIN") {
			t.Errorf("error %q", e.Error)
		}
	}
}

func TestLocal(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		for _, exclusion := range []string{"user", "mark"} {
			t.Run(mode+" "+exclusion, func(t *testing.T) {
				l := newLab(t)
				o := local(mode)
				if exclusion == "mark" {
					o.User, o.Mark, o.OwnMark, o.NetRaw = "", 0x2525, 0x2525, true
				}
				l.apply(o)
				gw := l.gateway(o)
				for _, family := range families {
					l.mustPass(gw, l.gw, family, "", sending{})
					l.mustPass(gw, l.gw, family, "", sending{MPTCP: true})
				}
				if n := gw.count("refused"); n != 0 {
					t.Errorf("%d connections refused", n)
				}
			})
		}
	}
}

// A mail server on the gateway itself takes mail for the gateway, and never mail for somebody else.
func TestMailForTheGatewayIsNotIntercepted(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			own := l.start(l.gw, options{Role: "mx"})
			own.expect("ready")
			o := forwarded(mode)
			o.Local, o.User = true, "65534"
			l.apply(o)
			gw := l.gateway(o)
			for _, target := range []string{"10.77.1.1", "fd77:1::1", "127.0.0.1", "::1"} {
				if a := l.send(l.gw, sending{Target: port25(target)}); a.Line != "220 mx\r\n" {
					t.Errorf("gateway to %s: %+v", target, a)
				}
				own.expect("mail") // it says so behind its answer
			}
			for _, target := range []string{"10.77.1.1", "fd77:1::1", "10.77.2.1"} {
				if a := l.send(l.msa, sending{Target: port25(target)}); a.Line != "220 mx\r\n" {
					t.Errorf("MSA to %s: %+v", target, a)
				}
				own.expect("mail")
			}
			gw.tell("close")
			if n := gw.count("handled") + gw.count("refused"); n != 0 {
				t.Errorf("kanmon got %d connections", n)
			}
			got := own.count("mail")
			for _, family := range families {
				l.mustBeRefused(l.msa, port25(l.mxIP[family]))
				l.mustBeRefused(l.gw, port25(l.mxIP[family]))
			}
			if n := own.count("mail"); n != got {
				t.Errorf("with kanmon down, the gateway's own mail server got %d connections for the MX", n-got)
			}
		})
	}
}

// While the rules are there, mail waits, and never passes directly. Removing them opens the way and leaves nothing behind.
//
// law: I15
func TestFailsClosed(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			command(t, "table inet foreign { chain c { type filter hook forward priority 5; tcp dport 26 drop; }\n}", "ip", "netns", "exec", l.gw, "nft", "-f", "-")
			l.ip(l.gw, "rule add fwmark 7 lookup 77")
			before := l.state()
			o := forwarded(mode)
			o.Local, o.User = true, "65534"
			l.apply(o)
			once := l.state()
			l.apply(o)
			if diff := cmp.Diff(once, l.state()); diff != "" {
				t.Errorf("a second Apply changed something (-once +twice):\n%s", diff)
			}
			refused := func() {
				t.Helper()
				for _, family := range families {
					l.mustBeRefused(l.msa, port25(l.mxIP[family]))
					l.mustBeRefused(l.gw, port25(l.mxIP[family]))
				}
			}
			refused() // never started
			gw := l.gateway(o)
			l.mustPass(gw, l.msa, "ipv4", l.msaIP["ipv4"], sending{})
			gw.tell("close")
			refused()
			l.mustNotArrive()
			o.Remove = true
			l.apply(o)
			l.apply(o)
			if diff := cmp.Diff(before, l.state()); diff != "" {
				t.Errorf("Remove left something (-before +after):\n%s", diff)
			}
			for _, family := range families {
				if a := l.send(l.msa, sending{Target: port25(l.mxIP[family])}); a.Line != "220 mx\r\n" {
					t.Errorf("%s: rules removed, but the MSA got %+v", family, a)
				}
				l.mustArriveFrom(l.msaIP[family])
			}
		})
	}
}

// state gives all of the gateway's rules and routes.
func (l *lab) state() string {
	l.t.Helper()
	var b strings.Builder
	for _, c := range []string{
		"nft -s list ruleset", "ip -4 rule", "ip -6 rule", "ip -4 route show table all", "ip -6 route show table all",
		"sysctl net.ipv4.conf.all net.ipv4.ip_forward net.ipv6.conf.all.forwarding",
	} {
		args := append([]string{"netns", "exec", l.gw}, strings.Fields(c)...)
		for line := range strings.Lines(command(l.t, "", "ip", args...)) {
			if !strings.Contains(line, "fe80::") { // these come when they come
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// If the policy route is taken away (systemd-networkd does so by default), tproxy must not let mail pass.
func TestFailsClosedWithoutThePolicyRoute(t *testing.T) {
	l := newLab(t)
	o := forwarded("tproxy")
	o.Local, o.User = true, "65534"
	l.apply(o)
	l.gateway(o)
	for _, f := range []string{"-4", "-6"} {
		command(t, "", "ip", "-n", l.gw, f, "rule", "delete", "fwmark", "0x1000/0x1000")
	}
	for _, family := range families {
		for _, ns := range []string{l.msa, l.gw} { // the kernel drops the packets: the MSA waits in vain
			if a := l.send(ns, sending{Target: port25(l.mxIP[family]), Timeout: time.Second}); a.Error == "" {
				t.Errorf("%s from %s got %q", family, ns, a.Line)
			}
		}
	}
	l.mustNotArrive()
}

func TestDirectConnectionIsRefused(t *testing.T) {
	t.Run("by the rules", func(t *testing.T) {
		for _, mode := range []string{"redirect", "tproxy"} {
			l := newLab(t)
			o := forwarded(mode)
			o.Listen = addrPorts("0.0.0.0:10025", "[::]:10025")
			l.apply(o)
			gw := l.gateway(o)
			for _, family := range families {
				l.mustBeRefused(l.msa, netip.AddrPortFrom(netip.MustParseAddr(l.gwIP[family]), 10025))
			}
			l.mustBeRefused(l.gw, netip.MustParseAddrPort("127.0.0.1:10025"))
			if n := gw.count("handled") + gw.count("refused"); n != 0 {
				t.Errorf("%s: %d connections came to the listener", mode, n)
			}
		}
	})
	// Foreign rules may lack the input chain, or send mail for the gateway itself.
	redirect := "table inet foreign { chain c { type nat hook prerouting priority dstnat; tcp dport 25 redirect to :10025; }\n}"
	for name, tc := range map[string]struct{ mode, rules string }{
		"without NAT": {"redirect", ""},
		"with NAT":    {"redirect", redirect},
		"tproxy":      {"tproxy", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			command(t, tc.rules, "ip", "netns", "exec", l.gw, "nft", "-f", "-")
			o := setup(tc.mode)
			o.Listen = addrPorts("[::]:10025")
			gw := l.gateway(o)
			ports := []uint16{10025}
			if tc.rules != "" {
				ports = append(ports, 25)
			}
			for _, family := range families {
				for _, port := range ports {
					a := l.send(l.msa, sending{Target: netip.AddrPortFrom(netip.MustParseAddr(l.gwIP[family]), port)})
					if a.Line != fmt.Sprintf("421 refused %d\r\n", session.RefuseNotIntercepted) {
						t.Errorf("%s port %d: the MSA got %q, error %q", family, port, a.Line, a.Error)
					}
					if r := gw.expect("refused"); r.Why != int(session.RefuseNotIntercepted) || r.Source.Addr().String() != l.msaIP[family] {
						t.Errorf("%s port %d: refused %d, source %s", family, port, r.Why, r.Source)
					}
				}
			}
			if n := gw.count("handled"); n != 0 {
				t.Errorf("%d connections handled", n)
			}
		})
	}
}

// Rules that exclude somebody else than kanmon bring its own connection back to it.
func TestLoopEndsAfterOneHop(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		for _, observe := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s observe=%t", mode, observe), func(t *testing.T) {
				l := newLab(t)
				o := local(mode)
				o.User = "1"
				o.Files = 200 // should nothing else end the loop
				l.apply(o)
				if observe {
					o.SendingIPs = nil
				}
				gw := l.gateway(o)
				for _, family := range families {
					for range 10 {
						handled, refused := gw.count("handled"), gw.count("refused")
						a := l.send(l.gw, sending{Target: port25(l.mxIP[family])})
						if a.Line != fmt.Sprintf("421 refused %d\r\n", session.RefuseLoop) || a.Took > time.Second {
							t.Fatalf("%s: the MSA got %q, error %q, after %v", family, a.Line, a.Error, a.Took)
						}
						gw.tell("report")
						if h, r := gw.count("handled")-handled, gw.count("refused")-refused; h != 1 || r != 1 {
							t.Fatalf("%s: %d connections handled, %d refused; want 1 and 1", family, h, r)
						}
					}
				}
				l.mustNotArrive()
			})
		}
	}
}

// At the limit of descriptors, connections wait in the kernel's queue at no cost, and are accepted when there is room.
func TestAcceptingPausesWithoutDescriptors(t *testing.T) {
	l := newLab(t)
	o := forwarded("redirect")
	o.Hold, o.Files = true, 40
	l.apply(o)
	gw := l.gateway(o)
	const connections = 100
	l.tell(l.msa, sending{Target: port25(l.mxIP["ipv4"]), Hold: connections}).expect("holding")
	if e := gw.expect("accepting paused"); !strings.HasSuffix(e.Error, "too many open files") {
		t.Errorf("paused for %q", e.Error)
	}
	before := gw.tell("report").CPU
	time.Sleep(2 * time.Second)
	if used := gw.tell("report").CPU - before; used > 100*time.Millisecond {
		t.Errorf("while accepting was paused for 2 s, %v of CPU were used", used)
	}
	if n := gw.count("handled"); n >= 40 {
		t.Errorf("%d connections handled with 40 descriptors", n)
	}
	l.tell(l.msa, sending{Target: port25(l.mxIP["ipv4"]), Hold: 1}).expect("holding") // closes the others
	for range connections + 1 {
		gw.expect("handled")
	}
	if n := gw.count("accepting paused"); n != 1 {
		t.Errorf("one episode was logged %d times", n)
	}
}
