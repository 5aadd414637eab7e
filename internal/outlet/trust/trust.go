package trust

import (
	"context"
	"crypto/x509"
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/share"
)

// A Resolver asks the DNS, and says how far an answer is to be believed.
type Resolver interface {
	Ask(ctx context.Context, name string, kind dns.Kind, by string) dns.Answer
	Renew(ctx context.Context, name string, kind dns.Kind, by string) dns.Answer // no answer that is older than a minute
	Known(name string, kind dns.Kind) (dns.Answer, bool)                         // never blocks
	State() dns.State
}

// A Keeper has the policies of MTA-STS.
type Keeper interface {
	// Look never blocks; the channel is closed when the first answer is there; nil: there is nothing to wait for.
	Look(domain, by string) (sts.Found, <-chan struct{})
	// Renew fetches a policy anew; nil: that is not due.
	Renew(domain, by string) <-chan struct{}
}

// A Config is what a [Trust] is made of.
type Config struct {
	Enforce bool           // else nothing waits, nothing is refused, and what would be is told
	DNS     Resolver       // never nil
	DANE    bool           // TLSA records count
	STS     Keeper         // nil: there is no MTA-STS
	Pass    bool           // what nobody knows is let pass
	Roots   *x509.CertPool // for MTA-STS, and for names that the operator gives; nil: nothing is good

	Exempt        mailbox.Domains // of recipients
	ExemptMXs     []netip.Prefix  // what is dialled there is asked nothing: it is the operator's own
	ExemptSenders []ExemptSender
	Named         func(mx netip.Addr) *Named // what the operator says of an MX; nil: nothing

	FirstContact time.Duration // that a recipient waits for a policy of MTA-STS of which nothing is known; 0: 5 s
	Wait         time.Duration // that one waits for the DNS; 0: 15 s
}

// An ExemptSender is a sender whose mail is asked nothing, if it comes from there: reports of failures must reach who has them (RFC 8460 section 5.3).
type ExemptSender struct {
	Sender  string // as mailbox.Form gives it
	Sources []netip.Prefix
}

// A Named is who the MXs of a destination must be, as the operator says: a relay is no MX of its recipients' domains.
type Named struct{ Names []string }

// A Trust says what is asked of MXs. It implements [session.Trust].
type Trust struct {
	c      Config
	rules  rules
	memory *Memory
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	needs   *share.Map[key, *need]
	flights map[key]*need
	anew    map[key]*need
	places  share.Places[string]
}

const (
	mostNeeds    = 16_384
	firstContact = 5 * time.Second
	longestWait  = 15 * time.Second
)

// Look-ups under way. A mail can have a hundred recipients, each in a domain of its own.
var flightBounds = share.Bounds{Most: 4096, Reserve: 4096}

// A key is whose need it is.
type key struct {
	domain string
	named  *Named // then the domain is ""
	four   bool
}

// New makes a Trust. The Memory outlives it.
func New(c Config, m *Memory) *Trust {
	if c.FirstContact == 0 {
		c.FirstContact = firstContact
	}
	if c.Wait == 0 {
		c.Wait = longestWait
	}
	t := &Trust{
		c: c, rules: rules{hold: !c.Pass, roots: c.Roots}, memory: m,
		needs: share.NewMap[key, *need](mostNeeds).Until(func(n *need) bool { return n.isOver() }), flights: map[key]*need{}, anew: map[key]*need{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Close ends what is being asked, and waits for that. Sessions that have a need keep it.
func (t *Trust) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.ended.Wait()
}

// Need implements [session.Trust].
func (t *Trust) Need(q session.TrustQuestion) session.Need {
	mx := q.MX.Addr().Unmap()
	if t.c.Named != nil {
		if named := t.c.Named(mx); named != nil {
			return &namedNeed{need: t.need(key{named: named, four: mx.Is4()}, q.By), domain: q.Domain}
		}
	}
	switch {
	case q.Rule.TLS == session.TLSOff:
		return unasked{&event.Trust{Domain: q.Domain, Policy: event.TrustOverridden}}
	case q.Domain == "", q.Domain[0] == '[': // nobody, or an address: neither has a policy (RFC 8461 section 3.4)
		return unasked{}
	case t.isExempt(&q, mx):
		return unasked{&event.Trust{Domain: q.Domain, Policy: event.TrustExempt}}
	}
	return t.need(key{domain: q.Domain, four: mx.Is4()}, q.By)
}

// isExempt reports whether the operator asks nothing of the MX.
func (t *Trust) isExempt(q *session.TrustQuestion, mx netip.Addr) bool {
	if len(t.c.Exempt) > 0 && t.c.Exempt.Has(q.Domain) || within(t.c.ExemptMXs, mx) {
		return true
	}
	for i := range t.c.ExemptSenders {
		if e := &t.c.ExemptSenders[i]; e.Sender == q.Sender && within(e.Sources, q.Source.Unmap()) {
			return true
		}
	}
	return false
}

func within(networks []netip.Prefix, addr netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// An unasked is a need of nothing.
type unasked struct{ told *event.Trust }

// Ready implements [session.Need].
func (unasked) Ready() <-chan struct{} { return nil }

// Judge implements [session.Need].
func (u unasked) Judge(l session.TrustLeg) session.Verdict {
	return session.Verdict{Pass: true, Until: l.Now.Add(usableFor), Told: u.told}
}

// ServerName implements [session.Trust].
func (t *Trust) ServerName(mx netip.AddrPort) string { return t.memory.name(mx, time.Now()) }

// Proved implements [session.Trust].
func (t *Trust) Proved(mx netip.AddrPort, name string) { t.memory.learn(mx, name, time.Now()) }

// Unknown implements [session.Trust].
func (t *Trust) Unknown(mx netip.AddrPort, name string) { t.memory.forget(mx, name) }
