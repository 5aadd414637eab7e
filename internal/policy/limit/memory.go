package limit

import (
	"hash/maphash"
	"math/bits"
	"time"
)

// DefaultMaxKeys is how many counters there may be. 100,000 senders with two limits each fit; one costs about 190 octets
// (go test -bench Memory).
const DefaultMaxKeys = 1 << 18

const shards = 64 // bits of a lock set

// Options make a [Memory].
type Options struct {
	Clock   func() time.Time // nil: time.Now
	MaxKeys int              // 0: DefaultMaxKeys; at least 64
}

// A Memory is the [Limiter] of a single gateway. It has no goroutine and nothing to close.
type Memory struct {
	time   *timeline
	seed   maphash.Seed
	shards [shards]shard
}

var _ Limiter = (*Memory)(nil)

// New makes a Memory in which everything is free.
func New(o Options) *Memory {
	m := &Memory{time: newTimeline(o.Clock), seed: maphash.MakeSeed()}
	if o.MaxKeys <= 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	for i := range m.shards {
		m.shards[i].most = max(1, o.MaxKeys/shards)
		m.shards[i].entries = map[key]*entry{}
	}
	return m
}

// usualWants is for how many Take does not allocate.
const usualWants = 8

// Take takes all the wants or none. Every shard that is needed is locked at once, in the order of their numbers, so that
// nobody sees half of it and two that want the same in another order do not wait for each other.
func (m *Memory) Take(wants []Want, t *Ticket) Verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	var room [usualWants]bid
	bids := room[:0]
	var set uint64
	for i := range wants {
		n := m.place(wants[i].Subject)
		set |= 1 << n
		bids = append(bids, bid{want: wants[i], shard: &m.shards[n]})
	}
	m.lock(set)
	defer m.unlock(set)
	now := m.time.read()
	verdict := Verdict{OK: true}
	for i := range bids {
		bids[i].find(now)
		if v := bids[i].grant(now); !v.OK && (verdict.OK || v.stricter(verdict)) {
			verdict = v
		}
	}
	if !verdict.OK {
		for i := len(bids) - 1; i >= 0; i-- { // backwards: two wants may be of one counter
			bids[i].undo()
		}
		return verdict
	}
	for i := range bids {
		taken := bids[i].taking()
		if bids[i].want.Spent && taken.limit.rule.Measure != Octets { // of these it is not known yet how many
			taken.unpin()
			continue
		}
		t.add(&taken)
	}
	return verdict
}

func (v Verdict) stricter(than Verdict) bool {
	if v.Never != than.Never {
		return v.Never
	}
	return v.Wait > than.Wait
}

// place is the number of a subject's shard.
func (m *Memory) place(s Subject) int {
	h := maphash.String(m.seed, cut(s.Of))
	if s.To != "" {
		h = bits.RotateLeft64(h, 29) ^ maphash.String(m.seed, cut(s.To))
	}
	return int(h % shards)
}

func (m *Memory) lock(set uint64) {
	for ; set != 0; set &= set - 1 {
		m.shards[bits.TrailingZeros64(set)].mu.Lock()
	}
}

func (m *Memory) unlock(set uint64) {
	for ; set != 0; set &= set - 1 {
		m.shards[bits.TrailingZeros64(set)].mu.Unlock()
	}
}

// Settle ends the ticket.
func (m *Memory) Settle(t *Ticket, delivered bool, octets int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.taken) == 0 { // as most are: a mail has a ticket for each kind of limit
		return
	}
	now := m.time.read()
	for i := range t.taken {
		taken := &t.taken[i]
		s := taken.main.entry.shard
		s.mu.Lock()
		taken.settle(now, delivered, max(0, octets))
		s.mu.Unlock()
	}
	clear(t.taken)
	t.taken = t.taken[:0]
}

// Forget frees all that is used of a rate. What is out is not given back again.
func (m *Memory) Forget(w Want) {
	s := &m.shards[m.place(w.Subject)]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.time.read()
	for _, k := range []key{w.key(), w.shareKey()} {
		if e := s.entries[k]; e != nil {
			e.forgive(now, 0)
		}
	}
}

// Stats are totals, for metrics.
type Stats struct {
	Keys      int   // counters now
	Forgotten int64 // counters given up, with less than half of their burst used, because others needed their place
	Shared    int64 // times that a subject was counted with all others for which there was no place
}

// Stats returns the totals.
func (m *Memory) Stats() Stats {
	var total Stats
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		total.Keys += len(s.entries)
		total.Forgotten += s.forgotten
		total.Shared += s.shared
		s.mu.Unlock()
	}
	return total
}
