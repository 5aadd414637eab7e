package trust

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
)

func TestS1PolicyAndChainAreGood(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	chain := between.issue([]string{mx1})
	v := r.passes(with(at1, chain, sni(mx1)), event.TrustSTS)
	if v.Name != mx1 || v.Told.Verdict != event.TrustPassed || v.Told.Name != mx1 || v.Told.ServerName != mx1 || v.Told.Age < time.Minute {
		t.Errorf("%+v", v.Told)
	}
	if !v.Until.After(time.Now()) || v.Until.After(time.Now().Add(time.Hour)) {
		t.Errorf("until %v", v.Until)
	}
}

// S2 to S4: what is wrong with the certificate is said in the words of RFC 8460.
func TestS2ToS4Certificates(t *testing.T) {
	private := newAuthority()
	for id, c := range map[string]struct {
		leg session.TrustLeg
		why event.TrustReason
	}{
		"S2":                         {with(at1, between.issue([]string{"mx1.other.test"})), event.HostMismatch},
		"S2 common name alone":       {with(at1, between.issue(nil, commonName(mx1))), event.HostMismatch},
		"S2 the domain, not the MX":  {with(at1, between.issue([]string{domain})), event.HostMismatch},
		"S2 a wildcard above":        {with(at1, between.issue([]string{"*.test"})), event.HostMismatch},
		"S3":                         {with(at1, between.issue([]string{mx1}, expired)), event.Expired},
		"S4 self-signed":             {with(at1, selfSigned([]string{mx1})), event.NotTrusted},
		"S4 unknown authority":       {with(at1, private.issue([]string{mx1})), event.NotTrusted},
		"S4 intermediate is missing": {with(at1, between.issue([]string{mx1})[:1]), event.NotTrusted},
		"S4 not for servers":         {with(at1, between.issue([]string{mx1}, notServer)), event.NotTrusted},
		"no certificate":             {with(at1, nil), event.NotTrusted},
		"TLS 1.1":                    {with(at1, between.issue([]string{mx1}), version(tls.VersionTLS11)), event.TooOld},
	} {
		t.Run(id, func(t *testing.T) {
			r := newRig(t)
			r.p.set(domain, enforce(mx1))
			r.refuses(c.leg, c.why)
		})
	}
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	r.passes(with(at1, between.issue([]string{"*.example.test"})), event.TrustSTS)
	r.passes(with(at1, between.issue([]string{"MX1.Example.TEST"}), version(tls.VersionTLS12)), event.TrustSTS)
}

func TestS5NoStartTLS(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	v := r.refuses(plainText(at1, false, ""), event.NoStartTLS)
	if v.ServerName != "" || v.Fresh || !strings.Contains(v.Say.String(), "example.test asks for verified TLS (MTA-STS), but MX 192.0.2.1 offers no STARTTLS") {
		t.Errorf("%s", text(v))
	}
	q := question(at1)
	q.Domain = "nopolicy.test"
	if v := wait(r.trust().Need(q)).Judge(plainText(at1, false, "")); !v.Pass || v.Told.Policy != event.TrustNone {
		t.Errorf("a domain without a policy: %s", text(v))
	}
}

func TestS6HandshakeBreaks(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	if v := r.refuses(plainText(at1, true, "EOF"), event.ValidationFailure); v.ServerName != mx1 {
		t.Errorf("under the name it may work: %s", text(v))
	}
	l := plainText(at1, true, "remote error: tls: handshake failure")
	l.ServerName = mx1
	for cause := range event.TLSCauseCount { // what an MSA with OpenSSL may have is our own lack: no report has it as the receiver's
		l.Cause = cause
		why := event.ValidationFailure
		if cause.Lacked() {
			why = event.NoCipher
		}
		if v := r.refuses(l, why); v.ServerName != "" || (v.Told.Why.Standard() == "") != cause.Lacked() {
			t.Errorf("%s: %s", cause, text(v))
		}
	}
}

func TestS7Testing(t *testing.T) {
	for id, l := range map[string]session.TrustLeg{
		"S2": with(at1, between.issue([]string{"mx1.other.test"})), "S3": with(at1, between.issue([]string{mx1}, expired)),
		"S4": with(at1, selfSigned([]string{mx1})), "S5": plainText(at1, false, ""), "S6": plainText(at1, true, "EOF"),
		"TLS 1.0": with(at1, between.issue([]string{mx1}), version(tls.VersionTLS10)),
	} {
		t.Run(id, func(t *testing.T) {
			r := newRig(t)
			r.p.set(domain, testing_(mx1))
			v := r.passes(l, event.TrustTesting)
			if v.Told.Verdict != event.TrustWouldRefuse || v.Told.Why.Standard() == "" || v.Name != "" || v.Anew != nil {
				t.Errorf("%s", text(v))
			}
			if len(r.m.WouldRefuse(time.Now())) != 0 {
				t.Error("enforce would not refuse it either")
			}
		})
	}
	r := newRig(t)
	r.p.set(domain, testing_(mx1))
	if v := r.passes(with(at1, between.issue([]string{mx1})), event.TrustTesting); v.Told.Verdict != event.TrustPassed || v.Name != mx1 {
		t.Errorf("%s", text(v))
	}
}

func TestS8ModeNone(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	r.refuses(plainText(at1, false, ""), event.NoStartTLS)
	p := enforce()
	p.Mode = sts.None
	r.p.set(domain, p)
	r.passes(plainText(at1, false, ""), event.TrustNone)
}

func TestS9S10NotInPolicy(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce("mail.example.test"))
	r.refuses(with(at1, between.issue([]string{mx1})), event.NotInPolicy)
	r.refuses(with(at1, between.issue([]string{"mail.example.test"})), event.NotInPolicy) // CERT-Bund 2023092728001552
	r.refuses(plainText(at1, false, ""), event.NotInPolicy)
	r = newRig(t)
	r.z.set(domain, dns.TypeMX, mxs(mx1, mx2)) // another MX is in the policy
	r.p.set(domain, enforce(mx2))
	r.refuses(with(at1, between.issue([]string{mx1})), event.NotInPolicy)
	r.passes(with(at2, between.issue([]string{mx2})), event.TrustSTS)
	r.passes(with(at1, between.issue([]string{mx2})), event.TrustSTS) // who it is counts, not where
	r.refuses(with(at1, selfSigned([]string{mx2})), event.NotTrusted)
}

func TestS11Patterns(t *testing.T) {
	for _, c := range []struct {
		pattern, mx string
		want        bool
	}{
		{"*.example.test", mx1, true},
		{"*.example.test", "a.mx1.example.test", false},
		{"*.example.test", domain, false},
		{"mx*.example.test", mx1, false},
		{"*", mx1, false},
		{mx1, mx1, true},
	} {
		r := newRig(t)
		r.z.set(domain, dns.TypeMX, mxs(c.mx)).set(c.mx, dns.TypeA, addrs(at1))
		r.p.set(domain, enforce(c.pattern))
		if l := with(at1, between.issue([]string{c.mx})); c.want {
			r.passes(l, event.TrustSTS)
		} else {
			r.refuses(l, event.NotInPolicy)
		}
	}
}

// S12 to S14: how a policy is not one is package sts's. Here it is none, and why is on record.
func TestS13NoPolicyForAReason(t *testing.T) {
	for _, why := range []event.TrustReason{event.TrustWhyNot, event.FetchError, event.PolicyInvalid, event.WebPKIInvalid} {
		r := newRig(t)
		r.p.found[domain] = sts.Found{Known: true, Why: why}
		if v := r.passes(plainText(at1, false, ""), event.TrustNone); v.Told.Why != why {
			t.Errorf("%s", text(v))
		}
	}
}

// S16, C16, C28: before the old policy and the old MX refuse, both are asked for anew; and what passes asks nobody.
func TestS16MovedMX(t *testing.T) {
	r := newRig(t)
	const moved = "mail.newhost.test"
	hourOld := mxs(mx1)
	hourOld.Heard = time.Now().Add(-50 * time.Minute)
	r.z.set(domain, dns.TypeMX, hourOld).set(moved, dns.TypeA, addrs(at2))
	put(r.z.fresh, domain, dns.TypeMX, mxs(moved))
	r.p.set(domain, enforce(mx1))
	r.p.renewed[domain] = enforce(moved)
	n := r.need(at2)
	l := with(at2, between.issue([]string{moved}))
	v := n.Judge(l)
	if v.Pass || v.Anew == nil {
		t.Fatalf("nobody asks again: %s", text(v))
	}
	ready := v.Anew.Ready()
	if ready == nil {
		t.Fatal("nothing to wait for")
	}
	<-ready
	if v := v.Anew.Judge(l); !v.Pass || v.Name != moved {
		t.Errorf("%s", text(v))
	}
	if again := n.Judge(l); again.Pass {
		t.Error("A23: the need itself has changed")
	}
	r.passes(l, event.TrustSTS) // the next transaction
	if r.p.renews != 1 {
		t.Errorf("%d renewals", r.p.renews)
	}
}

// What was asked a moment ago is not asked again for each recipient that is refused.
func TestAnewOncePerMinute(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	if v := r.need(at1).Judge(with(at1, between.issue([]string{"wrong.test"}))); v.ServerName != mx1 || v.Anew != nil {
		t.Errorf("another connection comes first: %s", text(v))
	}
	l := with(at1, between.issue([]string{"wrong.test"}), sni(mx1))
	for range 5 {
		r.refuses(l, event.HostMismatch)
	}
	if r.p.renews != 1 {
		t.Errorf("%d renewals", r.p.renews)
	}
	v := r.need(at1).Judge(plainText(at1, false, ""))
	if v.Anew != nil {
		t.Error("it was asked a moment ago")
	}
}

func TestS18AddressIsUnknownButTheNameIsProved(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	if v := r.passes(with(other, between.issue([]string{mx1})), event.TrustSTS); v.Name != mx1 {
		t.Errorf("%s", text(v))
	}
}

func TestS19Relay(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	relay := between.issue([]string{"relay.example.net"})
	v := r.refuses(with(other, relay), event.NoMX)
	if said := v.Say.String(); !strings.Contains(said, "198.51.100.9 is no MX of it") || !strings.Contains(said, "relay must be named") {
		t.Errorf("%q", said)
	}
	if v.Told.Why.Standard() != "" {
		t.Error("the domain would hear that its MX is at fault")
	}
	for name, want := range map[string]bool{"relay.example.net": true, "wrong.example.net": false} {
		r := newRig(t)
		r.p.set(domain, enforce(mx1))
		r.named = []string{name}
		r.c.Enforce = name != "wrong.example.net" // what the operator says of an MX is not only observed
		if want {
			if v := r.passes(with(other, relay), event.TrustNamed); v.Name != name || v.Told.Domain != domain {
				t.Errorf("%s", text(v))
			}
			r.refuses(with(other, selfSigned([]string{name})), event.NotTrusted)
			continue
		}
		v := r.refuses(with(other, relay), event.HostMismatch)
		if v.ServerName != name || !strings.Contains(v.Say.String(), "this gateway asks for verified TLS (wrong.example.net)") {
			t.Errorf("%s", text(v))
		}
		r.refuses(plainText(other, false, ""), event.NoStartTLS)
	}
}

func TestS20ServerName(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	v := r.refuses(with(at1, selfSigned([]string{"invalid2.invalid"})), event.NotTrusted)
	if v.ServerName != mx1 {
		t.Fatalf("%s", text(v))
	}
	l := with(at1, between.issue([]string{mx1}), sni(v.ServerName))
	v = r.passes(l, event.TrustSTS)
	r.trust().Proved(at1, v.Name)
	if got := r.trust().ServerName(at1); got != mx1 {
		t.Errorf("the next session shows %q", got)
	}
	if v := r.refuses(with(at1, selfSigned([]string{mx1}), sni(mx1)), event.NotTrusted); v.ServerName != "" {
		t.Errorf("it was shown: %s", text(v))
	}
	r.trust().Unknown(at1, mx1)
	if got := r.trust().ServerName(at1); got != "" {
		t.Errorf("S21: %q is shown again", got)
	}
}

// The best name is one at the address that was dialled, then the most preferred one.
func TestServerNameIsTheBest(t *testing.T) {
	r := newRig(t)
	r.z.set(domain, dns.TypeMX, mxs(mx1, mx2))
	r.p.set(domain, enforce("*.example.test"))
	wrong := between.issue([]string{"wrong.test"})
	for _, c := range []struct {
		leg  session.TrustLeg
		want string
	}{
		{with(at1, wrong), mx1},
		{with(at2, wrong), mx2},
		{with(at2, wrong, sni(mx1)), mx2},
		{with(at2, wrong, sni(mx2)), ""},
		{with(other, wrong), mx1},
	} {
		if v := judge(r.need(c.leg.MX), c.leg); v.Pass || v.ServerName != c.want {
			t.Errorf("%s with %q: %s", c.leg.MX, c.leg.ServerName, text(v))
		}
	}
}

func TestS22S24PoliciesAreOfDomains(t *testing.T) {
	r := newRig(t)
	r.z.set("d2.test", dns.TypeMX, mxs(mx1))
	r.p.set(domain, enforce("nothing.example.test"))
	l := with(at1, between.issue([]string{mx1}))
	for range 2 {
		r.refuses(l, event.NotInPolicy)
		q := question(at1)
		q.Domain = "d2.test"
		if v := wait(r.trust().Need(q)).Judge(l); !v.Pass || v.Told.Policy != event.TrustNone || v.Told.Domain != "d2.test" {
			t.Errorf("%s", text(v))
		}
	}
}

func TestS25SubdomainHasNoPolicy(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	r.z.set("sub.example.test", dns.TypeMX, mxs(mx1))
	q := question(at1)
	q.Domain = "sub.example.test"
	if v := wait(r.trust().Need(q)).Judge(plainText(at1, false, "")); !v.Pass || v.Told.Policy != event.TrustNone {
		t.Errorf("%s", text(v))
	}
}

func TestS26Overridden(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	q := question(at1)
	q.Rule.TLS = session.TLSOff
	n := r.trust().Need(q)
	if v := n.Judge(plainText(at1, false, "")); n.Ready() != nil || !v.Pass || v.Told.Policy != event.TrustOverridden || v.Told.Verdict != event.TrustUnjudged {
		t.Errorf("%s", text(v))
	}
}

// S57 is mailbox's: a domain is its A-label here.
func TestS57ALabel(t *testing.T) {
	r := newRig(t)
	const ace = "xn--bcher-kva.test"
	r.z.set(ace, dns.TypeMX, mxs("mx."+ace)).set("mx."+ace, dns.TypeA, addrs(at1))
	r.p.set(ace, enforce("*."+ace))
	q := question(at1)
	q.Domain = ace
	if v := wait(r.trust().Need(q)).Judge(with(at1, between.issue([]string{"mx." + ace}))); !v.Pass || v.Told.Policy != event.TrustSTS {
		t.Errorf("%s", text(v))
	}
}

func TestS58S59NoDomain(t *testing.T) {
	r := newRig(t)
	for _, nobody := range []string{"", "[192.0.2.1]", "[ipv6:2001:db8::1]"} {
		q := question(at1)
		q.Domain = nobody
		n := r.trust().Need(q)
		if v := n.Judge(plainText(at1, false, "")); n.Ready() != nil || !v.Pass || v.Told != nil {
			t.Errorf("%q: %s", nobody, text(v))
		}
	}
	if r.p.looked > 0 || len(r.z.asked) > 0 {
		t.Error("somebody was asked")
	}
}

func TestS60NullMX(t *testing.T) {
	r := newRig(t)
	r.z.set(domain, dns.TypeMX, mxs(""))
	r.passes(plainText(at1, false, ""), event.TrustNone)
	r.p.set(domain, enforce(mx1))
	r.refuses(with(at1, between.issue([]string{mx1})), event.NoMX)
	r.z.set(domain, dns.TypeMX, nowhere()) // C12: so it is where there is no domain
	r.trust().needs.Delete(key{domain: domain, four: true})
	r.refuses(with(at1, between.issue([]string{mx1})), event.NoMX)
}

// C11: without MX records the domain is its own MX, and the policy must have it.
func TestC11ImplicitMX(t *testing.T) {
	r := newRig(t)
	r.z.set(domain, dns.TypeMX, none()).set(domain, dns.TypeA, addrs(at1))
	r.p.set(domain, enforce(domain))
	r.passes(with(at1, between.issue([]string{domain})), event.TrustSTS)
	r.p.set(domain, enforce("*.example.test"))
	r.refuses(with(at1, between.issue([]string{domain})), event.NotInPolicy)
}

// Of several chains to a root the one that is good for longest counts.
func TestUntilOfSeveralChains(t *testing.T) {
	roots := x509.NewCertPool()
	roots.AddCert(public.cert)
	leaf := between.issue([]string{mx1})[0]
	crossed := *template(nil, []wish{asAuthority, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) }})
	crossed.Subject, crossed.SubjectKeyId = between.cert.Subject, between.cert.SubjectKeyId
	short := signed(&crossed, public.cert, between.key, public.key)
	for _, chain := range [][]*x509.Certificate{{leaf, short, between.cert}, {leaf, between.cert, short}} {
		p := newChain(chain, time.Now()).verify(roots)
		if !p.ok || !p.until.Equal(public.cert.NotAfter) { // the oldest of the other chain
			t.Errorf("%+v, want it until %v", p, public.cert.NotAfter)
		}
	}
	if p := newChain([]*x509.Certificate{leaf, short}, time.Now()).verify(roots); !p.ok || !p.until.Equal(short.NotAfter) {
		t.Errorf("%+v, want it until %v", p, short.NotAfter)
	}
}

// C7: of several names at one address any that passes will do.
func TestC7SeveralNames(t *testing.T) {
	r := newRig(t)
	r.z.set(domain, dns.TypeMX, mxs(mx1, mx2)).set(mx2, dns.TypeA, addrs(at1))
	r.p.set(domain, enforce(mx2))
	r.passes(with(at1, between.issue([]string{mx2})), event.TrustSTS)
	r.refuses(with(at1, between.issue([]string{mx1})), event.HostMismatch)
}

// C9: with MTA-STS the name in the MX record counts, not what it is an alias of.
func TestC9AliasWithPolicy(t *testing.T) {
	r := newRig(t)
	a := addrs(at1)
	a.Aliased, a.Name = true, "target.host.test"
	r.z.set(mx1, dns.TypeA, a)
	r.p.set(domain, enforce(mx1))
	r.passes(with(at1, between.issue([]string{mx1})), event.TrustSTS)
	r.refuses(with(at1, between.issue([]string{"target.host.test"})), event.HostMismatch)
}

// An MX name that is an address is none: Go would look for it among the addresses of the certificate.
func TestMXNameIsAnAddress(t *testing.T) {
	r := newRig(t)
	r.z.set(domain, dns.TypeMX, mxs("192.0.2.1"))
	r.p.set(domain, enforce("192.0.2.1"))
	v := r.refuses(with(at1, between.issue([]string{mx1}, forAddr("192.0.2.1"))), event.NoMX)
	if v.ServerName != "" {
		t.Errorf("RFC 6066 section 3: %s", text(v))
	}
	r = newRig(t).dane()
	r.z.set(domain, dns.TypeMX, secure(mxs("192.0.2.1"))).set("192.0.2.1", dns.TypeA, secure(addrs(at1)))
	r.p.set(domain, enforce("192.0.2.1"))
	r.refuses(with(at1, between.issue([]string{mx1}, forAddr("192.0.2.1"))), event.HostMismatch)
}

func TestC22Resumed(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	if v := r.passes(with(at1, between.issue([]string{mx1}), resumed), event.TrustSTS); v.Fresh {
		t.Error("what passes needs no other connection")
	}
	for why, l := range map[event.TrustReason]session.TrustLeg{
		event.HostMismatch: with(at1, between.issue([]string{"old.test"}), resumed, sni(mx1)),
		event.Expired:      with(at1, between.issue([]string{mx1}, expired), resumed, sni(mx1)),
	} {
		if v := r.refuses(l, why); !v.Fresh || v.ServerName != "" {
			t.Errorf("S50: %s", text(v))
		}
	}
	if v := r.refuses(with(at1, between.issue([]string{"old.test"}), sni(mx1)), event.HostMismatch); v.Fresh {
		t.Error("it was a full handshake")
	}
}

// C38, S3: now counts, at each recipient.
func TestC38CertificateExpiresInSession(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	end := time.Now().Add(10 * time.Minute)
	chain := between.issue([]string{mx1}, func(c *x509.Certificate) { c.NotAfter = end })
	n, l := r.need(at1), with(at1, chain)
	if v := n.Judge(l); !v.Pass || v.Until.After(end) {
		t.Errorf("until %v: %s", v.Until, text(v))
	}
	if l.Now = end.Add(time.Minute); n.Judge(l).Pass {
		t.Error("it has expired")
	}
}
