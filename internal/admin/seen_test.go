package admin

import (
	"net/netip"
	"strings"
	"testing"
)

func TestHowOthersSeeASendingIPIsShown(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	for _, asked := range []netip.Addr{{}, ip} {
		got, err := NewClient(path).Sightings(t.Context(), asked)
		if err != nil || len(got) != 1 || got[0].IP != ip || got[0].List != "spamhaus-zen" || !got[0].Bad || got[0].Answers[0] != "127.0.0.4" {
			t.Errorf("asked for %v: %v, %v", asked, got, err)
		}
	}
	if _, err := NewClient(path).Sightings(t.Context(), netip.MustParseAddr("192.0.2.1")); err == nil || !strings.Contains(err.Error(), "no sending IP") {
		t.Errorf("of another address: %v", err)
	}
}
