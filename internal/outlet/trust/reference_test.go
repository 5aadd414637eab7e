package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
)

// A world is one case: what the DNS says, what the policy is, what the MX shows.
type world struct {
	table  map[string]map[dns.Kind]dns.Answer
	policy sts.Found
	dane   bool
	hold   bool
	leg    session.TrustLeg
	pool   *chains
}

// chains are those that MXs show in the cases, and who has signed whom.
type chains struct {
	root   *x509.Certificate
	all    [][]*x509.Certificate
	signed map[[2]*x509.Certificate]bool
}

func newChains() *chains {
	private := newAuthority()
	middle := private.below()
	old := public.below(expired)
	c := &chains{root: public.cert, signed: map[[2]*x509.Certificate]bool{}}
	for _, names := range [][]string{{"m1.d.test"}, {"*.d.test"}, {"d.test"}, {"t.host.test"}, {"x.test"}, {"m2.d.test", "m3.d.test"}, {"real.test"}} {
		c.all = append(c.all, between.issue(names), append(middle.issue(names), private.cert))
	}
	c.all = append(c.all,
		between.issue([]string{"m1.d.test"}, expired), between.issue([]string{"*.d.test"}, notServer), between.issue([]string{"m1.d.test"})[:1],
		selfSigned([]string{"m1.d.test"}), selfSigned(nil), old.issue([]string{"m1.d.test"}), nil,
		middle.issue([]string{"m1.d.test"}, expired), middle.issue([]string{"m2.d.test"}, notServer),
	)
	return c
}

// isSigned reports whether one certificate has signed another.
func (c *chains) isSigned(child, parent *x509.Certificate) bool {
	key := [2]*x509.Certificate{child, parent}
	yes, known := c.signed[key]
	if !known {
		yes = child.CheckSignatureFrom(parent) == nil
		c.signed[key] = yes
	}
	return yes
}

// What the reference says.
type opinion struct {
	pass    bool
	unknown bool // without pass: because of the DNS
	proved  bool // with pass: something was proved
}

func (o opinion) String() string {
	return fmt.Sprintf("pass %t, because of the DNS %t, proved %t", o.pass, o.unknown, o.proved)
}

// reference is a judge that was written from the RFCs' text and from nothing else of this package: one step after the other, slowly.
type reference struct{ *world }

func (r reference) get(name string, kind dns.Kind) dns.Answer {
	a, found := r.table[name][kind]
	if !found {
		return dns.Answer{Outcome: dns.NoName, Name: name}
	}
	return a
}

// opinion follows RFC 7672 section 2.2, then RFC 8461 section 5.
func (r reference) opinion() opinion {
	mx := r.get("d.test", dns.TypeMX)
	var names []string
	switch mx.Outcome {
	case dns.Found:
		for _, one := range mx.MX {
			if one.Host != "" {
				names = append(names, one.Host)
			}
		}
	case dns.NoData:
		names = []string{"d.test"}
	}
	tlsNeeded := false
	if r.dane {
		// 7672, 2.2.1: "If the MX lookup fails ... treat as unreachable"; an answer that is not validated gives no DANE.
		lost := mx.Outcome == dns.Failed || mx.Unsure
		if lost && r.hold {
			return opinion{unknown: true}
		}
		if !lost && mx.Secure {
			o, needed, decided := r.byDANE(names, mx)
			if decided {
				return o
			}
			tlsNeeded = needed
		}
	}
	if tlsNeeded && r.leg.TLS == nil {
		return opinion{}
	}
	p := r.policy.Policy
	if p == nil || p.Mode == sts.None {
		return opinion{pass: true, proved: tlsNeeded}
	}
	if p.Mode == sts.Testing {
		return opinion{pass: true, proved: r.sts(p, names)}
	}
	if mx.Outcome == dns.Failed {
		return opinion{unknown: true}
	}
	ok := r.sts(p, names)
	return opinion{pass: ok, proved: ok}
}

func (r reference) byDANE(names []string, mx dns.Answer) (o opinion, tlsNeeded, decided bool) {
	state := map[string]string{}
	here := map[string]bool{}
	for _, name := range names {
		state[name] = r.stateOf(name)
		a := r.get(name, dns.TypeA)
		here[name] = slices.Contains(a.Addrs, r.leg.MX.Addr())
	}
	for _, name := range names {
		if strings.HasPrefix(state[name], "dane ") && r.leg.TLS != nil && r.leg.TLS.Version >= tls.VersionTLS12 {
			base := strings.TrimPrefix(state[name], "dane ")
			identities := []string{name, base, "d.test"}
			if mx.Aliased {
				identities = append(identities, mx.Name)
			}
			if r.matchesTLSA(r.get("_25._tcp."+base, dns.TypeTLSA).TLSA, identities) {
				return opinion{pass: true, proved: true}, false, true
			}
		}
	}
	anyHere := false
	count := map[string]int{}
	for _, name := range names {
		anyHere = anyHere || here[name] && state[name] != "gone"
	}
	for _, name := range names {
		if here[name] == anyHere {
			count[strings.Fields(state[name])[0]]++
		}
	}
	if !anyHere && mx.Truncated {
		count["error"]++
	}
	switch {
	case count["dane"] > 0:
		return opinion{}, false, true
	case count["error"] > 0 && r.hold:
		return opinion{unknown: true}, false, true
	case count["unusable"] > 0 && !anyHere:
		return opinion{}, false, true
	}
	return opinion{}, count["unusable"] > 0, false
}

// stateOf is the table of what DANE says of one name.
func (r reference) stateOf(name string) string {
	a := r.get(name, dns.TypeA)
	if a.Outcome == dns.Failed || a.Unsure {
		return "error"
	}
	if a.Outcome != dns.Found {
		return "gone"
	}
	bases := []string{name}
	if !a.Secure {
		if !a.Aliased {
			return "none"
		}
		c := r.get(name, dns.TypeCNAME)
		if c.Outcome == dns.Failed || c.Unsure {
			return "error"
		}
		if c.Outcome != dns.Found || !c.Secure {
			return "none"
		}
	} else if a.Aliased {
		bases = []string{a.Name, name}
	}
	for _, base := range bases {
		t := r.get("_25._tcp."+base, dns.TypeTLSA)
		if t.Outcome == dns.Failed || t.Unsure || t.Truncated {
			return "error"
		}
		if t.Outcome != dns.Found || !t.Secure {
			continue
		}
		for _, rec := range t.TLSA {
			if r.usable(rec) {
				return "dane " + base
			}
		}
		return "unusable"
	}
	return "none"
}

func (reference) usable(rec dns.TLSA) bool {
	if rec.Usage < 2 || rec.Usage > 3 || rec.Selector > 1 {
		return false
	}
	switch rec.Type {
	case 0:
		var raw asn1.RawValue
		rest, err := asn1.Unmarshal(rec.Data, &raw)
		return err == nil && len(rest) == 0 && bytes.HasPrefix(rec.Data, []byte{0x30})
	case 1:
		return len(rec.Data) == 32
	case 2:
		return len(rec.Data) == 64
	}
	return false
}

// matchesTLSA is RFC 7671, sections 4, 5 and 9.
func (r reference) matchesTLSA(records []dns.TLSA, identities []string) bool {
	certs := r.leg.TLS.PeerCertificates
	best := map[string]uint8{}
	for _, rec := range records {
		if k := fmt.Sprint(rec.Usage, rec.Selector); r.usable(rec) && rec.Type > best[k] {
			best[k] = rec.Type
		}
	}
	hits := func(usage uint8, c *x509.Certificate) bool {
		for _, rec := range records {
			if rec.Usage != usage || !r.usable(rec) || rec.Type != 0 && rec.Type != best[fmt.Sprint(rec.Usage, rec.Selector)] {
				continue
			}
			part := map[uint8][]byte{0: c.Raw, 1: c.RawSubjectPublicKeyInfo}[rec.Selector]
			s2, s5 := sha256.Sum256(part), sha512.Sum512(part)
			if bytes.Equal(map[uint8][]byte{0: part, 1: s2[:], 2: s5[:]}[rec.Type], rec.Data) {
				return true
			}
		}
		return false
	}
	for i, c := range certs {
		if i == 0 && hits(3, c) {
			return true
		}
		if i > 0 && hits(2, c) && r.pathTo(certs[0], certs[1:], c, nil) && r.isServer(certs[0]) && slices.ContainsFunc(identities, func(n string) bool { return r.isFor(certs[0], n) }) {
			return true
		}
	}
	return false
}

// sts is RFC 8461, sections 4.1 and 4.2.
func (r reference) sts(p *sts.Policy, names []string) bool {
	if r.leg.TLS == nil || r.leg.TLS.Version < tls.VersionTLS12 || len(r.leg.TLS.PeerCertificates) == 0 {
		return false
	}
	certs := r.leg.TLS.PeerCertificates
	if !r.isServer(certs[0]) || !r.pathTo(certs[0], certs[1:], r.pool.root, nil) {
		return false
	}
	for _, name := range names {
		for _, pattern := range p.MX {
			fits := pattern == name
			if strings.HasPrefix(pattern, "*.") {
				at := strings.Index(name, ".")
				fits = at > 0 && name[at:] == pattern[1:]
			}
			if fits && r.isFor(certs[0], name) {
				return true
			}
		}
	}
	return false
}

// pathTo looks for a path of signatures to an anchor, each certificate good now.
func (r reference) pathTo(c *x509.Certificate, others []*x509.Certificate, anchor *x509.Certificate, seen []*x509.Certificate) bool {
	if r.leg.Now.Before(c.NotBefore) || r.leg.Now.After(c.NotAfter) {
		return false
	}
	if c.Equal(anchor) {
		return true
	}
	for _, up := range append(slices.Clone(others), anchor) {
		if !slices.Contains(seen, up) && up.IsCA && r.pool.isSigned(c, up) && r.pathTo(up, others, anchor, append(seen, up)) {
			return true
		}
	}
	return false
}

func (reference) isServer(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage) == 0 || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
}

func (reference) isFor(c *x509.Certificate, name string) bool {
	for _, san := range c.DNSNames {
		at := strings.Index(name, ".")
		if san == name || strings.HasPrefix(san, "*.") && at > 0 && name[at:] == san[1:] {
			return true
		}
	}
	return false
}

// randomWorld makes a case.
func randomWorld(rnd *rand.Rand, pool *chains) *world {
	w := &world{table: map[string]map[dns.Kind]dns.Answer{}, dane: rnd.IntN(8) > 0, hold: rnd.IntN(3) > 0, pool: pool}
	certs := pool.all[rnd.IntN(len(pool.all))]
	hosts := []string{"m1.d.test", "m2.d.test", "m3.d.test"}[:1+rnd.IntN(3)]
	w.set("d.test", dns.TypeMX, randomly(rnd, func() dns.Answer {
		a := mxs(hosts...)
		a.Truncated = rnd.IntN(12) == 0
		if rnd.IntN(10) == 0 {
			a.Aliased, a.Name = true, "real.test"
		}
		if rnd.IntN(20) == 0 {
			a = mxs("")
		}
		return a
	}))
	places := []netip.AddrPort{at1, at2, other}
	for _, name := range append(hosts, "d.test") {
		w.set(name, dns.TypeA, randomly(rnd, func() dns.Answer {
			a := addrs(places[:1+rnd.IntN(2)]...)
			if rnd.IntN(4) == 0 {
				a.Aliased, a.Name = true, "t.host.test"
			}
			return a
		}))
		w.set(name, dns.TypeCNAME, randomly(rnd, func() dns.Answer { return dns.Answer{Outcome: dns.Found, CNAME: "t.host.test"} }))
	}
	for _, name := range append(hosts, "d.test", "t.host.test") {
		w.set("_25._tcp."+name, dns.TypeTLSA, randomly(rnd, func() dns.Answer { return tlsas(randomRecords(rnd, pool, certs)...) }))
	}
	w.policy = sts.Found{Known: rnd.IntN(6) > 0}
	if patterns := [][]string{{"m1.d.test"}, {"*.d.test"}, {"m2.d.test", "x.test"}, {"d.test"}, {"*.test"}, {"nothing.test"}}; rnd.IntN(3) > 0 {
		w.policy = sts.Found{Known: true, Policy: enforce(patterns[rnd.IntN(len(patterns))]...)}
		w.policy.Policy.Mode = []sts.Mode{sts.Enforce, sts.Enforce, sts.Enforce, sts.Testing, sts.None}[rnd.IntN(5)]
	}
	w.leg = with(places[rnd.IntN(3)], certs, version([]uint16{tls.VersionTLS13, tls.VersionTLS12, tls.VersionTLS12, tls.VersionTLS11}[rnd.IntN(4)]))
	if rnd.IntN(8) == 0 {
		w.leg = plainText(w.leg.MX, rnd.IntN(2) == 0, "EOF")
	}
	return w
}

func (w *world) set(name string, kind dns.Kind, a dns.Answer) { put(w.table, name, kind, a) }

// randomly gives an answer, or none, or what is not one; mostly it is secure.
func randomly(rnd *rand.Rand, found func() dns.Answer) dns.Answer {
	a := found()
	switch rnd.IntN(14) {
	case 0:
		return []dns.Answer{servfail(), bogus()}[rnd.IntN(2)]
	case 1:
		a = none()
	case 2:
		a = nowhere()
	case 3:
		a.Unsure = true
		return a
	}
	a.Secure = rnd.IntN(4) > 0
	return a
}

// randomRecords gives TLSA records, of the chain that is shown and of others.
func randomRecords(rnd *rand.Rand, pool *chains, certs []*x509.Certificate) (all []dns.TLSA) {
	for range 1 + rnd.IntN(3) {
		from := certs
		if rnd.IntN(3) == 0 {
			from = pool.all[rnd.IntN(len(pool.all))]
		}
		if len(from) == 0 {
			from = pool.all[0]
		}
		rec := record([]uint8{0, 1, 2, 2, 2, 3, 3, 3}[rnd.IntN(8)], uint8(rnd.IntN(2)), uint8(rnd.IntN(3)), from[rnd.IntN(len(from))])
		switch rnd.IntN(12) {
		case 0:
			rec.Selector = 2
		case 1:
			rec.Type = 3
		case 2:
			rec.Data = rec.Data[:rnd.IntN(len(rec.Data))]
		}
		all = append(all, rec)
	}
	return all
}

// For random tables of the DNS, chains and policies the judge and the reference agree. KANMON_CASES says how many they are.
func TestAgreesWithTheReference(t *testing.T) {
	cases := 20_000
	if more, err := strconv.Atoi(os.Getenv("KANMON_CASES")); err == nil {
		cases = more
	}
	pool, seed := newChains(), uint64(time.Now().UnixNano())
	counts := map[opinion]int{}
	for i := range cases {
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		w := randomWorld(rnd, pool)
		want := reference{w}.opinion()
		z := newZone()
		z.table, z.known = w.table, true
		p := newPolicies()
		p.found["d.test"] = w.policy
		if !w.policy.Known {
			p.coming["d.test"] = make(chan struct{})
		}
		got := w.judged(New(Config{Enforce: true, DNS: z, DANE: w.dane, STS: p, Pass: !w.hold, Roots: public.pool(), FirstContact: time.Nanosecond}, NewMemory()))
		if counts[want]++; got != want {
			t.Fatalf("seed %d, case %d: want %s, got %s\n%+v", seed, i, want, got, w.table)
		}
	}
	t.Logf("seed %d: %v", seed, counts)
	for _, o := range []opinion{{pass: true}, {pass: true, proved: true}, {}, {unknown: true}} {
		if counts[o] < cases/100 {
			t.Errorf("%d cases of %s: the cases are too few, or too much alike", counts[o], o)
		}
	}
}

func (w *world) judged(t *Trust) opinion {
	defer t.Close()
	q := question(w.leg.MX)
	q.Domain = "d.test"
	v := wait(t.Need(q)).Judge(w.leg)
	why := event.TrustWhyNot
	if v.Told != nil {
		why = v.Told.Why
	}
	return opinion{
		pass: v.Pass, unknown: !v.Pass && (why == event.DNSFailed || why == event.DNSSECInvalid),
		proved: v.Told != nil && v.Told.Verdict == event.TrustPassed,
	}
}
