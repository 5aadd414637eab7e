package timing

import "math"

const (
	ringSize = 48
	sizes    = 9

	usualClass    = 3   // 16 to 32 KiB: what the base of the dot is of
	recentreEvery = 128 // mails learnt
)

// A place is a provider: what its mail of all sending IPs has in common.
type place struct {
	name   string
	keys   []*key
	number uint16 // of the next key
	waits  int    // keys that hold mail or refusals back

	ring   *[ringSize]seen // the newest mails, of all IPs; nil while there was only one
	newest int
	filled int

	sized  [sizes]float32  // the dot's logarithm, by size of the body
	base   [Phases]float32 // running median of logarithms, of all keys less what each is beside it
	based  [Phases]uint16
	tail   [Phases][3]float32 // points of how much slower than others a calm mail is: exceeded by the shares in tailShare
	known  [Phases]uint16     // mails they rest on
	turned float32            // share of connections refused, long run
}

// seen is a mail in the ring.
type seen struct {
	at     float64
	host   uint32
	number uint16
	out    uint16 // phases in which something stands against its IP: others are not measured by it
	fresh  bool   // on a new connection
	shut   bool   // that was refused
	r      [Phases]int8
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

// remember puts a mail into the ring. One IP has no more than three places in a row: a newsletter would push all others out.
func (p *place) remember(k *key, m *mail, fresh bool) {
	if p.ring == nil {
		return
	}
	s := p.slot(m.number)
	*s = seen{at: m.at, host: m.host, number: m.number, fresh: fresh, out: k.stands()}
	for f := range Phases {
		s.r[f] = toByte(m.r[f])
	}
}

func (p *place) rememberRefused(number uint16, host uint32, at float64) {
	if p.ring == nil {
		return
	}
	s := p.slot(number)
	*s = seen{at: at, host: host, number: number, fresh: true, shut: true}
	for f := range s.r {
		s.r[f] = noByte
	}
}

func (p *place) slot(number uint16) *seen {
	row := 0
	for i := range min(3, p.filled) {
		if p.back(i).number == number {
			row++
		}
	}
	if row < 3 {
		p.newest = (p.newest + 1) % ringSize
		p.filled = min(p.filled+1, ringSize)
	}
	return &p.ring[p.newest]
}

// back gives the mail that was remembered i mails ago.
func (p *place) back(i int) *seen { return &p.ring[(p.newest-i+ringSize)%ringSize] }

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

// others are the mails of other IPs nearest to one of a key.
type others struct {
	of [24]int16 // how far back in the ring, nearest in time first
	n  int
}

const (
	afterMost = 4
	nearMost  = 8
	nearTime  = 3 * 3600
	farTime   = 24 * 3600
)

// around finds the mails of other IPs before and after one.
func (p *place) around(m *mail) others {
	var o others
	var later [ringSize]int16
	nl, i := 0, 0
	for ; i < p.filled; i++ {
		s := p.back(i)
		if s.at < m.at || s.at == m.at && s.number == m.number {
			break
		}
		if s.number != m.number && !s.shut {
			later[nl] = int16(i)
			nl++
		}
	}
	for j := nl - 1; j >= 0 && o.n < afterMost; j-- {
		o.of[o.n] = later[j]
		o.n++
	}

	for ; i < p.filled && o.n < len(o.of); i++ {
		s := p.back(i)
		if m.at-s.at > farTime {
			break
		}
		if s.number != m.number && !s.shut {
			o.of[o.n] = int16(i)
			o.n++
		}
	}
	return o
}

// compares reports whether there is mail of other IPs, of late, to compare with.
func (p *place) compares(number uint16, now float64) bool {
	n := 0
	for i := range p.filled {
		if s := p.back(i); s.number != number && !s.shut && now-s.at < farTime {
			n++
		}
	}
	return n >= needOthers
}

// between reports whether a mail of another IP ended between two times.
func (p *place) between(number uint16, from, to float64) bool {
	for i := range p.filled {
		s := p.back(i)
		if s.at <= from {
			return false
		}
		if s.at < to && s.number != number && !s.shut {
			return true
		}
	}
	return false
}
