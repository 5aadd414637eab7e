package standing

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Check asks a public list about an IP. An error means that the answer is not known; it is neither yes nor no.
type Check interface {
	Listed(ctx context.Context, ip netip.Addr, zone string) (bool, error)
}

// Times and bounds of checks. What is known of a list is asked again at most this often, however many replies name it.
const (
	checkAgain   = 30 * time.Minute // after an answer: lists change within hours, and limit who asks too much
	checkFailed  = 5 * time.Minute  // after none
	checkTime    = 10 * time.Second // that one check may take
	checkSweep   = time.Minute      // how often is looked what to ask again
	listingKept  = 24 * time.Hour   // without any answer from the list: then it counts as gone
	maxChecks    = 1024             // that are known or wait
	reasonListed = "on a public list"
)

type question struct {
	ip   netip.Addr
	zone string
}

type answer struct {
	list    List
	listed  bool
	waiting bool
	again   time.Time
}

// ask has a list asked about an IP, unless the answer is known.
func (b *Book) ask(ip netip.Addr, l List, now time.Time) {
	if b.check == nil || l.Weight == "closed" || !isZone(l.Zone) {
		return
	}
	q := question{ip, l.Zone}
	a := b.checks[q]
	if a == nil {
		if len(b.checks) >= maxChecks {
			return
		}
		a = &answer{list: l}
		b.checks[q] = a
	}
	if wait := a.again.Sub(now); a.waiting || wait > 0 && wait <= checkAgain {
		if a.listed {
			b.confirm(ip, l, now)
		}
		return
	}
	select {
	case b.queries <- q:
		a.waiting = true
	default: // full: the sweep comes back to it
	}
}

// isZone keeps out of a DNS query what is no domain name, wherever it came from.
func isZone(zone string) bool {
	if len(zone) > 180 || !strings.Contains(zone, ".") || strings.Contains(zone, "..") || strings.Trim(zone, ".") != zone {
		return false
	}
	return strings.IndexFunc(zone, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}) < 0
}

// checkLoop asks one list at a time.
func (b *Book) checkLoop() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-b.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(checkSweep)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
			b.askAgain()
		case q := <-b.queries:
			limited, done := context.WithTimeout(ctx, checkTime)
			listed, err := b.check.Listed(limited, q.ip, q.zone)
			done()
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				b.log.Info("block list not reached", "ip", q.ip, "zone", q.zone, "error", err)
			}
			b.answered(q, listed, err)
		}
	}
}

// askAgain asks about every listing that matters still, and forgets answers that nobody needs.
func (b *Book) askAgain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	for q, a := range b.checks {
		if age := now.Sub(a.again); !a.waiting && (age >= 0 || age < -checkAgain) {
			delete(b.checks, q)
		}
	}
	for ip, at := range b.ips {
		if whole := b.wholeOf(ip, now); whole != nil {
			for _, l := range whole.Lists {
				b.ask(ip, l, now)
			}
		}
		for _, e := range at.keys {
			if e.State == Suspended && !e.byHand() {
				for _, l := range e.Lists {
					b.ask(ip, l, now)
				}
			}
		}
	}
}

func (b *Book) answered(q question, listed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.checks[q]
	if a == nil {
		return
	}
	now := b.clock()
	a.waiting, a.listed, a.again = false, listed && err == nil, now.Add(checkAgain)
	switch {
	case err != nil:
		a.again = now.Add(checkFailed)
	case listed:
		b.confirm(q.ip, a.list, now)
		if w := b.entry(Key{q.ip, Every}); w != nil && !w.byHand() {
			w.Since, w.Until = now, now.Add(listingKept)
			b.markDirty(w.Key)
		}
	default:
		b.delist(q.ip, a.list, now)
	}
}

// confirm notes a listing that our own query found. One on a strong list stands for the whole IP from then on.
func (b *Book) confirm(ip netip.Addr, l List, now time.Time) {
	l.Confirmed = true
	at := b.ips[ip]
	if at == nil {
		return
	}
	for _, e := range at.keys {
		if known := e.list(l); known != nil && !known.Confirmed {
			known.Confirmed = true
			b.markDirty(e.Key)
		}
	}
	if l.Weight != "strong" {
		return
	}
	w := b.entryFor(Key{ip, Every}, now)
	fresh := w.addLists([]List{l})
	switch {
	case w.byHand():
		b.markDirty(w.Key)
	case fresh:
		w.Reason, w.By = reasonListed, ByCheck
		b.set(w, now, Suspended, listingKept)
	}
}

// delist undoes a listing that our own query had found, and now finds no more: what was suspended is probed at once. One
// that was never found is left alone: the reply said something else, and it is the reply that suspended.
func (b *Book) delist(ip netip.Addr, l List, now time.Time) {
	at := b.ips[ip]
	if at == nil {
		return
	}
	for _, e := range at.keys {
		if !e.drop(l) {
			continue
		}
		b.markDirty(e.Key)
		if e.State == Suspended && !e.byHand() && !slices.ContainsFunc(e.Lists, func(l List) bool { return l.Confirmed }) {
			e.Reason = "no longer on " + l.String()
			b.set(e, now, Suspended, 0)
		}
	}
	if w := at.whole; w != nil && w.drop(l) {
		b.markDirty(w.Key)
		if len(w.Lists) == 0 && !w.byHand() {
			b.lift(w, now, "delisted")
		}
	}
}

// drop forgets a confirmed listing.
func (e *entry) drop(l List) bool {
	known := e.list(l)
	if known == nil || !known.Confirmed {
		return false
	}
	name := l.String()
	e.Lists = slices.DeleteFunc(slices.Clone(e.Lists), func(l List) bool { return l.String() == name })
	return true
}

// wholeOf gives the standing of the whole IP, if there is one that has not run out.
func (b *Book) wholeOf(ip netip.Addr, now time.Time) *entry {
	at := b.ips[ip]
	if at == nil || at.whole == nil {
		return nil
	}
	w := at.whole
	b.adjust(w, now)
	if w.State == Stopped || now.Before(w.Until) {
		return w
	}
	if w.byHand() && len(w.Lists) > 0 { // the operator's word is over, the listing is not
		w.Reason, w.By = reasonListed, ByCheck
		b.set(w, now, Suspended, listingKept)
		return w
	}
	b.lift(w, now, "over")
	return nil
}

func (b *Book) lift(w *entry, now time.Time, reason string) {
	w.Reason, w.Lists = reason, nil
	b.set(w, now, Active, 0)
	b.forget(w)
}

// judge suspends a provider's key because the whole IP is on a public list: once for each list. What then becomes of it,
// its own probes decide.
func (b *Book) judge(e *entry, now time.Time) {
	w := b.ips[e.IP].whole
	if w == nil || w.byHand() || b.policy(e.Provider).IgnoreLists || !e.addLists(w.Lists) {
		return
	}
	if e.State != Active && e.State != Slowed {
		b.markDirty(e.Key)
		return
	}
	p := b.policy(e.Provider)
	e.forgetStrikes(p.Forget, now)
	e.Strikes++
	e.Length = b.bounded(e, max(p.ListedFirst, 2*e.Length))
	e.Reason, e.Rule, e.Sample, e.By = reasonListed, "", "", ByCheck
	b.set(e, now, Suspended, e.Length)
}
