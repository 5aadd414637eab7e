package journal

import (
	"sync"

	"kanmon/internal/session"
)

// A queue holds records that wait for formatting: a ring that never grows, and the one count of losses. Its lock is
// never held over anything but a few assignments, so put does not wait.
type queue struct {
	wake  chan struct{} // holds a token when there may be something to get
	hurry chan struct{} // holds a token when that should not wait for more

	mu      sync.Mutex
	ring    []queued
	head    int // index of the oldest
	n       int
	bytes   int
	limit   int // octets
	seq     uint64
	missed  uint64 // records that did not fit in here
	dropped uint64 // missed, and what sinks lost
	closed  bool
}

type queued struct {
	record *session.Record
	size   int
}

func newQueue(records, octets int) *queue {
	return &queue{ring: make([]queued, records), limit: octets, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
}

// put is false if the record does not fit; it is counted then and stays the caller's.
func (q *queue) put(r *session.Record) bool {
	size := sizeOf(r)
	q.mu.Lock()
	fits := !q.closed && q.n < len(q.ring) && q.bytes+size <= q.limit
	if fits {
		q.ring[(q.head+q.n)%len(q.ring)] = queued{r, size}
		q.n++
		q.bytes += size
	} else {
		q.missed++
		q.dropped++
	}
	first := q.n == 1
	half := q.n > len(q.ring)/2 || q.bytes > q.limit/2
	q.mu.Unlock()
	if first || !fits {
		signal(q.wake)
	}
	if half {
		signal(q.hurry)
	}
	return fits
}

// get gives the oldest record and its number, nil if there is none; how many records did not fit so far; and whether
// more may come.
func (q *queue) get() (r *session.Record, seq, missed uint64, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		return nil, 0, q.missed, !q.closed
	}
	slot := &q.ring[q.head]
	r = slot.record
	q.bytes -= slot.size
	*slot = queued{}
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	q.seq++
	return r, q.seq, q.missed, true
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
		r, _, _, _ := q.get()
		if r == nil {
			return
		}
		r.Release()
		q.lose(1)
	}
}

func (q *queue) lose(n uint64) {
	q.mu.Lock()
	q.dropped += n
	q.mu.Unlock()
}

func (q *queue) lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
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
	eventOverhead     = 160
	recipientOverhead = 64
)

// sizeOf is about what a record takes in memory, in octets.
func sizeOf(r *session.Record) int {
	n := recordOverhead + r.Octets() + len(r.Lines)*lineOverhead + (len(r.Actions)+len(r.Decisions))*eventOverhead
	if t := r.Transaction; t != nil {
		n += len(t.Recipients) * recipientOverhead
	}
	return n
}
