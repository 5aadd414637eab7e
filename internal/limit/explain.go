package limit

import "time"

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
		b.member = &member
	}
	b.main.forgive(now, b.want.Limit.farthest())
}
