package timing

import "math"

const (
	holdMost   = 30 * 60 // s that a mail waits for mail of others to compare with
	wantAfter  = 2       // mails of others after it
	pieceFor   = 90      // s in which slow mail of a key with none of another IP between is one piece of evidence
	learnEvery = 600     // s between two mails that a key learns from: a newsletter is not what is usual
)

// Two bettors stake on each mail, for restrictions that make all mail slow and for those that make some of it very slow: a part on its
// being beyond each point of the tail, the rest on nothing. What a bettor has after a calm mail is 1 on average, whatever the tail is.
const bettors = 2

var stakes = [bettors][4]float64{
	{.38, .27, .22, .13},
	{.68, 0, .1, .22},
}

// sure is what the first stakes where a restriction would be beyond all points, as a slow window is on a large body.
var sure = [4]float64{.15, .05, .2, .6}

// lnBets are the logarithms of what a bettor has after a mail that is beyond none, one, two or three points of its tail.
var lnBets, lnSure = func() (l [bettors][4]float32, s [4]float32) {
	for b, stake := range stakes {
		l[b] = lnOf(stake)
	}
	return l, lnOf(sure)
}()

func lnOf(stake [4]float64) (l [4]float32) {
	sum := stake[0]
	l[0] = float32(math.Log(sum))
	for i, share := range tailShare {
		sum += stake[i+1] / float64(share)
		l[i+1] = float32(math.Log(sum))
	}
	return l
}

// A doubt is how far mail of others takes the weight from a slow one.
type doubt uint8

const (
	certain doubt = iota
	faint         // one of the nearest was as slow
	silent        // nothing to compare with, or the host, or all of the IP's mail is slow
	common        // several of the nearest were as slow
)

// said is how one mail compares in one phase.
type said struct {
	odd   float32 // how much slower than others, in logarithms; NaN: nothing
	level uint8   // points of the tail it is beyond
	doubt doubt
	sure  bool // a restriction would be beyond all of them
}

func (s said) lnE(bettor int) float32 {
	l := lnBets[bettor][s.level]
	if s.sure && bettor == 0 {
		l = lnSure[s.level]
	}
	if l <= 0 {
		return l
	}
	switch s.doubt {
	case faint:
		return .4 * l
	case silent:
		return 0
	case common:
		return -.2
	}
	return l
}

// hold keeps a mail of the key until others have been seen after it.
func (d *Detector) hold(k *key, m *mail) {
	if k.holding == heldMost {
		d.weigh(k, &k.held[0])
		d.drop(k)
	}
	if k.holding == 0 {
		k.place.waits++
		k.held = d.pens.take()
	}
	k.held[k.holding] = *m
	k.holding++
}

func (d *Detector) drop(k *key) {
	copy(k.held[:], k.held[1:k.holding])
	k.holding--
	if k.holding == 0 {
		k.place.waits--
		d.pens.put(k.held)
		k.held = nil
	}
}

// release weighs what need not wait longer, of all keys at a place.
func (d *Detector) release(p *place) {
	if p.waits == 0 {
		return
	}
	for _, k := range p.keys {
		for k.holding > 0 {
			m := &k.held[0]
			if d.now-m.at < holdMost && p.since(m) < wantAfter && len(p.keys) > 1 {
				break
			}
			d.weigh(k, m)
			d.drop(k)
		}
	}
}

// since counts the mails of others after one, as far as it matters.
func (p *place) since(m *mail) int {
	n, g := 0, p.ring(talk)
	for i := 0; i < g.filled && n < wantAfter; i++ {
		s := g.back(i)
		if s.at <= m.at {
			break
		}
		if s.number != m.number {
			n++
		}
	}
	return n
}

// weigh compares a mail with those of others and with what is usual for the key, phase by phase.
func (d *Detector) weigh(k *key, m *mail) {
	p := k.place
	near := p.near(m)
	m.who = k.slot(m.tenant) // not when it came: a newsletter's first mail would be another tenant's than the rest
	k.credit = min(6, k.credit+1.5*float32(p.since(m)))
	var slow uint16
	var says [Phases]said
	for f := range Phases {
		says[f].odd = nan
		if present(m.r[f]) {
			says[f] = p.compare(m, f, &near[inLot[f].lot])
			if says[f].odd > max(.4, 1.15*p.tail[f][1]) {
				slow |= 1 << f
			}
		}
	}
	wrote := says[Write].odd
	byDot := k.window(m, &says)
	elsewhere := d.around(k, m.at-2*votesFor)
	calm := !k.weighs(2)
	lesson := m.at-k.taught >= learnEvery || k.mails < 2*needHistory
	if lesson {
		k.taught = m.at
	}
	one := m.at-k.piece < pieceFor && !p.between(k.number, k.piece, m.at)
	for f := range Phases {
		v := says[f]
		if !present(v.odd) {
			continue
		}
		n, of := elsewhere.slow(f, 8)
		wide := n >= 2 && 4*n >= of
		if wide {
			v.doubt = max(v.doubt, silent)
			if n >= 3 && 5*n >= 2*of {
				k.proof[f].cap(2)
			}
		}
		h, own := f, v.odd
		if f == Write {
			own = wrote
			if byDot {
				h = Dot
			}
		}
		fresh := k.proof[f].weight() < suspicious
		if k.learnt[h] >= needHistory && near[inLot[h].lot].n >= needOthers && (v.level == 0 || k.credit >= 1 && !one) {
			d.add(k, f, v.lnE(0), v.lnE(1), m.who, m.at)
		}
		if lesson && !wide && present(own) {
			if k.learnt[f] >= needHistory && fresh {
				p.learn(f, own)
			}
			k.learn(f, m, own, calm, d.now)
		}
	}
	if slow != 0 && !one {
		k.credit = max(0, k.credit-1)
		k.piece = m.at
	}
	k.note(m, &says)
	d.judge(k)
}

// near gives the mails of others near to one, of the lots that it tells of.
func (p *place) near(m *mail) (near [lots]others) {
	for l := range near {
		if _, ok := m.inLot(l); ok {
			near[l] = p.ring(l).around(m)
		}
	}
	return near
}

// window lets the dot tell of a slow window where the writing does not: of a smaller body, or of one with nothing to compare it with.
func (k *key) window(m *mail, says *[Phases]said) (byDot bool) {
	wrote, tail := &says[Write], &k.place.tail[Dot]
	if present(wrote.odd) && wrote.doubt != silent && k.learnt[Write] >= needHistory {
		wrote.sure = k.windowShows()
		return false
	}
	if m.slowed <= tail[0] || !present(m.r[Dot]) {
		return false
	}
	*wrote = says[Dot]
	wrote.sure = m.slowed > tail[2]+tail[0]
	return true
}

// windowShows reports whether a slow window would be beyond all points of what the writing of a MB takes.
func (k *key) windowShows() bool {
	tail := &k.place.tail[Write]
	return float32(math.Log(1e6/slowWindow+floor[Write]))-k.usually(Write) > tail[2]+tail[0]
}

// compare gives how much slower a mail is than those of others at the time, and the bet on it.
func (p *place) compare(m *mail, f Phase, o *others) said {
	var near [nearMost]float32
	n, slowNear, all, slowAll, sameHost, slowHost := 0, 0, 0, 0, 0, 0
	r, at := m.r[f], inLot[f].at
	not := uint16(0)
	if o.clear(f) >= needOthers {
		not = 1 << f
	}
	for i := range o.n {
		s := o.ring.back(int(o.of[i]))
		c := fromByte(s.r[at])
		if !present(c) || s.out&not != 0 {
			continue
		}
		as := c+.22 >= r || c > .7*r && c > p.tail[f][1]
		all++
		if as {
			slowAll++
		}
		if math.Abs(s.at-m.at) < nearTime && n < nearMost {
			near[n] = c
			n++
			if as {
				slowNear++
			}
		}
		if s.host == m.host && sameHost < 4 && math.Abs(s.at-m.at) < 3600 {
			sameHost++
			if as {
				slowHost++
			}
		}
	}
	usual := float32(0)
	if n >= 3 {
		usual = max(-.2, median(near[:n]))
	}
	v := said{odd: r - usual}
	for _, q := range p.tail[f] {
		if v.odd > q {
			v.level++
		}
	}
	switch {
	case slowNear >= 2 || slowAll >= 4:
		v.doubt = common
	case all < needOthers || sameHost > 0 && 2*slowHost >= sameHost:
		v.doubt = silent
	case slowNear == 1 || slowAll >= 2:
		v.doubt = faint
	}
	return v
}

// add takes what the bettors have after a mail into the evidence.
func (d *Detector) add(k *key, f Phase, all, some float32, who uint8, at float64) {
	e := &k.proof[f]
	was := e.weight()
	for b, l := range [bettors]float32{all, some} {
		e.lnR[b] = min(heldAt, max(0, float32(grow(float64(e.lnR[b]), float64(l)))))
	}
	now := e.weight()
	switch {
	case was <= 1 && now <= 1:
		d.unclaim(e)
		return
	case e.claim == nil:
		e.claim = d.claims.take()
		*e.claim = claim{}
	}
	for b, l := range [bettors]float32{all, some} {
		e.parts[b][who] = max(-3, min(heldAt, e.parts[b][who]+l))
	}
	if was <= 1 {
		e.begun, e.mails = at, k.mails
		k.split = [2]uint8{}
	}
}

// unclaim lets go what is kept beside evidence.
func (d *Detector) unclaim(e *proof) {
	if e.claim != nil {
		d.claims.put(e.claim)
		e.claim = nil
	}
}

// weight is the evidence: that of the better bettor, less what having two costs.
func (e *proof) weight() float32 { return max(e.lnR[0], e.lnR[1]) - math.Ln2 }

// cap lets the evidence be no more than so much.
func (e *proof) cap(most float32) {
	for b := range e.lnR {
		e.lnR[b] = min(e.lnR[b], most)
	}
}

// learn lets what is usual follow mail that nothing stands against.
func (k *key) learn(f Phase, m *mail, odd float32, calm bool, now float64) {
	if m.wait || !present(m.r[f]) {
		return
	}
	if !calm && k.learnt[f] >= needHistory && (k.finding.scope == 0 || now-k.finding.since < Frozen.Seconds()) {
		return
	}
	n := k.learnt[f]
	if n < 1<<15 {
		k.learnt[f]++
	}
	k.place.follow(f, m.r[f])
	if f == Dot {
		k.place.learnSize(m.class, m.r[f])
	}
	step := max(.04*k.place.tail[f][0], .5/float32(n+1))
	if odd < 0 {
		step = -step
	}
	if n < 8 {
		step = max(-1, min(1, odd)) / float32(n+1)
	}
	k.beside[f] += step
	if k.place.based[f]%recentreEvery == 0 {
		k.place.recentre(f)
	}
}
