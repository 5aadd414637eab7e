package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
)

// zones are TXT records, and TLSA records, by name.
type zones struct {
	texts map[string][]string
	tlsa  map[string][]dns.TLSA
}

func (z zones) Ask(_ context.Context, name string, kind dns.Kind, _ string) dns.Answer {
	a, _ := z.Known(name, kind)
	return a
}

func (z zones) Known(name string, kind dns.Kind) (dns.Answer, bool) {
	a := dns.Answer{Outcome: dns.NoName}
	switch texts, tlsa := z.texts[name], z.tlsa[name]; {
	case kind == dns.TypeTXT && texts != nil:
		a = dns.Answer{Outcome: dns.Found, TXT: texts}
	case kind == dns.TypeTLSA && tlsa != nil:
		a = dns.Answer{Outcome: dns.Found, TLSA: tlsa}
	}
	return a, true
}

type policies map[string]*sts.Policy

func (p policies) Look(domain, _ string) (sts.Found, <-chan struct{}) {
	return sts.Found{Policy: p[domain], Known: true}, nil
}

// A rig is a Reporter and its collector.
type rig struct {
	*testing.T
	*Reporter
	socket *net.UnixConn
}

const wants = "v=TLSRPTv1; rua=mailto:tls@example.test"

func newRig(t *testing.T) *rig {
	t.Helper()
	path := filepath.Join(t.TempDir(), "collectd.sock")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, socket: socket}
	r.Reporter = New(Options{
		Socket: path,
		Resolver: zones{
			map[string][]string{"_smtp._tls.example.test": {wants}, "_smtp._tls.two.test": {wants, wants}, "_smtp._tls.other.test": {"v=TLSRPTv2; rua=x"}},
			map[string][]dns.TLSA{"_25._tcp.mx.example.test": {{Usage: 3, Selector: 1, Type: 1, Data: []byte{0xab, 0xcd}}}},
		},
		Policies: policies{"example.test": {Lines: []string{"version: STSv1", "mode: enforce"}, MX: []string{"*.example.test"}}},
	})
	t.Cleanup(func() { r.Close(); socket.Close() })
	return r
}

// next gives the next datagram.
func (r *rig) next() string {
	r.Helper()
	buffer := make([]byte, 64<<10)
	if err := r.socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		r.Fatal(err)
	}
	n, err := r.socket.Read(buffer)
	if err != nil {
		r.Fatal(err)
	}
	return string(buffer[:n])
}

// mail is a transaction of a session, on one of its connections.
func mail(session event.ID, leg uint16, state event.TLSState, trusts ...*event.Trust) *event.Facts {
	f := &event.Facts{Session: &event.Session{}, Transaction: &event.Transaction{}, Tenant: "acme"}
	f.Session.ID, f.Session.Number, f.Session.MX.State = session, leg, state
	f.Session.Local, f.Session.Destination = netip.MustParseAddrPort("192.0.2.10:4000"), netip.MustParseAddrPort("198.51.100.25:25")
	for _, t := range trusts {
		f.Recipients = append(f.Recipients, event.Recipient{Trust: t})
	}
	return f
}

// What a collector reads, octet by octet: libtlsrpt's form.
func TestDatagrams(t *testing.T) {
	const head = `{"dpv":"1","d":"example.test","pr":"` + wants + `","policies":[{`
	sts := `"policy-type":2,"policy-domain":"example.test","policy-string":["version: STSv1","mode: enforce"],"mx-host":["*.example.test"],`
	r := newRig(t)
	for i, c := range []struct {
		state event.TLSState
		trust event.Trust
		want  string
	}{
		{event.TLSOn, event.Trust{Policy: event.TrustSTS, Verdict: event.TrustPassed, Name: "mx.example.test"}, sts + `"t":0,"f":0}]}`},
		{
			event.TLSOn,
			event.Trust{Policy: event.TrustSTS, Verdict: event.TrustRefused, Why: event.HostMismatch, Name: "mx.example.test", Detail: "for\x1b[1mothers"},
			sts + `"failure-details":[{"c":202,"s":"192.0.2.10","n":"mx.example.test","r":"198.51.100.25","a":"for?[1mothers"}],"t":1,"f":1}]}`,
		},
		{
			event.TLSOn,
			event.Trust{Policy: event.TrustTesting, Verdict: event.TrustWouldRefuse, Why: event.NotInPolicy},
			sts + `"failure-details":[{"c":205,"s":"192.0.2.10","r":"198.51.100.25","f":"mx-not-in-policy"}],"t":1,"f":1}]}`,
		},
		{
			event.TLSOn,
			event.Trust{Policy: event.TrustDANE, Verdict: event.TrustPassed, Name: "mx.example.test"},
			`"policy-type":1,"policy-domain":"mx.example.test","policy-string":["3 1 1 ABCD"],"t":0,"f":0}]}`,
		},
		{event.TLSOn, event.Trust{Policy: event.TrustNone}, `"policy-type":9,"policy-domain":"example.test","t":0,"f":0}]}`},
		{
			event.TLSNone,
			event.Trust{Policy: event.TrustNone},
			`"policy-type":9,"policy-domain":"example.test","failure-details":[{"c":201,"s":"192.0.2.10","r":"198.51.100.25"}],"t":1,"f":1}]}`,
		},
	} {
		c.trust.Domain = "example.test"
		r.Hear(mail(event.ID(i+1), 1, c.state, &c.trust))
		got := r.next()
		if want := head + c.want; got != want {
			t.Errorf("%+v:\n%s, want\n%s", c.trust, got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s is no JSON", got)
		}
	}
}

// One datagram of each connection and domain; none of our own faults, of what nobody knows, of what the operator decides, of who wants none.
func TestWhatNobodyIsToldOf(t *testing.T) {
	r := newRig(t)
	passed := &event.Trust{Domain: "example.test", Policy: event.TrustSTS, Verdict: event.TrustPassed}
	for _, trust := range []event.Trust{
		{Domain: "example.test", Policy: event.TrustExempt},
		{Domain: "example.test", Policy: event.TrustOverridden},
		{Domain: "example.test", Policy: event.TrustNamed},
		{Domain: "example.test", Policy: event.TrustUnknown, Verdict: event.TrustRefused, Why: event.DNSFailed},
		{Domain: "example.test", Policy: event.TrustSTS, Verdict: event.TrustRefused, Why: event.NoCipher},
		{Domain: "example.test", Policy: event.TrustSTS, Verdict: event.TrustRefused, Why: event.NoTime},
		{Domain: "example.test", Policy: event.TrustSTS, Verdict: event.TrustRefused, Why: event.AnotherName},
		{Domain: "example.test", Policy: event.TrustSTS, Verdict: event.TrustRefused, Why: event.NoMX},
		{Domain: "example.test", Policy: event.TrustTesting, Verdict: event.TrustWouldRefuse, Why: event.HostMismatch},
		{Domain: "two.test", Policy: event.TrustNone},
		{Domain: "other.test", Policy: event.TrustNone},
		{Domain: "silent.test", Policy: event.TrustNone},
	} {
		r.Hear(mail(1, 1, event.TLSOn, &trust))
	}
	r.Hear(mail(2, 1, event.TLSOn, passed, passed, nil, passed))
	r.Hear(mail(2, 1, event.TLSOn, passed))
	r.Hear(mail(2, 2, event.TLSOn, passed))
	r.Hear(&event.Facts{Session: mail(2, 2, event.TLSOn).Session, End: &event.End{}})
	last := *passed
	last.Policy = event.TrustNone
	r.Hear(mail(2, 2, event.TLSOn, &last))
	for n := range 3 {
		if got := r.next(); !strings.Contains(got, `"d":"example.test"`) {
			t.Errorf("datagram %d is %s", n, got)
		}
	}
	if r.mu.Lock(); r.sessions.Len() != 2 {
		t.Errorf("%d sessions are remembered", r.sessions.Len())
	}
	r.mu.Unlock()
	r.Close()
	if sent, left := r.Counts(); sent != 3 || left != 0 {
		t.Errorf("%d were sent, %d left out", sent, left)
	}
}

// A collector that is not there, that reads nothing, costs nobody anything, and what it was not told is counted (A21).
func TestADeadCollectorCostsNothing(t *testing.T) {
	r := newRig(t)
	trust := &event.Trust{Domain: "example.test", Policy: event.TrustNone}
	begun := time.Now()
	const n = 5000
	for i := range n { // nobody reads: the socket is full soon
		r.Hear(mail(event.ID(i+1), 1, event.TLSOn, trust))
	}
	if took := time.Since(begun); took > 20*time.Second { // one that waited would do so each time
		t.Errorf("%d took %v", n, took)
	}
	r.socket.Close()
	r.Hear(mail(n+1, 1, event.TLSOn, trust))
	r.Close()
	sent, left := r.Counts()
	if sent == 0 || left == 0 || sent+left > n+1 {
		t.Errorf("%d were sent, %d left out", sent, left)
	}
}

// A slowZones is zones some of whose texts do not come until the test ends.
type slowZones struct {
	zones
	hang chan struct{} // closed: they do
}

func (z slowZones) Ask(ctx context.Context, name string, kind dns.Kind, by string) dns.Answer {
	if strings.HasSuffix(name, ".silent.test") {
		select {
		case <-z.hang:
		case <-ctx.Done():
		}
		return dns.Answer{Err: errors.New("no answer in time")}
	}
	return z.zones.Ask(ctx, name, kind, by)
}

// newSlowRig is a rig of whose domains those below silent.test do not answer.
func newSlowRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.Close()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	zones, is := r.o.Resolver.(zones)
	if !is {
		t.Fatalf("the resolver is %T", r.o.Resolver)
	}
	options := r.o
	options.Resolver = slowZones{zones, hang}
	r.Reporter = New(options)
	return r
}

// by has a mail be a tenant's.
func by(tenant string, f *event.Facts) *event.Facts {
	f.Tenant = tenant
	return f
}

// One tenant to whose domains' texts no answer comes, however many they are, keeps nobody else's from being told; nor do a few such tenants.
func TestATenantWhoseTextsHangHoldsUpNobodyElse(t *testing.T) {
	r := newSlowRig(t)
	for i := range 3 * mostWaiting {
		domain := fmt.Sprintf("d%d.silent.test", i)
		r.Hear(by(fmt.Sprintf("greedy%d", i%3), mail(event.ID(i+1), 1, event.TLSOn, &event.Trust{Domain: domain, Policy: event.TrustNone})))
	}
	if _, left := r.Counts(); left == 0 {
		t.Error("nothing was left out, so nothing was full")
	}
	const own = 20
	for i := range own {
		r.Hear(by("quiet", mail(event.ID(100_000+i), 1, event.TLSOn, &event.Trust{Domain: "example.test", Policy: event.TrustNone})))
	}
	for n := range own {
		if got := r.next(); !strings.Contains(got, `"d":"example.test"`) {
			t.Fatalf("datagram %d is %s", n, got)
		}
	}
}

// One domain to whose text no answer comes, and that all tenants have mail for, keeps no other domain from being told of.
func TestADomainWhoseTextHangsHoldsUpNoOther(t *testing.T) {
	r := newSlowRig(t)
	for i := range 3 * mostWaiting {
		r.Hear(by(fmt.Sprintf("tenant%d", i%200), mail(event.ID(i+1), 1, event.TLSOn, &event.Trust{Domain: "mx.silent.test", Policy: event.TrustNone})))
	}
	r.Hear(by("tenant7", mail(100_000, 1, event.TLSOn, &event.Trust{Domain: "example.test", Policy: event.TrustNone})))
	if got := r.next(); !strings.Contains(got, `"d":"example.test"`) {
		t.Errorf("told %s", got)
	}
}

// Of a session with thousands of domains only so many are remembered, and told of.
func TestManyDomains(t *testing.T) {
	r := newRig(t)
	for i := range mostDomains + 10 {
		r.Hear(mail(1, 1, event.TLSOn, &event.Trust{Domain: fmt.Sprintf("d%d.test", i), Policy: event.TrustNone}))
	}
	if _, left := r.Counts(); left != 10 {
		t.Errorf("%d are left out, want 10", left)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(wants))
	f.Add([]byte("v=TLSRPTv1"))
	f.Add([]byte("v=TLSRPTv1 \t;rua=;"))
	f.Fuzz(func(t *testing.T, text []byte) {
		record, is := recordOf([]string{string(text)})
		if is && (!bytes.HasPrefix(text, []byte("v=TLSRPTv1")) || record != string(text)) {
			t.Errorf("%q is taken for a record", text)
		}
	})
}
