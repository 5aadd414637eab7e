package daemon

import (
	"net/netip"
	"testing"

	"kanmon/internal/outlet/route"
	"kanmon/internal/session"
)

// Strangers are acme's, blue and cyan share an MSA.
const forStrangers = `
[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example.jp"
[[sending_ip]]
address = "203.0.113.11"
ehlo    = "out11.example.jp"
[[sending_ip]]
address = "203.0.113.20"
ehlo    = "out20.example.jp"
[pool.default]
ips = ["203.0.113.20"]
[pool.acme]
ips = ["203.0.113.10", "203.0.113.11"]
[senders]
unknown_tenant = "acme"
[[tenant]]
name    = "acme"
sources = ["10.20.1.0/24"]
pool    = "acme"
[[tenant]]
name           = "blue"
sources        = ["10.20.2.0/24"]
sender_domains = "blue.example"
[[tenant]]
name           = "cyan"
sources        = ["10.20.2.0/24"]
sender_domains = "cyan.example"
[[route]]
tenant = "acme"
rescue = "off"
`

var strangersMX = netip.MustParseAddrPort("192.0.2.25:25")

// Whoever asks whose a mail is hears the same: the gate, the pools and the routes. What each of them hears cannot be seen to differ
// where the tenant is known by its source, so strangers are asked about, too.
//
// law: I11
func TestOneAnswerToWhoseMailItIs(t *testing.T) {
	router := routerOf(t, configOf(t, forStrangers))
	asks := identify(router)
	sender := func(s string) *string { return &s }
	for _, test := range []struct {
		source, tenant, pool string
		sender               *string
		number               int
	}{
		{"10.20.1.5", "acme", "acme", nil, 1},
		{"192.0.2.77", "acme", "acme", nil, 1},
		{"192.0.2.77", "acme", "acme", sender("a@example.com"), 1},
		{"192.0.2.77", "acme", "acme", sender(""), 1},
		{"10.20.2.5", "", "default", nil, 0}, // the sender will tell
		{"10.20.2.5", "blue", "default", sender("a@blue.example"), 0},
		{"10.20.2.5", "acme", "acme", sender("a@example.com"), 1},
		{"10.20.2.5", "acme", "acme", sender(""), 1},
	} {
		q := route.Query{Source: netip.MustParseAddr(test.source), Destination: strangersMX, Suspicion: -1}
		if test.sender != nil {
			q.Sender, q.SenderKnown = *test.sender, true
		}
		id := asks(session.Origin{Source: netip.AddrPortFrom(q.Source, 4025), Destination: strangersMX}, test.sender)
		choice, err := router.Choose(q)
		told, toldErr := router.Explain(q)
		if err != nil || toldErr != nil || id.Tenant != test.tenant || choice.Tenant != test.tenant || told.Tenant != test.tenant {
			t.Errorf("%+v: the gate hears %q, the choice %q (%v), explain %q (%v)", test, id.Tenant, choice.Tenant, err, told.Tenant, toldErr)
		}
		if choice.Pool != test.pool || told.Pool != test.pool || choice.Number != test.number || told.Number != test.number {
			t.Errorf("%+v: pool %q by route %d; explain says %q by %d", test, choice.Pool, choice.Number, told.Pool, told.Number)
		}
	}
}

// The tenant of strangers does not speak for a domain that is another's.
func TestStrangersDoNotOwnOthersDomains(t *testing.T) {
	router := routerOf(t, configOf(t, forStrangers))
	sender := "a@blue.example"
	id := identify(router)(session.Origin{Source: netip.MustParseAddrPort("192.0.2.77:4025"), Destination: strangersMX}, &sender)
	if id.Tenant != "acme" || id.Spoofed != "blue" {
		t.Errorf("%+v: want acme's, with a domain of blue's", id)
	}
}
