package timing

import "math/bits"

const (
	dripPhases = 2 // of a session, at least
	dripEnough = 2 // sessions
	mostDrip   = 6 // that count
)

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
	k.drip = min(mostDrip, k.drip+1)
	if k.place.dripsForAll(k) {
		return
	}
	if k.drip >= dripEnough {
		d.raise(k, Dripped, ThisIPHere, d.now)
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
