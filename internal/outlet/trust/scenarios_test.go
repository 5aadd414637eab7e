package trust

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
)

// Scenarios beside those of the standards' texts. docs/dev/tls-scenarios.md numbers them.

// S63: the name of the TLSA records is an alias. What it leads to counts if the whole way is signed, and the names are those of the MX all the same.
func TestS63TheTLSANameIsAnAlias(t *testing.T) {
	good := between.issue([]string{mx1})
	for _, c := range []struct {
		signed bool
		why    event.TrustReason
	}{{true, event.ValidationFailure}, {false, event.TrustWhyNot}} {
		r := newRig(t).dane()
		a := tlsas(record(3, 1, 1, good[0]))
		a.Name, a.Aliased, a.Secure = "_25._tcp.dane.hoster.test", true, c.signed
		r.z.set(port+mx1, dns.TypeTLSA, a)
		if c.signed {
			r.passes(with(at1, good), event.TrustDANE)
			r.refuses(with(at1, between.issue([]string{mx1})), c.why)
			continue
		}
		r.passes(plainText(at1, false, ""), event.TrustNone)
	}
}

// S64: TLSA records of which none can be used leave the domain's policy of MTA-STS in force, and ask for TLS by themselves.
func TestS64UnusableTLSAAndMTASTS(t *testing.T) {
	good := between.issue([]string{mx1})
	short := record(3, 1, 1, good[0])
	short.Data = short.Data[:31]
	r := newRig(t).dane(record(0, 0, 1, good[0]), record(1, 1, 1, good[0]), dns.TLSA{Usage: 3, Selector: 2, Type: 1, Data: make([]byte, 32)},
		dns.TLSA{Usage: 3, Selector: 1, Type: 9, Data: make([]byte, 32)}, short, dns.TLSA{Usage: 255, Selector: 1, Type: 1, Data: make([]byte, 32)})
	r.p.set(domain, enforce(mx1))
	r.passes(with(at1, good), event.TrustSTS)
	r.refuses(with(at1, between.issue([]string{"mx.other.test"})), event.HostMismatch)
	r.refuses(plainText(at1, false, ""), event.NoStartTLS)
}

// S65: an MX that is dialled by IPv6 is asked by its IPv6 addresses, and one that is dialled by an IPv4 address inside of an IPv6 one by that.
func TestS65IPv6(t *testing.T) {
	six, mapped := netip.MustParseAddrPort("[2001:db8::1]:25"), netip.MustParseAddrPort("[::ffff:192.0.2.1]:25")
	good := between.issue([]string{mx1})
	r := newRig(t).dane(record(3, 1, 1, good[0]))
	r.z.set(mx1, dns.TypeAAAA, secure(addrs(six)))
	for _, at := range []netip.AddrPort{six, mapped, at1} {
		r.passes(with(at, good), event.TrustDANE)
		r.refuses(with(at, between.issue([]string{mx1})), event.ValidationFailure)
	}
	if v := r.refuses(with(netip.MustParseAddrPort("[2001:db8::2]:25"), between.issue([]string{mx1})), event.NoMX); v.Pass {
		t.Error(text(v))
	}
}

// S66: certificates of which something is wrong that is not their leaf's name or date.
func TestS66OddCertificates(t *testing.T) {
	limited := func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"other.test"}, true
	}
	notYet := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }
	leaf, key := between.issue([]string{mx1}), newKey()
	byLeaf := &authority{cert: signed(template([]string{mx1}, nil), between.cert, key, between.key), key: key}
	byLeaf.from = append([]*x509.Certificate{byLeaf.cert}, between.from...)
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		why   event.TrustReason // TrustWhyNot: it is good
	}{
		"the name in the subject alone":         {between.issue(nil, commonName(mx1)), event.HostMismatch},
		"the address in place of the name":      {between.issue(nil, forAddr("192.0.2.1")), event.HostMismatch},
		"an intermediate out of date":           {public.below(expired).issue([]string{mx1}), event.Expired},
		"not valid yet":                         {between.issue([]string{mx1}, notYet), event.Expired},
		"an intermediate for other names":       {public.below(limited).issue([]string{mx1}), event.NotTrusted},
		"issued by a server's certificate":      {byLeaf.issue([]string{mx1}), event.NotTrusted},
		"for clients alone":                     {between.issue([]string{mx1}, notServer), event.NotTrusted},
		"a star for one label":                  {between.issue([]string{"*.example.test"}), event.TrustWhyNot},
		"a star for two labels":                 {between.issue([]string{"*.test"}), event.HostMismatch},
		"a star within a label":                 {between.issue([]string{"mx*.example.test"}), event.HostMismatch},
		"capitals":                              {between.issue([]string{"MX1.Example.TEST"}), event.TrustWhyNot},
		"the chain in another order":            {append(leaf[:1:1], append(public.below().from, leaf[1:]...)...), event.TrustWhyNot},
		"another's certificate first":           {append(between.issue([]string{"mx.other.test"})[:1:1], leaf...), event.HostMismatch},
		"the root of nobody's trust beside":     {append(leaf[:2:2], newAuthority().cert), event.TrustWhyNot},
		"its own root, which nobody trusts":     {append(newAuthority().issue([]string{mx1}), leaf[1:]...), event.NotTrusted},
		"two names, of which one is the MX's":   {between.issue([]string{"mx.other.test", mx1}), event.TrustWhyNot},
		"the domain's name, and not the MX's":   {between.issue([]string{domain}), event.HostMismatch},
		"the name with a dot at its end":        {between.issue([]string{mx1 + "."}), event.HostMismatch},
		"the MX's name below another domain's":  {between.issue([]string{mx1 + ".other.test"}), event.HostMismatch},
		"another MX's name, of the same domain": {between.issue([]string{mx2}), event.HostMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.p.set(domain, enforce(mx1))
			if c.why == event.TrustWhyNot {
				r.passes(with(at1, c.chain), event.TrustSTS)
				return
			}
			r.refuses(with(at1, c.chain), c.why)
		})
	}
}

// S67: DANE-EE asks for the MX's own certificate, which is the first one: that it stands further up proves nothing.
func TestS67TheMatchIsNotTheLeaf(t *testing.T) {
	good, bad := between.issue([]string{mx1}), between.issue([]string{mx1})
	r := newRig(t).dane(record(3, 1, 1, good[0]))
	r.refuses(with(at1, append(bad[:1:1], good...)), event.ValidationFailure)
	r.passes(with(at1, append(good[:1:1], bad...)), event.TrustDANE)
	for _, wrong := range []wish{expired, notServer} { // names, dates and uses do not count (RFC 7671 section 5.1)
		odd := between.issue(nil, wrong)
		other := newRig(t).dane(record(3, 1, 1, odd[0]))
		other.passes(with(at1, odd), event.TrustDANE)
	}
}

// S68: DANE-TA with an anchor that the MX does not present is no proof, although it is a root that this host trusts.
func TestS68TheAnchorIsNotPresented(t *testing.T) {
	good := between.issue([]string{mx1})
	r := newRig(t).dane(record(2, 0, 1, public.cert))
	r.refuses(with(at1, good), event.ValidationFailure)
	r.passes(with(at1, append(slices.Clip(good), public.cert)), event.TrustDANE)
	r.refuses(with(at1, append(between.issue([]string{"mx.other.test"}), public.cert)), event.HostMismatch)
}

// S69: a policy that has changed is asked of a resumed leg, too, and a full handshake is what decides.
func TestS69ResumptionAcrossAChange(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce("mx1.example.test"))
	old := between.issue([]string{mx1})
	r.passes(with(at1, old, resumed), event.TrustSTS)
	r.z.set(domain, dns.TypeMX, mxs(mx2)).set(mx2, dns.TypeA, addrs(at1))
	r.p.set(domain, enforce("mx2.example.test"))
	r.trust().needs.Delete(key{domain: domain, four: true}) // its time is over
	v := r.need(at1).Judge(with(at1, old, resumed))
	if v.Pass || !v.Fresh || v.Told.Why != event.HostMismatch {
		t.Errorf("%s", text(v))
	}
	r.passes(with(at1, between.issue([]string{mx2})), event.TrustSTS)
}

// S70: a reload from enforce to observe: who has begun keeps what was asked, and who begins then is not refused.
func TestS70ReloadFromEnforceToObserve(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	before := r.need(at1)
	observe := r.c
	observe.Enforce = false
	next := New(observe, r.m)
	defer next.Close()
	after := next.Need(question(at1))
	r.trust().Close()
	leg := plainText(at1, false, "")
	if v := before.Judge(leg); v.Pass || v.Told.Verdict != event.TrustRefused {
		t.Errorf("a session that had begun: %s", text(v))
	}
	if n, is := after.(*need); is && n.ready != nil {
		<-n.ready // in mode observe no mail does
	}
	if v := after.Judge(leg); !v.Pass || v.Told.Verdict != event.TrustWouldRefuse {
		t.Errorf("a session that begins: %s", text(v))
	}
	if would := r.m.WouldRefuse(time.Now()); len(would) != 1 || would[0].Domain != domain {
		t.Errorf("%+v", would)
	}
}

// S71: MX names that are no host names, twice there, or that lead nowhere, beside a good one.
func TestS71OddMXNames(t *testing.T) {
	good := between.issue([]string{mx1})
	for name, hosts := range map[string][]string{
		"twice": {mx1, mx1}, "a null MX beside": {"", mx1}, "an address beside": {"192.0.2.1", mx1}, "localhost beside": {"localhost", mx1}, "no such host beside": {"gone.example.test", mx1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.z.set(domain, dns.TypeMX, mxs(hosts...)).set("localhost", dns.TypeA, addrs(netip.MustParseAddrPort("127.0.0.1:25"))).set("gone.example.test", dns.TypeA, nowhere())
			r.p.set(domain, enforce("*.example.test"))
			r.passes(with(at1, good), event.TrustSTS)
			r.refuses(with(at1, between.issue([]string{"localhost"})), event.HostMismatch)
			r.refuses(plainText(at1, true, "reset"), event.ValidationFailure)
		})
	}
}

// S72: each TLS version is what MTA-STS and DANE ask of it, whatever the certificate is.
func TestS72Versions(t *testing.T) {
	good := between.issue([]string{mx1})
	for v, passes := range map[uint16]bool{0x0300: false, 0x0301: false, 0x0302: false, 0x0303: true, 0x0304: true} {
		for _, r := range []*rig{newRig(t).dane(record(3, 1, 1, good[0])), newRig(t)} {
			r.p.set(domain, enforce(mx1))
			if got := judge(r.need(at1), with(at1, good, version(v))); got.Pass != passes {
				t.Errorf("version %x: %s", v, text(got))
			}
		}
	}
}

// S73: a name that another domain has proved at the address is no proof for this one.
func TestS73ANameOfAnotherDomain(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1)).set("second.test", enforce("mx.second.test"))
	r.z.set("second.test", dns.TypeMX, mxs("mx.second.test")).set("mx.second.test", dns.TypeA, addrs(at1))
	second := between.issue([]string{"mx.second.test"})
	q := question(at1)
	q.Domain = "second.test"
	if v := judge(wait(r.trust().Need(q)), with(at1, second, sni("mx.second.test"))); !v.Pass || v.Name != "mx.second.test" {
		t.Errorf("%s", text(v))
	}
	r.trust().Proved(at1, "mx.second.test")
	v := r.refuses(with(at1, second, sni("mx.second.test")), event.HostMismatch)
	if v.ServerName != mx1 {
		t.Errorf("another connection shows %q", v.ServerName)
	}
}
