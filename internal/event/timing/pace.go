package timing

import "math"

// pacedSure is how many standard deviations the gaps before slow mail have to lie below those before other mail: a chance of one in a hundred.
const pacedSure = 2.33

// gapByte is the time since the key's mail before one, by eighths of an octave of seconds.
func gapByte(gap float32) uint8 {
	return uint8(min(255, 8*math.Log2(1+float64(gap))))
}

// paced reports whether mail is slow where it follows the key's last one soon, and is not where it comes late: that is a limit of the IP's
// rate, whoever sends. Of a slow tenant all mail is slow, so both have to be of the tenant that most of what is slow is of, and one of what
// is slow another's. It is not to be asked from the body on: a newsletter comes close together, and its content may be slow.
func (k *key) paced(f Phase, c *counts) bool {
	last := k.last(f)
	tag, _ := last.slowest()
	much := float32(max(c.typical/2, float64(k.place.tail[f][1])))
	n, of, own, other, above, pairs := 0, 0, 0, 0, 0, 0
	for i := range last.of {
		a, r := &last.of[i], last.r(i)
		if !present(r) {
			continue
		}
		of++
		if r <= much {
			if a.tag == tag {
				own++
			}
			continue
		}
		n++
		if a.tag != tag {
			other++
		}
		for j := range last.of {
			b := &last.of[j]
			if r := last.r(j); present(r) && r <= much {
				pairs++
				switch {
				case a.gap < b.gap:
					above += 2
				case a.gap == b.gap:
					above++
				}
			}
		}
	}
	if n < leastSlow || own < 2 || other == 0 {
		return false
	}
	sd := math.Sqrt(float64(pairs*(of+1)) / 12)
	return float64(above-pairs)/2 >= pacedSure*sd
}
