package slow

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"kanmon/internal/event/timing"
	"kanmon/internal/store/keep"
)

// What is usual takes days to learn. So it is written once an hour, and at the end, and read at the beginning. A disk that hangs holds up nobody: the
// detector goes on meanwhile.

const (
	saveEvery = time.Hour
	keptFor   = 30 * 24 * time.Hour // since the last mail
	saveBatch = 256                 // rows that are written at once
)

// A history is what is kept in a store.
type history struct {
	store keep.Store // nil: none

	mu    sync.Mutex          // held while the store is used, and taken before the Watch's
	since time.Time           // what has had no mail since then is written as it is
	rows  map[string]struct{} // that the store has
}

// load gives a new detector what the store has. Without that it learns anew.
func (w *Watch) load() {
	h := &w.history
	if h.store == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	kept, ignored, err := h.store.Load()
	if err != nil {
		w.log.Error("what is usual was not read: it is learnt anew", "table", h.store.String(), "error", err)
		return
	}
	now := w.clock()
	var rows []timing.Row
	for _, r := range kept {
		h.rows[r.Key] = struct{}{}
		if ip, provider, _ := strings.Cut(r.Key, " "); now.Sub(r.Put) < keptFor {
			rows = append(rows, timing.Row{IP: ip, Provider: provider, Seen: r.Put, Data: []byte(r.Value)})
		}
	}
	w.mu.Lock()
	ignored += w.detector.Import(now, rows)
	w.mu.Unlock()
	if h.since = now; ignored > 0 {
		w.log.Warn("rows that make no sense were left out: what is usual there is learnt anew", "table", h.store.String(), "count", ignored)
	}
}

// save writes what has changed since it was written last, and takes away what is forgotten.
func (w *Watch) save() error {
	h := &w.history
	if h.store == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := w.clock()
	for rows := w.changed(); len(rows) > 0; {
		batch := rows[:min(len(rows), saveBatch)]
		if err := h.store.Save(batch); err != nil {
			return fmt.Errorf("write how long mail usually takes: %w", err)
		}
		for i := range batch {
			if h.rows[batch[i].Key] = struct{}{}; batch[i].Gone {
				delete(h.rows, batch[i].Key)
			}
		}
		rows = rows[len(batch):]
	}
	h.since = now
	return nil
}

// changed gives what is to be written.
func (w *Watch) changed() (rows []keep.Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.On() {
		return nil
	}
	for name := range w.history.rows {
		if ip, provider, _ := strings.Cut(name, " "); !w.detector.Knows(ip, provider) {
			rows = append(rows, keep.Row{Key: name, Gone: true})
		}
	}
	for _, r := range w.detector.Export(w.history.since) {
		rows = append(rows, keep.Row{Key: r.IP + " " + r.Provider, Value: string(r.Data), Put: r.Seen})
	}
	return rows
}

// saveLoop saves until the end. What could not be written is tried again with the next time.
func (w *Watch) saveLoop() {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-w.stop:
			return
		}
		err := w.save()
		if err != nil && !failing {
			w.log.Error("what was learnt is not written; what runs is not affected", "table", w.history.store.String(), "error", err)
		}
		failing = err != nil
	}
}
