package standing

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/event"
)

// Errors of what operators ask for.
var (
	ErrKey     = errors.New("not a sending IP and a provider")
	ErrPast    = errors.New("the end of the suspension is not in the future")
	ErrNotKept = errors.New("the change is active but not saved; a restart may lose it") // as long as the store takes nothing
)

// Suspend suspends a key until a time, after which it is probed. With provider [Every] nothing leaves from the IP until
// then, and what it was before counts again. Evidence does not change it. Numbers.HandLongest caps it. Like Stop and Resume it
// returns when the store has it: nobody is told "done" of what a kill would undo.
func (b *Book) Suspend(k Key, until time.Time, why, who string) error {
	return b.byHand(k, Suspended, until, why, who)
}

// Stop is Suspend until Resume.
func (b *Book) Stop(k Key, why, who string) error {
	return b.byHand(k, Stopped, time.Time{}, why, who)
}

func (b *Book) byHand(k Key, s State, until time.Time, why, who string) error {
	k = k.normal()
	if !k.valid() {
		return fmt.Errorf("%v: %w", k, ErrKey)
	}
	if err := b.order(k, s, until, why, who); err != nil {
		return err
	}
	return b.keep(k)
}

func (b *Book) order(k Key, s State, until time.Time, why, who string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	if s == Suspended && !until.After(now) {
		return ErrPast
	}
	e := b.entryFor(k, now)
	b.release(e)
	e.Reason, e.Rule, e.Sample, e.By = event.Printable(why, maxName), "", "", operator(who)
	b.set(e, now, s, min(until.Sub(now), b.policy(k.Provider).HandLongest))
	return nil
}

func operator(who string) string {
	if who = event.Printable(who, 64); who == "" {
		return ByOperator
	}
	return ByOperator + " " + who
}

// Resume makes a key active at once, and forgets its strikes. A listing that is still confirmed does not suspend it
// again, fresh evidence does. With provider [Every] it lifts what stands for the whole IP, and the suspensions that
// followed from that; what a provider's own replies led to stays.
func (b *Book) Resume(k Key, who string) error {
	k = k.normal()
	if !k.valid() {
		return fmt.Errorf("%v: %w", k, ErrKey)
	}
	return b.keep(b.resumeKey(k, who)...)
}

// resumeKey resumes a key and what followed from it, and returns the keys that changed.
func (b *Book) resumeKey(k Key, who string) (changed []Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	e := b.entry(k)
	if e == nil && b.wholeOf(k.IP, now) != nil {
		e = b.entryFor(k, now) // to stay active although the IP is listed
	}
	if e == nil {
		return nil
	}
	if k.Provider == Every {
		for _, one := range b.ips[k.IP].keys {
			if one.By == ByCheck && one.State != Active {
				b.resume(one, now, who)
				changed = append(changed, one.Key)
			}
		}
	}
	b.resume(e, now, who)
	return append(changed, k)
}

func (b *Book) resume(e *entry, now time.Time, who string) {
	e.By, e.Strikes, e.Length = operator(who), 0, 0
	b.activate(e, now, "resumed")
	if e.Provider == Every {
		b.forget(e)
	}
}

// List returns all standings that are not plainly active, by IP and provider.
func (b *Book) List() []Standing {
	var all []Standing
	for _, ip := range b.known() {
		all = append(all, b.listOf(ip)...)
	}
	slices.SortFunc(all, func(x, y Standing) int {
		return cmp.Or(bytes.Compare(x.IP.AsSlice(), y.IP.AsSlice()), cmp.Compare(x.Provider, y.Provider))
	})
	return all
}

// known returns all IPs of which something is. Who looks at all keys does it an IP at a time: sessions wait for no more.
func (b *Book) known() []netip.Addr {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Collect(maps.Keys(b.ips))
}

func (b *Book) listOf(ip netip.Addr) (all []Standing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, now := b.ips[ip], b.clock()
	if at == nil {
		return nil
	}
	whole := b.wholeOf(ip, now)
	if whole != nil {
		all = append(all, whole.onWall(now))
	}
	for _, e := range at.keys {
		b.bringUpToDate(e, whole, now)
		if !e.blank() {
			all = append(all, e.onWall(now))
		}
	}
	return all
}

// Show returns what stands for a key, and the last replies of its provider that were counted. Where that is of the whole
// IP, the standing's provider is [Every]. What is not known is active.
func (b *Book) Show(k Key) (Standing, []EvidenceSeen) {
	k = k.normal()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	whole := b.wholeOf(k.IP, now)
	e := b.entry(k)
	var seen []EvidenceSeen
	if e != nil {
		b.bringUpToDate(e, whole, now)
		seen = slices.Clone(e.seen)
	}
	switch {
	case whole != nil && (whole.byHand() || e == nil && !b.policy(k.Provider).IgnoreLists):
		return whole.onWall(now), seen
	case e == nil:
		return Standing{Key: k, Share: 1}, nil
	}
	return e.onWall(now), seen
}

// bringUpToDate does what May would, but gives no probe away.
func (b *Book) bringUpToDate(e, whole *entry, now time.Time) {
	if e == whole {
		return
	}
	b.adjust(e, now)
	if whole != nil && !whole.byHand() {
		b.judge(e, now)
	}
	if e.State == Slowed {
		b.riseQuietly(e, now)
	}
	if e.Strikes > 0 {
		e.forgetStrikes(b.policy(e.Provider).Forget, now)
	}
}
