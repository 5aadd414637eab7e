package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/outlet/standing"
	"kanmon/test/dnszone"
)

const (
	watchedIP  = "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'out10.example.jp'\nfloating = true\n"
	watchedDNS = `
10.113.0.203.in-addr.arpa. PTR out10.example.jp.
out10.example.jp. A 203.0.113.10
2.0.0.127.zen.spamhaus.org. A 127.0.0.2
10.113.0.203.zen.spamhaus.org. A 127.0.0.4
2.0.0.127.abcdefghijklmnopqrstuvwxyz.bl.example. A 127.255.255.254
`
)

// watched has the sending IP looked at by two lists, of which one refuses to answer, and has a key that nobody is to see.
func watched(server *dnszone.Server, more string) string {
	return fmt.Sprintf("[watch]\nlists = ['zen.spamhaus.org', 'abcdefghijklmnopqrstuvwxyz.bl.example']\nnames = true\nresolver = '%s'\n%s", server.Addr, more)
}

// What lists and names say of a sending IP is seen in the status, the metrics, the records and the commands; it suspends nobody unless that is
// configured, then everywhere, and it ends with what it came from.
func TestWhatListsSayIsToldAndSuspendsWhereConfigured(t *testing.T) {
	server, address := dnszone.Serve(t, watchedDNS), freeAddress(t)
	base := sending("out") + watchedIP + "[journal]\nrecords = 'DIR/records.jsonl'\n" + metered(address)
	w := newWorld(t, listenTable+base+watched(server, ""))
	w.start()
	o, ip := &operator{w.daemon}, netip.MustParseAddr("203.0.113.10")
	settled := func(problems ...string) {
		t.Helper()
		var got []string
		waitUntil(t, "not normal: "+strings.Join(problems, " "), func() bool {
			got = idsOf(o.Status().Problems)
			return slices.Equal(got, problems)
		})
	}
	settled("list", "listed")
	if s, _ := w.daemon.book.Show(standing.Key{IP: ip, Provider: "google"}); s.State != standing.Active {
		t.Errorf("one list's word has made it %+v", s)
	}
	waitUntil(t, "both lists are told of", func() bool {
		return strings.Contains(scraped(t, address), `kanmon_list_believed{list="spamhaus-zen"} 1`)
	})
	has(t, scraped(t, address), `kanmon_listed{list="spamhaus-zen",sending_ip="203.0.113.10"} 1`, `kanmon_list_believed{list="bl.example"} 0`,
		`kanmon_list_queries_total{list="bl.example",result="unbelieved"} 1`)
	waitUntil(t, "its names are known", func() bool {
		return strings.Contains(scraped(t, address), "\nkanmon_sending_ip_names_right{sending_ip=\"203.0.113.10\"} 1\n")
	})
	all, err := o.Standings(ip)
	if err != nil || !slices.ContainsFunc(all, func(s admin.Standing) bool {
		return s.State == admin.Listed && s.Reason == "127.0.0.4" && slices.Equal(s.Lists, []string{"spamhaus-zen"})
	}) {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := o.Sightings(netip.MustParseAddr("192.0.2.1")); err == nil {
		t.Error("an address that is no sending IP is seen")
	}

	if err := w.daemon.Reload(t.Context(), w.with(base+watched(server, "suspend = true\n"))); err != nil {
		t.Fatal(err)
	}
	settled("suspended", "list", "listed")
	if s, _ := w.daemon.book.Show(standing.Key{IP: ip, Provider: "google"}); s.State != standing.Suspended || s.By != standing.ByCheck {
		t.Errorf("configured to suspend, it is %+v", s)
	}
	if err := w.daemon.Reload(t.Context(), w.with(base)); err != nil {
		t.Fatal(err)
	}
	settled()
	if s, _ := w.daemon.book.Show(standing.Key{IP: ip, Provider: "google"}); s.State != standing.Active {
		t.Errorf("asked by nobody any more, it is %+v", s)
	}
	w.stop()
	records, err := os.ReadFile(w.daemon.cfg.Journal.Records)
	if err != nil || strings.Contains(string(records), "abcdefghijklmnopqrstuvwxyz") {
		t.Errorf("%v: the key of a list is in the records:\n%s", err, records)
	}
	var told []string
	for e, err := range event.NewReader(strings.NewReader(string(records))).All() {
		if err == nil && e.Type == "sighting" {
			told = append(told, strings.Join([]string{e.List, e.Was, e.State}, " "))
		}
	}
	slices.Sort(told)
	if want := []string{"bl.example not_believed unknown", "bl.example unknown not_believed", "spamhaus-zen listed unknown", "spamhaus-zen unknown listed"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// What a zone is called where people see it: by kanmon's table where that has it, and never with a key.
func TestZonesAreCalledWithoutTheirKeys(t *testing.T) {
	rules, err := rulesOf(&configOf(t, "").Classification)
	if err != nil {
		t.Fatal(err)
	}
	for zone, want := range map[string]string{
		"zen.spamhaus.org": "spamhaus-zen", "abcdefghijklmnopqrstuvwxyz.zen.dq.spamhaus.net": "spamhaus-zen", "short.zen.dq.spamhaus.net": "spamhaus-zen",
		"bl.example": "bl.example", "abcdefghijklmnopqrst.bl.example": "bl.example", "abcdefghij.bl.example": "abcdefghij.bl.example",
	} {
		if name, _ := listOf(rules, zone); name != want {
			t.Errorf("%s is called %s, want %s", zone, name, want)
		}
	}
}
