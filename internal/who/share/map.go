package share

import "iter"

// A Map remembers at most so many entries. When there is no room one goes that is out of date, else that which [Order.Leaves] gives.
type Map[K comparable, V any] struct {
	most      int
	entries   map[K]*Entry[pair[K, V]]
	order     *Order[pair[K, V]]
	outOfDate func(V) bool // nil: nothing ever is
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

// NewMap makes a Map of at most so many entries.
func NewMap[K comparable, V any](most int) *Map[K, V] {
	return &Map[K, V]{most: most, entries: map[K]*Entry[pair[K, V]]{}, order: NewOrder[pair[K, V]](most)}
}

// Until makes entries that are out of date, and were not used for longest, go before any other, whosever they are.
func (m *Map[K, V]) Until(outOfDate func(V) bool) *Map[K, V] {
	m.outOfDate = outOfDate
	return m
}

// Grow makes it one of at most so many, if it was of fewer.
func (m *Map[K, V]) Grow(most int) {
	m.most = max(m.most, most)
	m.order.Grow(m.most)
}

// Get returns an entry, which is used by that. It does not allocate. The nil Map has none.
func (m *Map[K, V]) Get(k K) (v V, found bool) {
	if m == nil {
		return v, false
	}
	e := m.entries[k]
	if e == nil {
		return v, false
	}
	m.order.Use(e)
	return e.Value.value, true
}

// Put keeps an entry. One that there is already stays whose it was. Gone is what had to make room, if something had.
func (m *Map[K, V]) Put(k K, v V, owner string) (gone K, forgot bool) {
	if e := m.entries[k]; e != nil {
		e.Value.value = v
		m.order.Use(e)
		return gone, false
	}
	if len(m.entries) >= m.most {
		leaves := m.leaves(owner)
		gone, forgot = leaves.Value.key, true
		m.remove(leaves)
	}
	m.entries[k] = m.order.Add(pair[K, V]{k, v}, owner)
	return gone, forgot
}

// leaves returns the entry that must go before one more of an owner's comes.
func (m *Map[K, V]) leaves(owner string) *Entry[pair[K, V]] {
	if e := m.order.Unused(); m.outOfDate != nil && m.outOfDate(e.Value.value) {
		return e
	}
	return m.order.Leaves(owner)
}

// Delete forgets an entry, if there is one.
func (m *Map[K, V]) Delete(k K) {
	if m == nil {
		return
	}
	if e := m.entries[k]; e != nil {
		m.remove(e)
	}
}

// All returns all entries, in no order. What it gives may be deleted meanwhile.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m == nil {
			return
		}
		for k, e := range m.entries {
			if !yield(k, e.Value.value) {
				return
			}
		}
	}
}

// Len is the number of entries.
func (m *Map[K, V]) Len() int { return len(m.entries) }

func (m *Map[K, V]) remove(e *Entry[pair[K, V]]) {
	m.order.Remove(e)
	delete(m.entries, e.Value.key)
}
