package admin

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAWarmUpIsShownAndOrdered(t *testing.T) {
	var ips fakeIPs
	path, log := serve(t, &ips, nil)
	c := NewClient(path)
	want, _ := ips.WarmUps(ip)
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	for _, asked := range []netip.Addr{{}, ip} {
		if got, err := c.WarmUps(t.Context(), asked); err != nil || !cmp.Equal(want, got, same) {
			t.Errorf("asked for %v: %v, %v", asked, got, err)
		}
	}
	if _, err := c.WarmUps(t.Context(), netip.MustParseAddr("192.0.2.1")); err == nil || !strings.Contains(err.Error(), "no sending IP") {
		t.Errorf("of another address: %v", err)
	}
	for _, o := range []WarmUpOrder{{Step: 7, Reason: "it went well elsewhere"}, {Finish: true, Reason: "moved"}} {
		if got, err := c.OrderWarmUp(t.Context(), ip, o); err != nil || !cmp.Equal(want, got, same) {
			t.Errorf("%+v: %v, %v", o, got, err)
		}
	}
	me := peerNameOfTest(t)
	if diff := cmp.Diff([]string{"warm-up|203.0.113.10|7|false|it went well elsewhere|" + me, "warm-up|203.0.113.10|0|true|moved|" + me}, ips.calls); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(log.String(), "changed by the operator"); n != 2 {
		t.Errorf("logged:\n%s", log)
	}
}

func TestAWrongOrderAboutAWarmUpIsRefused(t *testing.T) {
	var ips fakeIPs
	path, _ := serve(t, &ips, nil)
	for _, c := range []struct {
		order WarmUpOrder
		want  string
	}{
		{WarmUpOrder{Step: 7}, "wants a \"reason\""},
		{WarmUpOrder{Reason: "x"}, "either"},
		{WarmUpOrder{Step: 7, Finish: true, Reason: "x"}, "either"},
		{WarmUpOrder{Step: -1, Reason: "x"}, "first step is 1"},
		{WarmUpOrder{Finish: true, Reason: strings.Repeat("x", maxReason+1)}, errBadReason.Error()},
	} {
		if _, err := NewClient(path).OrderWarmUp(t.Context(), ip, c.order); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.order, err, c.want)
		}
	}
	if len(ips.calls) > 0 {
		t.Errorf("carried out: %q", ips.calls)
	}
}
