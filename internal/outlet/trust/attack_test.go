package trust

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/session"
)

// A2: a host with a good certificate of its own is not the domain's, whatever the DNS says.
func TestA2ForgedMX(t *testing.T) {
	const evil = "mx.evil.test"
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	r.z.set(domain, dns.TypeMX, mxs(evil)).set(evil, dns.TypeA, addrs(other))
	r.refuses(with(other, between.issue([]string{evil})), event.NotInPolicy)
	r.refuses(with(other, between.issue([]string{evil}), sni(evil)), event.NotInPolicy)
	r = newRig(t) // the address alone is forged
	r.p.set(domain, enforce(mx1))
	r.z.set(mx1, dns.TypeA, addrs(other))
	r.refuses(with(other, between.issue([]string{evil})), event.HostMismatch)
	r = newRig(t).dane(record(3, 1, 1, selfSigned(nil)[0]))
	r.refuses(with(other, between.issue([]string{evil, mx1})), event.NoMX)
	r.z.set(domain, dns.TypeMX, bogus())
	r.trust().needs.Delete(key{domain: domain, four: true})
	r.refuses(with(other, between.issue([]string{evil})), event.DNSSECInvalid)
}

// A8: of more names, or addresses, than are looked at nobody knows what they ask; never nothing.
func TestA8LargeAnswers(t *testing.T) {
	r := newRig(t).dane()
	a := dns.Answer{Outcome: dns.Found, Secure: true}
	for i := range 5000 {
		a.MX = append(a.MX, dns.MX{Host: fmt.Sprintf("m%d.example.test", i), Preference: uint16(i)})
	}
	r.z.set(domain, dns.TypeMX, a)
	r.refuses(with(other, selfSigned(nil)), event.DNSFailed)
	if n := len(r.z.asked); n > 2+2*mostHosts {
		t.Errorf("%d questions", n)
	}
	r = newRig(t).dane()
	a = secure(mxs(mx1))
	a.Truncated = true
	r.z.set(domain, dns.TypeMX, a)
	r.refuses(with(other, selfSigned(nil)), event.DNSFailed)
	r.passes(with(at1, selfSigned(nil)), event.TrustNone) // the host that has the address asks nothing

	r = newRig(t)
	r.p.set(domain, enforce(mx1))
	many := dns.Answer{Outcome: dns.Found}
	for i := range 1000 {
		many.Addrs = append(many.Addrs, netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}))
	}
	r.z.set(mx1, dns.TypeA, many)
	r.refuses(with(other, between.issue([]string{"x.test"})), event.HostMismatch) // not "no MX": it may be one
	r.passes(with(other, between.issue([]string{mx1})), event.TrustSTS)
	long := strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 50) + ".test"
	r = newRig(t).dane()
	r.z.set(domain, dns.TypeMX, secure(mxs(long))).set(long, dns.TypeA, secure(addrs(at1))).set(port+long, dns.TypeTLSA, servfail())
	r.passes(with(at1, selfSigned(nil)), event.TrustNone) // there is no such name
}

// A9: records of any length are unusable, not fatal.
func TestA9Records(t *testing.T) {
	chain := selfSigned(nil)
	for _, n := range []int{0, 1, 3, 31, 33, 65, 65000} {
		for kind := range uint8(4) {
			for selector := range uint8(3) {
				r := newRig(t).dane(dns.TLSA{Usage: 3, Selector: selector, Type: kind, Data: make([]byte, n)})
				r.passes(with(at1, chain), event.TrustEncrypted)
			}
		}
	}
	var many []dns.TLSA
	for range 499 {
		many = append(many, record(3, 1, 1, between.cert))
	}
	r := newRig(t).dane(append(many, record(3, 1, 1, chain[0]))...)
	r.passes(with(at1, chain), event.TrustDANE)
}

// A10: chains that cost much prove nothing, and soon.
func TestA10Chains(t *testing.T) {
	good := between.issue([]string{mx1})
	var names []string
	for i := range 100_000 {
		names = append(names, fmt.Sprintf("m%d.example.test", i))
	}
	names = append(names, mx1)
	var long []*x509.Certificate
	at := public
	for range 20 {
		at = at.below()
	}
	long = at.issue([]string{mx1})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	huge := *between.cert
	modulus := *key
	modulus.N.Lsh(modulus.N, 16384-2048)
	huge.PublicKey, huge.PublicKeyAlgorithm = &modulus.PublicKey, x509.RSA
	cyclic := []*x509.Certificate{good[0]}
	for range 60 {
		cyclic = append(cyclic, between.cert, newAuthority().cert)
	}
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		why   event.TrustReason
	}{
		"100,000 names": {between.issue(names), event.HostMismatch}, "20 between": {long, event.NotTrusted},
		"RSA 16384": {[]*x509.Certificate{good[0], &huge}, event.NotTrusted},
		"behind 16": {append(append(append([]*x509.Certificate{}, good[0]), filler(20)...), good[1:]...), event.NotTrusted},
		"cyclic":    {cyclic, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.p.set(domain, enforce("*.example.test"))
			n, l := r.need(at1), with(at1, c.chain)
			began := time.Now()
			v := judge(n, l)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
			if v.Pass != (c.why == 0) || v.Told.Why != c.why {
				t.Errorf("%s", text(v))
			}
			r = newRig(t).dane(record(usageTA, 1, 1, between.cert))
			began = time.Now()
			judge(r.need(at1), l)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("DANE: it took %v", took)
			}
		})
	}
}

func filler(n int) (all []*x509.Certificate) {
	for range n {
		all = append(all, newAuthority().cert)
	}
	return all
}

// A11: a name is learnt only where the certificate has proved it.
func TestA11Poisoning(t *testing.T) {
	const evil = "evil.test"
	victim := between.issue([]string{mx1})
	for name, records := range map[string]dns.Answer{
		"no records": secure(nowhere()), "the victim's key": secure(tlsas(record(3, 1, 1, victim[0]))),
		"the victim's authority": secure(tlsas(record(2, 1, 1, between.cert))),
	} {
		r := newRig(t)
		r.z.set(evil, dns.TypeMX, secure(mxs("mx."+evil))).set("mx."+evil, dns.TypeA, secure(addrs(at1))).set(port+"mx."+evil, dns.TypeTLSA, records)
		r.p.set(evil, enforce("*."+evil))
		q := question(at1)
		q.Domain = evil
		for _, l := range []session.TrustLeg{with(at1, victim), with(at1, victim, sni("mx."+evil))} {
			if v := judge(wait(r.trust().Need(q)), l); v.Name != "" {
				t.Errorf("%s: %q is learnt: %s", name, v.Name, text(v))
			}
		}
	}
}

// A16: package mailbox gives the domain that the MX would see; what is not its form has no policy here.
func TestA16OtherSpellings(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	q := question(at1)
	q.Domain = "nopolicy.test"
	if v := wait(r.trust().Need(q)).Judge(plainText(at1, false, "")); !v.Pass {
		t.Errorf("%s", text(v))
	}
	r.refuses(plainText(at1, false, ""), event.NoStartTLS)
}

// A17: what strangers write is harmless in a reply and in a record, and a reply is one line of at most 512 octets.
func TestA17StrangersText(t *testing.T) {
	nasty := "x\r\n250 ok\x1b[31m\x00\"'" + strings.Repeat("é", 300)
	host := strings.Repeat("h", 63) + "." + strings.Repeat("i", 63) + "." + strings.Repeat("j", 63) + "." + strings.Repeat("k", 57) + ".jp"
	long := strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 53) + ".test"
	six := netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:25")
	cert := *between.issue([]string{"x.test"})[0]
	cert.DNSNames = []string{nasty}
	alone := dns.Answer{Err: fmt.Errorf("%s", nasty)}
	for name, set := range map[string]func(*rig){
		"SAN": func(r *rig) {
			r.z.set(long, dns.TypeMX, mxs(mx1)).set(mx1, dns.TypeAAAA, addrs(six))
			r.p.set(long, enforce(mx1))
		},
		"MX":    func(r *rig) { r.z.set(long, dns.TypeMX, mxs(nasty)); r.p.set(long, enforce("other.test")) },
		"EDE":   func(r *rig) { r.z.set(long, dns.TypeMX, alone) },
		"relay": func(r *rig) { r.z.set(long, dns.TypeMX, mxs(mx1)); r.p.set(long, enforce(mx1)) },
		"named": func(r *rig) { r.named = []string{long} },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			set(r)
			q := r.question(six)
			q.Domain = long
			v := judge(wait(r.trust().Need(q)), with(six, []*x509.Certificate{&cert, between.cert}))
			if v.Pass {
				t.Fatalf("%s", text(v))
			}
			reply := v.Say.Reply(host)
			wire := string(reply.AppendWire(nil, false))
			if len(wire) > 512 || strings.Count(wire, "\r\n") != 1 {
				t.Errorf("%d octets: %q", len(wire), wire)
			}
			for _, text := range []string{strings.TrimSuffix(wire, "\r\n"), v.Told.Detail} {
				if strings.ContainsAny(text, "\r\n\x00\x1b") {
					t.Errorf("%q", text)
				}
			}
			if strings.ContainsFunc(wire, func(r rune) bool { return r > '~' }) {
				t.Errorf("not ASCII: %q", wire)
			}
		})
	}
}

// A19: a clock that is wrong proves nothing and prolongs nothing.
func TestA19Clock(t *testing.T) {
	r := newRig(t)
	r.p.set(domain, enforce(mx1))
	n, l := r.need(at1), with(at1, between.issue([]string{mx1}))
	for _, by := range []time.Duration{-2 * 365 * 24 * time.Hour, 365 * 24 * time.Hour} {
		l.Now = time.Now().Add(by)
		v := n.Judge(l)
		if v.Pass || v.Told.Why != event.Expired || v.Told.Age < 0 {
			t.Errorf("%v: %s", by, text(v))
		}
	}
	synctest.Test(t, func(t *testing.T) { // an end of the DNS far away is no end
		r := newRig(t)
		a := mxs(mx1)
		a.Until = time.Now().Add(1000 * time.Hour)
		r.z.set(domain, dns.TypeMX, a)
		if v := r.passes(plainText(at1, false, ""), event.TrustNone); v.Until.After(time.Now().Add(usableFor)) {
			t.Errorf("until %v", v.Until)
		}
		r.the.Close()
	})
}

// A20: a policy that nothing matches shuts off its own domain, until the operator forgets or exempts it.
func TestA20Shut(t *testing.T) {
	r := newRig(t)
	p := enforce("nothing.test")
	p.MaxAge, p.Until = 365*24*time.Hour, time.Now().Add(365*24*time.Hour)
	r.p.set(domain, p)
	l := with(at1, between.issue([]string{mx1}))
	r.refuses(l, event.NotInPolicy)
	r.p.set(domain, nil) // kanmon tls forget
	r.passes(l, event.TrustNone)
	r.p.set(domain, p)
	r.c.ExemptDomains = []string{domain}
	r.the = nil
	r.passes(l, event.TrustExempt)
}

// A23: what is asked of a mail does not change under it.
func TestA23NeedStays(t *testing.T) {
	r := newRig(t)
	n := r.need(at1)
	r.p.set(domain, enforce(mx1))
	if v := n.Judge(plainText(at1, false, "")); !v.Pass {
		t.Errorf("%s", text(v))
	}
	r.refuses(plainText(at1, false, ""), event.NoStartTLS)
}

// The names of MXs are remembered for a day, so many, and a network with many MXs presses no other.
func TestMemoryOfNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		m.learn(at1, mx1, time.Now())
		m.learn(at2, "", time.Now())
		for i := range 3 * mostProved {
			m.learn(netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), uint16(i)), "x", time.Now())
		}
		if got := m.name(netip.MustParseAddrPort("[::ffff:192.0.2.1]:25"), time.Now()); got != mx1 || m.name(at2, time.Now()) != "" {
			t.Errorf("%q", got)
		}
		if n := m.names.Len(); n != mostProved {
			t.Errorf("%d names", n)
		}
		m.forget(at1, mx2) // another name
		time.Sleep(provedFor - time.Second)
		if m.name(at1, time.Now()) != mx1 {
			t.Error("it is forgotten")
		}
		time.Sleep(time.Second)
		if m.name(at1, time.Now()) != "" {
			t.Error("after a day")
		}
		for i := range 2 * mostRefused {
			l := plainText(at1, false, "")
			m.note(seen{domain: fmt.Sprintf("d%d.test", i)}, "greedy", &l, &judged{})
			if i == 0 {
				m.note(seen{domain: domain}, "small", &l, &judged{})
			}
		}
		if n := m.refused.Len(); n != mostRefused || len(m.WouldRefuse(time.Now())) != n {
			t.Errorf("%d domains", n)
		}
		if _, found := m.refused.Get(seen{domain: domain}); !found {
			t.Error("one tenant has pressed out what is another's")
		}
	})
}
