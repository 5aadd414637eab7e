package trust

import (
	"crypto/tls"

	"kanmon/internal/session"
	"kanmon/internal/who/share"
)

// A passed is a leg that mode observe, which waits for nobody, has let pass before it was known what the domain asks. It is judged when that is
// known, so that a domain whose mail is rare is seen, too: each of its mails may come when what was known of it is out of date.
type passed struct {
	leg session.TrustLeg
	by  string
}

const mostChain = 32 << 10 // octets of certificates of a leg that is judged later: few MXs have more than 6 KiB

// Legs that are judged later.
var passedBounds = share.Bounds{Most: 512, Reserve: 512}

// judgeLater has a leg judged when it is known what is asked: the first one of each look-up.
func (n *need) judgeLater(l *session.TrustLeg) {
	leg := *l
	if l.TLS != nil {
		size := 0
		for _, c := range l.TLS.PeerCertificates {
			size += len(c.Raw)
		}
		if size > mostChain {
			return
		}
		leg.TLS = &tls.ConnectionState{Version: l.TLS.Version, DidResume: l.TLS.DidResume, PeerCertificates: l.TLS.PeerCertificates}
	}
	if p := (&passed{leg, n.by}); !n.t.later(n, p) {
		n.t.judge(n, &p.leg)
	}
}

// later keeps a leg until a look-up is over. It reports false if that is over.
func (t *Trust) later(n *need, p *passed) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flights[n.of.key] != n {
		return false
	}
	if n.passed == nil && t.passed.Take(p.by, passedBounds) {
		n.passed = p
	}
	return true
}

// judgeNow judges a leg that was kept; nil: none was.
func (t *Trust) judgeNow(n *need, p *passed) {
	if p == nil {
		return
	}
	t.mu.Lock()
	t.passed.Give(p.by)
	t.mu.Unlock()
	if t.ctx.Err() == nil { // else nobody was asked to the end
		t.judge(n, &p.leg)
	}
}

// judge notes what comes of a leg by what is known now.
func (t *Trust) judge(n *need, l *session.TrustLeg) {
	k := n.known.Load()
	j := t.rules.judge(k, l)
	v := t.verdict(n.of.domain, k, l, &j, true)
	n.note(n.of.domain, l, &v, &j)
}
