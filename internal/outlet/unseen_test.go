package outlet

import (
	"net/netip"
	"slices"
	"testing"
)

// While observing, an MSA on this host keeps the address that it has chosen, and for all others the kernel chooses, as without kanmon. It
// is nobody's sending IP: the MSA's own name goes to the MX.
//
// audit-F1
func TestObservingKeepsTheAddressOfAnMSAOnThisHost(t *testing.T) {
	o, here := newOutlet(t, sending()), netip.MustParseAddr("203.0.113.12")
	fw := new(firewalled)
	o.dialer = fw
	o.ownAddress = func(a netip.Addr) bool { return a == here }
	for _, source := range []netip.Addr{here, msa} {
		out, err := o.Dial(t.Context(), request{Source: source, Destination: mxAddr})
		if err != nil {
			t.Fatal(err)
		}
		if _ = out.Conn.Close(); out.SendingIP.IsValid() || out.Name != "" {
			t.Errorf("%s: sending IP %s, name %q", source, out.SendingIP, out.Name)
		}
	}
	if want := []netip.Addr{here, {}}; !slices.Equal(fw.dialled, want) {
		t.Errorf("dialled from %v, want %v", fw.dialled, want)
	}
}
