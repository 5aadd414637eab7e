package check

import (
	"net/netip"
	"strings"
	"testing"

	"kanmon/internal/outlet/host"
)

// A required sending IP that is on the host, but that no mail can leave from, is as good as none.
func TestRequiredSendingIPThatCannotSend(t *testing.T) {
	for state, refused := range map[host.State]bool{host.Here: false, host.Tentative: true, host.Duplicate: true, host.LinkDown: true} {
		r := newRig(t)
		r.Look = func(list []netip.Addr) (map[netip.Addr]host.State, error) {
			states := map[netip.Addr]host.State{}
			for _, a := range list {
				states[a] = host.Here
			}
			states[netip.MustParseAddr("2001:db8::10")] = state
			return states, nil
		}
		told := false
		for _, f := range r.check(edited(ips, "address = '2001:db8::10'", "required = true\naddress = '2001:db8::10'")) {
			told = told || f.Kind == sendingIPRequired && strings.Contains(f.What, state.String())
		}
		if told != refused {
			t.Errorf("the address is in the state %q: refused %t, want %t", state, told, refused)
		}
	}
}
