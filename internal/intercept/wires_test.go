package intercept_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kanmon/internal/intercept"
)

// MSAs on two wires may have the same addresses, and use the same port toward the same MX at the same time.
//
// audit-F7
func TestSameAddressesOnTwoWires(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			other := l.namespace("msb")
			l.link("msb0", other, "10.77.1", "fd77:1:")
			o := setup(mode)
			if mode == "tproxy" {
				o.NetRaw = true
			}
			o.Dedicated = []intercept.Dedicated{{Port: 10026, Interfaces: []string{"msa0"}}, {Port: 10027, Interfaces: []string{"msb*"}}}
			l.apply(o)
			gw := l.gateway(o)
			for i, family := range families {
				target := port25(l.mxIP[family])
				gw.drop("handled")
				l.mxs.drop("mail")
				for _, wire := range []struct {
					ns   string
					port uint16
				}{{l.msa, 10026}, {other, 10027}} {
					l.tell(wire.ns, sending{Target: target, Hold: 1, Port: 40025 + i}).expect("holding")
					if h := gw.expect("handled"); h.Port != wire.port || h.Destination != target {
						t.Errorf("%s: port %d and destination %s, want %d and %s", family, h.Port, h.Destination, wire.port, target)
					}
					l.mustArriveFrom(l.sendIP[family])
				}
				for _, ns := range []string{l.msa, other} {
					if a := l.send(ns, sending{Target: target, Say: "BIG"}); a.Line != "250 xxxx\r\n" {
						t.Errorf("%s: the MSA got %q, error %q", family, a.Line, a.Error)
					}
				}
			}
		})
	}
}

// Where there are more wires than can have sockets of their own, one socket is for all, and the host's routes know the way; and back again.
func TestMoreWiresThanSockets(t *testing.T) {
	l := newLab(t)
	o := setup("redirect")
	o.Dedicated = []intercept.Dedicated{{Port: 10026, Interfaces: []string{"msa0", "link*"}}}
	l.apply(o)
	gw := l.gateway(o)
	bound := func() int {
		return strings.Count(command(t, "", "ip", "netns", "exec", l.gw, "ss", "-Hltn", "sport", "=", ":10026"), "%")
	}
	change := func(batch string, want int) {
		t.Helper()
		l.ip(l.gw, batch)
		for begun := time.Now(); bound() != want; time.Sleep(50 * time.Millisecond) {
			if time.Since(begun) > 20*time.Second {
				t.Fatalf("%d sockets are bound to an interface, want %d", bound(), want)
			}
		}
		for _, family := range families {
			l.mustPass(gw, l.msa, family, l.msaIP[family], sending{})
		}
	}
	add, remove := "", ""
	for i := range 50 {
		add += fmt.Sprintf("link add link%da type veth peer name link%db\n", i, i)
		remove += fmt.Sprintf("link delete link%da\n", i)
	}
	change("", 2)
	change(add, 0)
	change(remove, 2)
}

// An interface that comes up later has its wire, too.
func TestWireThatComesLater(t *testing.T) {
	l := newLab(t)
	o := setup("redirect")
	o.Dedicated = []intercept.Dedicated{{Port: 10026, Interfaces: []string{"msa0"}}, {Port: 10027, Interfaces: []string{"msb*"}}}
	l.apply(o)
	l.gateway(o)
	other := l.namespace("msb")
	l.link("msb0", other, "10.77.1", "fd77:1:")
	for range 2 { // and once more where it goes, and comes again with another index
		deadline := time.Now().Add(20 * time.Second)
		for _, ns := range []string{l.msa, other} {
			for _, family := range families {
				for {
					a := l.send(ns, sending{Target: port25(l.mxIP[family]), Timeout: time.Second})
					if a.Line == "220 mx\r\n" {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("%s of %s: the MSA got %q, error %q", family, ns, a.Line, a.Error)
					}
				}
			}
		}
		l.ip(l.gw, "link delete msb0")
		l.link("msb0", other, "10.77.1", "fd77:1:")
	}
}
