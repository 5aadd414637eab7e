package sts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/share"
)

const (
	recordPrefix = "_mta-sts."
	flightTime   = 60 * time.Second // of a lookup until its policy is fetched: the record, and waiting for a place
	mostErr      = 300              // octets of an error that are kept: it may be of strangers' text, and hold their certificates
)

// A flight is one lookup of a domain, which all share who want to know. All but the channels is guarded by Keeper.mu.
type flight struct {
	domain, by string              // by has begun it
	wanted     share.Party[string] // who want to know
	payer      string              // whose place at the policy hosts it has
	behind     bool                // nobody waits for it
	renew      bool                // the policy is fetched although its id is the same
	refresh    bool                // so is it: it is time to
	order      bool                // although that was tried just now, too: a person says so
	void       bool                // a person has had the domain forgotten meanwhile
	place      chan struct{}       // closed when it has a place at the policy hosts
	done       chan struct{}
}

// A landing is what a flight brings.
type landing struct {
	id       string // of the one valid record; "": there is none
	recorded error  // why not
	answered bool
	until    time.Duration // for how long DNS's answer holds

	tried  bool // to fetch the policy
	policy *Policy
	why    event.TrustReason
	err    error
}

// begin begins a lookup, or adds what is wanted to the one that is under way. Nil: there is no place for it. It is called with mu held.
func (k *Keeper) begin(domain, by string, want flight) *flight {
	f := k.flights[domain]
	if f != nil {
		f.renew, f.refresh, f.order = f.renew || want.renew, f.refresh || want.refresh, f.order || want.order
		k.join(f, by)
		return f
	}
	places, bounds := &k.waited, flightBounds
	if want.behind {
		places, bounds = &k.behind, behindBounds
	}
	if k.closed || !places.Take(by, bounds) {
		return nil
	}
	f = &flight{
		domain: strings.Clone(domain), by: strings.Clone(by), // they may be part of something large
		behind: want.behind, renew: want.renew, refresh: want.refresh, order: want.order,
		place: make(chan struct{}), done: make(chan struct{}),
	}
	f.wanted.Join(f.by)
	k.flights[f.domain] = f
	k.tasks.Go(func() { k.fly(f) })
	return f
}

// join adds who wants to know: what waits in the part of another one goes on in his.
func (k *Keeper) join(f *flight, by string) {
	f.wanted.Join(strings.Clone(by))
	if i := slices.Index(k.queue, f); i >= 0 && k.seat(f) {
		k.queue = slices.Delete(k.queue, i, i+1)
	}
}

// nextOf says in whose part a flight asks DNS next.
func (k *Keeper) nextOf(f *flight) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return f.wanted.Next()
}

func (k *Keeper) fly(f *flight) {
	ctx, cancel := context.WithTimeout(k.ctx, flightTime)
	defer cancel()
	l := k.heard(k.o.Resolver.Texts(ctx, recordPrefix+f.domain, func() string { return k.nextOf(f) }))
	for !k.land(f, &l) {
		k.fetchFor(ctx, f, &l)
	}
}

// heard reads what DNS says.
func (k *Keeper) heard(t Texts) landing {
	l := landing{answered: t.Answered, recorded: t.Err, until: min(max(t.Until.Sub(k.o.Clock()), soonest), latest)}
	if t.Answered {
		l.id, l.recorded = readRecord(t.All)
	}
	return l
}

// land keeps what a flight has brought and ends it, unless the policy must be fetched first.
func (k *Keeper) land(f *flight, l *landing) (landed bool) {
	k.mu.Lock()
	now := k.now()
	if k.wants(f, l, now) {
		k.mu.Unlock()
		return false
	}
	stale := false
	if !f.void {
		stale = k.settle(f, l, now)
	}
	delete(k.flights, f.domain)
	if f.behind {
		k.behind.Give(f.by)
	} else {
		k.waited.Give(f.by)
	}
	left, tell, why := 0, false, error(nil)
	if stale {
		e := k.find(f.domain)
		why = e.err
		left, tell = k.tell(e.why, now)
	}
	k.mu.Unlock()
	if tell { // RFC 8461 section 10.2
		k.o.Log.Warn("an MTA-STS policy cannot be renewed, and more than half of its time is over; it counts until its end",
			"domain", f.domain, "error", why, "left_out", left)
	}
	close(f.done)
	return true
}

// wants reports whether the policy must be fetched. Without a valid record that is never done, for a policy that is kept neither, nor because a
// person says so: no host is asked that does not say by the DNS that it has a policy (RFC 8461 section 3.1).
func (k *Keeper) wants(f *flight, l *landing, now time.Time) bool {
	e := k.find(f.domain)
	switch held := e.holds(now); {
	case l.tried, f.void, k.closed, l.id == "":
		return false
	case f.order, e == nil:
		return true
	case l.id == e.failed && now.Before(e.retry):
		return false
	case !held:
		return !now.Before(e.fetched.Add(fetchedApart))
	case l.id != e.policy.ID, f.refresh:
		return true
	}
	return f.renew && !now.Before(e.renewable)
}

// settle keeps what a flight has brought. It reports whether a policy has not been renewed that is half over.
func (k *Keeper) settle(f *flight, l *landing, now time.Time) (stale bool) {
	e := k.find(f.domain)
	if e == nil {
		e = &entry{domain: f.domain, owner: f.by, used: dayOf(now), stored: k.dirty[f.domain]}
	}
	held := e.holds(now)
	e.again = now.Add(l.until)
	switch {
	case l.policy != nil:
		k.keep(e, l, now)
		return false
	case l.tried:
		k.failed(e, f, l, now)
	case !l.answered:
		e.why, e.err, e.crowded = event.DNSFailed, brief(l.recorded), f.by
	case l.id == "":
		e.why, e.err = event.TrustWhyNot, brief(l.recorded)
	case l.id == e.failed && now.Before(e.retry): // and it is known why
		e.again = earlier(e.again, e.retry)
	case !held: // its last policy was one for a moment
		e.again = earlier(e.again, e.fetched.Add(fetchedApart))
		e.why, e.err = event.TrustWhyNot, nil
	default:
		e.why, e.err = event.TrustWhyNot, nil
	}
	switch {
	case !held:
		k.dismiss(e)
		return false
	case !f.refresh:
		return false
	}
	e.putOff(now)
	return e.policy.Mode != None && e.ends.Sub(now) < e.policy.MaxAge/2
}

// keep takes a policy that was fetched.
func (k *Keeper) keep(e *entry, l *landing, now time.Time) {
	p, before := l.policy, e.policy
	p.ID = l.id
	p.Fetched = k.o.Clock().Round(0)
	p.Until = p.Fetched.Add(p.MaxAge)
	e.take(p, now)
	e.why, e.err, e.failed = event.TrustWhyNot, nil, ""
	e.renewable = now.Add(fetchedApart)
	if before != nil && before.Mode == p.Mode && slices.Equal(before.MX, p.MX) {
		e.renewable = now.Add(failedFor)
	}
	if p.MaxAge == 0 {
		e.failed, e.retry, e.again = l.id, now.Add(failedFor), earlier(e.again, now.Add(failedFor))
		e.err = errors.New("the policy has max_age 0: it ended when it was fetched")
	}
	switch {
	case !e.holds(now):
		k.dismiss(e)
	case k.shelf.put(e, e.units == 0 || (e.shelf == Enforce) != (p.Mode == Enforce)):
		k.passing.Delete(e.domain)
		k.markDirty(e)
		k.writeSoon()
	case p.size() < unit: // not for long, perhaps, and not beyond the process
		k.passing.Put(e.domain, e, e.owner)
		k.markDirty(e)
	default:
		k.dismiss(e)
		e.err = ErrNoRoom
	}
}

// failed notes that a policy was not fetched.
func (k *Keeper) failed(e *entry, f *flight, l *landing, now time.Time) {
	held := e.holds(now)
	if e.why, e.err = l.why, brief(l.err); errors.Is(l.err, ErrBusy) {
		e.again, e.err, e.crowded = now.Add(busyFor), ErrBusy, f.by
		return
	}
	e.failed, e.retry = l.id, now.Add(failedFor)
	e.renewable = e.retry
	if !held {
		e.again = earlier(e.again, e.retry)
	}
}

// dismiss has an entry without a policy remembered among the others.
func (k *Keeper) dismiss(e *entry) {
	k.shelf.remove(e)
	e.policy = nil
	k.passing.Put(e.domain, e, e.owner)
	k.markDirty(e)
}

// brief keeps of an error what people can read.
func brief(err error) error {
	if err == nil || errors.Is(err, ErrBusy) || errors.Is(err, errNoRecord) {
		return err
	}
	return errors.New(event.Printable(err.Error(), mostErr))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// fetchFor fetches the policy as soon as there is a place. That takes its own time: who has waited for long has as much as others.
func (k *Keeper) fetchFor(ctx context.Context, f *flight, l *landing) {
	l.tried = true
	if !k.board(ctx, f) {
		k.mu.Lock()
		k.refused++
		k.mu.Unlock()
		l.err = ErrBusy
		return
	}
	l.policy, l.why, l.err = k.fetcher.fetch(k.ctx, f.domain, func() string { return k.nextOf(f) })
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetched[l.why]++
	k.leave(f)
}

// board waits for a place, and reports whether there was one in time.
func (k *Keeper) board(ctx context.Context, f *flight) bool {
	k.mu.Lock()
	if !k.seat(f) {
		k.queue = append(k.queue, f)
	}
	k.mu.Unlock()
	select {
	case <-f.place:
		return true
	case <-ctx.Done():
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.Index(k.queue, f)
	if i >= 0 {
		k.queue = slices.Delete(k.queue, i, i+1)
	}
	return i < 0 // it was given one just now
}

// seat gives a flight a place, if one of those who want to know may have one. It is called with mu held.
func (k *Keeper) seat(f *flight) (seated bool) {
	if f.payer, seated = f.wanted.Take(&k.fetches, fetchBounds); seated {
		close(f.place)
	}
	return seated
}

// leave gives a place back, to whoever has waited longest of those who may have one. It is called with mu held.
func (k *Keeper) leave(f *flight) {
	k.fetches.Give(f.payer)
	k.queue = slices.DeleteFunc(k.queue, k.seat)
}
