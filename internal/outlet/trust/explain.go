package trust

import (
	"context"
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
)

// An Explanation is each step to what a domain asks of its MXs, for people.
type Explanation struct {
	Domain   string
	Unasked  event.TrustPolicy // why nothing of the domain counts: exempt, overridden, named; TrustUnasked: it counts
	Enforce  bool
	Resolver dns.State
	DANE     bool // TLSA records would count

	MX       dns.Outcome // of the question for MX records; also Found where the operator has named the hosts
	Err      error       // with Failed
	Bogus    bool        // DNSSEC finds an answer forged
	Signed   bool        // the MX records, or their absence, are validated
	Alias    string      // where the domain leads, if it is an alias
	Null     bool        // the domain takes no mail (RFC 7505)
	Implicit bool        // the domain is its own MX
	More     bool        // there are more hosts than are looked at
	Hosts    []ExplainedHost

	Policy      *sts.Policy // of MTA-STS; nil: none
	PolicyKnown bool        // without a policy: there is none; else nobody knows
	PolicyWhy   event.TrustReason
	PolicyErr   error

	Heard, Until time.Time // when the oldest answer came, and until when all of it is used

	domain string // that is judged
	need   *need  // nil: nothing is asked, or it is unread
	unread *unread
	told   *event.Trust
}

// An ExplainedHost is one MX name of a domain.
type ExplainedHost struct {
	Name    string
	Addrs   []netip.Addr // of the family that was asked for
	Here    bool         // the address in question is one of them
	Signed  bool         // the addresses are validated
	Gone    bool         // it was answered that there are none
	Base    string       // where TLSA records were found or looked for
	Records int          // of TLSA that count, usable or not
	Usable  []dns.TLSA
	Unknown bool  // whether there are TLSA records, nobody knows
	Err     error // why not
	Allowed bool  // by the policy of MTA-STS
}

// Explain asks what a Need would be made of, and waits for it. The MX's address may have no port, or be the zero one: then IPv4 is asked for.
func (t *Trust) Explain(ctx context.Context, q session.TrustQuestion) *Explanation {
	e := &Explanation{Domain: q.Domain, domain: q.Domain, Enforce: t.c.Enforce, DANE: t.c.DANE, Resolver: t.c.DNS.State()}
	mx := q.MX.Addr().Unmap()
	if !mx.IsValid() {
		mx = netip.IPv4Unspecified()
		q.MX = netip.AddrPortFrom(mx, q.MX.Port())
	}
	of := subject{key: key{domain: q.Domain, four: mx.Is4()}}
	switch n := t.Need(q).(type) {
	case unasked:
		if e.told = n.told; n.told != nil {
			e.Unasked = n.told.Policy
		}
		if q.Domain == "" || q.Domain[0] == '[' {
			return e
		}
	case unread:
		e.unread = &n
		return e
	case *namedNeed:
		e.Unasked, of = event.TrustNamed, n.of
	}
	found := sts.Found{Known: true}
	if t.c.STS != nil && of.named == nil {
		var coming <-chan struct{}
		if found, coming = t.c.STS.Look(q.Domain, q.By); coming != nil {
			select {
			case <-coming:
				found, _ = t.c.STS.Look(q.Domain, q.By)
			case <-ctx.Done():
			}
		}
	}
	l := t.lookup(of, asker(ctx, t.c.DNS.Ask, func() string { return q.By }))
	l.aside = true
	e.Resolver = t.c.DNS.State()
	e.fill(t, of, q.By, t.explained(l, of, found), mx)
	return e
}

// explained is gather for people, who want to see the MXs although nothing is asked of them.
func (t *Trust) explained(l *lookup, of subject, found sts.Found) *known {
	if of.named != nil {
		k := l.named(of.names)
		l.hosts(k, (*lookup).where)
		return k
	}
	k := l.domain(of.domain)
	if k.dane != daneHosts {
		l.hosts(k, (*lookup).where)
	}
	k.sts = found
	return k.settle()
}

func (e *Explanation) fill(t *Trust, of subject, by string, k *known, mx netip.Addr) {
	e.MX, e.Err, e.Bogus, e.Signed, e.Alias = k.mx, k.err, k.bogus, k.dane == daneHosts, k.expanded
	e.Null, e.Implicit, e.More, e.Heard, e.Until = k.null, k.implicit, k.more, k.heard, k.until
	e.Policy, e.PolicyKnown, e.PolicyWhy, e.PolicyErr = k.sts.Policy, k.sts.Known, k.sts.Why, k.sts.Err
	for i := range k.hosts {
		h := &k.hosts[i]
		e.Hosts = append(e.Hosts, ExplainedHost{
			Name: h.name, Addrs: h.addrs, Here: h.has(mx), Signed: h.signed, Gone: h.gone, Base: h.base, Records: h.records, Usable: h.tlsa,
			Unknown: h.asks == asksUnknown, Err: h.err, Allowed: e.Policy != nil && e.Policy.Allows(h.name),
		})
	}
	if e.Unasked == event.TrustUnasked || e.Unasked == event.TrustNamed {
		e.need = &need{t: t, of: of, by: by, renewed: time.Now()}
		e.need.known.Store(k)
		e.need.settled.Store(true)
	}
}

// Judge says what would come of a leg. Nobody is told of it: no mail has been there.
func (e *Explanation) Judge(l session.TrustLeg) session.Verdict {
	if e.unread != nil {
		return e.unread.verdict(&l)
	}
	if e.need == nil {
		return unasked{e.told}.Judge(l)
	}
	if k := e.need.known.Load(); k.nothing != nil {
		return session.Verdict{Pass: true, Until: k.until, Told: k.nothing}
	}
	v, _, _ := e.need.verdict(e.domain, &l)
	return v
}
