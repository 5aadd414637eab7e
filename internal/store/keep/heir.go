package keep

// Learn takes over rows that another process would write, which has had the store before this one: whatever it has put later than this one
// has. What it has forgotten is not: it is forgotten here, too, when it is old.
func (m *Memory[K, V]) Learn(rows []Row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.o.Clock()
	for _, row := range rows {
		k, v, sensible := m.o.Decode(row.Key, row.Value)
		if row.Gone || !sensible || len(row.Key) > longest || len(row.Value) > longest {
			continue
		}
		put := row.Put
		if put.After(now) {
			put = now
		}
		if e, found := m.entries.Get(k); found && e.put.After(put) || now.Sub(put) >= m.o.Life {
			continue
		}
		m.markDirty(k, m.put(k, v, m.ownerOf(k), put))
	}
}

// Flush writes what has changed, for whoever reads the store next.
func (m *Memory[K, V]) Flush() error {
	if m.o.Store == nil {
		return nil
	}
	_, err := m.saveAll()
	return err
}

// Table is the name of the store; "" where there is none.
func (m *Memory[K, V]) Table() string {
	if m.o.Store == nil {
		return ""
	}
	return m.o.Store.String()
}
