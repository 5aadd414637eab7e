package report

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

var addressLike = regexp.MustCompile(`\b[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]+`)

// withoutOurs is a reply without the sending IPs that it was said to: which one a mail left from is the operator's affair, and nothing that a tenant can
// act upon.
func withoutOurs(reply string, ours []netip.Addr) string {
	return addressLike.ReplaceAllStringFunc(reply, func(like string) string {
		bare := strings.TrimRight(like, ".:")
		label := "" // the ":" of "IPv6:"
		if strings.HasPrefix(bare, ":") && !strings.HasPrefix(bare, "::") {
			label, bare = ":", bare[1:]
		}
		if ip, err := netip.ParseAddr(bare); err != nil || !slices.Contains(ours, ip.Unmap()) {
			return like
		}
		return label + "…" + like[len(label)+len(bare):]
	})
}
