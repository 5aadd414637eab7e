package trust

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
	"kanmon/internal/who/share"
)

// A need is what one domain asks, as it is known or is being asked. All sessions have the same one. It implements [session.Need].
type need struct {
	t       *Trust
	of      subject
	by      string              // has begun it
	wanted  share.Party[string] // who want to know, while it is being asked; guarded by Trust.mu
	ready   chan struct{}       // closed when it is known; nil: it was at once
	settled atomic.Bool         // it is known
	known   atomic.Pointer[known]
	renewed time.Time // when it was asked for anew; zero: it was not
	passed  *passed   // in mode observe: a leg that was let pass before it was known; guarded by Trust.mu
}

var (
	errPending = errors.New("the DNS has not answered in time")
	errBusy    = errors.New("too many look-ups are under way")
)

// need returns what is asked, as far as it is known, and begins to ask for the rest.
func (t *Trust) need(of subject, by string) *need {
	found, coming := sts.Found{Known: true}, (<-chan struct{})(nil)
	if t.c.STS != nil && of.named == nil {
		found, coming = t.c.STS.Look(of.domain, by)
	}
	now := time.Now()
	t.mu.Lock()
	n := t.flights[of.key]
	if n != nil {
		n.wanted.Join(by)
	} else {
		if last, kept := t.needs.Get(of.key); kept && last.holds(found, now) {
			n = last
		}
	}
	t.mu.Unlock()
	if n != nil {
		return n
	}
	return t.begin(of, by, found, coming)
}

// holds reports whether what is known may still be used, with what is known of the policy.
func (n *need) holds(found sts.Found, now time.Time) bool {
	k := n.known.Load()
	return now.Before(k.until) && k.sts.Policy == found.Policy && k.sts.Known == found.Known
}

// isOver reports whether it is of no use any more.
func (n *need) isOver() bool { return !time.Now().Before(n.known.Load().until) }

// begin makes a need of what is known already, or has it asked.
func (t *Trust) begin(of subject, by string, found sts.Found, coming <-chan struct{}) *need {
	if coming == nil || t.waitedBefore(of.key) {
		l := t.lookup(of, func(name string, kind dns.Kind) (dns.Answer, bool) { return t.c.DNS.Known(name, kind) })
		if known := t.gather(l, of, found); known != nil {
			n := &need{t: t, of: of, by: by}
			n.known.Store(known)
			n.settled.Store(true)
			t.mu.Lock()
			t.keep(n)
			t.mu.Unlock()
			return n
		}
	}
	n := &need{t: t, of: of, by: by, ready: make(chan struct{})}
	n.known.Store(t.pending(of, found, errPending))
	return t.start(n, t.flights, t.pending(of, found, errBusy), func(ctx context.Context) *known { return t.ask(ctx, n, coming) })
}

// waitedBefore reports whether somebody has waited for the domain's policy before, and it has not come yet: nobody waits twice.
func (t *Trust) waitedBefore(k key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, kept := t.needs.Get(k)
	return kept && !last.known.Load().sts.Known
}

// pending is what is known while nothing of the DNS is.
func (t *Trust) pending(of subject, found sts.Found, err error) *known {
	p := &known{domain: of.domain, failed: true, err: err, sts: found}
	switch {
	case of.named != nil:
		p = (&lookup{}).named(of.names)
	case t.c.DANE:
		p.dane = daneUnknown
	}
	return p.settle()
}

// start has somebody ask, unless somebody does already. If there is no place for that, other things decide.
func (t *Trust) start(n *need, flights map[key]*need, otherwise *known, ask func(context.Context) *known) *need {
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := flights[n.of.key]; other != nil {
		other.wanted.Join(n.by)
		return other
	}
	if t.closed || !t.places.Take(n.by, flightBounds) {
		n.known.Store(otherwise)
		n.settled.Store(true)
		close(n.ready)
		return n
	}
	n.wanted.Join(n.by)
	flights[n.of.key] = n
	t.ended.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, t.c.Wait)
		defer cancel()
		n.known.Store(ask(ctx))
		t.mu.Lock()
		t.keep(n)
		delete(flights, n.of.key)
		t.places.Give(n.by)
		later := n.passed
		n.passed = nil
		t.mu.Unlock()
		n.settled.Store(true) // last: whoever asks from now on has what is newest
		close(n.ready)
		t.judgeNow(n, later)
	})
	return n
}

// next says in whose part the DNS is asked next.
func (n *need) next() string {
	n.t.mu.Lock()
	defer n.t.mu.Unlock()
	return n.wanted.Next()
}

// ask asks the DNS, and waits for the policy.
func (t *Trust) ask(ctx context.Context, n *need, coming <-chan struct{}) *known {
	patience := time.NewTimer(t.c.FirstContact)
	defer patience.Stop()
	l := t.lookup(n.of, asker(ctx, t.c.DNS.Ask, n.next))
	l.aside = true
	k := t.gather(l, n.of, n.known.Load().sts)
	if coming != nil && !k.isDecidedByDANE() {
		n.known.Store(k)
		select {
		case <-coming:
		case <-patience.C:
		case <-ctx.Done():
		}
		k = t.withPolicy(l, k, n)
	}
	return k
}

// isDecidedByDANE reports whether every host has TLSA records to be authenticated by: then no policy is asked.
func (k *known) isDecidedByDANE() bool {
	if k.dane != daneHosts || k.more || len(k.hosts) == 0 {
		return false
	}
	for i := range k.hosts {
		if k.hosts[i].asks != asksDANE {
			return false
		}
	}
	return true
}

// withPolicy adds the policy that has come meanwhile, if one has.
func (t *Trust) withPolicy(l *lookup, k *known, n *need) *known {
	found, _ := t.c.STS.Look(n.of.domain, n.by)
	if found.Policy == k.sts.Policy && found.Known == k.sts.Known && !errors.Is(found.Err, sts.ErrBusy) {
		return k
	}
	return t.gather(l, n.of, found)
}

// lookup is how the DNS is asked for a need.
func (t *Trust) lookup(of subject, ask func(string, dns.Kind) (dns.Answer, bool)) *lookup {
	return &lookup{ask: ask, state: t.c.DNS.State, dane: t.c.DANE, four: of.four}
}

// gather asks all that has to be asked; nil: something has to be, and nobody may.
func (t *Trust) gather(l *lookup, of subject, found sts.Found) *known {
	if of.named != nil {
		return l.named(of.names)
	}
	k := &known{domain: of.domain, until: time.Now().Add(usableFor)}
	if wants := found.Policy != nil && found.Policy.Mode != sts.None; t.c.DANE || wants {
		if k = l.domain(of.domain); k == nil {
			return nil
		}
		if wants && k.dane != daneHosts && !l.hosts(k, (*lookup).where) {
			return nil
		}
	}
	k.sts = found
	return k.settle()
}

// keep keeps a need for whoever asks next; t.mu is held.
func (t *Trust) keep(n *need) {
	if k := n.known.Load(); k.isSmall() && !k.isCrowded() && time.Now().Before(k.until) {
		t.needs.Put(n.of.key, n, n.by)
	}
}

// Ready implements [session.Need].
func (n *need) Ready() <-chan struct{} {
	if n.settled.Load() || !n.t.c.Enforce && n.of.named == nil { // whom the operator names must be who it says in every mode
		return nil
	}
	return n.ready
}

// Judge implements [session.Need]. Where nothing is asked it does not allocate.
func (n *need) Judge(l session.TrustLeg) session.Verdict {
	k := n.known.Load()
	if k.nothing != nil {
		return session.Verdict{Pass: true, Until: k.until, Told: k.nothing}
	}
	return n.judge(n.of.domain, l)
}

func (n *need) judge(domain string, l session.TrustLeg) session.Verdict {
	v, j, settled := n.verdict(domain, &l)
	n.note(domain, &l, &v, &j)
	if !settled && !n.t.c.Enforce && n.of.named == nil {
		n.judgeLater(&l)
	}
	return v
}

// note notes what would have been refused.
func (n *need) note(domain string, l *session.TrustLeg, v *session.Verdict, j *judged) {
	if v.Told.Verdict == event.TrustWouldRefuse && j.policy != event.TrustTesting {
		n.t.memory.note(seen{domain: domain}, n.by, l, j)
	}
}

// verdict is judge without a note of it.
func (n *need) verdict(domain string, l *session.TrustLeg) (v session.Verdict, j judged, settled bool) {
	settled = n.settled.Load() // before what is known, which comes first
	k := n.known.Load()
	j = n.t.rules.judge(k, l)
	v = n.t.verdict(domain, k, l, &j, settled)
	if !v.Pass && n.mayBeOld(k, &j, l.Now) {
		v.Anew = &renewal{of: n, domain: domain}
	}
	return v, j, settled
}

// mayBeOld reports whether there may be something newer than what refuses.
func (n *need) mayBeOld(k *known, j *judged, now time.Time) bool {
	switch {
	case n.of.named != nil, j.why == event.DNSFailed, j.why == event.DNSSECInvalid, now.Sub(n.renewed) < anew:
		return false
	case j.here && (j.shows != "" || j.fresh):
		return false // the address is one of the domain's: another connection is the better question
	}
	return k.asked() != nil || now.Sub(k.heard) > anew
}

// A namedNeed is what the operator asks of an MX, for one domain.
type namedNeed struct {
	*need
	domain string
}

// Judge implements [session.Need].
func (n *namedNeed) Judge(l session.TrustLeg) session.Verdict { return n.judge(n.domain, l) }

// A renewal is a need as it will be when it has been asked for anew. Nobody asks before somebody waits for it.
type renewal struct {
	of     *need
	domain string
	once   sync.Once
	next   *need
}

// Ready implements [session.Need].
func (r *renewal) Ready() <-chan struct{} {
	r.once.Do(func() { r.next = r.of.t.renew(r.of) })
	return r.next.Ready()
}

// Judge implements [session.Need].
func (r *renewal) Judge(l session.TrustLeg) session.Verdict {
	r.once.Do(func() { r.next = r.of }) // nobody has waited
	return r.next.judge(r.domain, l)
}

// renew asks again for all that a need is made of.
func (t *Trust) renew(of *need) *need {
	n := &need{t: t, of: of.of, by: of.by, ready: make(chan struct{}), renewed: time.Now()}
	last := of.known.Load()
	n.known.Store(last)
	return t.start(n, t.anew, last, func(ctx context.Context) *known {
		var coming <-chan struct{}
		if t.c.STS != nil {
			coming = t.c.STS.Renew(n.of.domain, n.by)
		}
		l := t.lookup(n.of, asker(ctx, t.c.DNS.Renew, n.next))
		l.aside = true
		if coming != nil {
			select {
			case <-coming:
			case <-ctx.Done():
			}
		}
		found := last.sts
		if t.c.STS != nil {
			found, _ = t.c.STS.Look(n.of.domain, n.by)
		}
		return t.gather(l, n.of, found)
	})
}
