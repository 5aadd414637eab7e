package trust

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
)

// rules are what of a configuration decides.
type rules struct {
	hold  bool // what nobody knows is refused
	roots *x509.CertPool
}

// A judged is what comes of a leg, before anybody is told.
type judged struct {
	pass   bool
	policy event.TrustPolicy
	why    event.TrustReason // without pass
	detail string            // why, for people
	name   string            // of the MX that was proved, or was to be
	named  bool              // the certificate is for that name: it may be shown to the MX from now on
	shows  string            // without pass: the name that another connection should show; "": none
	fresh  bool              // without pass: another connection without a ticket may do better
	here   bool              // the address is one of the domain's
	until  time.Time
}

// A leg is what is judged: what an MX has shown, against what a domain asks.
type leg struct {
	*session.TrustLeg
	r     *rules
	k     *known
	mx    netip.Addr
	chain *chain
	from  []*host // the domain's, the MX's own first
	own   int     // of from: that have the MX's address
}

// judge says what comes of a leg.
func (r *rules) judge(k *known, l *session.TrustLeg) judged {
	mx := l.MX.Addr().Unmap()
	from, own := k.candidates(mx)
	g := &leg{TrustLeg: l, r: r, k: k, mx: mx, from: from, own: own, chain: &chain{}}
	if l.TLS != nil {
		g.chain = newChain(l.TLS.PeerCertificates, l.Now)
	}
	j := g.judge()
	j.here = own > 0
	if j.until.IsZero() || k.until.Before(j.until) {
		j.until = k.until
	}
	if !j.pass && l.TLS != nil && l.TLS.DidResume { // Go hands out the certificate of the first handshake: it may be another by now
		switch j.why {
		case event.HostMismatch, event.NotTrusted, event.Expired, event.ValidationFailure, event.NoMX:
			j.fresh = true
		}
	}
	return j
}

// judge asks DANE before MTA-STS, which never saves what DANE refuses (RFC 8461 section 2).
func (g *leg) judge() judged {
	encrypted, unknown := false, false
	switch g.k.dane {
	case daneUnknown:
		if unknown = true; g.r.hold {
			return g.unknown(event.TrustUnknown, g.k.bogus, g.k.err)
		}
	case daneHosts:
		if j, decided := g.byDANE(); decided {
			return j
		}
		asked := g.strictest()
		encrypted, unknown = asked == asksTLS, asked == asksUnknown
	}
	if encrypted && g.TLS == nil {
		return g.plain(event.TrustEncrypted)
	}
	j := judged{pass: true, policy: event.TrustNone}
	switch p := g.k.asked(); {
	case g.k.domain == "":
		return g.byName()
	case p != nil:
		return g.bySTS(p)
	case encrypted:
		j.policy = event.TrustEncrypted
	case unknown:
		j.policy, j.why = event.TrustUnknown, event.DNSFailed
	case !g.k.sts.Known:
		j.policy = event.TrustUnknown
	}
	return j
}

// byDANE decides where DANE does: one host whose records the chain is suffices; else the strictest of those at this address.
func (g *leg) byDANE() (j judged, decided bool) {
	worst := judged{policy: event.TrustDANE}
	var bases []string
	for i, h := range g.from {
		if h.asks != asksDANE {
			continue
		}
		one := g.hostByDANE(h)
		if one.pass {
			return one, true
		}
		if worst.name == "" {
			worst = one
		}
		if i < g.own || len(bases) == 0 {
			bases = append(bases, h.base)
		}
	}
	if worst.why != event.TooOld {
		worst.shows = g.another(bases...)
	}
	asked := g.strictest()
	switch {
	case asked == asksDANE && g.own == 0 && g.k.isForeign(g.mx) && g.k.domain != "":
		worst.why, worst.detail = event.NoMX, g.foreign()
		return worst, true
	case asked == asksDANE:
		return worst, true
	case asked == asksUnknown && g.r.hold && g.k.domain != "":
		bogus, err := g.whyUnknown()
		return g.unknown(event.TrustUnknown, bogus, err), true
	case asked == asksTLS && g.own == 0 && g.k.domain != "":
		return judged{policy: event.TrustEncrypted, why: event.NoMX, detail: g.foreign()}, true
	}
	return judged{}, false
}

// strictest is what DANE asks of this address. Of one that is none of the domain's a sender who validates would never have heard: it is
// asked whatever any host is asked.
func (g *leg) strictest() (asked asks) {
	hosts := g.from[:g.own]
	if g.own == 0 {
		hosts = g.from
		if g.k.more {
			asked = asksUnknown
		}
	}
	for _, h := range hosts {
		if g.r.rank(h.asks) > g.r.rank(asked) {
			asked = h.asks
		}
	}
	return asked
}

// rank orders what hosts ask. What nobody knows is less than anything known where it is let pass.
func (r *rules) rank(a asks) int {
	if !r.hold {
		return [...]int{asksNothing: 0, asksUnknown: 1, asksTLS: 2, asksDANE: 3}[a]
	}
	return int(a)
}

// hostByDANE asks a chain for one host's records.
func (g *leg) hostByDANE(h *host) judged {
	j := judged{policy: event.TrustDANE, name: h.name}
	if bad, is := g.poor(event.TrustDANE); is {
		bad.name = h.name
		return bad
	}
	p := g.k.proveDANE(g.chain, h)
	j.pass, j.why, j.until = p.ok, p.why, p.until
	if p.ok {
		if j.named = g.chain.names(h.base); j.named {
			j.name = h.base
		}
		return j
	}
	switch p.why {
	case event.ValidationFailure:
		j.detail = fmt.Sprintf("the certificate of MX %s matches no TLSA record of %s", g.mx, h.base)
	default:
		j.detail = g.blame(p)
	}
	return j
}

// bySTS decides where MTA-STS does: one MX name that the policy allows and the certificate is for (RFC 8461 section 4.1).
func (g *leg) bySTS(p *sts.Policy) judged {
	policy := event.TrustSTS
	if p.Mode == sts.Testing {
		policy = event.TrustTesting
	}
	allowed, names := 0, []string(nil)
	for i, h := range g.from {
		if p.Allows(h.name) {
			names = append(names, h.name)
			if i < g.own {
				allowed++
			}
		}
	}
	switch {
	case g.k.failed:
		return g.unknown(policy, g.k.bogus, g.k.err)
	case g.k.noMail:
		return judged{policy: policy, why: event.NoMX, detail: "it has no MX and takes no mail"}
	case len(names) == 0 || g.own > 0 && allowed == 0 && !g.provesOne(names):
		return judged{policy: policy, why: event.NotInPolicy, name: g.first(), detail: fmt.Sprintf("its policy does not have MX %s", g.first())}
	}
	j := g.byPKIX(policy, names, allowed)
	if !j.pass && j.why != event.TooOld && g.own == 0 && g.k.isForeign(g.mx) {
		j.why, j.detail = event.NoMX, g.foreign()
	}
	return j
}

// byName decides where the operator has named the MX.
func (g *leg) byName() judged {
	var names []string
	for _, h := range g.from {
		names = append(names, h.name)
	}
	return g.byPKIX(event.TrustNamed, names, len(names))
}

// byPKIX asks for a chain to a root that counts, and for one of the names. The best come first; so many of them are this address's own.
func (g *leg) byPKIX(policy event.TrustPolicy, names []string, own int) judged {
	if own == 0 {
		own = 1 // if the address tells nothing, the best name of all
	}
	shows := g.another(names[:min(own, len(names))]...)
	if bad, is := g.poor(policy); is {
		bad.name, bad.shows = names[0], ""
		if g.TLS == nil && g.Offered {
			bad.shows = shows
		}
		return bad
	}
	p := g.chain.verify(g.r.roots)
	for _, name := range names {
		if p.ok && g.chain.names(name) {
			return judged{pass: true, policy: policy, name: name, named: true, until: p.until}
		}
	}
	if p.ok {
		p.why = event.HostMismatch
	}
	return judged{policy: policy, why: p.why, name: names[0], detail: g.blame(p), shows: shows}
}

// provesOne reports whether the certificate is for one of the names, so that it matters whether it is good.
func (g *leg) provesOne(names []string) bool {
	if g.chain.isEmpty() {
		return false
	}
	for _, name := range names {
		if g.chain.names(name) {
			return true
		}
	}
	return false
}

// another returns the first of the names that another connection may show; "": one of them has been shown, or nothing would come of it.
func (g *leg) another(names ...string) (best string) {
	if g.TLS == nil && !g.Offered {
		return ""
	}
	for _, name := range names {
		if name == g.ServerName {
			return ""
		}
		if best == "" && !isAddress(name) { // RFC 6066 section 3
			best = name
		}
	}
	return best
}

// poor reports a leg whose certificate is not looked at.
func (g *leg) poor(policy event.TrustPolicy) (j judged, is bool) {
	switch {
	case g.TLS == nil:
		return g.plain(policy), true
	case g.TLS.Version < tls.VersionTLS12: // RFC 8461 section 4.2, RFC 8996
		return judged{policy: policy, why: event.TooOld, detail: fmt.Sprintf("MX %s has nothing newer than %s", g.mx, tls.VersionName(g.TLS.Version))}, true
	case g.chain.isEmpty():
		return judged{policy: policy, why: event.NotTrusted, detail: fmt.Sprintf("MX %s showed no certificate", g.mx)}, true
	}
	return j, false
}

// plain is the verdict on plain text.
func (g *leg) plain(policy event.TrustPolicy) judged {
	j := judged{policy: policy, why: event.NoStartTLS, name: g.first(), detail: fmt.Sprintf("MX %s offers no STARTTLS", g.mx)}
	if g.Offered {
		j.why, j.detail = event.ValidationFailure, fmt.Sprintf("TLS with MX %s failed", g.mx)
		if g.Cause.Lacked() { // our own lack: nobody is told of it as the receiver's
			j.why = event.NoCipher
		}
		switch {
		case g.Cause == event.TLSNothingInCommon:
			j.detail += ": no common cipher"
		case g.Failed != "":
			j.detail += ": " + g.Failed
		}
	}
	return j
}

// blame says for people what is wrong with the certificate.
func (g *leg) blame(p proof) string {
	switch p.why {
	case event.HostMismatch:
		return fmt.Sprintf("the certificate of MX %s is for %s", g.mx, g.chain.isFor())
	case event.Expired:
		return fmt.Sprintf("a certificate of MX %s is out of date: %v", g.mx, p.err)
	}
	return fmt.Sprintf("no trusted authority vouches for the certificate of MX %s: %v", g.mx, p.err)
}

func (g *leg) foreign() string {
	return fmt.Sprintf("%s is no MX of it; a relay must be named to the mail service", g.mx)
}

// first is the name that comes into question before all others.
func (g *leg) first() string {
	if len(g.from) == 0 {
		return ""
	}
	return g.from[0].name
}

// whyUnknown says why nobody knows what this address is asked.
func (g *leg) whyUnknown() (bogus bool, err error) {
	hosts := g.from[:g.own]
	if g.own == 0 {
		hosts = g.from
	}
	for _, h := range hosts {
		if h.asks == asksUnknown {
			return h.bogus, h.err
		}
	}
	return false, nil
}

// unknown is the verdict where the DNS gives no answer.
func (g *leg) unknown(policy event.TrustPolicy, bogus bool, err error) judged {
	j := judged{policy: policy, why: event.DNSFailed, name: g.first(), detail: "no answer"}
	if bogus {
		j.why, j.detail = event.DNSSECInvalid, "DNSSEC finds an answer forged"
	}
	if err != nil {
		j.detail += ": " + err.Error()
	}
	return j
}
