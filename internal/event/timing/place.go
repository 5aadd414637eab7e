package timing

import "math"

const (
	sizes = 9

	usualClass    = 3   // 16 to 32 KiB: what the base of the dot is of
	recentreEvery = 128 // mails learnt
)

// A place is a provider: what its mail of all sending IPs has in common.
type place struct {
	name   string
	keys   []*key
	number uint16 // of the next key
	waits  int    // keys that hold mail or refusals back

	rings *[lots]ring // the newest mails, of all IPs; nil while there was only one

	sized  [sizes]float32  // the dot's logarithm, by size of the body
	base   [Phases]float32 // running median of logarithms, of all keys less what each is beside it
	based  [Phases]uint16
	tail   [Phases][3]float32 // points of how much slower than others a calm mail is: exceeded by the shares in tailShare
	known  [Phases]uint16     // mails they rest on
	turned float32            // share of connections refused, long run
}

const (
	grain  = .04
	noByte = -128
)

func toByte(r float32) int8 {
	if !present(r) {
		return noByte
	}
	return int8(max(-127, min(127, math.Round(float64(r)/grain))))
}

func fromByte(b int8) float32 {
	if b == noByte {
		return nan
	}
	return float32(b) * grain
}

func newPlace(name string) *place {
	p := &place{name: name, turned: .002}
	for f := range p.tail {
		p.tail[f] = [3]float32{.5, 1, 2}
	}
	return p
}

// follow lets the base follow mail.
func (p *place) follow(f Phase, r float32) {
	n := p.based[f]
	if n < 1<<15 {
		p.based[f]++
	}
	step := max(.02*p.tail[f][0], .3/float32(n+1))
	if r < 0 {
		step = -step
	}
	if n < 8 {
		step = max(-1, min(1, r)) / float32(n+1)
	}
	p.base[f] += step
}

// recentre moves what all keys have in common into the base, where it can be read; no residual changes by it.
func (p *place) recentre(f Phase) {
	sum := float32(0)
	for _, k := range p.keys {
		sum += k.beside[f]
	}
	sum /= float32(len(p.keys))
	for _, k := range p.keys {
		k.beside[f] -= sum
	}
	p.base[f] += sum
	if f == Dot {
		usual := p.sized[usualClass]
		for c := range p.sized {
			p.sized[c] -= usual
		}
		p.base[f] += usual
	}
}

// besideOf gives how an IP's logarithms lie to those of the place.
func (p *place) besideOf(number uint16, f Phase) float32 {
	for _, k := range p.keys {
		if k.number == number {
			return k.beside[f]
		}
	}
	return 0
}

func median(of []float32) float32 {
	for i := 1; i < len(of); i++ {
		for j := i; j > 0 && of[j] < of[j-1]; j-- {
			of[j], of[j-1] = of[j-1], of[j]
		}
	}
	return of[len(of)/2]
}

func (p *place) learnSize(class uint8, r float32) {
	if !present(r) {
		return
	}
	step := float32(.02)
	if r < 0 {
		step = -step
	}
	p.sized[class] += step
}

// tailShare is of calm mails beyond the points of tail.
var tailShare = [3]float32{.16, .05, .01}

// learn lets the points follow calm mail.
func (p *place) learn(f Phase, odd float32) {
	n := &p.known[f]
	rate := max(.05, 4/float32(20+*n))
	if *n < 1000 {
		*n++
	}
	least := float32(minSpread)
	for i := range p.tail[f] {
		q := &p.tail[f][i]
		if odd > *q {
			*q += rate * (1 - tailShare[i]) * min(1, *q)
		} else {
			*q -= rate * tailShare[i] * min(1, *q)
		}
		*q = max(least, min(4, *q))
		least = *q * 1.2
	}
}

const minSpread = .12
