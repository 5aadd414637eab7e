package daemon

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event/metrics"
	"kanmon/internal/outlet/standing"
)

// Where a pool has no sending IP left that a provider takes, that is said first of all that is not normal: its mail waits.
func TestAnExhaustedPoolIsNotNormal(t *testing.T) {
	w := newWorld(t, listenTable+sending("here"))
	w.start()
	defer w.stop()
	o := &operator{w.daemon}
	provider := w.daemon.cfg.Providers()[0].Name
	for _, ip := range w.daemon.cfg.SendingIPs {
		if err := w.daemon.book.Suspend(standing.Key{IP: ip.Address, Provider: provider}, time.Now().Add(time.Hour), "a test", "alice"); err != nil {
			t.Fatal(err)
		}
	}
	got := o.Status().Problems
	if len(got) == 0 || got[0].ID != "exhausted" || got[0].Provider != provider || !strings.Contains(got[0].What, "sending IP may be used at "+provider+": mail of pool ") {
		t.Fatalf("not normal is %+v, want first that nothing is left for %s", got, provider)
	}
	for _, ip := range w.daemon.cfg.SendingIPs {
		if err := w.daemon.book.Resume(standing.Key{IP: ip.Address, Provider: provider}, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	if got := o.Status().Problems; len(got) != 0 {
		t.Errorf("and behind that %+v", got)
	}
}

// What is used up for all providers is not told of each; a family whose addresses are on another gateway is not used up; pools are named together.
func TestWhereSendingIPsAreUsedUp(t *testing.T) {
	pool := func(name, provider, family string, n int) metrics.Pool {
		return metrics.Pool{Name: name, Provider: provider, Family: family, Usable: n}
	}
	got := exhausted([]metrics.Pool{
		pool("a", "", "ipv4", 2), pool("a", "google", "ipv4", 0), pool("a", "", "ipv6", 0), pool("a", "google", "ipv6", 0),
		pool("b", "", "ipv4", 1), pool("b", "google", "ipv4", 0), pool("c", "", "ipv4", 0), pool("c", "google", "ipv4", 0), pool("d", "", "ipv4", 3), pool("d", "google", "ipv4", 1),
	}, map[family]bool{{"a", "ipv4"}: true, {"b", "ipv4"}: true, {"c", "ipv4"}: true, {"d", "ipv4"}: true})
	var texts []string
	for _, p := range got {
		texts = append(texts, p.What)
	}
	want := []string{
		"no IPv4 sending IP may be used at any provider: mail of pool c waits in the MSAs",
		"no IPv4 sending IP may be used at google: mail of pools a, b waits in the MSAs",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("%q, want %q", texts, want)
	}
	if text := poolNames([]string{"e", "d", "c", "b", "a"}); text != "pools a, b, c and 2 more" {
		t.Errorf("%q", text)
	}
	if of := familyOf("a", netip.MustParseAddr("::ffff:203.0.113.10")); of.name != "ipv4" {
		t.Errorf("%+v", of)
	}
}
