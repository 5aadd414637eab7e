package standing

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// A Store keeps standings beyond the process. Save writes the ones it is given, each in place of what it has of the same
// key; one that is active and has neither strikes nor lists is to be forgotten. One goroutine calls it at a time.
// Whoever opened the store closes it, after the Book.
type Store interface {
	Load() ([]Standing, error)
	Save(changed []Standing) error
}

// SaveEvery is how long a change waits for others before it is written: what a kill can cost.
const SaveEvery = time.Second

// saveRetryLongest caps the time between attempts while the store does not take anything.
const saveRetryLongest = time.Minute

// markDirty has a key written at the next occasion.
func (b *Book) markDirty(k Key) {
	if b.store != nil {
		b.dirty[k] = struct{}{}
	}
}

// note tells the store and the news of a change.
func (b *Book) note(e *entry, now time.Time) {
	b.touch(e, now)
	b.markDirty(e.Key)
	e.inherited = false
	select {
	case b.news <- Change{e.onWall(now), b.hearing, e.place.Owner(), now}:
	default: // the log does not answer; the count is told when it does
		b.unheard++
	}
}

// load takes over what the store has. Times are brought within bounds: the clock, or the file, may have been changed.
func (b *Book) load() error {
	all, err := b.store.Load()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	for _, s := range all {
		s.Key = s.normal()
		if !s.valid() {
			continue
		}
		e := b.entryFor(s.Key, now)
		b.adopt(e, &s, now)
		if s.State == Probing { // its session has ended with the process
			e.Since, e.Until = now, now.Add(b.policy(s.Provider).ProbeRetry)
			b.markDirty(e.Key)
		}
		b.touch(e, now)
	}
	return nil
}

// adopt takes over how a key stands for another process, which alone has its probe.
func (b *Book) adopt(e *entry, s *Standing, now time.Time) {
	p := b.policy(s.Provider)
	e.Standing, e.stored, e.inherited = *s, true, true
	e.Length = min(max(e.Length, 0), p.Longest)
	e.Share = min(max(e.Share, 0), 1)
	if e.State == Probing {
		e.State = Suspended
	}
	if !e.Until.IsZero() {
		longest := p.Longest
		switch {
		case e.byHand():
			longest = p.HandLongest
		case e.Provider == Every:
			longest = listingKept
		}
		e.Until = e.Since.Add(min(max(e.Until.Sub(e.Since), 0), longest))
	}
	b.adjust(e, now)
}

// saveLoop writes what has changed, and tries again later what could not be written. A disk that hangs holds up nobody else.
func (b *Book) saveLoop() {
	wait, failing := SaveEvery, false
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for open := true; open; timer.Reset(wait) {
		select {
		case <-b.stop:
			open = false
		case <-timer.C:
		}
		count, err := b.saveAll()
		switch {
		case err != nil:
			wait = min(2*wait, saveRetryLongest)
			if !failing {
				b.log.Error("standings not written; what runs is not affected", "error", err)
			}
			failing = true
		case count > 0 && failing:
			b.log.Info("standings written again", "count", count)
			fallthrough
		case count > 0:
			wait, failing = SaveEvery, false
		}
	}
}

func (b *Book) saveAll() (count int, err error) {
	b.disk.Lock()
	defer b.disk.Unlock()
	for {
		batch := b.takeDirty()
		if len(batch) == 0 {
			return count, nil
		}
		if err := b.save(batch); err != nil {
			return count, err
		}
		count += len(batch)
	}
}

func (b *Book) save(batch []Standing) error {
	err := b.store.Save(batch)
	if err != nil {
		b.unsaved.Add(1)
		b.putBack(batch)
		return err
	}
	b.batches.Add(1)
	return nil
}

// keep writes what a person has ordered, before the person is told that it is done. What cannot be written now stays due.
func (b *Book) keep(keys ...Key) error {
	if b.store == nil {
		return nil
	}
	b.disk.Lock()
	defer b.disk.Unlock()
	for some := range slices.Chunk(keys, saveBatch) {
		if err := b.save(b.take(slices.Values(some))); err != nil {
			return fmt.Errorf("%w: %w", ErrNotKept, err)
		}
	}
	return nil
}

// saveBatch is how many standings are copied at once: sessions wait meanwhile.
const saveBatch = 256

func (b *Book) takeDirty() []Standing { return b.take(maps.Keys(b.dirty)) }

// take copies the standings of the first keys, as many as a batch has, and counts them as written.
func (b *Book) take(keys iter.Seq[Key]) []Standing {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	var batch []Standing
	for k := range keys {
		if len(batch) == saveBatch {
			break
		}
		delete(b.dirty, k)
		e := b.entry(k)
		switch {
		case e == nil:
			batch = append(batch, Standing{Key: k})
		case !e.blank() || e.stored:
			batch = append(batch, e.onWall(now))
			e.stored = true
		}
	}
	return batch
}

func (b *Book) putBack(batch []Standing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range batch {
		b.markDirty(batch[i].Key)
	}
}
