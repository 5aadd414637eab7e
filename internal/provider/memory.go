package provider

import (
	"sync"
	"time"
)

// A memory is a [Known] that lives as long as its Lookup.
type memory[K comparable] struct {
	mu    sync.Mutex
	known *cache[K, learned]
}

type learned struct {
	mx  MX
	put time.Time
}

func newMemory[K comparable]() *memory[K] { return &memory[K]{known: newCache[K, learned](MostKnown)} }

func (m *memory[K]) Get(k K) (mx MX, put time.Time, found bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, found := m.known.get(k)
	return l.mx, l.put, found && time.Since(l.put) < KnownFor
}

func (m *memory[K]) Put(k K, mx MX) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known.put(k, learned{mx, time.Now()})
}

func (m *memory[K]) All(each func(K, MX) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, e := range m.known.entries {
		if l := e.Value.(*item[K, learned]).value; time.Since(l.put) < KnownFor && !each(k, l.mx) {
			return
		}
	}
}
