package daemon

import (
	"net/netip"
	"testing"

	"kanmon/internal/outlet/route"
)

const routed = `[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example.jp"
[[sending_ip]]
address = "203.0.113.11"
ehlo    = "out11.example.jp"
[[sending_ip]]
address = "203.0.113.20"
ehlo    = "out20.example.jp"
[pool.default]
ips     = ["203.0.113.10", "203.0.113.11"]
weights = { "203.0.113.11" = 1000 }
[pool.other]
ips       = ["203.0.113.20"]
high_risk = true
[[tenant]]
name    = "acme"
sources = ["10.20.1.0/24"]
pool    = "other"
[[tenant]]
name           = "blue"
sources        = ["10.20.2.0/24"]
sender_domains = "blue.example"
pool           = "other"
`

// Each key of a route reaches the router: a route with this key alone takes the mail that it is about, and no other.
func TestRoutesReachTheRouter(t *testing.T) {
	base := route.Query{
		Source: netip.MustParseAddr("10.30.0.1"), Destination: netip.MustParseAddrPort("192.0.2.25:25"),
		Sender: "a@b.example", SenderKnown: true, RecipientDomain: "example.com", Suspicion: -1,
	}
	for key, change := range map[string]func(*route.Query){
		`tenant = "acme"`:                 func(q *route.Query) { q.Source = netip.MustParseAddr("10.20.1.5") },
		`tenant = "blue"`:                 func(q *route.Query) { q.Source = netip.MustParseAddr("10.20.2.5"); q.Sender = "a@blue.example" },
		`sender = "news@acme.example"`:    func(q *route.Query) { q.Sender = "news@acme.example" },
		`sender_domain = "acme.example"`:  func(q *route.Query) { q.Sender = "news@acme.example" },
		`null_sender = true`:              func(q *route.Query) { q.Sender = "" },
		`recipient_domain = "*.acme.jp"`:  func(q *route.Query) { q.RecipientDomain = "mail.acme.jp" },
		`provider = ["google", "docomo"]`: func(q *route.Query) { q.Provider = "docomo" },
		`destination = "198.51.100.0/24"`: func(q *route.Query) { q.Destination = netip.MustParseAddrPort("198.51.100.7:25") },
		`suspicion_min = 0.5`:             func(q *route.Query) { q.Suspicion = 0.6 },
	} {
		router := routerOf(t, configOf(t, routed+"[[route]]\n"+key+"\npool = 'other'\n"))
		if c, err := router.Choose(base); c.Pool != "default" || err != nil {
			t.Errorf("%s: other mail gets pool %s (%v)", key, c.Pool, err)
		}
		q := base
		change(&q)
		c, err := router.Choose(q)
		if c.Pool != "other" || c.Route != "route 1 (line 25)" || !c.HighRisk || c.IP.Name != "out20.example.jp" || err != nil {
			t.Errorf("%s: %+v, %v; want the route's pool", key, c, err)
		}
	}
}

func TestPoolsReachTheRouter(t *testing.T) {
	base := route.Query{Source: netip.MustParseAddr("10.30.0.1"), Destination: netip.MustParseAddrPort("192.0.2.25:25"), Suspicion: -1}
	for sticky, want := range map[string]bool{"sender_domain": true, "tenant": false} {
		doc := routed + "[pool.wide]\nips = ['203.0.113.10', '203.0.113.11']\nsticky = '" + sticky + "'\n[[route]]\npool = 'wide'\n"
		router := routerOf(t, configOf(t, doc))
		if c, err := router.Choose(base); c.BySender != want || err != nil {
			t.Errorf("sticky = %q: by sender %t, %v, want %t", sticky, c.BySender, err, want)
		}
	}
	router := routerOf(t, configOf(t, routed))
	light := 0
	for range 200 {
		base.Destination = netip.AddrPortFrom(base.Destination.Addr().Next(), 25)
		if c, err := router.Choose(base); err != nil {
			t.Fatal(err)
		} else if c.IP.Name == "out10.example.jp" {
			light++
		}
	}
	if light > 5 { // one in 1001
		t.Errorf("weight 1 against 1000 got %d of 200", light)
	}
}

// Without pools a gateway chooses as it always did, and waits for no DNS.
func TestNoPools(t *testing.T) {
	cfg := configOf(t, routed[:len("[[sending_ip]]\naddress = \"203.0.113.10\"\nehlo    = \"out10.example.jp\"\n")*3])
	router := routerOf(t, cfg)
	one := route.Pool{Name: route.DefaultPool}
	for _, ip := range cfg.SendingIPs {
		one.IPs = append(one.IPs, route.WeightedIP{SendingIP: route.SendingIP{Address: ip.Address, Name: ip.EHLO}})
	}
	plain, err := route.NewRouter(route.Config{Pools: []route.Pool{one}})
	if err != nil {
		t.Fatal(err)
	}
	q := route.Query{Source: netip.MustParseAddr("10.30.0.1"), Destination: netip.MustParseAddrPort("192.0.2.25:25"), Suspicion: -1}
	for range 100 {
		q.Destination = netip.AddrPortFrom(q.Destination.Addr().Next(), 25)
		want, _ := plain.Choose(q)
		if c, err := router.Choose(q); err != nil || c.IP != want.IP || c.Pool != "default" {
			t.Fatalf("toward %s: %+v, %v; want %v", q.Destination, c, err, want.IP)
		}
		if router.NeedsProvider(q) {
			t.Fatal("the provider is needed, and nothing asks for it")
		}
	}
}

// audit-A2
func TestProvidersReachTheSet(t *testing.T) {
	cfg := configOf(t, "")
	set := Providers(cfg)
	for host, want := range map[string]string{
		"gmail-smtp-in.l.google.com": "google", "mta5.am0.yahoodns.net": "yahoo", "mx1.mail.yahoo.co.jp": "yahoo-japan",
		"outlook-com.olc.protection.outlook.com": "outlook", "acme-com.mail.protection.outlook.com": "office365", "acme-com.a-v1.mx.microsoft": "office365",
		"mx01.mail.icloud.com": "apple", "mfsmax.docomo.ne.jp": "docomo", "msmx.au.com": "au", "lsean.ezweb.ne.jp": "au", "mx.softbank.ne.jp": "softbank",
		"mx1.comcast.net": "comcast", "smtp-in.orange.fr": "orange", "mx00.emig.gmx.net": "gmx", "mx-ha02.web.de": "gmx", "mx00.mail.com": "mail-com",
		"us-smtp-inbound-1.mimecast.com": "mimecast", "d1.ess.barracudanetworks.com": "barracuda", "mx0a-00000000.pphosted.com": "proofpoint",
		"mx1-us1.ppe-hosted.com": "proofpoint-essentials", "mx1.qq.com": "qq", "163mx01.mxmail.netease.com": "netease",
	} {
		if got, _ := set.OfMX(host); got != want {
			t.Errorf("%s: provider %q, want %q", host, got, want)
		}
	}
	// Subscribers of access providers, customers of hosters: whoever has such a name may have his domain's MX point to it.
	for _, host := range []string{
		"wsip-70-10-20-30.ri.ri.cox.net", "c-73-1-2-3.hsd1.ma.comcast.net", "lfbn-1-2-3.abo.wanadoo.fr", "x.orange.fr", "071-009-001-002.res.charter.net",
		"adsl-1-2-3-4.prodigy.net", "p5b0a0b0c.t-online.de", "home.web.de", "1-2-3-4.ezweb.ne.jp", "www.mail.com", "x.qq.com", "x.icloud.com",
		"4.3.2.1.bc.googleusercontent.com", "x.google.com.evil.example", "x.barracudanetworks.com",
	} {
		if got, by := set.OfMX(host); got != "" {
			t.Errorf("%s speaks for %q, by %q", host, got, by)
		}
	}
	for domain, want := range map[string]string{"docomo.ne.jp": "docomo", "i.softbank.jp": "softbank", "uqmobile.jp": "uq", "d.vodafone.ne.jp": "softbank"} {
		if got, _ := set.OfDomain(domain); got != want {
			t.Errorf("%s: provider %q, want %q", domain, got, want)
		}
	}
}
