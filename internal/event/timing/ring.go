package timing

const ringMost = 48

// ringSizes is how many mails of a lot a place remembers.
var ringSizes = [lots]int{opening: 24, talk: ringMost, body: 12}

// A ring is the newest mails of all IPs that tell of a lot: a mail is compared in a phase with those that have it.
type ring struct {
	of     []seen
	newest int
	filled int
}

// seen is a mail in a ring.
type seen struct {
	at     float64
	host   uint32
	number uint16
	out    uint16  // phases in which something stands against its IP: others are not measured by it
	r      [4]int8 // by phase of its lot
	shut   bool    // the connection was refused
}

// begin makes the rings, when there is a second IP.
func (p *place) begin() {
	if p.rings != nil {
		return
	}
	p.rings = new([lots]ring)
	for l, n := range ringSizes {
		p.rings[l].of = make([]seen, n)
	}
}

// remember puts a mail into the rings of what it tells of.
func (p *place) remember(k *key, m *mail) {
	if p.rings == nil {
		return
	}
	out := k.stands()
	for l := range p.rings {
		r, ok := m.inLot(l)
		if !ok {
			continue
		}
		*p.rings[l].slot(k.number) = seen{at: m.at, host: m.host, number: m.number, out: out, r: r}
	}
}

func (p *place) rememberRefused(k *key, host uint32, at float64) {
	if p.rings != nil {
		*p.rings[opening].slot(k.number) = seen{at: at, host: host, number: k.number, shut: true, out: k.stands(), r: silence}
	}
}

// slot gives room for a mail. One IP has no more than three places in a row: a newsletter would push all others out.
func (g *ring) slot(number uint16) *seen {
	row := 0
	for i := range min(3, g.filled) {
		if g.back(i).number == number {
			row++
		}
	}
	if row < 3 {
		g.newest = (g.newest + 1) % len(g.of)
		g.filled = min(g.filled+1, len(g.of))
	}
	return &g.of[g.newest]
}

// lot gives the ring of a phase, which is empty while there is only one IP.
func (p *place) lot(f Phase) *ring { return p.ring(int(inLot[f].lot)) }

func (p *place) ring(lot int) *ring {
	if p.rings == nil {
		return &none
	}
	return &p.rings[lot]
}

// none is of a place with one IP.
var none ring

// back gives the mail that was remembered i mails ago.
func (g *ring) back(i int) *seen { return &g.of[(g.newest-i+len(g.of))%len(g.of)] }

// others are the mails of other IPs nearest to one of a key.
type others struct {
	ring *ring
	of   [24]int16 // how far back in the ring, nearest in time first
	n    int
}

const (
	afterMost = 4
	nearMost  = 8
	nearTime  = 3 * 3600
	farTime   = 24 * 3600
)

// around finds the mails of other IPs before and after one.
func (g *ring) around(m *mail) others {
	o := others{ring: g}
	var later [ringMost]int16
	nl, i := 0, 0
	for ; i < g.filled; i++ {
		s := g.back(i)
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

	for ; i < g.filled && o.n < len(o.of); i++ {
		s := g.back(i)
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

// clear counts the mails of others that tell of a phase and against whose IP nothing stood in it.
func (o *others) clear(f Phase) (n int) {
	for i := range o.n {
		if s := o.ring.back(int(o.of[i])); s.r[inLot[f].at] != noByte && s.out>>f&1 == 0 {
			n++
		}
	}
	return n
}

// compares reports whether there is mail of other IPs, of late, to compare with.
func (p *place) compares(number uint16, now float64) bool {
	n, g := 0, p.ring(talk)
	for i := range g.filled {
		if s := g.back(i); s.number != number && now-s.at < farTime {
			n++
		}
	}
	return n >= needOthers
}

// between reports whether a mail of another IP ended between two times.
func (p *place) between(number uint16, from, to float64) bool {
	g := p.ring(talk)
	for i := range g.filled {
		s := g.back(i)
		if s.at <= from {
			return false
		}
		if s.at < to && s.number != number {
			return true
		}
	}
	return false
}
