package journal

import (
	"sync"
	"sync/atomic"

	"kanmon/internal/event"
)

// A queue holds records that wait for formatting, so many and no more, and the one count of losses. Its lock is never
// held over anything but a few assignments, so put does not wait. What an owner has in it decides what fits, and owners
// take turns in what is taken out.
type queue struct {
	wake  chan struct{} // holds a token when there may be something to get
	hurry chan struct{} // holds a token when that should not wait for more

	mu      sync.Mutex
	turns   turns
	n, most int
	bytes   int
	limit   int // octets
	uses    map[owner]*use
	missed  losses // records that did not fit in here, and the sinks have not been told of
	dropped uint64 // all that did not fit in here, and what sinks lost
	untold  losses // of these, what kanmon's own log has not been told
	closed  bool

	unsaid atomic.Bool // there is something untold
	files  *Files      // count all losses
}

func newQueue(records, octets int, files *Files) *queue {
	return &queue{
		most: records, limit: octets, files: files, turns: newTurns(), uses: make(map[owner]*use),
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
	}
}

// put is false if the record does not fit; it is counted then and stays the caller's.
func (q *queue) put(o owner, r *event.Record) bool {
	size := sizeOf(r)
	q.mu.Lock()
	u, known := q.uses[o]
	if !known {
		u = &use{owner: o}
	}
	fits := !q.closed && fits(u.records, 1, q.most-q.n) && fits(u.bytes, size, q.limit-q.bytes)
	if fits {
		q.turns.put(queued{record: r, size: size, of: u})
		q.n++
		q.bytes += size
		u.records++
		u.bytes += size
		if !known {
			q.uses[o] = u
		}
	} else {
		q.missed.add(o, 1)
		q.lost(o)
	}
	first := q.n == 1
	half := q.n > q.most/2 || q.bytes > q.limit/2
	q.mu.Unlock()
	if first || !fits {
		signal(q.wake)
	}
	if half {
		signal(q.hurry)
	}
	return fits
}

// get returns the next record, a nil one if there is none; what did not fit since it was last asked; and whether more may come.
func (q *queue) get() (next queued, missed losses, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	missed, q.missed = q.missed, nil
	if q.n == 0 {
		return next, missed, !q.closed
	}
	next = q.turns.take()
	q.n--
	q.bytes -= next.size
	next.of.bytes -= next.size
	if next.of.records--; next.of.records == 0 && len(q.uses) > maxKept {
		delete(q.uses, next.of.owner)
	}
	return next, missed, true
}

// empty reports whether there is nothing to get, not even what did not fit.
func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n == 0 && len(q.missed) == 0
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	signal(q.wake)
	signal(q.hurry)
}

// abandon drops what is still in the queue.
func (q *queue) abandon() {
	for {
		next, _, _ := q.get()
		if next.record == nil {
			return
		}
		next.record.Release()
		q.lose(next.of.owner)
	}
}

// lose counts a record that a sink has lost.
func (q *queue) lose(o owner) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lost(o)
}

func (q *queue) lost(o owner) {
	q.dropped++
	q.files.lost(o)
	q.untold.add(o, 1)
	q.unsaid.Store(true)
}

func (q *queue) total() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// toTell returns what was lost since it was last asked, and in all.
func (q *queue) toTell() (fresh losses, all uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	fresh, q.untold = q.untold, nil
	q.unsaid.Store(false)
	return fresh, q.dropped
}

// signal puts a token into a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// What a record takes beside its texts, roughly: the structs themselves.
const (
	recordOverhead    = 1024
	lineOverhead      = 40
	nameOverhead      = 8
	eventOverhead     = 160
	recipientOverhead = 64
)

// sizeOf is about what a record takes in memory, in octets.
func sizeOf(r *event.Record) int {
	n := recordOverhead + r.Octets() + len(r.Lines)*lineOverhead + len(r.Names)*nameOverhead + (len(r.Actions)+len(r.Decisions))*eventOverhead
	if t := r.Transaction; t != nil {
		n += len(t.Recipients) * recipientOverhead
	}
	return n
}
