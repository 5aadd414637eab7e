package timing

import "math"

// A refusal is a refused connection, until its host lets somebody in.
type refusal struct {
	host  uint32
	at    float64
	gave  float32 // evidence
	state refusing
}

type refusing uint8

const (
	settled refusing = iota
	alone            // it counts when the provider lets somebody in: it is there
	counted          // until another IP is refused by the host: then it is the host's
	shared           // it does not count, and no more of the same host do
)

const (
	leastRefuse   = .003 // of connections, at best
	wouldRefuse   = .3   // of connections, a restriction
	refusalsLeast = 3    // for a finding: two happen by chance
	turnedRate    = .002 // how fast the long run is learnt
)

// dialled takes what became of a new connection.
func (d *Detector) dialled(k *key, o *Observation) {
	p := k.place
	h := hash(o.Host)
	d.settle(k, h, o.Refused)
	if !o.Refused {
		p.turned -= turnedRate * p.turned
		p0, p1 := p.refuses()
		l := float32(math.Log((1 - p1) / (1 - p0)))
		d.add(k, Refused, l, l, 4, d.now)
		if k.proof[Refused].weight() <= 1 {
			k.refused = 0
		}
		return
	}
	p.rememberRefused(k, h, d.now)
	state := alone
	for _, other := range p.keys {
		switch q := other.refusedBy(h); {
		case q == nil:
		case other == k:
			return // of several in a row one counts: the host may be down
		case !other.standsRefused():
			state = shared
		}
	}
	free := &k.refusals[0]
	for i := range k.refusals {
		if q := &k.refusals[i]; q.state == settled || free.state != settled && q.at < free.at {
			free = q
		}
	}
	*free = refusal{host: h, at: d.now, state: state}
}

// standsRefused reports whether refused connections stand against the key: they are its own then, and say nothing of the host's mind to others.
func (k *key) standsRefused() bool { return k.proof[Refused].weight() >= suspicious }

// refusedBy gives the refusal of a host that has let nobody in since.
func (k *key) refusedBy(host uint32) *refusal {
	for i := range k.refusals {
		if q := &k.refusals[i]; q.state != settled && q.host == host {
			return q
		}
	}
	return nil
}

// refuses gives which share of connections is refused ordinarily, and in a restriction.
func (p *place) refuses() (ordinary, restricted float64) {
	ordinary = max(leastRefuse, float64(p.turned))
	return ordinary, max(wouldRefuse, min(.9, 5*ordinary))
}

// othersLetIn counts the new connections of other IPs to the place of late, and those of them that were refused.
func (p *place) othersLetIn(number uint16, now float64) (n, refused int) {
	g := p.ring(opening)
	for i := range g.filled {
		s := g.back(i)
		if now-s.at > farTime || n == 16 {
			break
		}
		if s.number != number && s.out>>Refused&1 == 0 {
			n++
			if s.shut {
				refused++
			}
		}
	}
	return n, refused
}

// settle lets refusals count, or not, now that somebody has connected to the place again.
func (d *Detector) settle(k *key, host uint32, refused bool) {
	for _, o := range k.place.keys {
		for i := range o.refusals {
			q := &o.refusals[i]
			if q.state == settled {
				continue
			}
			if refused {
				if q.host == host && o != k && !k.standsRefused() {
					d.takeBack(o, q)
				}
				continue
			}
			if q.state == alone {
				d.countRefusal(o, q)
			}
			if q.host == host || d.now-q.at > farTime {
				q.state = settled
			}
		}
	}
}

func (d *Detector) countRefusal(k *key, q *refusal) {
	q.state = counted
	n, bad := k.place.othersLetIn(k.number, d.now)
	if n < 3 || bad > 1 {
		return
	}
	if k.refused == 0 { // those that follow may be a restriction's
		k.place.turned += turnedRate
	}
	p0, p1 := k.place.refuses()
	q.gave = float32(math.Log(p1 / p0))
	if bad == 1 {
		q.gave /= 2
	}
	k.refused++
	d.add(k, Refused, q.gave, q.gave, 4, q.at)
	d.judge(k)
}

// takeBack is of a refusal whose host refuses others, too.
func (d *Detector) takeBack(k *key, q *refusal) {
	if q.gave > 0 {
		d.add(k, Refused, -q.gave, -q.gave, 4, d.now)
		k.refused -= min(k.refused, 1)
	}
	q.state, q.gave = shared, 0
}
