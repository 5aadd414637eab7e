package slow

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
	"time"

	"kanmon/internal/who/witness"
)

// Of who sends much the detector needs only some mail to know how fast it is taken: what it learns in a second is enough. So of a tenant's mail
// from an IP to a provider that is more than so much a second, one in two, four, eight and so on is taken. Which ones is drawn from a mail's
// identity, not from how it went: what is taken is as slow as what is not. And each has its own part: whoever sends much hides nobody.

// plenty is how many mails a second of one tenant, from one IP to one provider, are all taken.
const plenty = 16

// A thinner says which mail is taken. Those that share a place of it share what is plenty, and nothing else.
type thinner struct {
	seed   maphash.Seed
	places [1024]atomic.Uint64 // the second, of 32 bits; the mails in it, 24; the halvings that hold in it, 8
}

func newThinner() *thinner { return &thinner{seed: maphash.MakeSeed()} }

// takes reports whether the sample is one of those that are taken. What still waits is no further mail: it is drawn as it will be when it ends.
func (t *thinner) takes(s *sample, now time.Time) bool {
	place := &t.places[t.placeOf(s)%uint64(len(t.places))]
	old := place.Load()
	second, mails, halvings := uint32(old>>32), uint32(old>>8&0xffffff), uint8(old&0xff) //nolint:gosec // parts of it
	this := uint32(now.Unix())                                                           //nolint:gosec // compared with others of our time
	if second != this {
		if this != second+1 { // in the second before there was none
			mails = 0
		}
		halvings = halvingsOf(mails)
		second, mails = this, 0
	}
	if !s.waits {
		mails = min(mails+1, 0xffffff)
		if mails > plenty<<halvings {
			halvings++ // there is more than the second before let expect
		}
		place.CompareAndSwap(old, uint64(second)<<32|uint64(mails)<<8|uint64(halvings)) // of those at the same moment one counts
	}
	const apart = 0x9e3779b97f4a7c15
	return bits.LeadingZeros64(s.id*apart) >= int(halvings)
}

// halvingsOf gives how often so many mails a second are halved until they are no more than plenty.
func halvingsOf(mails uint32) uint8 {
	n := uint8(0)
	for mails > plenty<<n {
		n++
	}
	return n
}

func (t *thinner) placeOf(s *sample) uint64 {
	ip := s.ip.As16()
	of := maphash.Bytes(t.seed, ip[:]) ^ bits.RotateLeft64(maphash.String(t.seed, s.provider), 7)
	if s.provider == "" {
		mx := s.mx.As16()
		of ^= bits.RotateLeft64(maphash.Bytes(t.seed, mx[:]), 13)
	}
	if s.tenant != "" {
		return of ^ bits.RotateLeft64(maphash.String(t.seed, s.tenant), 29)
	}
	source := witness.Source(s.source).As16()
	return of ^ bits.RotateLeft64(maphash.Bytes(t.seed, source[:]), 29)
}
