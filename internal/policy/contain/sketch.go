package contain

import (
	"math"
	"math/bits"
)

// A sketch counts distinct hashes (HyperLogLog: Flajolet et al. 2007) in 64 octets, with a standard error of 13 %. That
// is enough: what it is compared with is three times somebody's history. Its memory does not depend on how many there are,
// which is what a flood makes use of.
type sketch [64]uint8

// mostOfHash is the largest that an octet of a sketch can be: six bits of a hash say which one it is.
const mostOfHash = 64 - 6 + 1

// add notes a hash and says whether the estimate may have changed, which is soon rare.
func (s *sketch) add(hash uint64) bool {
	i := hash % uint64(len(s))
	r := uint8(bits.TrailingZeros64(hash>>6|1<<(mostOfHash-1))) + 1
	if r <= s[i] {
		return false
	}
	s[i] = r
	return true
}

func (s *sketch) estimate() float64 {
	const m = float64(len(s))
	sum, zeros := 0.0, 0
	for _, r := range s {
		sum += 1 / float64(uint64(1)<<r)
		if r == 0 {
			zeros++
		}
	}
	e := 0.709 * m * m / sum
	if e <= 2.5*m && zeros > 0 {
		return m * math.Log(m/float64(zeros)) // linear counting: better where there are few
	}
	return e
}

// A halves is a sketch of the last 12 to 24 hours.
type halves struct {
	now, before sketch
	turn        int32
}

const halfDay = 12 * 60 // minutes

func (h *halves) add(minute int32, hash uint64) {
	h.expire(minute)
	h.now.add(hash)
}

func (h *halves) expire(minute int32) {
	switch turn := minute / halfDay; turn - h.turn {
	case 0:
	case 1:
		h.before, h.now, h.turn = h.now, sketch{}, turn
	default:
		*h = halves{turn: turn}
	}
}

func (h *halves) estimate() float64 {
	both := h.now
	for i, r := range h.before {
		both[i] = max(both[i], r)
	}
	return both.estimate()
}

// mix makes bits of a hash that nobody outside can choose (the finaliser of MurmurHash3, seeded).
func mix(h, seed uint64) uint64 {
	h ^= seed
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
