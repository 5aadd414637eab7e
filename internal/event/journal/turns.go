package journal

import (
	"slices"

	"kanmon/internal/event"
)

// turns say whose record is taken out next. Owners take turns by octets, so that nobody's records wait for all that
// another one has there, from however many addresses it came. Within an owner its sessions take turns: behind one
// address there may be several owners. A session's records stay in order, whosever they are.
type turns struct {
	owners   fifo[*use] // that have lanes
	sessions map[event.ID]*lane
	spare    []*lane
}

// A lane is what a session has in the queue.
type lane struct {
	id      event.ID
	records fifo[queued]
}

type queued struct {
	record *event.Record
	seq    uint64 // its number once it has been taken out
	size   int
	of     *use
}

// A use is what an owner has in the queue.
type use struct {
	owner
	records, bytes int
	lanes          fifo[*lane] // of sessions whose next record is the owner's
	credit         int         // octets that it may take out before it is another one's turn
}

const (
	// turnCredit is what a turn is worth. An owner of large records waits for several, so that others wait little for it.
	turnCredit = 64 << 10
	// maxKept bounds how many owners, and lanes, that have nothing in the queue are kept.
	maxKept = 64
)

func newTurns() turns { return turns{sessions: make(map[event.ID]*lane)} }

// put puts a record behind those of its session.
func (t *turns) put(next queued) {
	id := next.record.Session.ID
	l := t.sessions[id]
	if l == nil {
		if n := len(t.spare); n > 0 {
			l, t.spare = t.spare[n-1], t.spare[:n-1]
		} else {
			l = &lane{}
		}
		l.id = id
		t.sessions[id] = l
	}
	l.records.push(next)
	if l.records.len() == 1 {
		t.await(l)
	}
}

// await puts a lane behind the others of whoever has its first record.
func (t *turns) await(l *lane) {
	u := l.records.first().of
	if u.lanes.push(l); u.lanes.len() == 1 {
		t.owners.push(u)
	}
}

// take takes out the record whose turn it is; there is one.
func (t *turns) take() queued {
	u := t.owners.first()
	for u.lanes.first().records.first().size > u.credit {
		u.credit += turnCredit
		t.owners.push(t.owners.pop())
		u = t.owners.first()
	}
	l := u.lanes.first()
	next := l.records.pop()
	u.credit -= next.size
	if l.records.len() > 0 {
		t.await(l)
	} else {
		delete(t.sessions, l.id)
		if len(t.spare) < maxKept {
			t.spare = append(t.spare, l)
		}
	}
	u.lanes.pop()
	if u.lanes.len() == 0 {
		t.owners.pop()
		u.credit = 0
	}
	return next
}

// A fifo gives things in the order in which they came.
type fifo[T any] struct {
	list []T // from head on
	head int
}

func (f *fifo[T]) len() int { return len(f.list) - f.head }

func (f *fifo[T]) push(next T) { f.list = append(f.list, next) }

func (f *fifo[T]) first() T { return f.list[f.head] }

func (f *fifo[T]) pop() T {
	next := f.list[f.head]
	clear(f.list[f.head : f.head+1])
	f.head++
	switch {
	case f.head == len(f.list):
		f.list, f.head = f.list[:0], 0
		if cap(f.list) > maxKept {
			f.list = nil
		}
	case f.head > maxKept && f.head > len(f.list)/2:
		f.list = slices.Delete(f.list, 0, f.head)
		f.head = 0
	}
	return next
}
