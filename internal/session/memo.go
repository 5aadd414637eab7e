package session

import (
	"sync"

	"kanmon/internal/who/share"
)

// A memo remembers what was seen of strangers. It is bounded, and whoever made kanmon see it has a part of it. The zero memo is ready.
type memo[K comparable, V any] struct {
	mu    sync.Mutex
	known *share.Map[K, V]
}

// maxMemo is how many things a memo remembers.
const maxMemo = 4096

func (m *memo[K, V]) get(k K) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known.Get(k)
}

// put remembers. By is whose part it is; "": nobody's.
func (m *memo[K, V]) put(k K, v V, by string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = share.NewMap[K, V](maxMemo)
	}
	m.known.Put(k, v, by)
}
