package limit

import (
	"cmp"
	"slices"
	"time"
)

// Explain says how each counter stands, and what Take would say. A subject without a counter is shown as free, as it is
// unless there is no place for it.
func (m *Memory) Explain(wants []Want) []Counter {
	counters := make([]Counter, 0, len(wants))
	for i := range wants {
		s := &m.shards[m.place(wants[i].Subject)]
		s.mu.Lock()
		counters = append(counters, s.explain(&wants[i], m.time.read()))
		s.mu.Unlock()
	}
	return counters
}

func (s *shard) explain(w *Want, now int64) Counter {
	b := bid{want: *w, shard: s}
	b.copy(now)
	c := Counter{
		Rule: w.Limit.Rule(), Subject: w.Subject, Used: b.main.used(now), Max: w.Limit.burst,
		Free: time.Duration(b.main.debt(now)),
	}
	if b.fair {
		c.Members = b.main.pool.count(now)
		b.main.pool.note(b.member, now) // as Take would
	}
	c.Now = b.grant(now)
	return c
}

// copy is find, but what it finds are copies, to try on.
func (b *bid) copy(now int64) {
	main, pool, member := entry{}, pool{}, entry{}
	if e := b.shard.entries[b.want.key()]; e != nil {
		main = *e
	}
	if main.pool != nil {
		pool = *main.pool
	}
	if e := b.shard.entries[b.want.shareKey()]; e != nil {
		member = *e
	}
	main.follow(b.want.Limit, now)
	main.pool = &pool
	b.main, b.fair = &main, b.want.Limit.rule.Fair
	if b.fair {
		member.follow(b.want.Limit, now)
		b.member = &member
	}
	b.main.forgive(now, b.want.Limit.farthest())
}

// Seen returns what a limit counts of a sender or a sending IP at present, by name. It looks at all there is: it is for people.
func (m *Memory) Seen(l *Limit, of string) (all []Subject) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for k := range s.entries {
			if k.limit == l.id && k.of == cut(of) {
				all = append(all, Subject{Of: k.of, To: k.to})
			}
		}
		s.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Subject) int { return cmp.Compare(a.To, b.To) })
	return all
}

// SeenAll is Seen of all whom the limit has counted.
func (m *Memory) SeenAll(l *Limit) (all []Subject) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for k := range s.entries {
			if k.limit == l.id {
				all = append(all, Subject{Of: k.of, To: k.to})
			}
		}
		s.mu.Unlock()
	}
	return all
}
