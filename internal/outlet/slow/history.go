package slow

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event/timing"
	"kanmon/internal/store/keep"
)

// What is usual takes days to learn. So it is written once an hour, and at the end, and read at the beginning; and with it what stands, which is written
// within a minute, too, where a finding begins or ends. A disk that hangs holds up nobody: the detector goes on meanwhile.

const (
	saveEvery = time.Hour
	saveSoon  = time.Minute
	keptFor   = 30 * 24 * time.Hour // since the last mail
	saveBatch = 256                 // rows that are written at once
)

// A history is what is kept in a store.
type history struct {
	store keep.Store  // nil: none
	due   atomic.Bool // something has begun or ended since it was written

	mu    sync.Mutex          // held while the store is used, and taken before the Watch's
	since time.Time           // what has had no mail since then is written as it is
	rows  map[string]struct{} // that the store has
	read  bool
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
	if h.read { // it was switched off meanwhile, and all was told to have ended
		ignored += w.detector.Import(now, rows)
	} else {
		stood, senseless := w.detector.ImportStanding(now, rows)
		ignored += senseless
		w.stood(stood)
	}
	w.mu.Unlock()
	h.read = true
	if h.since = now; ignored > 0 {
		w.log.Warn("rows, or parts of them, that make no sense were left out: what is usual there is learnt anew, and what stood is found anew", "table", h.store.String(), "count", ignored)
	}
}

// stood takes over what a process before has found. It is no news, but where it has ended meanwhile.
func (w *Watch) stood(all []timing.Stood) {
	for i := range all {
		f := &all[i].Finding
		k := keyOf(f)
		if f.Change == timing.Cleared {
			w.told = append(w.told, Found{Finding: *f, Key: k, Told: true})
			w.history.due.Store(true)
			continue
		}
		e := &eyed{finding: *f}
		did, typical, _ := strings.Cut(all[i].Also, " ")
		if took, err := time.ParseDuration(typical); err == nil && took > 0 {
			e.took[0], e.mails = took, 1
		}
		_ = deeds.Read([]byte(did), &e.did) // of another kanmon's words nothing is done
		w.eyed[k] = e
	}
}

// alsoOf is what is kept with a finding: what is done about it, and how long its mail waits.
func (w *Watch) alsoOf(ip, provider string) string {
	e := w.eyed[Key{netip.MustParseAddr(ip), provider}]
	if e == nil {
		return ""
	}
	return e.did.String() + " " + e.typical().String()
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
	h.due.Store(false)
	for rows := w.changed(); len(rows) > 0; {
		batch := rows[:min(len(rows), saveBatch)]
		if err := h.store.Save(batch); err != nil {
			h.due.Store(true)
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
	rows, w.late = w.late, nil
	if !w.On() {
		return rows
	}
	for name := range w.history.rows {
		if ip, provider, _ := strings.Cut(name, " "); !w.detector.Knows(ip, provider) {
			rows = append(rows, keep.Row{Key: name, Gone: true})
		}
	}
	return append(rows, kept(w.detector.ExportStanding(w.history.since, w.alsoOf))...)
}

// withoutFindings has the rows of what stands be written without it: it is told to have ended, and the detector is forgotten.
func (w *Watch) withoutFindings() {
	if w.history.store == nil {
		return
	}
	names, wide := map[string]bool{}, false
	for k, e := range w.eyed {
		if e.finding.Scope == 0 {
			continue
		}
		if wide = wide || !k.isOne(); k.isOne() {
			names[w.nameOf(k.IP)+" "+k.Provider] = true
		}
	}
	if len(names) == 0 && !wide {
		return
	}
	for _, r := range kept(w.detector.Export(time.Time{})) {
		if wide || names[r.Key] {
			w.late = append(w.late, r)
		}
		delete(names, r.Key)
	}
	for name := range names { // nothing is usual there yet
		w.late = append(w.late, keep.Row{Key: name, Gone: true})
	}
	w.history.due.Store(true)
}

func kept(all []timing.Row) (rows []keep.Row) {
	for _, r := range all {
		rows = append(rows, keep.Row{Key: r.IP + " " + r.Provider, Value: string(r.Data), Put: r.Seen})
	}
	return rows
}

// saveLoop saves until the end. What could not be written is tried again with the next time.
func (w *Watch) saveLoop() {
	tick := time.NewTicker(saveSoon)
	defer tick.Stop()
	failing := false
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-w.stop:
			return
		}
		if n%int(saveEvery/saveSoon) != 0 && (failing || !w.history.due.Load()) {
			continue
		}
		err := w.save()
		if err != nil && !failing {
			w.log.Error("what was learnt is not written; what runs is not affected", "table", w.history.store.String(), "error", err)
		}
		failing = err != nil
	}
}
