package check

import (
	"strings"
	"testing"
	"time"

	"kanmon/internal/outlet/watch"
	"kanmon/test/dnszone"
)

// zone is what the world says of the sending IPs of ips, where all is well; a line of a test stands in place of those of its name and type.
const zone = `
10.113.0.203.in-addr.arpa. PTR a.example.jp.
11.113.0.203.in-addr.arpa. PTR b.example.jp.
0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR a.example.jp.
a.example.jp. A 203.0.113.10
a.example.jp. AAAA 2001:db8::10
b.example.jp. A 203.0.113.11
b.example.jp. AAAA 2001:db8::99
acme.example. TXT "v=spf1 include:spf.example.jp -all"
spf.example.jp. TXT "v=spf1 ip4:203.0.113.0/24 ip6:2001:db8::/64 -all"
2.0.0.127.bl.example. A 127.0.0.2
2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example. A 127.0.0.2
`

const (
	bl      = "bl.example"
	listed4 = "10.113.0.203." + bl + ". "
	listed6 = "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2." + bl + ". "
	never4  = "1.0.0.127." + bl + ". "
	domains = "sender_domains = ['acme.example']\n"
)

// A dnsRow is a world in which something is wrong; in the plain one nothing is.
type dnsRow struct {
	id, name string
	records  string // "NAME TYPE none" takes them away
	doc      string // "": all sending IPs, one tenant of acme.example
	want     string
}

func dnsSite() string {
	return ips + "[senders]\nfile = 'DIR/senders.db'\n[[tenant]]\nname = 'acme'\nsources = ['10.20.0.0/16']\n" + domains
}

func dnsRows() []dnsRow {
	return []dnsRow{
		{id: "", name: "all is well"},
		{id: "ptr-missing", name: "no PTR", records: "11.113.0.203.in-addr.arpa. PTR none", want: "error: kanmon.toml:13: sending_ip[1].address: 203.0.113.11 has no PTR"},
		{id: "ptr-not-forward", name: "PTR of another host", records: "b.example.jp. A 203.0.113.99", want: "the PTR of 203.0.113.11 is b.example.jp, which does not lead back to it"},
		{id: "ehlo-not-ptr", name: "PTR with another name", records: "11.113.0.203.in-addr.arpa. PTR out.example.jp.\nout.example.jp. A 203.0.113.11", want: "kanmon says EHLO b.example.jp, and the PTR of 203.0.113.11 is out.example.jp"},
		{id: "ehlo-unresolved", name: "EHLO without an address", records: "b.example.jp. A none\n11.113.0.203.in-addr.arpa. PTR b.example.jp.\n11.113.0.203.in-addr.arpa. PTR out.example.jp.\nout.example.jp. A 203.0.113.11", want: "b.example.jp does not lead to 203.0.113.11"},
		{id: "spf-fails", name: "address not in the record", records: `spf.example.jp. TXT "v=spf1 ip4:203.0.113.10 ip6:2001:db8::/64 -all"`, want: "SPF of acme.example says fail of 203.0.113.11, which mail of tenant \"acme\" can leave from"},
		{id: "spf-doubts", name: "softfail", records: `acme.example. TXT "v=spf1 ip4:203.0.113.0/24 ~all"`, want: "says softfail of 2001:db8::10"},
		{id: "spf-missing", name: "no record", records: `acme.example. TXT "something else"`, want: "v=spf1 ip4:203.0.113.10 ip4:203.0.113.11 ip6:2001:db8::10 -all"},
		{id: "spf-broken", name: "two records", records: "acme.example. TXT \"v=spf1 -all\"\nacme.example. TXT \"v=spf1 +all\"", want: "the SPF record of acme.example cannot be evaluated"},
		{id: "not-checked", name: "wildcard", doc: strings.Replace(dnsSite(), domains, "sender_domains = ['acme.example', '*.acme.example']\n", 1), want: "SPF of *.acme.example: not checked, because it stands for many domains"},
		{id: "not-checked", name: "server fails", records: "11.113.0.203.in-addr.arpa. SERVFAIL", want: "the PTR of 203.0.113.11: not checked, because lookup 11.113.0.203.in-addr.arpa"},
		{id: "not-checked", name: "SPF fails for now", records: "spf.example.jp. SERVFAIL", want: "SPF of acme.example: not checked, because"},
		{id: "not-checked", name: "no sending IP", doc: plain, want: "the DNS: not checked, because there is no [[sending_ip]]"},
		{id: "ip-listed", name: "IPv4", records: listed4 + "A 127.0.0.2", want: "error: kanmon.toml:10: sending_ip[0].address: bl.example has 203.0.113.10"},
		{id: "ip-listed", name: "IPv6", records: listed6 + "A 127.0.0.3", want: "bl.example has 2001:db8::10"},
		{id: "not-checked", name: "list refuses", records: listed4 + "A 127.255.255.254", want: "note: bl.example: not checked, because the list refuses queries of this resolver (127.255.255.x): ask with your own"},
		{id: "not-checked", name: "list without IPv6", records: "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example. A none", want: "IPv6 at bl.example: not checked, because the list lacks the address that every list has"},
		{id: "not-checked", name: "no list", records: "2.0.0.127.bl.example. A none", want: "IPv4 at bl.example: not checked"},
		{id: "list-dead", name: "list has everybody", records: listed4 + "A 127.0.0.2\n" + never4 + "A 127.0.0.2", want: "note: bl.example: bl.example: the list has everybody"},
		{id: "list-dead", name: "parked domain", records: listed4 + "A 192.0.2.80", want: "the answer is not that of a block list"},
	}
}

func TestTheDNSIsSeenAsReceiversSeeIt(t *testing.T) {
	for _, test := range dnsRows() {
		t.Run(test.id+" "+test.name, func(t *testing.T) {
			doc := test.doc
			if doc == "" {
				doc = dnsSite()
			}
			r := newRig(t)
			d := &DNS{Config: r.parse(doc), Resolver: serveDNS(t, test.records), Blocklists: []string{bl}}
			r.wantOnly(d.Run(t.Context()), test.id, test.want)
		})
	}
}

// A pool, a route and the pool for diverted mail: all that a tenant's mail can leave from, and nothing else.
func TestSPFIsAskedOfTheTenantsPools(t *testing.T) {
	const records = `acme.example. TXT "v=spf1 ip6:2001:db8::10 ip4:203.0.113.10 -all"`
	site := edited(pools, "[[route]]\npool = 'bulk'\n", "") + "[senders]\nfile = 'DIR/senders.db'\n[[tenant]]\nname = 'acme'\nsources = ['10.20.0.0/16']\n" + domains
	other := "[[tenant]]\nname = 'other'\nsources = ['10.21.0.0/16']\n"
	for name, test := range map[string]struct{ more, id string }{
		"its pool":               {"", ""},
		"another tenant's":       {other + "pool = 'bulk'\n", ""},
		"another tenant's route": {other + "[[route]]\ntenant = 'other'\npool = 'bulk'\n", ""},
		"its route":              {"[[route]]\ntenant = 'acme'\nprovider = 'google'\npool = 'bulk'\n", "spf-fails"},
		"everybody's route":      {"[[route]]\nnull_sender = true\npool = 'bulk'\n", "spf-fails"},
		"its pool, another":      {"pool = 'bulk'\n", "spf-fails"},
		"diverted":               {"[containment]\nenforce = true\npool = 'bulk'\n", "spf-fails"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			d := &DNS{Config: r.parse(site + test.more), Resolver: serveDNS(t, records)}
			r.wantOnly(d.Run(t.Context()), test.id, "203.0.113.11")
		})
	}
}

// Where a list takes requests is known of those that kanmon knows by name, the default ones among them.
func TestACureOfAListingNamesThePage(t *testing.T) {
	for _, zone := range Blocklists {
		if !strings.Contains(delisting(zone), "https://") {
			t.Errorf("%s: %q", zone, delisting(zone))
		}
	}
	if text := delisting(bl); text != "" {
		t.Errorf("a list that nobody knows: %q", text)
	}
}

// serveDNS answers with the zone and a test's own records until the test ends.
func serveDNS(t *testing.T, records string) *watch.Resolver {
	t.Helper()
	return &watch.Resolver{Servers: []string{dnszone.Serve(t, zone, records).Addr}, Timeout: 5 * time.Second}
}
