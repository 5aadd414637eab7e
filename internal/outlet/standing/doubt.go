package standing

import (
	"net/netip"
	"slices"
)

// A sole is the message whose refusal alone has suspended a key, and what was before.
type sole struct {
	message uint64
	before  Standing
}

// only reports whether nothing but a message is counted.
func (m *meter) only(message uint64) bool {
	return message != 0 && !slices.ContainsFunc(m.replies, func(r mark) bool { return r.name != message })
}

// without takes a message back. Whose it was is kept as long as others are counted: they may be of the same.
func (m *meter) without(message uint64) {
	if m.only(message) {
		*m = meter{}
		return
	}
	m.replies = slices.DeleteFunc(m.replies, func(r mark) bool { return r.name == message })
}

// Doubt tells that what a message was refused for was said of another sending IP as well, for the same mail: so the IP is hardly the
// cause. That the message has suspended the key is taken back, unless there is other evidence; it stays a doubt, and no more.
func (b *Book) Doubt(k Key, message uint64) {
	k = k.normal()
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entry(k)
	if e == nil {
		return
	}
	now := b.clock()
	b.adjust(e, now)
	e.listed.without(message)
	s := e.sole
	if s == nil || s.message != message || slices.ContainsFunc(e.Lists, func(l List) bool { return l.Confirmed }) {
		return
	}
	e.Strikes, e.Length, e.Lists = s.before.Strikes, s.before.Length, s.before.Lists
	e.Rule, e.Sample = "", ""
	e.Reason = "said of another sending IP, too"
	switch span := s.before.Until.Sub(now); {
	case s.before.State == Active:
		b.set(e, now, Active, 0)
	case s.before.State == Slowed && span > 0:
		e.Share = s.before.Share
		b.set(e, now, Slowed, span)
	default: // what it was, is over: a probe may tell
		b.set(e, now, Suspended, 0)
	}
	b.touch(e, now)
}

// Listed reports whether a query of our own has found the IP on a public list.
func (b *Book) Listed(ip netip.Addr) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.checks.found(ip.Unmap(), b.clock()) {
		return true
	}
	at := b.ips[ip.Unmap()]
	if at == nil {
		return false
	}
	confirmed := func(e *entry) bool {
		return slices.ContainsFunc(e.Lists, func(l List) bool { return l.Confirmed })
	}
	if at.whole != nil && confirmed(at.whole) {
		return true
	}
	for _, e := range at.keys {
		if e.State != Active && confirmed(e) {
			return true
		}
	}
	return false
}
