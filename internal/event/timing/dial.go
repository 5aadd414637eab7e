package timing

import "math"

// A refusal is a refused connection that waits until another IP is let in at the same host.
type refusal struct {
	host  uint32
	at    float64
	waits bool
}

const (
	letInWithin   = 2 * 3600 // s
	leastRefuse   = .004     // of connections, at best
	wouldRefuse   = .3       // of connections, a restriction
	refusalsLeast = 3        // for a finding: two happen by chance
)

// dialled takes what became of a new connection.
func (d *Detector) dialled(k *key, o *Observation) {
	p := k.place
	h := hash(o.Host)
	d.settle(k, h, o.Refused)
	p.turned += .002 * (b2f(o.Refused) - p.turned)
	if !o.Refused {
		p0, p1 := p.refuses()
		l := float32(math.Log((1 - p1) / (1 - p0)))
		d.add(k, Refused, l, l, 4, d.now)
		if k.proof[Refused].weight() <= 1 {
			k.refused = 0
		}
		return
	}
	p.rememberRefused(k.number, h, d.now)
	free := 0
	for i := range k.refusals {
		q := &k.refusals[i]
		if q.waits && q.host == h {
			return // of several in a row one counts: the host may be down
		}
		if !q.waits || q.at < k.refusals[free].at {
			free = i
		}
	}
	k.refusals[free] = refusal{h, d.now, true}
}

// refuses gives which share of connections is refused ordinarily, and in a restriction.
func (p *place) refuses() (ordinary, restricted float64) {
	ordinary = max(leastRefuse, float64(p.turned))
	return ordinary, max(wouldRefuse, min(.9, 5*ordinary))
}

// othersLetIn counts the new connections of other IPs to the place of late, and those of them that were refused.
func (p *place) othersLetIn(number uint16, now float64) (n, refused int) {
	for i := range p.filled {
		s := p.back(i)
		if now-s.at > 3*letInWithin || n == 16 {
			break
		}
		if s.number != number && s.fresh {
			n++
			if s.shut {
				refused++
			}
		}
	}
	return n, refused
}

// settle lets refusals at a host count, or not, now that somebody has connected to it again.
func (d *Detector) settle(k *key, host uint32, refused bool) {
	p := k.place
	for _, o := range p.keys {
		for i := range o.refusals {
			q := &o.refusals[i]
			if !q.waits || q.host != host || o == k && refused {
				continue
			}
			at := q.at
			q.waits = false
			n, bad := p.othersLetIn(o.number, d.now)
			if refused || d.now-at > letInWithin || n < 3 || bad > 1 {
				continue
			}
			p0, p1 := p.refuses()
			l := math.Log(p1 / p0)
			if bad == 1 {
				l /= 2
			}
			o.refused++
			d.add(o, Refused, float32(l), float32(l), 4, at)
			d.judge(o)
		}
	}
}

func b2f(b bool) float32 {
	if b {
		return 1
	}
	return 0
}
