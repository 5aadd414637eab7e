package egress

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// candidates are the sending IPs of one address family.
type candidates []candidate

type candidate struct {
	SendingIP
	hash uint64 // of the address
}

func newCandidates(ips []SendingIP, family func(netip.Addr) bool) candidates {
	var list candidates
	for _, ip := range ips {
		ip.Address = ip.Address.Unmap()
		if family(ip.Address) {
			list = append(list, candidate{SendingIP: ip, hash: hashAddr(ip.Address)})
		}
	}
	return list
}

// choose gives the candidate with the highest score for the pair: rendezvous hashing (Thaler and Ravishankar, 1998).
// Each score depends on the pair and on one candidate alone, so adding or removing another one cannot change the order
// of the rest.
func (l candidates) choose(msa, mx netip.Addr) SendingIP {
	pair := mix(hashAddr(msa), bits.RotateLeft64(hashAddr(mx), 32)^pairSalt)
	best, high := 0, uint64(0)
	for i := range l {
		score := mix(pair, l[i].hash)
		if score > high || score == high && l[i].Address.Less(l[best].Address) {
			best, high = i, score
		}
	}
	return l[best].SendingIP
}

// Changing any of these moves tenants to other sending IPs.
const (
	pairSalt = 0x9e3779b97f4a7c15
	mixA     = 0xa0761d6478bd642f
	mixB     = 0xe7037ed1a0b428db
)

// hashAddr hashes the 16-octet form. The hash is the same on every host and in every release: the choice must survive
// both, which rules out hash/maphash.
func hashAddr(a netip.Addr) uint64 {
	b := a.As16()
	return mix(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))
}

// mix folds two 128-bit products into 64 bits. One is not enough: addresses differ in few bits.
func mix(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x^mixA, y^mixB)
	hi, lo = bits.Mul64(hi^lo^mixB, x+y^mixA)
	return hi ^ lo
}
