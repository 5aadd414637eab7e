package policy

import (
	"slices"
	"sync"
	"time"
)

// An MX that puts a recipient off makes the MSA try again for hours. Such a try is no new mail: it takes no room of a limit on recipients,
// and what it brings of the same kind is no new evidence. After a reply for good, 2xx or 5xx, the next mail is a new one.

// retries remember which recipients of whose mail were put off. What a tenant has put off pushes out its own alone.
type retries struct {
	epoch time.Time

	mu      sync.Mutex
	tenants map[string]*putOff
	entries int    // of all tables
	full    uint16 // the minute in which no table was old enough to make room; looked for once a minute
}

// Bounds of what is remembered. An entry has 8 octets.
const (
	retryWindow    = 24 * time.Hour // between two tries: longer than any MSA waits by default
	setEntries     = 4              // that a key can be in
	leastEntries   = 64             // of a tenant
	mostEntries    = 8192           // of a tenant
	mostAllEntries = 1 << 20        // of all together; a tenant then has what it has
	mostTables     = 10_000         // tenants: those that the detector knows, too
)

// putOff is a table of one tenant, in sets of setEntries. An entry is the upper 48 bits of a key and the minute of its last try, from 1;
// 0 is none.
type putOff struct {
	entries []uint64
	touched uint16
}

func newRetries(now time.Time) *retries { return &retries{epoch: now, tenants: map[string]*putOff{}} }

// minute is the time as entries have it. It comes round every 45 days.
func (r *retries) minute(now time.Time) uint16 { return uint16(now.Sub(r.epoch)/time.Minute) + 1 }

const retryMinutes = uint16(retryWindow / time.Minute)

// again reports whether a key was put off, and not so long ago that this is another mail.
func (r *retries) again(tenant string, key uint64, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tenants[tenant]
	if t == nil {
		return false
	}
	at, minute := t.find(key), r.minute(now)
	return at >= 0 && minute-uint16(t.entries[at]) <= retryMinutes
}

// note remembers that a key was put off.
func (r *retries) note(tenant string, key uint64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	minute := r.minute(now)
	t := r.tenants[tenant]
	if t == nil {
		if t = r.newTable(tenant, minute); t == nil {
			return
		}
	}
	t.touched = minute
	entry := key&^0xffff | uint64(minute)
	if at := t.find(key); at >= 0 {
		t.entries[at] = entry
		return
	}
	for !t.put(entry, minute) {
		if !r.grow(t) {
			t.replace(entry, minute)
			return
		}
	}
}

// over forgets a key: there was a reply for good.
func (r *retries) over(tenant string, key uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tenants[tenant]; t != nil {
		if at := t.find(key); at >= 0 {
			t.entries[at] = 0
		}
	}
}

// newTable makes a tenant's table. Where there are too many, the one that was longest without a try makes room.
func (r *retries) newTable(tenant string, minute uint16) *putOff {
	if len(r.tenants) >= mostTables || r.entries+leastEntries > mostAllEntries {
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
	t := &putOff{entries: make([]uint64, leastEntries), touched: minute}
	r.tenants[tenant] = t
	r.entries += leastEntries
	return t
}

// grow doubles a table, if it may be larger.
func (r *retries) grow(t *putOff) bool {
	n := len(t.entries)
	if n >= mostEntries || r.entries+n > mostAllEntries {
		return false
	}
	old := t.entries
	t.entries = make([]uint64, 2*n)
	r.entries += n
	for _, entry := range old {
		if entry == 0 {
			continue
		}
		set := t.set(entry)
		set[slices.Index(set, 0)] = entry // there is room: a set's entries go to two sets
	}
	return true
}

// set gives the entries that a key can be in.
func (t *putOff) set(key uint64) []uint64 {
	sets := uint64(len(t.entries) / setEntries)
	first := (key >> 16) % sets * setEntries
	return t.entries[first : first+setEntries]
}

// find gives the index of a key's entry, -1 if there is none.
func (t *putOff) find(key uint64) int {
	sets := uint64(len(t.entries) / setEntries)
	first := int((key >> 16) % sets * setEntries)
	for i := range setEntries {
		if entry := t.entries[first+i]; entry != 0 && entry>>16 == key>>16 {
			return first + i
		}
	}
	return -1
}

// put writes an entry where there is room: nothing, or one that is too old to tell of a retry.
func (t *putOff) put(entry uint64, minute uint16) bool {
	set := t.set(entry)
	for i := range set {
		if set[i] == 0 || minute-uint16(set[i]) > retryMinutes {
			set[i] = entry
			return true
		}
	}
	return false
}

// replace writes an entry in place of the oldest one of its set.
func (t *putOff) replace(entry uint64, minute uint16) {
	set := t.set(entry)
	oldest := 0
	for i := range set {
		if minute-uint16(set[i]) > minute-uint16(set[oldest]) {
			oldest = i
		}
	}
	set[oldest] = entry
}
