package trust

import (
	"context"
	"crypto/x509"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
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

	ExemptDomains mailbox.Domains // of recipients
	ExemptMXs     []netip.Prefix  // what is dialled there is asked nothing: it is the operator's own
	ExemptSources []netip.Prefix  // of MSAs
	ExemptSenders []string        // of these sources alone, as mailbox.Form gives them; none: all

	FirstContact time.Duration // that a recipient waits for a policy of MTA-STS of which nothing is known; 0: 5 s
	Wait         time.Duration // that one waits for the DNS; 0: 15 s
}

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
	passed  share.Places[string] // of legs that are judged later
}

const (
	mostNeeds    = 16_384
	firstContact = 5 * time.Second
	longestWait  = 15 * time.Second
)

// Look-ups under way. A mail can have a hundred recipients, each in a domain of its own.
var flightBounds = share.Bounds{Most: 4096, Reserve: 4096}

// A key says whose need it is.
type key struct {
	domain string
	named  *string // the first of the names that the operator says, which the configuration has; then the domain is ""
	four   bool    // the MX was dialled by IPv4
}

// A subject is what a need is of.
type subject struct {
	key
	names []string // with named: all of them
}

// nobody is what an operator says who names nobody: no MX is that.
var nobody = []string{""}

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
	switch {
	case q.Rule.TLS == session.TLSVerify:
		return &namedNeed{need: t.need(named(q.Rule.Names, mx), q.By), domain: q.Domain}
	case q.Rule.TLS == session.TLSOff:
		return unasked{&event.Trust{Domain: q.Domain, Policy: event.TrustOverridden}}
	case !q.Unreadable && (q.Domain == "" || q.Domain[0] == '['): // <postmaster>, or an address: neither has a policy (RFC 8461 section 3.4)
		return unasked{}
	case t.isExempt(&q, mx):
		return unasked{&event.Trust{Domain: q.Domain, Policy: event.TrustExempt}}
	case q.Unreadable:
		return t.unread(q.By)
	}
	return t.need(subject{key: key{domain: q.Domain, four: mx.Is4()}}, q.By)
}

// named is the subject where the operator says who the MX must be.
func named(names []string, mx netip.Addr) subject {
	if len(names) == 0 {
		names = nobody
	}
	return subject{key{named: &names[0], four: mx.Is4()}, names}
}

// unread is the need of a recipient whose domain nobody can read. An MX may guess one, and that may ask for proof: nobody gets around a policy by
// writing an address badly, whatever else is in the mail. DNS has nothing to do with it, so Pass does not count.
func (t *Trust) unread(by string) session.Need {
	if !t.c.DANE && t.c.STS == nil { // no domain asks anything
		return unasked{&event.Trust{Policy: event.TrustUnknown}}
	}
	return unread{t, by}
}

// isExempt reports whether the operator asks nothing of the MX.
func (t *Trust) isExempt(q *session.TrustQuestion, mx netip.Addr) bool {
	return t.c.ExemptDomains.Has(q.Domain) || within(t.c.ExemptMXs, mx) ||
		within(t.c.ExemptSources, q.Source.Unmap()) && (len(t.c.ExemptSenders) == 0 || slices.Contains(t.c.ExemptSenders, q.Sender))
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

// An unread is the need of a recipient who may ask for proof, for all that anybody knows.
type unread struct {
	t  *Trust
	by string // whose mail it is
}

const whyUnread = "the recipient's domain cannot be read"

// Ready implements [session.Need].
func (unread) Ready() <-chan struct{} { return nil }

// Judge implements [session.Need].
func (u unread) Judge(l session.TrustLeg) session.Verdict {
	v := u.verdict(&l)
	if v.Told.Verdict == event.TrustWouldRefuse {
		u.t.memory.note(seen{of: u.by}, u.by, &l, &judged{policy: v.Told.Policy, why: v.Told.Why, detail: v.Told.Detail})
	}
	return v
}

// verdict is Judge without a note of it.
func (u unread) verdict(l *session.TrustLeg) session.Verdict {
	told := &event.Trust{Policy: event.TrustUnknown, Verdict: event.TrustRefused, Why: event.UnreadableRcpt, ServerName: l.ServerName, Detail: whyUnread}
	if !u.t.c.Enforce {
		told.Verdict = event.TrustWouldRefuse
		return session.Verdict{Pass: true, Until: l.Now.Add(usableFor), Told: told}
	}
	return session.Verdict{Say: replies.TLSUnreadable.Say(), Told: told}
}

// ServerName implements [session.Trust].
func (t *Trust) ServerName(mx netip.AddrPort) string { return t.memory.name(mx, time.Now()) }

// Proved implements [session.Trust].
func (t *Trust) Proved(mx netip.AddrPort, name string) { t.memory.learn(mx, name, time.Now()) }

// Unknown implements [session.Trust].
func (t *Trust) Unknown(mx netip.AddrPort, name string) { t.memory.forget(mx, name) }
