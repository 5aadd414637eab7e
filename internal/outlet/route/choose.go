package route

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"sync/atomic"
)

// candidates are the sending IPs of one address family in a pool.
type candidates struct {
	list   []candidate
	even   bool                    // all weights are the same
	scaled *atomic.Pointer[scaled] // by the shares of today; of these alone, not of what is made of them
}

type candidate struct {
	SendingIP
	hash   uint64 // of the address
	weight float64
}

func newCandidates(ips []WeightedIP, family func(netip.Addr) bool) candidates {
	c := candidates{scaled: &atomic.Pointer[scaled]{}}
	for _, ip := range ips {
		ip.Address = ip.Address.Unmap()
		if family(ip.Address) {
			c.list = append(c.list, candidate{ip.SendingIP, hashAddr(ip.Address), float64(max(1, ip.Weight))})
		}
	}
	c.even = isEven(c.list)
	return c
}

// choose returns the index of the candidate with the highest score for the key: rendezvous hashing (Thaler and Ravishankar,
// 1998). Each score depends on the key and on one candidate alone, so adding or removing another one cannot change the
// order of the rest. There must be one.
func (c *candidates) choose(key uint64) int {
	best, high := 0, c.score(key, 0)
	for i := 1; i < len(c.list); i++ {
		s := c.score(key, i)
		if c.even && s.hash < high.hash {
			continue // the usual case, without a call
		}
		if c.before(s, i, high, best) {
			best, high = i, s
		}
	}
	return best
}

// first is choose without some candidates: each of the rest keeps its place.
func (c *candidates) first(key uint64, without map[netip.Addr]struct{}) (best int, found bool) {
	if len(without) == 0 {
		return c.choose(key), true
	}
	var high score
	for i := range c.list {
		if _, gone := without[c.list[i].Address]; gone {
			continue
		}
		if s := c.score(key, i); !found || c.before(s, i, high, best) {
			best, high, found = i, s, true
		}
	}
	return best, found
}

// hasAny reports whether there are candidates beside these.
func (c *candidates) hasAny(without map[netip.Addr]struct{}) bool {
	return slices.ContainsFunc(c.list, func(m candidate) bool {
		_, gone := without[m.Address]
		return !gone
	})
}

// order returns all candidates but some, the one with the highest score first.
func (c *candidates) order(key uint64, without map[netip.Addr]struct{}) []SendingIP {
	type scored struct {
		score
		i int
	}
	all := make([]scored, 0, len(c.list))
	for i := range c.list {
		if _, gone := without[c.list[i].Address]; !gone {
			all = append(all, scored{c.score(key, i), i})
		}
	}
	slices.SortFunc(all, func(a, b scored) int {
		switch {
		case c.before(a.score, a.i, b.score, b.i):
			return -1
		case c.before(b.score, b.i, a.score, a.i):
			return 1
		}
		return 0
	})
	ips := make([]SendingIP, len(all))
	for n, s := range all {
		ips[n] = c.list[s.i].SendingIP
	}
	return ips
}

// A score is a hash and, where weights differ, the cost that the weight makes of it.
type score struct {
	hash uint64
	cost float64
}

// score: the cost -ln(h)/w, with h even between 0 and 1, is exponentially distributed with rate w, so a candidate is the
// cheapest with a chance in proportion to its weight (Schindelhauer and Schomaker, 2005). The logarithm may differ in its
// last bit between processors; that decides nothing but ties, one in 10¹⁵.
func (c *candidates) score(key uint64, i int) score {
	s := score{hash: mix(key, c.list[i].hash)}
	if !c.even {
		s.cost = -math.Log((float64(s.hash)+0.5)/(1<<64)) / c.list[i].weight
	}
	return s
}

func (c *candidates) before(a score, i int, b score, j int) bool {
	return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(b.hash, a.hash), c.list[i].Address.Compare(c.list[j].Address)) < 0
}

// Changing any of these moves tenants to other sending IPs.
const (
	pairSalt = 0x9e3779b97f4a7c15
	textSalt = 0xd6e8feb86659fd93
	mixA     = 0xa0761d6478bd642f
	mixB     = 0xe7037ed1a0b428db
)

// pairKey joins who sends and where to.
func pairKey(from, to uint64) uint64 { return mix(from, bits.RotateLeft64(to, 32)^pairSalt) }

// hashAddr hashes the 16-octet form. The hash is the same on every host and in every release: the choice must survive
// both, which rules out hash/maphash.
func hashAddr(a netip.Addr) uint64 {
	b := a.As16()
	return mix(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))
}

// hashText hashes a name: FNV-1a, and one mix, because its high bits are weak for short texts.
func hashText(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h, textSalt)
}

// mix folds two 128-bit products into 64 bits. One is not enough: addresses differ in few bits.
func mix(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x^mixA, y^mixB)
	hi, lo = bits.Mul64(hi^lo^mixB, x+y^mixA)
	return hi ^ lo
}
