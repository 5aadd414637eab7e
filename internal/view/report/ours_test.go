package report

import (
	"net/netip"
	"testing"
)

func TestNoReplyNamesASendingIP(t *testing.T) {
	ours := []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::1")}
	for reply, want := range map[string]string{
		"550 5.7.25 [203.0.113.1] has no PTR":                  "550 5.7.25 […] has no PTR",
		"550 blocked: 203.0.113.1.":                            "550 blocked: ….",
		"550 https://lists.example/?ip=203.0.113.1&x=1":        "550 https://lists.example/?ip=…&x=1",
		"550 [IPv6:2001:DB8:0::1] is listed":                   "550 [IPv6:…] is listed",
		"550 203.0.113.10 and 203.0.113.11 are others":         "550 203.0.113.10 and 203.0.113.11 are others",
		"550 5.1.1 <a.b@c.example>: no such user at 12:30:00.": "550 5.1.1 <a.b@c.example>: no such user at 12:30:00.",
	} {
		if got := withoutOurs(reply, ours); got != want {
			t.Errorf("%q becomes %q, want %q", reply, got, want)
		}
	}
}
