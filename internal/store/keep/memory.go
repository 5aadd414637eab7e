package keep

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/who/share"
)

// Options make a [Memory]. Most and Life must be set, and with a Store Encode and Decode.
type Options[K comparable, V any] struct {
	Most  int
	Life  time.Duration  // of an entry since it was last put
	Owner func(K) string // nil: the key does not say whose it is
	Store Store          // nil: nothing survives the process
	// Encode and Decode give an entry the form of a [Row]. Decode reports whether the row makes sense.
	Encode func(K, V) (key, value string)
	Decode func(key, value string) (K, V, bool)
	Clock  func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: silence
}

// A Memory is safe for concurrent use. The nil Memory has nothing and keeps nothing.
type Memory[K comparable, V any] struct {
	o Options[K, V]

	changes atomic.Uint64

	disk sync.Mutex // held while the store is used, and taken before mu

	mu      sync.Mutex
	entries *share.Map[K, *entry[V]]
	dirty   map[K]bool // to be written; true: the store has a row of it

	stop  chan struct{}
	tasks sync.WaitGroup
	once  sync.Once
}

type entry[V any] struct {
	value  V
	put    time.Time
	stored time.Time // the put that the store knows of
}

// New makes a Memory and reads what the store has.
func New[K comparable, V any](o Options[K, V]) (*Memory[K, V], error) {
	m := &Memory[K, V]{
		o: o, entries: share.NewMap[K, *entry[V]](o.Most), dirty: map[K]bool{}, stop: make(chan struct{}),
	}
	if m.o.Clock == nil {
		m.o.Clock = time.Now
	}
	m.entries.Until(func(e *entry[V]) bool { return m.o.Clock().Sub(e.put) >= m.o.Life })
	if m.o.Log == nil {
		m.o.Log = slog.New(slog.DiscardHandler)
	}
	if m.o.Store != nil {
		if err := m.load(); err != nil {
			return nil, err
		}
		m.tasks.Go(m.saveLoop)
	}
	return m, nil
}

// Get returns what was put, and when.
func (m *Memory[K, V]) Get(k K) (v V, put time.Time, found bool) {
	if m == nil {
		return v, put, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, found := m.entries.Get(k)
	if !found {
		return v, put, false
	}
	if m.o.Clock().Sub(e.put) >= m.o.Life {
		m.forget(k)
		return v, put, false
	}
	return e.value, e.put, true
}

// Changes returns a number that is another one whenever something was put or forgotten. An entry that has not been used
// for its Life is gone without one.
func (m *Memory[K, V]) Changes() uint64 {
	if m == nil {
		return 0
	}
	return m.changes.Load()
}

// Put keeps an entry for another Life. Whose it is says its key.
func (m *Memory[K, V]) Put(k K, v V) {
	if m != nil {
		m.PutOf(k, v, m.ownerOf(k))
	}
}

// PutOf is Put for an entry whose key does not say whose it is. An entry that there is already stays whose it was; after a restart it
// is nobody's.
func (m *Memory[K, V]) PutOf(k K, v V, owner string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.markDirty(k, m.put(k, v, owner, m.o.Clock()))
}

// Drop forgets an entry.
func (m *Memory[K, V]) Drop(k K) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.entries.Get(k); found {
		m.forget(k)
	}
}

// All calls each with every entry until it returns false. It must not call the Memory.
func (m *Memory[K, V]) All(each func(K, V) bool) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.o.Clock()
	for k, e := range m.entries.All() {
		if now.Sub(e.put) < m.o.Life && !each(k, e.value) {
			return
		}
	}
}

// Len returns the number of entries.
func (m *Memory[K, V]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries.Len()
}

// Close writes what has not been written. It does not close the store.
func (m *Memory[K, V]) Close() error {
	if m == nil {
		return nil
	}
	m.once.Do(func() { close(m.stop) })
	m.tasks.Wait()
	if m.o.Store == nil {
		return nil
	}
	if _, err := m.saveAll(); err != nil {
		return fmt.Errorf("write what was learnt: %w", err)
	}
	return nil
}

func (m *Memory[K, V]) put(k K, v V, owner string, now time.Time) *entry[V] {
	e, found := m.entries.Get(k)
	if !found {
		e = &entry[V]{}
		if gone, forgot := m.entries.Put(k, e, owner); forgot {
			m.dropRow(gone)
		}
	}
	e.value, e.put = v, now
	m.changes.Add(1)
	return e
}

func (m *Memory[K, V]) ownerOf(k K) string {
	if m.o.Owner == nil {
		return ""
	}
	return m.o.Owner(k)
}

func (m *Memory[K, V]) forget(k K) {
	m.entries.Delete(k)
	m.changes.Add(1)
	m.dropRow(k)
}

// markDirty has an entry written. One that is put again and again is the same one: the disk learns of it a few times in its life.
func (m *Memory[K, V]) markDirty(k K, e *entry[V]) {
	if _, due := m.dirty[k]; m.o.Store != nil && !due && e.put.Sub(e.stored) > m.o.Life/rewrites {
		m.dirty[k] = !e.stored.IsZero()
	}
}

// dropRow has the row of an entry that is gone deleted. There is none of an entry that was never written: while the store takes nothing,
// new ones come and go without end, and would all be remembered for that.
func (m *Memory[K, V]) dropRow(k K) {
	switch hasRow, due := m.dirty[k]; {
	case m.o.Store == nil || hasRow:
	case due:
		delete(m.dirty, k)
	case len(m.dirty) < mostDirty*m.o.Most: // else the next process finds it, and forgets it as it forgets others
		m.dirty[k] = true
	}
}

// rewrites is how often in its life an entry is written that is put all the time.
const rewrites = 50

// mostDirty is for how many times as many entries as there may be something waits to be written, before rows are left where they are.
const mostDirty = 2

// SaveEvery is how long a change waits for others before it is written: what a kill can cost.
const SaveEvery = time.Second

// saveRetryLongest caps the time between attempts while the store does not take anything.
const saveRetryLongest = time.Minute

// load takes over what the store has. The clock may have been set since: nothing lives longer than it would from now.
func (m *Memory[K, V]) load() error {
	rows, ignored, err := m.o.Store.Load()
	if err != nil {
		return fmt.Errorf("read what was learnt: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.o.Clock()
	for _, row := range rows {
		k, v, sensible := m.o.Decode(row.Key, row.Value)
		if !sensible {
			ignored++
			continue
		}
		put := row.Put
		if put.After(now) {
			put = now
		}
		if now.Sub(put) >= m.o.Life {
			m.dirty[k] = true // its row goes
			continue
		}
		m.put(k, v, m.ownerOf(k), put).stored = put
	}
	if ignored > 0 {
		m.o.Log.Warn("rows that make no sense were left out", "table", m.o.Store.String(), "count", ignored)
	}
	return nil
}

// saveLoop writes what has changed, and tries again later what could not be written. A disk that hangs holds up nobody else.
func (m *Memory[K, V]) saveLoop() {
	wait, failing := SaveEvery, false
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for ; ; timer.Reset(wait) {
		select {
		case <-m.stop:
			return
		case <-timer.C:
		}
		count, err := m.saveAll()
		switch {
		case err != nil:
			wait = min(2*wait, saveRetryLongest)
			if !failing {
				m.o.Log.Error("what was learnt is not written; what runs is not affected", "table", m.o.Store.String(), "error", err)
			}
			failing = true
		case count > 0:
			wait, failing = SaveEvery, false
		}
	}
}

// saveBatch is how many entries are copied at once: sessions wait meanwhile.
const saveBatch = 256

func (m *Memory[K, V]) saveAll() (count int, err error) {
	m.disk.Lock()
	defer m.disk.Unlock()
	for {
		batch, taken := m.takeDirty()
		if len(batch) == 0 {
			return count, nil
		}
		err := m.o.Store.Save(batch)
		m.saved(batch, taken, err == nil)
		if err != nil {
			return count, err
		}
		count += len(batch)
	}
}

// A claim is an entry that is being written.
type claim[K comparable] struct {
	key    K
	hasRow bool // before
}

func (m *Memory[K, V]) takeDirty() (batch []Row, taken []claim[K]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, hasRow := range m.dirty {
		if len(batch) == saveBatch {
			break
		}
		delete(m.dirty, k)
		taken = append(taken, claim[K]{k, hasRow})
		e, found := m.entries.Get(k)
		if !found {
			var none V
			key, _ := m.o.Encode(k, none)
			batch = append(batch, Row{Key: key, Gone: true})
			continue
		}
		key, value := m.o.Encode(k, e.value)
		batch = append(batch, Row{Key: key, Value: value, Put: e.put})
		e.stored = e.put
	}
	return batch, taken
}

// saved notes which rows the store has now, and what is still to be done: entries have come and gone meanwhile.
func (m *Memory[K, V]) saved(batch []Row, taken []claim[K], done bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, one := range taken {
		hasRow := one.hasRow
		if done {
			hasRow = !batch[i].Gone
		}
		_, found := m.entries.Get(one.key)
		switch _, due := m.dirty[one.key]; {
		case !found && !hasRow:
			delete(m.dirty, one.key)
		case !found || !done || due:
			m.dirty[one.key] = hasRow
		}
	}
}

// ErrName is what [NewTable] gives for a name that is none of a table.
var ErrName = errors.New("not a name of a table")
