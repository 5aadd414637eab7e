package standing

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"kanmon/internal/who/share"
)

// An address is what is known of a sending IP: as a whole, which is rare, and by provider.
type address struct {
	whole *entry
	keys  map[string]*entry
	parts int // of keys, those of parts of providers
}

// blameless reports that neither the whole IP nor this entry of it, if there is one, is anything but active.
func (a *address) blameless(e *entry) bool { return a.whole == nil && (e == nil || e.State == Active) }

// An entry is a standing and what led to it.
type entry struct {
	Standing
	listed, refused, throttled meter

	// What was heard from the provider lately, for Numbers.RefusedPart. Accepted counts under the reading lock.
	accepted, refusals atomic.Int64
	counted            time.Time

	successes int    // since share or state were set
	sole      *sole  // while suspended by one message's refusal; nil: by more, or nobody knows
	probe     uint64 // number of the last one
	seen      []EvidenceSeen
	touched   time.Time // last evidence, or change of state
	stored    bool      // may be in the store
	inherited bool      // as another process has left it: nothing has changed it here

	rank  rank
	place *share.Entry[*entry] // in the queue of its rank; whose it is there is the tenant whose mail's refusal made it, or nobody
}

// A rank is how dear a key is: when there are too many, one of the lowest rank is forgotten, the longest untouched of
// the tenant that has made most of them. So a stranger with a thousand domains can push out strangers, but neither a
// provider that has a name nor an operator's word.
type rank uint8

const (
	idle      rank = iota // active
	strange               // an MX, not a provider with a name; a part of one
	named                 //
	permanent             // by hand, or of the whole IP
	ranks
)

func (e *entry) rankNow() rank {
	switch {
	case e.Provider == Every:
		return permanent
	case e.State == Active:
		return idle
	case e.byHand():
		return permanent
	case e.strange():
		return strange
	}
	return named
}

func (b *Book) entry(k Key) *entry {
	at := b.ips[k.IP]
	if at == nil {
		return nil
	}
	if k.Provider == Every {
		return at.whole
	}
	return at.keys[k.Provider]
}

// entryBy is entryFor for evidence of a tenant's mail. A tenant may have MXs of its own, as many as it likes: so those are its own, and
// package share says whose go. Of providers with a name there are only so many, and they are nobody's.
func (b *Book) entryBy(k Key, tenant string, now time.Time) *entry {
	if !k.strange() {
		tenant = ""
	}
	return b.entryOf(k, tenant, now)
}

// entryFor returns the key's entry, and makes one where there is none.
func (b *Book) entryFor(k Key, now time.Time) *entry { return b.entryOf(k, "", now) }

func (b *Book) entryOf(k Key, maker string, now time.Time) *entry {
	if e := b.entry(k); e != nil {
		return e
	}
	b.makeRoom(maker, now)
	k.Provider = strings.Clone(k.Provider) // it may be part of something large
	e := &entry{Standing: Standing{Key: k, Share: 1, Since: now}, touched: now, counted: now}
	at := b.ips[k.IP]
	if at == nil {
		at = &address{keys: map[string]*entry{}}
		b.ips[k.IP] = at
	}
	if k.Provider == Every {
		at.whole = e
	} else {
		at.keys[k.Provider] = e
		if k.part() {
			at.parts++
		}
	}
	b.changes.Add(1)
	b.count++
	b.enqueue(e, maker)
	return e
}

func (b *Book) enqueue(e *entry, maker string) {
	e.rank = e.rankNow()
	e.place = b.queues[e.rank].Add(e, maker)
}

// release takes an entry from its maker: it is a person's now.
func (b *Book) release(e *entry) {
	b.queues[e.rank].Remove(e.place)
	b.enqueue(e, "")
}

// makeRoom forgets what is out of date, a few at a time, and what is too much.
func (b *Book) makeRoom(maker string, now time.Time) {
	for r := range permanent {
		for range 2 {
			if oldest := b.queues[r].Unused(); oldest != nil && b.outOfDate(oldest.Value, now) {
				b.forget(oldest.Value)
			}
		}
	}
	for b.count >= b.maxKeys {
		r := idle
		if b.queues[strange].Len() > b.maxKeys/2 { // they leave room for evidence about others
			r = strange
		}
		for r < permanent && b.queues[r].Len() == 0 {
			r++
		}
		if r == permanent {
			return
		}
		b.forget(b.queues[r].Leaves(maker).Value)
	}
}

// staleAfter is when a suspended or slowed key that nothing was sent to any more says nothing about today.
const staleAfter = 30 * 24 * time.Hour

func (b *Book) outOfDate(e *entry, now time.Time) bool {
	age := now.Sub(e.touched)
	p := b.policy(e.Provider)
	switch {
	case e.part() && e.State == Suspended && !now.Before(e.Until):
		return age >= p.Forget
	case e.State != Active:
		return age >= staleAfter
	}
	return age >= max(p.Forget, p.Refused.Within, p.Listed.Within) && len(e.Lists) == 0
}

func (b *Book) forget(e *entry) {
	b.queues[e.rank].Remove(e.place)
	b.count--
	at := b.ips[e.IP]
	if e.Provider == Every {
		at.whole = nil
	} else {
		delete(at.keys, e.Provider)
		if e.part() {
			at.parts--
		}
	}
	if at.whole == nil && len(at.keys) == 0 {
		delete(b.ips, e.IP)
	}
	b.changes.Add(1)
	if delete(b.dirty, e.Key); e.stored && len(b.dirty) < 2*b.maxKeys {
		b.markDirty(e.Key)
	}
}

// touch moves an entry to the end of the queue it belongs to.
func (b *Book) touch(e *entry, now time.Time) {
	e.touched = now
	if e.rankNow() == e.rank {
		b.queues[e.rank].Use(e.place)
		return
	}
	b.queues[e.rank].Remove(e.place)
	b.enqueue(e, e.place.Owner())
}

// maxSeen is how many replies are kept to be shown.
const maxSeen = 8

func (e *entry) see(ev *Evidence, now time.Time) {
	names := make([]string, 0, len(ev.Lists))
	for _, l := range ev.Lists {
		names = append(names, l.String())
	}
	ev.shareWith(e.seen)
	if len(e.seen) == maxSeen {
		e.seen = slices.Delete(e.seen, 0, 1)
	}
	e.seen = append(e.seen, EvidenceSeen{
		At: now.Round(0), Tenant: ev.Tenant, Destination: ev.Destination, Class: ev.Class, Scope: ev.Scope,
		Suspend: ev.Suspend, Rule: ev.Rule, Sample: ev.Sample, Lists: names,
	})
}

// shareWith takes what a key's reply has in common with those that are kept from these: most say the same again, and
// their texts are most of what a key costs.
func (ev *Evidence) shareWith(seen []EvidenceSeen) {
	for i := range seen {
		for _, text := range []struct {
			own  *string
			kept string
		}{
			{&ev.Tenant, seen[i].Tenant},
			{&ev.Destination, seen[i].Destination},
			{&ev.Rule, seen[i].Rule},
			{&ev.Sample, seen[i].Sample},
		} {
			if *text.own == text.kept {
				*text.own = text.kept
			}
		}
	}
}

// explain notes why the next state is what it is.
func (e *entry) explain(ev *Evidence, reason string) {
	e.Reason, e.Rule, e.Sample, e.By = reason, ev.Rule, ev.Sample, ByEvidence
}

func (e *entry) addLists(lists []List) (added bool) {
	for _, l := range lists {
		if e.list(l) == nil && len(e.Lists) < maxLists {
			e.Lists = append(e.Lists, l)
			added = true
		}
	}
	return added
}

// list finds a list among those that were named.
func (e *entry) list(l List) *List {
	for i := range e.Lists {
		if e.Lists[i].String() == l.String() {
			return &e.Lists[i]
		}
	}
	return nil
}

// countRefusal halves what was counted in the time before, so that old mail does not speak for ever.
func (e *entry) countRefusal(span time.Duration, now time.Time) {
	if age := now.Sub(e.counted); age >= span || age < 0 {
		e.accepted.Store(e.accepted.Load() / 2)
		e.refusals.Store(e.refusals.Load() / 2)
		e.counted = now
	}
	e.refusals.Add(1)
}

func (e *entry) mostlyRefused(part float64) bool {
	refusals := float64(e.refusals.Load())
	return refusals >= part*(refusals+float64(e.accepted.Load()))
}

func (e *entry) forgetStrikes(after time.Duration, now time.Time) {
	if e.State == Active && now.Sub(e.Since) >= after {
		e.Strikes, e.Length = 0, 0
	}
}

// startAfresh forgets what led to a standing that is over.
func (e *entry) startAfresh() {
	e.listed, e.refused, e.throttled = meter{}, meter{}, meter{}
	e.accepted.Store(0)
	e.refusals.Store(0)
	e.successes = 0
}
