package netns

import (
	"log/slog"
	"testing"
	"time"

	"kanmon/internal/outlet/trust/dns"
	"kanmon/test/netlab"
)

// realZones are one of each kind.
var realZones = []netlab.SignedZone{
	{Name: "signed.test", Records: `@ MX 10 mx
mx A 192.0.2.1
_25._tcp.mx TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
out CNAME mx.unsigned.test.
_25._tcp.out TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
in CNAME mx
old DNAME signed.test.`},
	{Name: "bogus.test", Kind: netlab.Bogus, Records: "@ MX 10 mx\nmx A 192.0.2.3", Forged: "192.0.2.3", As: "198.51.100.66"},
	{Name: "unsigned.test", Kind: netlab.Unsigned, Records: "@ MX 10 mx\nmx A 192.0.2.2"},
	{Name: "dead.test", Kind: netlab.Dead},
}

// Real servers, unbound before nsd: what is signed, unsigned, forged and dead is told apart; that validation is lost, and that the resolver is
// down, is seen, and its end.
//
// tls-C9, tls-C32, tls-C33, tls-S33, tls-S42, tls-S43
func TestARealResolver(t *testing.T) {
	t.Parallel()
	lab, err := netlab.New(t.Name())
	must(t, err)
	t.Cleanup(func() { must(t, lab.Close()) })
	host, err := lab.Host("resolver")
	must(t, err)
	server, err := host.ServeSignedDNS(realZones...)
	must(t, err)
	client, err := dns.New(dns.Settings{Servers: []string{"127.0.0.1:53"}, Dial: server.Dial, Log: slog.New(slog.DiscardHandler), Every: time.Second})
	must(t, err)
	t.Cleanup(func() { must(t, client.Close()) })

	for _, q := range []struct {
		name    string
		kind    dns.Kind
		want    dns.Outcome
		secure  bool
		bogus   bool
		records int
		at      string
	}{
		{"signed.test", dns.TypeMX, dns.Found, true, false, 1, "signed.test"},
		{"mx.signed.test", dns.TypeA, dns.Found, true, false, 1, "mx.signed.test"},
		{"mx.signed.test", dns.TypeAAAA, dns.NoData, true, false, 0, "mx.signed.test"},
		{"_25._tcp.mx.signed.test", dns.TypeTLSA, dns.Found, true, false, 1, "_25._tcp.mx.signed.test"},
		{"_25._tcp.in.signed.test", dns.TypeTLSA, dns.NoName, true, false, 0, "_25._tcp.in.signed.test"},
		{"in.signed.test", dns.TypeA, dns.Found, true, false, 1, "mx.signed.test"},
		{"mx.old.signed.test", dns.TypeA, dns.Found, true, false, 1, "mx.signed.test"},
		{"out.signed.test", dns.TypeA, dns.Found, false, false, 1, "mx.unsigned.test"},
		{"out.signed.test", dns.TypeCNAME, dns.Found, true, false, 0, "out.signed.test"},
		{"_25._tcp.out.signed.test", dns.TypeTLSA, dns.Found, true, false, 1, "_25._tcp.out.signed.test"},
		{"mx.bogus.test", dns.TypeA, dns.Failed, false, true, 0, ""},
		{"unsigned.test", dns.TypeMX, dns.Found, false, false, 1, "unsigned.test"},
		{"_25._tcp.mx.unsigned.test", dns.TypeTLSA, dns.NoName, false, false, 0, "_25._tcp.mx.unsigned.test"},
		{"dead.test", dns.TypeMX, dns.Failed, false, false, 0, ""},
		{"nothing.test", dns.TypeMX, dns.NoName, true, false, 0, "nothing.test"},
	} {
		began := time.Now()
		a := client.Ask(t.Context(), q.name, q.kind, "")
		if a.Outcome != q.want || a.Secure != q.secure || a.Bogus != q.bogus || a.Unsure || len(a.MX)+len(a.Addrs)+len(a.TLSA) != q.records || a.Outcome != dns.Failed && a.Name != q.at {
			t.Errorf("%s %s: %+v", q.name, q.kind, a)
		}
		t.Logf("%s %s: %s in %s, %v", q.name, q.kind, a.Outcome, time.Since(began).Round(time.Millisecond), a.Err)
	}
	if s := client.State(); !s.Answers || !s.Validates {
		t.Errorf("%+v", s)
	}

	must(t, server.Resolve(false))
	waitForState(t, client, "lost", func(s dns.State) bool { return s.Answers && s.Lost })
	if a := client.Ask(t.Context(), "mx.bogus.test", dns.TypeAAAA, ""); a.Secure || !a.Unsure {
		t.Errorf("without validation: %+v", a)
	}
	must(t, server.Resolve(true))
	waitForState(t, client, "validates again", func(s dns.State) bool { return s.Validates })

	server.Silence()
	waitForState(t, client, "down", func(s dns.State) bool { return !s.Answers })
	if a, known := client.Known("signed.test", dns.TypeMX); !known || a.Outcome != dns.Found || !a.Secure {
		t.Errorf("down: %+v, %t", a, known)
	}
	must(t, server.Resolve(true))
	waitForState(t, client, "up again", func(s dns.State) bool { return s.Validates })
}

// waitForState waits until the client has seen how the resolver is: within a minute (tls-C33).
func waitForState(t *testing.T, client *dns.Client, what string, is func(dns.State) bool) {
	t.Helper()
	began := time.Now()
	for !is(client.State()) {
		if time.Since(began) > time.Minute {
			t.Fatalf("not seen that it is %s: %+v", what, client.State())
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%s: seen after %s", what, time.Since(began).Round(time.Millisecond))
}
