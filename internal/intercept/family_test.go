package intercept_test

import "testing"

// A family without a sending IP is refused at once, as on a host without it, by the rules and so with kanmon up or down, whether the
// gateway forwards the family or not. The other one passes.
func TestFamilyWithoutASendingIPIsRefused(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		for _, without := range families {
			t.Run(mode+" without "+without, func(t *testing.T) {
				l := newLab(t)
				o := forwarded(mode)
				o.Local, o.User = true, "65534"
				o.NoIPv4, o.NoIPv6 = without == "ipv4", without == "ipv6"
				l.apply(o)
				l.mustBeRefused(l.msa, port25(l.mxIP[without]))
				gw := l.gateway(o)
				for _, family := range families {
					if family != without {
						l.mustPass(gw, l.msa, family, l.msaIP[family], sending{})
						l.mustPass(gw, l.gw, family, "", sending{})
					}
				}
				refused := func() {
					t.Helper()
					l.mustBeRefused(l.msa, port25(l.mxIP[without]))
					l.mustBeRefused(l.gw, port25(l.mxIP[without]))
				}
				refused()
				command(t, "", "ip", "netns", "exec", l.gw, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
				refused()
				gw.tell("report")
				if n := gw.unexpected("handled") + gw.unexpected("refused"); n != 0 {
					t.Errorf("%d connections of the family came to kanmon", n)
				}
				l.mustNotArrive()
				o.Remove = true
				l.apply(o)
			})
		}
	}
}
