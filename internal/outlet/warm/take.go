package warm

import (
	"cmp"
	"net/netip"
	"time"
)

// A Room is what an IP has for one more mail.
type Room uint8

// The rooms.
const (
	Free  Room = iota // it is warm, or has no plan
	Some              // of the day's amount
	Full              // the amount is taken
	Rests             // the receiver has said that it is too much
	Early             // its first day is still to come
)

// String says why there is no room.
func (r Room) String() string {
	return [...]string{"it has no limit", "there is room", "the day's amount is taken", "the receiver has had too much, and is left alone for a while", "its first day is still to come"}[r]
}

// Room says whether an IP has room for another mail to a class today.
func (b *Book) Room(ip netip.Addr, class string) Room {
	m := b.of(ip)
	if m == nil {
		return Free
	}
	now := b.o.Clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upToDate(now)
	return m.room(class, now)
}

// Lacks reports whether there is none.
func (r Room) Lacks() bool { return r > Some }

// room is called with mu held.
func (m *member) room(class string, now time.Time) Room {
	room := m.roomAt(m.Plan, class, now)
	if room.Lacks() && !m.b.tight.Load() {
		m.b.tight.Store(true)
	}
	return room
}

func (s *State) roomAt(p *Plan, class string, now time.Time) Room {
	step, warming := s.stepOf(class, p)
	c := s.Classes[class]
	switch {
	case !warming:
		return Free
	case s.Step == 0:
		return Early
	case now.Before(c.Until):
		return Rests
	case c.Taken >= step.amount(class):
		return Full
	}
	return Some
}

// A Ticket is a mail that an IP has room for. The zero Ticket is of an IP that needs none.
type Ticket struct {
	m     *member
	class string
	day   Day
}

// Take takes room for a mail where it leaves. Over lets it leave without: it is counted. Where there is none, ok is false.
func (b *Book) Take(ip netip.Addr, class string, over bool) (t Ticket, room Room, ok bool) {
	m := b.of(ip)
	if m == nil {
		return t, Free, true
	}
	now := b.o.Clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upToDate(now)
	if room = m.room(class, now); room.Lacks() && !over {
		return t, room, false
	}
	if today := DayOf(now); m.Used < today { // a clock that was set back knows less
		m.Used = today
		m.dirty = true
	}
	if room == Free {
		return t, room, true
	}
	m.count(class, func(c *Class) {
		if c.Taken++; room.Lacks() {
			c.Over++
		}
	})
	return Ticket{m, class, m.Day}, room, true
}

// count changes what is counted of a class. It is called with mu held.
func (m *member) count(class string, do func(*Class)) {
	if m.Classes == nil {
		m.Classes = map[string]Class{}
	}
	c := m.Classes[class]
	do(&c)
	m.Classes[class] = c
	m.dirty = true
}

// Accepted tells that the receiver has taken the mail.
func (t Ticket) Accepted() {
	t.settle(func(c *Class) { c.Tried, c.Accepted, c.PutOff, c.PutBy = c.Tried+1, c.Accepted+1, 0, nil })
}

// Refused tells that the mail was refused for the IP: what it has taken stays taken.
func (t Ticket) Refused(by Voice) {
	t.settle(func(c *Class) { c.refused(t.class, by) })
}

// refused counts a refusal for the IP: what speaks for the class, and of witnesses the second one, and each one a day. An MX that is broken, and is tried
// again and again, is no reason to begin anew.
func (c *Class) refused(class string, by Voice) {
	if again, all := c.objects(class, by); all && !again {
		c.Tried++
	}
}

// Back tells that the mail has not left, or was refused for what is not the IP's: it has taken nothing.
func (t Ticket) Back() {
	t.settle(func(c *Class) {
		if t.m.Day == t.day && c.Taken > 0 {
			c.Taken--
			c.Over = min(c.Over, c.Taken)
		}
	})
}

func (t Ticket) settle(do func(*Class)) {
	m := t.m
	if m == nil {
		return
	}
	now := m.b.o.Clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return
	}
	m.upToDate(now)
	if _, warming := m.stepOf(t.class, m.Plan); !warming {
		return
	}
	m.count(t.class, do)
}

// Refused tells of a connection that was refused for the IP before there was a mail.
func (b *Book) Refused(ip netip.Addr, class string, by Voice) {
	b.hear(ip, class, func(m *member, _ time.Time) {
		m.count(class, func(c *Class) { c.refused(class, by) })
	})
}

// Throttled tells that a receiver has said that the IP sends too much, or too fast: the class rests, and its mail takes other ways.
func (b *Book) Throttled(ip netip.Addr, class string, by Voice, why string) {
	b.hear(ip, class, func(m *member, now time.Time) {
		m.count(class, func(c *Class) {
			if _, all := c.objects(class, by); all {
				c.pause(now, why)
			}
		})
	})
}

// PutOff tells of a mail that was put off for no reason that was said. One may have been greylisted, or the receiver
// was out of order; several in a row, with none accepted between, have met a receiver that takes no more and does not
// say so. Of witnesses it takes two, in turns.
func (b *Book) PutOff(ip netip.Addr, class string, by Voice, why string) {
	b.hear(ip, class, func(m *member, now time.Time) {
		m.count(class, func(c *Class) { c.putOff(class, by, now, why) })
	})
}

// Found tells of a finding about an IP: at a class, which repeats its step then, or whole, about the IP as it is everywhere.
func (b *Book) Found(ip netip.Addr, class string, by Voice, whole bool, why string) {
	b.hear(ip, class, func(m *member, _ time.Time) {
		if whole {
			m.Finding = cmp.Or(m.Finding, why)
			m.dirty = true
			return
		}
		m.count(class, func(c *Class) {
			if _, all := c.objects(class, by); all {
				c.Finding = cmp.Or(c.Finding, why)
			}
		})
	})
}

func (b *Book) hear(ip netip.Addr, class string, do func(*member, time.Time)) {
	m := b.of(ip)
	if m == nil {
		return
	}
	now := b.o.Clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upToDate(now)
	if _, warming := m.stepOf(class, m.Plan); warming && m.Step > 0 {
		do(m, now)
	}
}
