package inspect

import "container/list"

// turns are those who wait, by tenant: each tenant in its turn, and of one tenant whoever came first.
type turns[T any] struct {
	of    map[string]*queue
	order list.List // of *queue: whose turn is next comes first
}

type queue struct {
	tenant string
	who    list.List // of T
	at     *list.Element
}

// A turn is one that waits.
type turn struct {
	of *queue
	at *list.Element
}

// add has one more wait.
func (t *turns[T]) add(tenant string, who T) turn {
	q := t.of[tenant]
	if q == nil {
		q = &queue{tenant: tenant}
		if t.of == nil {
			t.of = map[string]*queue{}
		}
		t.of[tenant] = q
		q.at = t.order.PushBack(q)
	}
	return turn{q, q.who.PushBack(who)}
}

// leave has one wait no more who has not had a turn.
func (t *turns[T]) leave(w turn) {
	w.of.who.Remove(w.at)
	t.tidy(w.of)
}

// next takes out whoever has the next turn of those who may, and puts the tenant behind all others. May is asked of the first one of each tenant.
func (t *turns[T]) next(may func(tenant string, who T) bool) (who T, ok bool) {
	for e := t.order.Front(); e != nil; e = e.Next() {
		q := e.Value.(*queue)
		first := q.who.Front()
		who = first.Value.(T)
		if !may(q.tenant, who) {
			continue
		}
		q.who.Remove(first)
		t.order.MoveToBack(e)
		t.tidy(q)
		return who, true
	}
	return *new(T), false
}

// tenants is how many tenants have somebody wait.
func (t *turns[T]) tenants() int { return len(t.of) }

// has reports whether a tenant has somebody wait.
func (t *turns[T]) has(tenant string) bool { return t.of[tenant] != nil }

func (t *turns[T]) tidy(q *queue) {
	if q.who.Len() == 0 {
		t.order.Remove(q.at)
		delete(t.of, q.tenant)
	}
}
