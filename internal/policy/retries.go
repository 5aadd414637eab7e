package policy

import (
	"slices"
	"sync"
	"time"
)

// An MX that puts a recipient off makes the MSA try again for hours. Such a try is no new mail: it takes no room of a limit on recipients,
// and what it brings of the same kind is no new evidence. After a reply for good, 2xx or 5xx, the next mail is a new one, and so is one of
// another length, one that comes oftener than a queue tries, and one that comes when a queue has long given up.

// retries remember what of whose mail was put off. What a tenant has put off pushes out its own alone.
type retries struct {
	epoch time.Time

	mu      sync.Mutex
	tenants map[string]*putOff
	most    int    // of them
	entries int    // of all tables
	full    uint16 // the minute in which no table was old enough to make room; looked for once a minute
}

// Bounds of what is remembered. An entry has 12 octets.
const (
	retryWindow  = 24 * time.Hour     // between two tries: longer than any MSA waits by default
	queueLife    = 5 * 24 * time.Hour // from the first to the last (RFC 5321 section 4.5.4.1)
	setEntries   = 4                  // that a key can be in
	leastEntries = 64                 // of a tenant
	mostEntries  = 8192               // of a tenant
	entriesEach  = 104                // for each tenant that there is room for, of all together; a tenant then has what it has
	mostTables   = 10_000             // tenants, or as many as are configured: those that the detector knows, too
)

// How often a queue tries: a few times at once, at each MX of the domain, and then no more than once in so many minutes. It takes its time
// with what is older.
const (
	queueTries = 5
	fastest    = 5  // Postfix' least wait
	slowest    = 15 // sendmail, as it used to be started
	olderBy    = 24 // of its age
)

// putOff is a table of one tenant, in sets of setEntries.
type putOff struct {
	entries []put
	touched uint16
}

// A put is what was put off. Minutes are those of retries.minute.
type put struct {
	tag         uint32 // of the key
	first, last uint16 // try; a last of 0: there is none
	ahead       uint8  // minutes that the tries are ahead of a queue's pace
}

func tagOf(key uint64) uint32 { return uint32(key >> 16) }

// live reports whether a try now may be one of the same mail.
func (p *put) live(minute uint16) bool {
	return p.last != 0 && minute-p.last <= retryMinutes && minute-p.first <= lifeMinutes
}

// try counts a try, and reports whether it is one of a queue.
func (p *put) try(minute uint16) bool {
	pace := min(max((minute-p.first)/olderBy, fastest), slowest)
	ahead := uint16(p.ahead) - min(uint16(p.ahead), minute-p.last)
	p.last = minute
	paced := ahead+pace <= queueTries*pace
	if paced {
		ahead += pace
	}
	p.ahead = uint8(ahead)
	return paced
}

func newRetries(now time.Time) *retries {
	return &retries{epoch: now, tenants: map[string]*putOff{}, most: mostTables}
}

// widen makes room for so many tenants, where there is less. It never takes room away.
func (r *retries) widen(tenants int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = max(r.most, tenants)
}

// isFull reports whether there is no room for so many entries more.
func (r *retries) isFull(more int) bool { return r.entries+more > r.most*entriesEach }

// minute is the time as entries have it. It comes round every 45 days.
func (r *retries) minute(now time.Time) uint16 { return uint16(now.Sub(r.epoch)/time.Minute) + 1 }

const (
	retryMinutes = uint16(retryWindow / time.Minute)
	lifeMinutes  = uint16(queueLife / time.Minute)
)

// known reports whether a key was put off, and not so long ago that this is another mail.
func (r *retries) known(tenant string, key uint64, clock func() time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.tenants[tenant].find(tagOf(key))
	return p != nil && p.live(r.minute(clock())) // most are not there, and need no clock
}

// note remembers that a key was put off, and reports whether it had been before: then it is the same mail, which a queue has tried again.
func (r *retries) note(tenant string, key uint64, now time.Time) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	minute, tag := r.minute(now), tagOf(key)
	t := r.tenants[tenant]
	if t == nil {
		if t = r.newTable(tenant, minute); t == nil {
			return false
		}
	}
	t.touched = minute
	entry := put{tag: tag, first: minute, last: minute}
	switch p := t.find(tag); {
	case p == nil:
	case p.live(minute):
		return p.try(minute)
	default:
		*p = entry
		return false
	}
	for !t.put(entry, minute) {
		if !r.grow(t) {
			t.replace(entry, minute)
			break
		}
	}
	return false
}

// over forgets a key, since there was a reply for good, and reports whether that was a queue's try of what had been put off.
func (r *retries) over(tenant string, key uint64, clock func() time.Time) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.tenants[tenant].find(tagOf(key))
	if p == nil {
		return false
	}
	minute := r.minute(clock())
	again = p.live(minute) && p.try(minute)
	*p = put{}
	return again
}

// newTable makes a tenant's table. Where there are too many, the one that was longest without a try makes room.
func (r *retries) newTable(tenant string, minute uint16) *putOff {
	if len(r.tenants) >= r.most || r.isFull(leastEntries) {
		if r.full == minute {
			return nil
		}
		oldest, most := "", uint16(0)
		for name, t := range r.tenants {
			if age := minute - t.touched; age >= most {
				oldest, most = name, age
			}
		}
		if most <= retryMinutes {
			r.full = minute // all of them are in use
			return nil
		}
		r.entries -= len(r.tenants[oldest].entries)
		delete(r.tenants, oldest)
	}
	t := &putOff{entries: make([]put, leastEntries), touched: minute}
	r.tenants[tenant] = t
	r.entries += leastEntries
	return t
}

// grow doubles a table, if it may be larger.
func (r *retries) grow(t *putOff) bool {
	n := len(t.entries)
	if n >= mostEntries || r.isFull(n) {
		return false
	}
	old := t.entries
	t.entries = make([]put, 2*n)
	r.entries += n
	for _, entry := range old {
		if entry.last == 0 {
			continue
		}
		set := t.set(entry.tag)
		set[slices.Index(set, put{})] = entry // there is room: a set's entries go to two sets
	}
	return true
}

// set returns the entries that a tag can be in.
func (t *putOff) set(tag uint32) []put {
	first := int(tag) % (len(t.entries) / setEntries) * setEntries
	return t.entries[first : first+setEntries]
}

// find returns a tag's entry, nil if there is none.
func (t *putOff) find(tag uint32) *put {
	if t == nil {
		return nil
	}
	set := t.set(tag)
	for i := range set {
		if set[i].tag == tag && set[i].last != 0 {
			return &set[i]
		}
	}
	return nil
}

// put writes an entry where there is room: nothing, or one that is too old to tell of a retry.
func (t *putOff) put(entry put, minute uint16) bool {
	set := t.set(entry.tag)
	for i := range set {
		if !set[i].live(minute) {
			set[i] = entry
			return true
		}
	}
	return false
}

// replace writes an entry in place of the oldest one of its set.
func (t *putOff) replace(entry put, minute uint16) {
	set := t.set(entry.tag)
	oldest := 0
	for i := range set {
		if minute-set[i].last > minute-set[oldest].last {
			oldest = i
		}
	}
	set[oldest] = entry
}
