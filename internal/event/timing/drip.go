package timing

import "math/bits"

const (
	dripPhases = 2 // of a session, at least
	dripEnough = 2 // sessions
	mostDrip   = 6 // that count
)

// A dripping is since when sessions have dripped, and whose they were.
type dripping struct {
	begun   float64
	mails   uint32 // the key's, then
	tenants [4]uint64
}

// mark notes a tenant: a bit for each octet of a hash, as a [brief] has it.
func (o *dripping) mark(tag uint8) { o.tenants[tag/64] |= 1 << (tag % 64) }

// count gives how many tenants there were.
func (o *dripping) count() (n int) {
	if o == nil {
		return 0
	}
	for _, bitset := range o.tenants {
		n += bits.OnesCount64(bitset)
	}
	return n
}

// drips counts sessions in which replies were dripped. It needs nothing to compare with.
func (d *Detector) drips(k *key, o *Observation) {
	if o.Refused {
		return
	}
	switch n := bits.OnesCount16(o.Dripped); {
	case n == 0:
		k.drip = max(0, k.drip-.5)
		return
	case n < dripPhases: // it may have been on its way when the tarpit began
		return
	}
	if k.drip == 0 || k.drips == nil {
		k.drips = &dripping{begun: d.now, mails: k.mails}
	}
	k.drips.mark(uint8(hash(o.Tenant))) //nolint:gosec // an octet of it
	k.drip = min(mostDrip, k.drip+1)
	if k.place.dripsForAll(k) {
		return
	}
	if k.drip >= dripEnough {
		d.raise(k, Dripped, ThisIPHere, k.drips.begun)
	}
}

// dripsForAll reports whether most of the other IPs at the place are dripped at too: then it is the MX's way with everybody.
func (p *place) dripsForAll(k *key) bool {
	n, of := 0, 0
	for _, o := range p.keys {
		if o == k || k.seen-o.seen > farTime {
			continue
		}
		of++
		if o.drip >= dripEnough/2 {
			n++
		}
	}
	return n > 0 && 2*n >= of
}
