package admin

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatProvidersTakeIsShown(t *testing.T) {
	var ips fakeIPs
	path, _ := serve(t, &ips, nil)
	want, _ := ips.Shaping(ip)
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	for _, asked := range []netip.Addr{{}, ip} {
		if got, err := NewClient(path).Shaping(t.Context(), asked); err != nil || !cmp.Equal(want, got, same) {
			t.Errorf("asked for %v: %v, %v", asked, got, err)
		}
	}
	if _, err := NewClient(path).Shaping(t.Context(), netip.MustParseAddr("192.0.2.1")); err == nil || !strings.Contains(err.Error(), "no sending IP") {
		t.Errorf("of another address: %v", err)
	}
}
