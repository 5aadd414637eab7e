package share

import (
	"container/list"
	"iter"
)

// A Map remembers at most so many entries. When there is no room the one that was not used for longest goes: the owner's own, if he has as
// many as are free, else anybody's.
type Map[K comparable, V any] struct {
	most    int
	entries map[K]*entry[K, V]
	order   list.List // of *entry[K, V], last used first
	owners  map[string]*part[K, V]
}

type entry[K comparable, V any] struct {
	key   K
	value V
	at    *list.Element
	of    *part[K, V]
	atOf  *list.Element // in it
}

// A part is what an owner has.
type part[K comparable, V any] struct {
	name  string
	order list.List // as Map.order
}

// NewMap makes a Map of at most so many entries.
func NewMap[K comparable, V any](most int) *Map[K, V] {
	return &Map[K, V]{most: most, entries: map[K]*entry[K, V]{}, owners: map[string]*part[K, V]{}}
}

// Get gives an entry, which is used by that. It does not allocate. The nil Map has none.
func (m *Map[K, V]) Get(k K) (v V, found bool) {
	if m == nil {
		return v, false
	}
	e := m.entries[k]
	if e == nil {
		return v, false
	}
	m.use(e)
	return e.value, true
}

// Put keeps an entry. One that there is already stays whose it was. With the owner "" it is nobody's, and has no part. Gone is what had to
// make room, if something had.
func (m *Map[K, V]) Put(k K, v V, owner string) (gone K, forgot bool) {
	if e := m.entries[k]; e != nil {
		e.value = v
		m.use(e)
		return gone, false
	}
	of := m.owners[owner]
	if of == nil {
		of = &part[K, V]{name: owner}
	}
	if leaves := m.leaves(of); leaves != nil {
		gone, forgot = leaves.key, true
		m.remove(leaves)
	}
	e := &entry[K, V]{key: k, value: v, of: of}
	m.entries[k] = e
	m.owners[owner] = of
	e.at, e.atOf = m.order.PushFront(e), of.order.PushFront(e)
	return gone, forgot
}

// leaves gives the entry that must go before one more of an owner's comes; nil: none.
func (m *Map[K, V]) leaves(of *part[K, V]) *entry[K, V] {
	free := m.most - len(m.entries)
	switch own := of.order.Len(); {
	case of.name != "" && own > 0 && own >= free:
		return of.order.Back().Value.(*entry[K, V])
	case free <= 0:
		return m.order.Back().Value.(*entry[K, V])
	}
	return nil
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

// All gives all entries, in no order. What it gives may be deleted meanwhile.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m == nil {
			return
		}
		for k, e := range m.entries {
			if !yield(k, e.value) {
				return
			}
		}
	}
}

// Len is the number of entries.
func (m *Map[K, V]) Len() int { return len(m.entries) }

func (m *Map[K, V]) use(e *entry[K, V]) {
	m.order.MoveToFront(e.at)
	e.of.order.MoveToFront(e.atOf)
}

func (m *Map[K, V]) remove(e *entry[K, V]) {
	m.order.Remove(e.at)
	if e.of.order.Remove(e.atOf); e.of.order.Len() == 0 {
		delete(m.owners, e.of.name)
	}
	delete(m.entries, e.key)
}
