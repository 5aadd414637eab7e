package provider

import (
	"sync"
	"time"

	"kanmon/internal/who/share"
)

// A memory is a [Known] that lives as long as its Lookup.
type memory[K comparable] struct {
	mu    sync.Mutex
	known *share.Map[K, learned]
}

type learned struct {
	mx  MX
	put time.Time
}

func newMemory[K comparable]() *memory[K] {
	return &memory[K]{known: share.NewMap[K, learned](MostKnown).Until(learned.isOver)}
}

func (l learned) isOver() bool { return l.isOverAt(time.Now()) }

func (l learned) isOverAt(now time.Time) bool { return now.Sub(l.put) >= KnownFor }

func (m *memory[K]) Get(k K) (mx MX, put time.Time, found bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, found := m.known.Get(k)
	return l.mx, l.put, found && !l.isOver()
}

func (m *memory[K]) PutOf(k K, mx MX, by string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known.Put(k, learned{mx, time.Now()}, by)
}

func (m *memory[K]) All(each func(K, MX) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for k, l := range m.known.All() {
		if !l.isOverAt(now) && !each(k, l.mx) {
			return
		}
	}
}
