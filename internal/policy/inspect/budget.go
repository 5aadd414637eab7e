package inspect

import (
	"sync"
	"time"

	"kanmon/internal/who/share"
)

// Bounds of the memory that messages are kept in.
const (
	tenantsPart = 4       // one tenant has a quarter of all at most
	leastHold   = 4 << 10 // that a message counts for, however small it is: it costs more than its octets
	waitForRoom = 5 * time.Second
	mostAsking  = 1 << 12 // messages that wait for room
)

// A Budget is the memory for messages whose content is judged. It is taken before it is used and given back behind that: all of it, whatever
// becomes of the message. Messages that wait for room get it in turns of their tenants. It is safe for concurrent use.
type Budget struct {
	mu    sync.Mutex
	most  int64 // octets
	taken int64
	held  map[string]int64 // by tenant; tenants that have some
	turns turns[*Hold]
	asked share.Places[string]
}

// NewBudget makes one of so many octets.
func NewBudget(octets int64) *Budget { return &Budget{most: octets, held: map[string]int64{}} }

// Resize has it be of so many octets from now on. What is taken stays taken: until as much of it has come back nothing more is given.
func (b *Budget) Resize(octets int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most = octets
	b.serve()
}

// A Hold is the room of one message. The session that has it is the only one that calls it.
type Hold struct {
	of     *Budget
	tenant string
	ready  chan struct{} // nil: there was an answer at once

	// Of these Budget.mu is the lock.
	taken   int64
	used    int64 // that Grow was asked for
	wants   int64 // while it waits
	waits   turn
	timer   *time.Timer
	waiting bool
	granted bool
}

// Ask asks for room for a message of a tenant: for so many octets, as far as it is known. Give it back, whatever the answer is.
func (b *Budget) Ask(tenant string, octets int64) *Hold {
	h := &Hold{of: b, tenant: tenant, wants: max(octets, leastHold)}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case h.wants > b.most/tenantsPart: // there never is room
	case !b.turns.has(tenant) && b.fits(tenant, h.wants) && b.turns.tenants() == 0:
		b.grant(h)
	case !b.asked.Take(tenant, share.Bounds{Most: mostAsking, Reserve: mostAsking}):
	default:
		h.ready, h.waiting = make(chan struct{}), true
		h.waits = b.turns.add(tenant, h)
		h.timer = time.AfterFunc(waitForRoom, h.late)
		b.serve()
	}
	return h
}

// Ready is closed when there is an answer; nil: there is one. It takes five seconds at most.
func (h *Hold) Ready() <-chan struct{} { return h.ready }

// Granted is the answer, behind Ready.
func (h *Hold) Granted() bool {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	return h.granted
}

// Grow takes room for so many octets of the message, without waiting, and reports whether there is. What Ask has taken is used up first.
func (h *Hold) Grow(octets int64) bool {
	b := h.of
	b.mu.Lock()
	defer b.mu.Unlock()
	more := max(0, h.used+octets-h.taken)
	if !h.granted || !b.fits(h.tenant, more) {
		return false
	}
	h.used += octets
	b.take(h, more)
	return true
}

// Give gives all room back, and asks for none any more. It may be called again.
func (h *Hold) Give() {
	b := h.of
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopWaiting(h)
	b.taken -= h.taken
	if b.held[h.tenant] -= h.taken; b.held[h.tenant] == 0 {
		delete(b.held, h.tenant)
	}
	h.taken, h.used, h.granted = 0, 0, false
	b.serve()
}

// late is called when the time to wait is over.
func (h *Hold) late() {
	b := h.of
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.waiting {
		b.stopWaiting(h)
		b.serve() // it may have stood before others that fit
	}
}

// Taken gives how many octets are taken, by how many tenants, and how many messages wait for room.
func (b *Budget) Taken() (octets int64, tenants, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken, len(b.held), b.asked.All()
}

// fits reports whether there is room for so many octets of a tenant; b.mu is held.
func (b *Budget) fits(tenant string, octets int64) bool {
	return b.taken+octets <= b.most && b.held[tenant]+octets <= b.most/tenantsPart
}

func (b *Budget) take(h *Hold, octets int64) {
	h.taken += octets
	b.taken += octets
	b.held[h.tenant] += octets
}

func (b *Budget) grant(h *Hold) {
	b.take(h, h.wants)
	h.granted = true
}

// serve gives room to those who wait. One for whose size there is no room in all keeps it free of those behind, so that it comes to its turn;
// one whose tenant has its part waits for that alone. b.mu is held.
func (b *Budget) serve() {
	for {
		blocked := false
		h, ok := b.turns.next(func(tenant string, h *Hold) bool {
			if blocked || b.held[tenant]+h.wants > b.most/tenantsPart {
				return false
			}
			blocked = b.taken+h.wants > b.most
			return !blocked
		})
		if !ok {
			return
		}
		b.answered(h)
		b.grant(h)
	}
}

// stopWaiting ends the wait of a message that has had no answer, if it waits; b.mu is held.
func (b *Budget) stopWaiting(h *Hold) {
	if h.waiting {
		b.turns.leave(h.waits)
		b.answered(h)
	}
}

// answered tells a message that waits, and is out of the turns, that there is an answer; b.mu is held.
func (b *Budget) answered(h *Hold) {
	h.waiting = false
	h.timer.Stop()
	b.asked.Give(h.tenant)
	close(h.ready)
}
