package warm

import (
	"time"
)

// What is known of the IPs is written behind the mail, by one goroutine, and never by who sends.

// loop saves, and turns the day where no mail does.
func (b *Book) loop() {
	usual := SaveEvery
	if b.o.Store == nil {
		usual = time.Minute
	}
	wait, failing, day := usual, false, Day(0)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for ; ; timer.Reset(wait) {
		select {
		case <-b.stop:
			return
		case <-timer.C:
		}
		if today := DayOf(b.o.Clock()); today != day {
			day = today
			b.Tick()
		}
		count, err := b.save()
		switch {
		case err != nil:
			if wait = min(2*wait, saveRetryLongest); !failing {
				b.o.Log.Error("warm-up not written; what runs is not affected", "error", err)
			}
			failing = true
		case count > 0:
			wait, failing = usual, false
		}
	}
}

// SaveEvery is how long a change waits for others before it is written: what a kill can cost.
const SaveEvery = time.Second

// saveRetryLongest caps the time between attempts while the store does not take anything.
const saveRetryLongest = time.Minute

// save writes what has changed.
func (b *Book) save() (count int, err error) {
	if b.o.Store == nil {
		return 0, nil
	}
	b.disk.Lock()
	defer b.disk.Unlock()
	batch := b.takeChanged()
	if len(batch) == 0 {
		return 0, nil
	}
	if err = b.o.Store.Save(batch); err != nil {
		b.putBack(batch)
	}
	return len(batch), err
}

func (b *Book) takeChanged() (batch []State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ip := range b.unsaved {
		if s, kept := b.kept[ip]; kept {
			batch = append(batch, s)
		}
	}
	clear(b.unsaved)
	for _, m := range b.all() {
		m.mu.Lock()
		if m.dirty {
			m.dirty = false
			batch = append(batch, m.clone())
		}
		m.mu.Unlock()
	}
	return batch
}

func (b *Book) putBack(batch []State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.all()
	for i := range batch {
		m := all[batch[i].IP]
		if m == nil {
			b.unsaved[batch[i].IP] = struct{}{}
			continue
		}
		m.mu.Lock()
		m.dirty = true
		m.mu.Unlock()
	}
}
