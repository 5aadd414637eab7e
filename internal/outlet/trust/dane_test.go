package trust

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
)

func TestS27EndEntity(t *testing.T) {
	for name, chain := range map[string][]*x509.Certificate{
		"expired": between.issue([]string{mx1}, expired), "self-signed": selfSigned(nil), "another name": between.issue([]string{"x.test"}),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).dane(record(usageEE, selectKey, typeSHA256, chain[0]))
			if v := r.passes(with(at1, chain), event.TrustDANE); v.Told.Verdict != event.TrustPassed || v.Told.Name != mx1 {
				t.Errorf("%s", text(v))
			}
		})
	}
}

func TestS28NoMatch(t *testing.T) {
	r := newRig(t).dane(record(usageEE, selectKey, typeSHA256, selfSigned(nil)[0]))
	v := r.refuses(with(at1, between.issue([]string{mx1})), event.ValidationFailure)
	if v.ServerName != mx1 {
		t.Errorf("%s", text(v))
	}
	if v := r.refuses(with(at1, between.issue([]string{mx1}), sni(mx1)), event.ValidationFailure); v.ServerName != "" {
		t.Errorf("%s", text(v))
	}
	r.refuses(plainText(at1, false, ""), event.NoStartTLS)
}

func TestS29Forms(t *testing.T) {
	chain := selfSigned(nil)
	for _, rec := range []dns.TLSA{
		record(3, 0, 1, chain[0]), record(3, 1, 2, chain[0]), record(3, 0, 0, chain[0]), record(3, 1, 0, chain[0]), record(3, 0, 2, chain[0]),
	} {
		newRig(t).dane(rec).passes(with(at1, chain), event.TrustDANE)
		newRig(t).dane(rec).refuses(with(at1, selfSigned(nil)), event.ValidationFailure)
	}
}

func TestS30TrustAnchor(t *testing.T) {
	private := newAuthority()
	middle := private.below()
	old := private.below(expired)
	for name, c := range map[string]struct {
		anchor *x509.Certificate
		chain  []*x509.Certificate
		why    event.TrustReason
	}{
		"names M":              {middle.cert, middle.issue([]string{mx1}), 0},
		"names D":              {middle.cert, middle.issue([]string{domain}), 0},
		"neither":              {middle.cert, middle.issue([]string{"x.test"}), event.HostMismatch},
		"common name":          {middle.cert, middle.issue(nil, commonName(mx1)), event.HostMismatch},
		"expired":              {middle.cert, middle.issue([]string{mx1}, expired), event.Expired},
		"anchor expired":       {old.cert, old.issue([]string{mx1}), event.Expired},
		"not presented":        {middle.cert, middle.issue([]string{mx1})[:1], event.ValidationFailure},
		"private, presented":   {private.cert, append(middle.issue([]string{mx1}), private.cert), 0},
		"not for servers":      {middle.cert, middle.issue([]string{mx1}, notServer), event.NotTrusted},
		"presented, not above": {middle.cert, append(between.issue([]string{mx1}), middle.cert), event.NotTrusted},
		"the leaf is none":     {selfSigned([]string{mx1})[0], middle.issue([]string{mx1}), event.ValidationFailure},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).dane(record(usageTA, selectKey, typeSHA256, c.anchor))
			if c.why == 0 {
				r.passes(with(at1, c.chain), event.TrustDANE)
				return
			}
			r.refuses(with(at1, c.chain), c.why)
		})
	}
	self := selfSigned([]string{mx1})
	newRig(t).dane(record(usageTA, 0, 1, self[0])).refuses(with(at1, self), event.ValidationFailure)
}

func TestS31Unusable(t *testing.T) {
	cert := selfSigned(nil)[0]
	short := record(3, 1, 1, cert)
	short.Data = short.Data[:31]
	odd := record(3, 2, 1, cert)
	unknown := record(3, 1, 1, cert)
	unknown.Type = 3
	r := newRig(t).dane(record(0, 1, 1, cert), record(1, 0, 1, cert), odd, unknown, short, dns.TLSA{Usage: 3, Selector: 0, Type: 0, Data: []byte("x")})
	r.passes(with(at1, selfSigned(nil)), event.TrustEncrypted)
	v := r.refuses(plainText(at1, false, ""), event.NoStartTLS)
	if v.Told.Policy != event.TrustEncrypted {
		t.Errorf("%s", text(v))
	}
	r.p.set(domain, enforce(mx1)) // RFC 7672 section 2.2: another policy may ask for more
	r.refuses(with(at1, selfSigned(nil)), event.NotTrusted)
	r.passes(with(at1, between.issue([]string{mx1})), event.TrustSTS)
}

func TestS32UsableDecide(t *testing.T) {
	chain := selfSigned(nil)
	r := newRig(t).dane(record(1, 1, 1, between.cert), record(3, 1, 1, chain[0]))
	r.passes(with(at1, chain), event.TrustDANE)
	r.refuses(with(at1, between.issue([]string{mx1})), event.ValidationFailure)
}

// RFC 7671 section 9: of the digests of one usage and selector only the strongest counts.
func TestDigestAgility(t *testing.T) {
	chain, wrong := selfSigned(nil), selfSigned(nil)[0]
	newRig(t).dane(record(3, 1, 1, chain[0]), record(3, 1, 2, wrong)).refuses(with(at1, chain), event.ValidationFailure)
	newRig(t).dane(record(3, 1, 1, wrong), record(3, 1, 2, chain[0])).passes(with(at1, chain), event.TrustDANE)
	newRig(t).dane(record(3, 1, 1, chain[0]), record(3, 0, 2, wrong)).passes(with(at1, chain), event.TrustDANE)
	newRig(t).dane(record(3, 1, 0, chain[0]), record(3, 1, 2, wrong)).passes(with(at1, chain), event.TrustDANE)
}

func TestS33NoAnswerAboutTLSA(t *testing.T) {
	for name, a := range map[string]dns.Answer{
		"SERVFAIL": servfail(), "timeout": {Err: errors.New("i/o timeout")}, "REFUSED": {Err: errors.New("REFUSED")}, "bogus": bogus(),
		"cut short": {Outcome: dns.Found, Secure: true, Truncated: true}, "the resolver has stopped validating": {Outcome: dns.NoData, Unsure: true},
	} {
		t.Run(name, func(t *testing.T) {
			why := event.DNSFailed
			if a.Bogus {
				why = event.DNSSECInvalid
			}
			r := newRig(t).dane()
			r.z.set(port+mx1, dns.TypeTLSA, a)
			r.refuses(with(at1, between.issue([]string{mx1})), why)
			r = newRig(t).dane()
			r.c.Pass = true
			r.z.set(port+mx1, dns.TypeTLSA, a)
			if v := r.passes(with(at1, between.issue([]string{mx1})), event.TrustUnknown); v.Told.Why != event.DNSFailed {
				t.Errorf("%s", text(v))
			}
		})
	}
}

func TestS34InsecureAddress(t *testing.T) {
	r := newRig(t).dane()
	r.z.set(mx1, dns.TypeA, addrs(at1)).set(port+mx1, dns.TypeTLSA, servfail())
	r.passes(plainText(at1, false, ""), event.TrustNone)
	if r.z.times(port+mx1) != 0 {
		t.Error("name servers that answer NOTIMP were asked")
	}
}

func TestS35InsecureMX(t *testing.T) {
	r := newRig(t).dane(record(3, 1, 1, selfSigned(nil)[0]))
	r.z.set(domain, dns.TypeMX, mxs(mx1))
	r.passes(plainText(at1, false, ""), event.TrustNone)
}

func TestS36NoAnswerAboutMX(t *testing.T) {
	for name, c := range map[string]struct {
		a   dns.Answer
		why event.TrustReason
	}{
		"SERVFAIL": {servfail(), event.DNSFailed}, "bogus": {bogus(), event.DNSSECInvalid}, "unsure": {dns.Answer{Outcome: dns.Found, Unsure: true, MX: mxs(mx1).MX}, event.DNSFailed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.z.set(domain, dns.TypeMX, c.a)
			r.refuses(with(at1, between.issue([]string{mx1})), c.why)
		})
	}
	for _, a := range []dns.Answer{nowhere(), secure(nowhere())} {
		r := newRig(t)
		r.z.set(domain, dns.TypeMX, a)
		r.passes(plainText(at1, false, ""), event.TrustNone)
	}
	r := newRig(t) // what may be let pass is what nobody knows, not what a policy asks
	r.c.Pass = true
	r.z.set(domain, dns.TypeMX, servfail())
	r.passes(plainText(at1, false, ""), event.TrustUnknown)
	r.p.set(domain, enforce(mx1))
	r.refuses(with(at1, between.issue([]string{mx1})), event.DNSFailed)
	r = newRig(t) // without DANE nobody has to know
	r.c.DANE = false
	r.z.set(domain, dns.TypeMX, servfail())
	r.passes(plainText(at1, false, ""), event.TrustNone)
}

func TestS37MixedHosts(t *testing.T) {
	chain := selfSigned(nil)
	mixed := func() *rig {
		r := newRig(t).dane(record(3, 1, 1, chain[0]))
		r.z.set(domain, dns.TypeMX, secure(mxs(mx1, mx2))).set(port+mx2, dns.TypeTLSA, secure(nowhere()))
		return r
	}
	mixed().passes(with(at2, selfSigned(nil)), event.TrustNone)
	mixed().passes(plainText(at2, false, ""), event.TrustNone)
	mixed().passes(with(at1, chain), event.TrustDANE)
	mixed().refuses(with(at1, selfSigned(nil)), event.ValidationFailure)
	both := mixed()
	both.z.set(mx2, dns.TypeA, secure(addrs(at1)))
	both.refuses(with(at1, selfSigned(nil)), event.ValidationFailure)
	both.passes(with(at1, chain), event.TrustDANE)
	policy := mixed() // MTA-STS is asked of the host that DANE does not ask, and of it alone
	policy.p.set(domain, enforce(mx2))
	policy.refuses(with(at2, selfSigned(nil)), event.NotTrusted)
	policy.passes(with(at2, between.issue([]string{mx2})), event.TrustSTS)
	policy.passes(with(at1, chain), event.TrustDANE)
	dead := mixed() // one dead name does not decide for the others
	dead.z.set(mx1, dns.TypeA, servfail())
	dead.passes(with(at2, selfSigned(nil)), event.TrustNone)
	dead.refuses(with(at1, selfSigned(nil)), event.DNSFailed)
	gone := mixed()
	gone.z.set(mx1, dns.TypeA, secure(nowhere()))
	gone.passes(with(other, selfSigned(nil)), event.TrustNone)
}

func TestS38AddressIsUnknown(t *testing.T) {
	chain := selfSigned(nil)
	r := newRig(t).dane(record(3, 1, 1, chain[0]))
	r.passes(with(other, chain), event.TrustDANE)
	r.refuses(with(other, between.issue([]string{mx1})), event.NoMX)
	r = newRig(t).dane(record(1, 1, 1, chain[0]))
	r.refuses(with(other, between.issue([]string{mx1})), event.NoMX)
	r = newRig(t).dane()
	r.passes(with(other, selfSigned(nil)), event.TrustNone)
	r = newRig(t).dane()
	r.z.set(port+mx1, dns.TypeTLSA, servfail())
	r.refuses(with(other, selfSigned(nil)), event.DNSFailed)
}

func TestS39ImplicitMX(t *testing.T) {
	chain := selfSigned(nil)
	r := newRig(t)
	r.z.set(domain, dns.TypeMX, secure(none())).set(domain, dns.TypeA, secure(addrs(at1))).
		set(port+domain, dns.TypeTLSA, secure(tlsas(record(3, 1, 1, chain[0]))))
	r.passes(with(at1, chain), event.TrustDANE)
	r.refuses(with(at1, selfSigned(nil)), event.ValidationFailure)
	r = newRig(t)
	r.z.set(domain, dns.TypeMX, none()).set(domain, dns.TypeA, secure(addrs(at1))).
		set(port+domain, dns.TypeTLSA, secure(tlsas(record(3, 1, 1, chain[0]))))
	r.passes(with(at1, selfSigned(nil)), event.TrustNone)
}

func TestS40Alias(t *testing.T) {
	const target = "target.host.test"
	alias := addrs(at1)
	alias.Aliased, alias.Name = true, target
	chain := selfSigned([]string{target})
	into := func() *rig { // an unsigned zone
		r := newRig(t).dane(record(3, 1, 1, chain[0]))
		r.z.set(mx1, dns.TypeA, alias).set(mx1, dns.TypeCNAME, secure(dns.Answer{Outcome: dns.Found, CNAME: target}))
		return r
	}
	into().passes(with(at1, chain), event.TrustDANE)
	into().refuses(with(at1, selfSigned(nil)), event.ValidationFailure)
	r := into()
	r.z.set(mx1, dns.TypeCNAME, dns.Answer{Outcome: dns.Found, CNAME: target})
	r.passes(with(at1, selfSigned(nil)), event.TrustNone)
	r = into()
	r.z.set(mx1, dns.TypeCNAME, servfail())
	r.refuses(with(at1, chain), event.DNSFailed)

	all := func() *rig { // all is signed: where the alias ends counts first
		r := newRig(t).dane(record(3, 1, 1, selfSigned(nil)[0]))
		r.z.set(mx1, dns.TypeA, secure(alias)).set(port+target, dns.TypeTLSA, secure(tlsas(record(3, 1, 1, chain[0]))))
		return r
	}
	if v := all().passes(with(at1, chain), event.TrustDANE); v.Name != target {
		t.Errorf("%s", text(v))
	}
	if v := all().refuses(with(at1, selfSigned(nil)), event.ValidationFailure); v.ServerName != target {
		t.Errorf("%s", text(v))
	}
	r = all()
	r.z.set(port+target, dns.TypeTLSA, secure(nowhere()))
	r.refuses(with(at1, chain), event.ValidationFailure)
	r = all()
	r.z.set(port+target, dns.TypeTLSA, servfail())
	r.refuses(with(at1, chain), event.DNSFailed)
}

// C10: the alias of the domain is a name that a trust anchor may vouch for, too.
func TestC10DomainIsAnAlias(t *testing.T) {
	private := newAuthority()
	middle := private.below()
	r := newRig(t).dane(record(usageTA, 1, 1, middle.cert))
	a := secure(mxs(mx1))
	a.Aliased, a.Name = true, "real.test"
	r.z.set(domain, dns.TypeMX, a)
	r.passes(with(at1, middle.issue([]string{"real.test"})), event.TrustDANE)
	a.Secure = false
	r = newRig(t).dane(record(usageTA, 1, 1, middle.cert))
	r.z.set(domain, dns.TypeMX, a)
	r.passes(with(at1, selfSigned(nil)), event.TrustNone)
}

func TestS41DANEBeforeSTS(t *testing.T) {
	chain := selfSigned(nil)
	r := newRig(t).dane(record(3, 1, 1, chain[0]))
	r.p.set(domain, enforce("nothing.test"))
	r.passes(with(at1, chain), event.TrustDANE)
	r.p.set(domain, enforce(mx1))
	r.refuses(with(at1, between.issue([]string{mx1})), event.ValidationFailure)
	r.p.found[domain] = sts.Found{Known: true, Why: event.FetchError}
	r.passes(with(at1, chain), event.TrustDANE)
}

// S42: with a resolver that does not validate nothing is secure, and what fails is no DANE either.
func TestS42ResolverDoesNotValidate(t *testing.T) {
	r := newRig(t)
	r.z.state_ = dns.State{Answers: true}
	r.passes(plainText(at1, false, ""), event.TrustNone)
	r.z.set("dead.test", dns.TypeMX, servfail())
	q := question(at1)
	q.Domain = "dead.test"
	if v := wait(r.trust().Need(q)).Judge(plainText(at1, false, "")); !v.Pass {
		t.Errorf("%s", text(v))
	}
	r.z.state_ = dns.State{} // it does not answer at all: nobody knows
	q.Domain = "dead2.test"
	r.z.set("dead2.test", dns.TypeMX, servfail())
	if v := wait(r.trust().Need(q)).Judge(plainText(at1, false, "")); v.Pass {
		t.Errorf("%s", text(v))
	}
}

// S43: a resolver that has stopped validating says nothing against DANE.
func TestS43ResolverStopsValidating(t *testing.T) {
	chain := selfSigned(nil)
	r := newRig(t).dane(record(3, 1, 1, chain[0]))
	r.passes(with(at1, chain), event.TrustDANE)
	r.z.mu.Lock()
	r.z.state_ = dns.State{Answers: true, Lost: true}
	r.z.mu.Unlock()
	for _, name := range []string{domain, mx1, port + mx1} {
		for kind, a := range r.z.table[name] {
			a.Secure, a.Unsure = false, true
			r.z.set(name, kind, a)
		}
	}
	r.refuses(with(at1, selfSigned(nil)), event.ValidationFailure) // by what is known still
	r.trust().needs.Delete(key{domain: domain, four: true})
	r.refuses(with(at1, selfSigned(nil)), event.DNSFailed)
}

// The family that was dialled counts: the other one may be broken.
func TestFamily(t *testing.T) {
	chain := selfSigned(nil)
	six := netip.MustParseAddrPort("[2001:db8::1]:25")
	r := newRig(t).dane(record(3, 1, 1, chain[0]))
	r.z.set(mx1, dns.TypeA, servfail()).set(mx1, dns.TypeAAAA, secure(addrs(six)))
	r.passes(with(six, chain), event.TrustDANE)
	r.refuses(with(at1, chain), event.DNSFailed)
	r = newRig(t).dane(record(3, 1, 1, chain[0]))
	r.passes(with(netip.MustParseAddrPort("[::ffff:192.0.2.1]:25"), chain), event.TrustDANE)
}

// What the operator has named has TLSA records of its own, or none.
func TestNamedByDANE(t *testing.T) {
	const relay = "relay.example.net"
	chain := selfSigned(nil)
	r := newRig(t)
	r.named = []string{relay}
	r.z.set(relay, dns.TypeA, secure(addrs(other))).set(port+relay, dns.TypeTLSA, secure(tlsas(record(3, 1, 1, chain[0]))))
	r.passes(with(other, chain), event.TrustDANE)
	r.refuses(with(other, between.issue([]string{relay})), event.ValidationFailure)
	r = newRig(t)
	r.named = []string{relay}
	r.z.set(relay, dns.TypeA, servfail()) // the name must be proved in any case
	r.passes(with(other, between.issue([]string{relay})), event.TrustNamed)
	r.refuses(with(other, chain), event.NotTrusted)
}
