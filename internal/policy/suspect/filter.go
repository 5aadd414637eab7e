package suspect

import (
	"time"

	"kanmon/internal/who/share"
)

// A filter knows whom accounts have written to: a Bloom filter of blocks (Putze, Sanders, Singler 2007), so that a look costs one line of
// the processor's cache. It has two halves. All goes into the first; behind half its time it takes the place of the second, which is
// forgotten.
type filter struct {
	halves [2][]block
	taken  [2]share.Places[string]
	most   int   // keys in a half: one octet and a half for each
	turn   int64 // number of the half's time, since 1970
	begun  bool
}

// A block is a line of the cache.
type block [8]uint64

const (
	// FilterOctets is how large the filter is, where suspicion is in use.
	FilterOctets = 64 << 20

	halfTime   = 15 * 24 * time.Hour
	keyBits    = 12 // of the filter, for each key: 1 % false "known" where it is full
	keyProbes  = 6
	mostOwners = 10_000 // tenants whose keys are counted; those of others are not kept
)

func newFilter(octets int) *filter {
	f := &filter{most: octets / 2 * 8 / keyBits}
	for i := range f.halves { // at once: no mail is to wait for so much memory
		f.halves[i] = make([]block, max(1, octets/2/64))
	}
	return f
}

// turnTo begins a new half where it is time to. Where the clock goes back, what is there stays for as long as it would have.
func (f *filter) turnTo(now time.Time) {
	turn := floorDiv(now.Unix(), int64(halfTime/time.Second))
	switch ahead := turn - f.turn; {
	case !f.begun, ahead < 0:
		f.begun, f.turn = true, turn
	case ahead == 1:
		f.halves[0], f.halves[1] = f.halves[1], f.halves[0]
		f.taken[1] = f.taken[0]
		clear(f.halves[0])
		f.taken[0] = share.Places[string]{}
		f.turn = turn
	case ahead > 1:
		for i := range f.halves {
			clear(f.halves[i])
			f.taken[i] = share.Places[string]{}
		}
		f.turn = turn
	}
}

// takes reports whether a tenant may put one more in: as long as it has less than is free.
func (f *filter) takes(tenant string) bool {
	if f.taken[0].Of(tenant) == 0 && f.taken[0].Owners() >= mostOwners {
		return false
	}
	return f.taken[0].Room(tenant, f.bounds())
}

func (f *filter) bounds() share.Bounds { return share.Bounds{Most: f.most, Reserve: f.most} }

// has reports whether a key is known, in either half.
func (f *filter) has(key uint64) bool {
	for _, half := range f.halves {
		if half[place(key, len(half))].has(key) {
			return true
		}
	}
	return false
}

// add puts a key of a tenant's into the first half, if it is not there and there is room, and reports whether it is there now.
func (f *filter) add(key uint64, tenant string) bool {
	b := &f.halves[0][place(key, len(f.halves[0]))]
	if b.has(key) {
		return true
	}
	if !f.takes(tenant) || !f.taken[0].Take(tenant, f.bounds()) {
		return false
	}
	for i := range keyProbes {
		bit := probe(key, i)
		b[bit/64] |= 1 << (bit % 64)
	}
	return true
}

func (b *block) has(key uint64) bool {
	for i := range keyProbes {
		if bit := probe(key, i); b[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

// place is the block of a key: by the upper half of it.
func place(key uint64, blocks int) int { return int(key >> 32 * uint64(blocks) >> 32) }

// probe is one of the bits of a key in its block: nine bits of the lower half, mixed, for each.
func probe(key uint64, i int) uint64 { return mix(key&(1<<32-1)|1<<32) >> (9 * i) & 511 }

// mix makes all bits of a number depend on all (the finaliser of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
