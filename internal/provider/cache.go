package provider

import "container/list"

// A cache keeps the entries that were used last. Strangers decide what is looked up, so it must be bounded.
type cache[K comparable, V any] struct {
	most    int
	order   list.List // of item[K, V], last used first
	entries map[K]*list.Element
}

type item[K comparable, V any] struct {
	key   K
	value V
}

func newCache[K comparable, V any](most int) *cache[K, V] {
	return &cache[K, V]{most: most, entries: map[K]*list.Element{}}
}

func (c *cache[K, V]) get(key K) (value V, found bool) {
	e, found := c.entries[key]
	if !found {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*item[K, V]).value, true
}

func (c *cache[K, V]) put(key K, value V) {
	if e, found := c.entries[key]; found {
		e.Value.(*item[K, V]).value = value
		c.order.MoveToFront(e)
		return
	}
	c.entries[key] = c.order.PushFront(&item[K, V]{key, value})
	if c.order.Len() > c.most {
		last := c.order.Back()
		delete(c.entries, c.order.Remove(last).(*item[K, V]).key)
	}
}
