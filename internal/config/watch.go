package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Watch is how the sending IPs are looked at from outside.
type Watch struct {
	Lists    Names          `toml:"lists"` // zones of public lists
	Names    bool           `toml:"names"`
	Every    time.Duration  `toml:"every"`
	Resolver netip.AddrPort `toml:"resolver"` // the zero one: those of the system
	Suspend  bool           `toml:"suspend"`
}

// listsDomains reports whether a zone is one of those that are asked about domains: by its name, as far as these are known, and by the words that others
// are called by. A key may stand in front (DQS).
func listsDomains(zone string) bool {
	for label := range strings.SplitSeq(zone, ".") {
		switch label {
		case "dbl", "zrd", "surbl", "uri", "urired", "ivmuri", "fresh", "fresh10", "fresh15":
			return true
		}
		if strings.HasPrefix(label, "rhsbl") || strings.HasPrefix(label, "uribl") {
			return true
		}
	}
	return false
}

// MostLists bounds the public lists that are asked.
const MostLists = 32

func (d *decoder) validateWatch(w *Watch) {
	for _, key := range [...]string{"watch.every", "watch.resolver", "watch.suspend"} {
		if d.has(key) && !d.has("watch.lists") && !d.has("watch.names") && d.good(key) {
			d.wrong(key, "nothing is watched that it could be about", `add lists = ["zen.spamhaus.org"], or names = true`)
		}
	}
	d.judge(
		lasting("watch.every", w.Every, 10*time.Minute, 24*time.Hour),
		rule{"watch.lists", len(w.Lists), len(w.Lists) <= MostLists, "%d are too many", fmt.Sprintf("want at most %d: each is asked about each sending IP", MostLists)},
		rule{"watch.suspend", nil, !w.Suspend || len(w.Lists) > 0 || !d.has("watch.names"), "there is no list that could suspend", `add lists = ["zen.spamhaus.org"]`},
	)
	if !d.good("watch.lists") {
		return
	}
	for i, zone := range w.Lists {
		w.Lists[i] = strings.ToLower(zone)
		key := fmt.Sprintf("watch.lists[%d]", i)
		if !d.has(key) {
			key = "watch.lists"
		}
		switch err := checkHostname(zone); {
		case err != nil:
			d.wrong(key, fmt.Sprintf("%q is not the zone of a list: %s", zone, err), `want the name that is asked, such as "zen.spamhaus.org"`)
		case !strings.Contains(zone, "."):
			d.wrong(key, fmt.Sprintf("%q is not the zone of a list: it has no dot", zone), `want the name that is asked, such as "zen.spamhaus.org"`)
		case listsDomains(w.Lists[i]):
			d.wrong(key, fmt.Sprintf("%q lists domains, not IP addresses: asked about an address it answers with nonsense, or refuses", zone), `want a list of IP addresses, such as "zen.spamhaus.org"`)
		case slices.Contains(w.Lists[:i], w.Lists[i]):
			d.wrong(key, fmt.Sprintf("%q is in the list twice", zone), "take one of them away")
		}
	}
}
