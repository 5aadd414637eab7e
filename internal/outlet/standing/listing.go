package standing

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/event"
)

// A Check asks a public list about an IP. An error means that the answer is not known; it is neither yes nor no.
type Check interface {
	Listed(ctx context.Context, ip netip.Addr, zone string) (bool, error)
}

const (
	listingKept  = 24 * time.Hour // without any answer from the list: then it counts as gone
	reasonListed = "on a public list"
)

// Found takes what somebody else has found by asking a list, as if the Book had asked. Of a listing only what is news suspends: one that an
// operator has resumed is not suspended again, as long as the list has not let go of it.
func (b *Book) Found(ip netip.Addr, l List, listed, news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ip, now := ip.Unmap(), b.clock()
	if listed && news {
		b.confirmWhole(ip, l, now)
	}
	if w := b.entry(Key{ip, Every}); listed && (w == nil || w.list(l) == nil) {
		return
	}
	b.learn(ip, l, listed, now)
}

// learn takes what a question of our own has found. A listing holds until it is found to be over, or nothing is heard of it for long.
func (b *Book) learn(ip netip.Addr, l List, listed bool, now time.Time) {
	if !listed {
		b.delist(ip, l, now)
		return
	}
	b.confirm(ip, l, now)
	if w := b.entry(Key{ip, Every}); w != nil && !w.byHand() {
		w.Since, w.Until = now, now.Add(listingKept)
		b.markDirty(w.Key)
	}
}

// confirm notes a listing that our own query found, with all that have named it.
func (b *Book) confirm(ip netip.Addr, l List, now time.Time) {
	at := b.ips[ip]
	if at == nil {
		return
	}
	for _, e := range at.keys {
		b.confirmOf(e, l)
	}
	b.confirmWhole(ip, l, now)
}

func (b *Book) confirmOf(e *entry, l List) {
	if known := e.list(l); known != nil && !known.Confirmed {
		known.Confirmed = true
		b.markDirty(e.Key)
	}
}

// confirmWhole has a listing on a strong list, once our own query has found it, stand for the whole IP.
func (b *Book) confirmWhole(ip netip.Addr, l List, now time.Time) {
	l.Confirmed = true
	if l.Weight != event.WeightStrong {
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

// wholeOf returns the standing of the whole IP, if there is one that has not run out.
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
	if e.part() || w == nil || w.byHand() || b.policy(e.Provider).IgnoreLists || !e.addLists(w.Lists) {
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
