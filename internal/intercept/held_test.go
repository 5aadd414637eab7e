package intercept_test

import (
	"testing"

	"kanmon/internal/intercept"
)

// Sessions that are open go on, whatever the rules that come give to their interface: zones of conntrack, others, or none any more. So they do
// where rules are loaded once more.
func TestSessionsOutliveOtherZones(t *testing.T) {
	port := func(port uint16) func(*options) {
		return func(o *options) {
			o.Sources, o.Dedicated = nil, []intercept.Dedicated{{Port: port, Interfaces: []string{"msa0"}}}
		}
	}
	general := func(o *options) { o.Sources, o.Interfaces = nil, []string{"msa0"} }
	for name, change := range map[string]struct {
		before, after func(*options)
		former        bool // the rules before are those of a version without zones
	}{
		"a version without zones":  {before: port(10026), after: port(10026), former: true},
		"a port of its own":        {before: general, after: port(10026)},
		"another port":             {before: port(10026), after: port(10027)},
		"no port of its own":       {before: port(10026), after: general},
		"the same rules once more": {before: port(10026), after: port(10026)},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			ports := setup("redirect")
			ports.Dedicated = []intercept.Dedicated{{Port: 10026}, {Port: 10027}}
			gw := l.gateway(ports)
			for _, family := range families {
				before, after := setup("redirect"), setup("redirect")
				change.before(&before)
				change.after(&after)
				l.apply(before)
				if change.former {
					l.in("nft delete chain inet kanmon wires")
				}
				target := port25(l.mxIP[family])
				l.tell(l.msa, sending{Target: target, Hold: 1}).expect("holding")
				gw.expect("handled")
				l.mustArriveFrom(l.sendIP[family])
				for range 2 { // and who is held is held by the next rules, too
					l.apply(after)
				}
				if a := l.send(l.msa, sending{Held: true, Say: "BIG"}); a.Line != "250 xxxx\r\n" {
					t.Errorf("%s: the session got %q, error %q", family, a.Line, a.Error)
				}
				l.mustPass(gw, l.msa, family, l.msaIP[family], sending{})
			}
		})
	}
}
