package trust

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/netip"
	"sync"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
)

// The domain of the tests, its MX, and where that is.
const (
	domain = "example.test"
	mx1    = "mx1.example.test"
	mx2    = "mx2.example.test"
)

var (
	at1   = netip.MustParseAddrPort("192.0.2.1:25")
	at2   = netip.MustParseAddrPort("192.0.2.2:25")
	other = netip.MustParseAddrPort("198.51.100.9:25")
)

// A zone is a DNS as a test says it is: answers by name and kind. It implements [Resolver].
type zone struct {
	mu     sync.Mutex
	table  map[string]map[dns.Kind]dns.Answer
	fresh  map[string]map[dns.Kind]dns.Answer // what Renew gives in place of the table's
	known  bool                               // all of the table is in the cache
	state_ dns.State
	asked  []string
	wait   chan struct{} // answers come when it is closed; nil: at once
}

func newZone() *zone {
	return &zone{
		table: map[string]map[dns.Kind]dns.Answer{}, fresh: map[string]map[dns.Kind]dns.Answer{},
		state_: dns.State{Answers: true, Validates: true, Since: time.Now()},
	}
}

func put(table map[string]map[dns.Kind]dns.Answer, name string, kind dns.Kind, a dns.Answer) {
	if table[name] == nil {
		table[name] = map[dns.Kind]dns.Answer{}
	}
	if a.Name == "" {
		a.Name = name
	}
	table[name][kind] = a
}

func (z *zone) set(name string, kind dns.Kind, a dns.Answer) *zone {
	z.mu.Lock()
	defer z.mu.Unlock()
	put(z.table, name, kind, a)
	return z
}

func (z *zone) answer(ctx context.Context, name string, kind dns.Kind, renew bool) dns.Answer {
	z.mu.Lock()
	z.asked = append(z.asked, name)
	wait := z.wait
	z.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return dns.Answer{Err: ctx.Err()}
		}
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	a, found := z.table[name][kind]
	if b, newer := z.fresh[name][kind]; renew && newer {
		put(z.table, name, kind, b)
		a, found = b, true
	}
	if !found {
		a = dns.Answer{Outcome: dns.NoName, Name: name}
	}
	if a.Heard.IsZero() || renew {
		a.Heard = time.Now()
	}
	if a.Until.IsZero() {
		a.Until = time.Now().Add(time.Hour)
	}
	return a
}

func (z *zone) Ask(ctx context.Context, name string, kind dns.Kind, _ string) dns.Answer {
	return z.answer(ctx, name, kind, false)
}

func (z *zone) Renew(ctx context.Context, name string, kind dns.Kind, _ string) dns.Answer {
	return z.answer(ctx, name, kind, true)
}

func (z *zone) Known(name string, kind dns.Kind) (dns.Answer, bool) {
	z.mu.Lock()
	known := z.known
	z.mu.Unlock()
	if !known {
		return dns.Answer{}, false
	}
	return z.answer(context.Background(), name, kind, false), true
}

func (z *zone) State() dns.State {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.state_
}

func (z *zone) times(name string) (n int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, one := range z.asked {
		if one == name {
			n++
		}
	}
	return n
}

// Answers as a zone has them.
func secure(a dns.Answer) dns.Answer { a.Secure = true; return a }
func none() dns.Answer               { return dns.Answer{Outcome: dns.NoData} }
func nowhere() dns.Answer            { return dns.Answer{Outcome: dns.NoName} }
func servfail() dns.Answer           { return dns.Answer{Err: errors.New("SERVFAIL")} }
func bogus() dns.Answer              { return dns.Answer{Bogus: true, Err: errors.New("SERVFAIL, EDE 6")} }

func mxs(hosts ...string) dns.Answer {
	a := dns.Answer{Outcome: dns.Found}
	for i, h := range hosts {
		a.MX = append(a.MX, dns.MX{Host: h, Preference: uint16(10 * (i + 1))})
	}
	return a
}

func addrs(list ...netip.AddrPort) dns.Answer {
	a := dns.Answer{Outcome: dns.Found}
	for _, one := range list {
		a.Addrs = append(a.Addrs, one.Addr())
	}
	return a
}

func tlsas(list ...dns.TLSA) dns.Answer { return dns.Answer{Outcome: dns.Found, TLSA: list} }

// record is the TLSA record of a certificate.
func record(usage, selector, kind uint8, cert *x509.Certificate) dns.TLSA {
	data := cert.Raw
	if selector == selectKey {
		data = cert.RawSubjectPublicKeyInfo
	}
	switch kind {
	case typeSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case typeSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return dns.TLSA{Usage: usage, Selector: selector, Type: kind, Data: data}
}

// policies are those of MTA-STS as a test says they are. It implements [Keeper].
type policies struct {
	mu      sync.Mutex
	found   map[string]sts.Found
	coming  map[string]chan struct{}
	renewed map[string]*sts.Policy // what Renew brings
	looked  int
	renews  int
}

func newPolicies() *policies {
	return &policies{found: map[string]sts.Found{}, coming: map[string]chan struct{}{}, renewed: map[string]*sts.Policy{}}
}

func (p *policies) Look(domain, _ string) (sts.Found, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looked++
	if coming := p.coming[domain]; coming != nil {
		select {
		case <-coming:
		default:
			return p.found[domain], coming
		}
	}
	if f, there := p.found[domain]; there {
		return f, nil
	}
	return sts.Found{Known: true}, nil
}

func (p *policies) Renew(domain, _ string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renews++
	next := p.renewed[domain]
	if next == nil {
		return nil
	}
	done := make(chan struct{})
	time.AfterFunc(10*time.Millisecond, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.found[domain] = sts.Found{Policy: next, Known: true}
		close(done)
	})
	return done
}

func (p *policies) set(domain string, policy *sts.Policy) *policies {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found[domain] = sts.Found{Policy: policy, Known: true}
	return p
}

func enforce(patterns ...string) *sts.Policy {
	return &sts.Policy{ID: "1", Mode: sts.Enforce, MX: patterns, MaxAge: 24 * time.Hour, Fetched: time.Now().Add(-time.Minute), Until: time.Now().Add(23 * time.Hour)}
}

func testing_(patterns ...string) *sts.Policy {
	p := enforce(patterns...)
	p.Mode = sts.Testing
	return p
}

// An authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	from []*x509.Certificate // that go with what it issues: itself, if another one issued it
}

var (
	serial   int64
	serialMu sync.Mutex
)

// A wish is how a certificate is to be.
type wish func(*x509.Certificate)

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour)
}

func notServer(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

func commonName(name string) wish {
	return func(c *x509.Certificate) { c.Subject.CommonName = name }
}

func forAddr(addr string) wish {
	return func(c *x509.Certificate) { c.IPAddresses = append(c.IPAddresses, netip.MustParseAddr(addr).AsSlice()) }
}

func template(names []string, wishes []wish) *x509.Certificate {
	serialMu.Lock()
	serial++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		Subject: pkix.Name{Organization: []string{"test"}, SerialNumber: big.NewInt(serial).String()},
	}
	serialMu.Unlock()
	for _, w := range wishes {
		w(c)
	}
	return c
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func signed(c, parent *x509.Certificate, key *ecdsa.PrivateKey, by *ecdsa.PrivateKey) *x509.Certificate {
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		panic(err)
	}
	return cert
}

func asAuthority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
}

func newAuthority(wishes ...wish) *authority {
	key, c := newKey(), template(nil, append(wishes, asAuthority))
	return &authority{cert: signed(c, c, key, key), key: key}
}

// below makes an authority that this one has issued.
func (a *authority) below(wishes ...wish) *authority {
	key, c := newKey(), template(nil, append(wishes, asAuthority))
	cert := signed(c, a.cert, key, a.key)
	return &authority{cert: cert, key: key, from: append([]*x509.Certificate{cert}, a.from...)}
}

// issue makes a certificate, and the chain above it.
func (a *authority) issue(names []string, wishes ...wish) []*x509.Certificate {
	cert := signed(template(names, wishes), a.cert, newKey(), a.key)
	return append([]*x509.Certificate{cert}, a.from...)
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func selfSigned(names []string, wishes ...wish) []*x509.Certificate {
	key, c := newKey(), template(names, wishes)
	return []*x509.Certificate{signed(c, c, key, key)}
}

// public is the authority whose root the tests trust, with one between.
var (
	public  = newAuthority()
	between = public.below()
)

// A rig is a Trust with its surroundings.
type rig struct {
	t   *testing.T
	c   Config
	z   *zone
	p   *policies
	m   *Memory
	the *Trust

	named []string // what the operator says of the MX at other
}

// newRig makes one of a domain with one MX, insecure, in mode enforce.
func newRig(t *testing.T) *rig {
	r := &rig{t: t, z: newZone(), p: newPolicies(), m: NewMemory()}
	r.c = Config{Enforce: true, DNS: r.z, DANE: true, STS: r.p, Roots: public.pool()}
	r.z.set(domain, dns.TypeMX, mxs(mx1)).set(mx1, dns.TypeA, addrs(at1)).set(mx2, dns.TypeA, addrs(at2))
	return r
}

// signed makes all of the DNS secure, with TLSA records of the first MX.
func (r *rig) dane(records ...dns.TLSA) *rig {
	r.z.set(domain, dns.TypeMX, secure(mxs(mx1))).set(mx1, dns.TypeA, secure(addrs(at1))).set(mx2, dns.TypeA, secure(addrs(at2)))
	if len(records) > 0 {
		r.z.set(port+mx1, dns.TypeTLSA, secure(tlsas(records...)))
	}
	return r
}

func (r *rig) trust() *Trust {
	if r.the == nil {
		r.the = New(r.c, r.m)
		r.t.Cleanup(r.the.Close)
	}
	return r.the
}

func question(mx netip.AddrPort) session.TrustQuestion {
	return session.TrustQuestion{Domain: domain, MX: mx, Source: netip.MustParseAddr("10.0.0.1"), Sender: "a@tenant.example", By: "tenant"}
}

// question is question, with what the operator says.
func (r *rig) question(mx netip.AddrPort) session.TrustQuestion {
	q := question(mx)
	if r.named != nil {
		q.Rule = session.Destination{TLS: session.TLSVerify, Names: r.named}
	}
	return q
}

// need waits for what the domain asks.
func (r *rig) need(mx netip.AddrPort) session.Need { return wait(r.trust().Need(r.question(mx))) }

func wait(n session.Need) session.Need {
	if ready := n.Ready(); ready != nil {
		<-ready
	}
	return n
}

// A shown is how a leg is to be.
type shown func(*session.TrustLeg)

func sni(name string) shown { return func(l *session.TrustLeg) { l.ServerName = name } }
func resumed(l *session.TrustLeg) {
	l.TLS.DidResume = true
}

func version(v uint16) shown { return func(l *session.TrustLeg) { l.TLS.Version = v } }

func plainText(mx netip.AddrPort, offered bool, failed string) session.TrustLeg {
	return session.TrustLeg{MX: mx, Now: time.Now(), Offered: offered, Failed: failed}
}

func with(mx netip.AddrPort, chain []*x509.Certificate, how ...shown) session.TrustLeg {
	l := session.TrustLeg{MX: mx, Now: time.Now(), Offered: true, TLS: &tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: chain, HandshakeComplete: true}}
	for _, h := range how {
		h(&l)
	}
	return l
}

// judge is the last word on a leg: with what is asked for anew, if that is offered.
func judge(n session.Need, l session.TrustLeg) session.Verdict {
	v := n.Judge(l)
	if v.Anew != nil {
		v = wait(v.Anew).Judge(l)
	}
	return v
}

// passes wants a leg to pass, under a policy.
func (r *rig) passes(l session.TrustLeg, policy event.TrustPolicy) session.Verdict {
	r.t.Helper()
	v := judge(r.need(l.MX), l)
	if !v.Pass || v.Told == nil || v.Told.Policy != policy || v.Told.Verdict == event.TrustRefused || v.Say.Code() != 0 {
		r.t.Errorf("want it to pass as %s: %s", policy, text(v))
	}
	return v
}

// refuses wants a leg to be refused, for a reason.
func (r *rig) refuses(l session.TrustLeg, why event.TrustReason) session.Verdict {
	r.t.Helper()
	v := judge(r.need(l.MX), l)
	enhanced := "4.7.5"
	if why == event.DNSFailed || why == event.DNSSECInvalid {
		enhanced = "4.4.3"
	}
	reply := v.Say.Reply("")
	if v.Pass || v.Told == nil || v.Told.Why != why || v.Told.Verdict != event.TrustRefused || v.Say.Code() != 451 || reply.Enhanced() != enhanced {
		r.t.Errorf("want it to be refused, %s: %s", why, text(v))
	}
	return v
}

func text(v session.Verdict) string {
	s := "refused: " + v.Say.String()
	if v.Pass {
		s = "passes"
	}
	if v.Told != nil {
		s += ", " + v.Told.Policy.String() + " " + v.Told.Verdict.String() + " " + v.Told.Why.String() + " " + v.Told.Name + " (" + v.Told.Detail + ")"
	}
	return s + ", shows " + v.ServerName
}
