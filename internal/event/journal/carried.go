package journal

import (
	"kanmon/internal/event"
)

const (
	// maxCarried bounds the sessions, maxCarriedLocals the local parts of one, and maxCarriedOctets those of all, that
	// are remembered between records. Of the octets nobody has more than eight times what is left, as of the queue.
	maxCarried       = 1 << 15
	maxCarriedLocals = 1 << 12
	maxCarriedOctets = 32 << 20
	// carriedOverhead is about what a local part takes beside its octets.
	carriedOverhead = 32
)

// carried are the local parts that later records of a session may name again: a session that waits hands over its lines
// before its transaction has ended.
type carried struct {
	of     map[event.ID]*carriedBy
	octets int
	has    map[owner]int // octets
}

type carriedBy struct {
	owner
	locals []string
	octets int
}

func newCarried() carried {
	return carried{of: make(map[event.ID]*carriedBy), has: make(map[owner]int)}
}

func (c *carried) locals(id event.ID) []string {
	if by := c.of[id]; by != nil {
		return by.locals
	}
	return nil
}

// add carries the local parts that a record of a session has named, as far as there is room.
func (c *carried) add(o owner, id event.ID, learned []string) {
	if len(learned) == 0 {
		return
	}
	by := c.of[id]
	if by == nil {
		if len(c.of) >= maxCarried { // ends that were dropped left theirs behind
			for old := range c.of {
				c.drop(old)
				break
			}
		}
		by = &carriedBy{owner: o}
		c.of[id] = by
	}
	for _, l := range learned {
		n := len(l) + carriedOverhead
		if len(by.locals) >= maxCarriedLocals || !fits(c.has[by.owner], n, maxCarriedOctets-c.octets) {
			return
		}
		by.locals = append(by.locals, l)
		by.octets += n
		c.octets += n
		c.has[by.owner] += n
	}
}

// drop forgets a session's.
func (c *carried) drop(id event.ID) {
	by := c.of[id]
	if by == nil {
		return
	}
	delete(c.of, id)
	c.octets -= by.octets
	if c.has[by.owner] -= by.octets; c.has[by.owner] == 0 {
		delete(c.has, by.owner)
	}
}
