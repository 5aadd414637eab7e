package sts

import (
	"fmt"
	"time"
)

// A Row is a policy in a store. Its times are those of the Keeper, which never go back; see the package page.
type Row struct {
	Domain  string
	Gone    bool // there is no policy any more: all else is nothing
	Owner   string
	Policy  *Policy
	Fetched time.Time
	Used    int // day, since 1970

	had bool // the store had a row of the domain before
}

// A Store keeps policies beyond the process. Save writes each in place of what there is of the domain, and what time it is. One goroutine calls it
// at a time; whoever opened it closes it, after the Keeper.
type Store interface {
	Load() (rows []Row, seen time.Time, err error) // seen: the latest time that was saved
	Save(rows []Row, seen time.Time) error
}

// SaveEvery is how long a change waits for others before it is written. A new policy does not: it is on the disk as soon as that takes it.
const SaveEvery = time.Second

// Times of the loop that writes.
const (
	saveRetryLongest = time.Minute
	seenEvery        = time.Hour // without any change what time it is, is written so often
)

// markDirty has the row of an entry written, or removed where it has no place on the shelf. Of one that never had a row nothing is left to be
// done: so what waits for a disk that takes nothing is bounded by what has a place, and the rows that the disk has.
func (k *Keeper) markDirty(e *entry) {
	switch {
	case k.o.Store == nil:
	case e.units > 0 || e.stored:
		k.dirty[e.domain] = e.stored
	default:
		delete(k.dirty, e.domain)
	}
}

// writeSoon wakes the loop that writes.
func (k *Keeper) writeSoon() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// load takes over what the store has.
func (k *Keeper) load() error {
	rows, seen, err := k.o.Store.Load()
	if err != nil {
		return fmt.Errorf("read MTA-STS policies: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.passage.at = seen
	now, wall := k.now(), k.o.Clock().Round(0)
	crowded := 0
	for i := range rows {
		r := &rows[i]
		e := &entry{domain: r.Domain, owner: r.Owner, used: min(r.Used, dayOf(now)), stored: true}
		if r.Fetched.After(now) { // the file has been changed by somebody else
			r.Fetched = now
		}
		e.take(r.Policy, r.Fetched)
		r.Policy.Fetched = wall.Add(r.Fetched.Sub(now))
		r.Policy.Until = r.Policy.Fetched.Add(r.Policy.MaxAge)
		if e.holds(now) && !k.shelf.put(e, false) {
			crowded++
		}
		k.markGone(e)
	}
	if crowded > 0 {
		k.o.Log.Warn("MTA-STS policies were left out: there are more in the file than there may be", "count", crowded)
	}
	return nil
}

// markGone has the row of an entry removed that has got no place.
func (k *Keeper) markGone(e *entry) {
	if e.units == 0 {
		k.markDirty(e)
	}
}

// saveLoop writes what has changed, and tries again later what could not be written. A disk that hangs holds up nobody else.
func (k *Keeper) saveLoop() {
	wait, failing := SaveEvery, false
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for ; ; timer.Reset(wait) {
		select {
		case <-k.ctx.Done():
			return
		case <-k.wakes(failing):
		case <-timer.C:
		}
		count, err := k.saveAll()
		switch {
		case err != nil:
			if wait = min(2*wait, saveRetryLongest); !failing {
				k.o.Log.Error("MTA-STS policies not written; what runs is not affected", "error", err)
			}
			failing = true
		case count > 0:
			wait, failing = SaveEvery, false
		}
	}
}

// wakes returns what ends a wait early. A disk that takes nothing is left alone until it is time to try again.
func (k *Keeper) wakes(failing bool) <-chan struct{} {
	if failing {
		return nil
	}
	return k.wake
}

// saveBatch is how many rows are copied at once: sessions wait meanwhile.
const saveBatch = 256

func (k *Keeper) saveAll() (count int, err error) {
	if k.o.Store == nil {
		return 0, nil
	}
	k.disk.Lock()
	defer k.disk.Unlock()
	for {
		rows, now := k.takeDirty()
		if len(rows) == 0 && now.Sub(k.seen) < seenEvery {
			return count, nil
		}
		err := k.o.Store.Save(rows, now)
		k.saved(rows, err == nil)
		if err != nil {
			return count, err
		}
		k.seen = now
		count += len(rows)
	}
}

// takeDirty copies what is to be written, as much as a batch has.
func (k *Keeper) takeDirty() (rows []Row, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for domain, stored := range k.dirty {
		if len(rows) == saveBatch {
			break
		}
		delete(k.dirty, domain)
		r := Row{Domain: domain, Gone: true, had: stored}
		if e := k.shelf.all[domain]; e != nil {
			r = Row{Domain: domain, Owner: e.owner, Policy: e.policy, Fetched: e.fetched, Used: e.used, had: stored}
		}
		rows = append(rows, r)
	}
	k.saving = len(rows)
	return rows, k.now()
}

// saved notes which rows the store has now, and what is still to be done: entries have come and gone meanwhile.
func (k *Keeper) saved(rows []Row, done bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.saving = 0
	for i := range rows {
		r := &rows[i]
		stored := r.had
		if done {
			stored = !r.Gone
		}
		e := k.find(r.Domain)
		if e != nil {
			e.stored = stored
		}
		_, due := k.dirty[r.Domain]
		switch has := e != nil && e.units > 0; {
		case !has && !stored:
			delete(k.dirty, r.Domain)
		case has && (due || !done), !has:
			k.dirty[r.Domain] = stored
		}
	}
}
