package session

import "sync"

// A memo remembers what was seen of strangers. It is bounded: when it is full, all is forgotten and learnt anew.
// The zero memo is ready.
type memo[K comparable, V any] struct {
	mu    sync.Mutex
	known map[K]V
}

// maxMemo is how many things a memo remembers.
const maxMemo = 4096

func (m *memo[K, V]) get(k K) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok = m.known[k]
	return v, ok
}

// put says whether the key is new.
func (m *memo[K, V]) put(k K, v V) (isNew bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.known[k]
	if m.known == nil || !known && len(m.known) >= maxMemo {
		m.known = make(map[K]V)
	}
	m.known[k] = v
	return !known
}
