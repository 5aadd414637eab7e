package timing

import "math"

// A finding is what stands against a key.
type finding struct {
	since   float64
	cleared float64 // when one ended
	mails   uint32  // the key's, when it began
	scope   Scope   // 0: none
	phase   Phase
	was     Phase
	wasOf   Scope
}

const (
	leastTimes   = 1.7 // times the usual
	leastSeconds = .5  // and so much above it
	littleUnder  = 1.0 // s above the usual: accidents of that size are frequent, so it takes more evidence
	littleMore   = 2.0 // of evidence
	leastSlow    = 4   // of the last recent ones

	severalEnough = 3.0 // of evidence, without the tenant that gives most
)

// judge raises what there is enough evidence for.
func (d *Detector) judge(k *key) {
	best, scope := Phase(0), Scope(0)
	for f := range Phase(kinds) {
		e := &k.proof[f]
		least := float32(enough)
		if f == Refused {
			least = enoughRefused
		}
		if e.weight() < least || e.weight() < least+littleMore && k.little(f) {
			continue
		}
		s := d.scopeNow(k, f)
		if s == ThisIPEverywhere || s == Everything {
			d.unclaim(e)
			*e = proof{}
			continue
		}
		if scope == 0 || s == ThisIPHere && scope != ThisIPHere || s == scope && e.weight() > k.proof[best].weight() {
			best, scope = f, s
		}
	}
	if scope == 0 || scope == Small || scope == Unpaired {
		return
	}
	d.raise(k, best, scope, k.proof[best].begun)
}

func (d *Detector) raise(k *key, f Phase, s Scope, since float64) {
	g := &k.finding
	change := Begun
	switch {
	case g.scope == s || g.scope == ThisIPHere: // that one is not taken back by a narrower
		return
	case g.scope == 0 && g.wasOf == s && g.was == f && d.now-g.cleared < Again.Seconds():
		change = Continued
	}
	*g = finding{scope: s, phase: f, since: since, mails: k.mails, cleared: g.cleared, was: g.was, wasOf: g.wasOf}
	if f < Dripped {
		g.mails = k.proof[f].mails
	} else {
		g.mails = k.drips.mails
	}
	d.tell(k, change)
}

func (d *Detector) tell(k *key, c Change) {
	g := &k.finding
	t := Finding{Change: c, Scope: g.scope, Phase: g.phase, At: d.timeOf(d.now), Since: d.timeOf(g.since), IP: k.ip, Provider: k.place.name}
	t.Mails = int(k.mails-g.mails) + 1
	if g.phase < Dripped {
		t.Evidence = float64(k.proof[g.phase].weight())
	}
	k.figures(&t)
	d.out = append(d.out, t)
}

// figures adds the times, whose mail was slow, and where.
func (k *key) figures(t *Finding) {
	f := t.Phase
	if f == Refused {
		t.Before = float64(k.place.turned)
	}
	if f == Dripped {
		t.Tenants = k.drips.count()
	}
	if f >= Phases {
		return
	}
	var slow [latelyMost]float32
	n := 0
	var where [hostsMost]int
	last := k.last(f)
	for i := range last.of {
		if last.slow(i) {
			slow[n] = last.r(i)
			n++
			where[last.of[i].host]++
		}
	}
	usual := float64(k.usually(f))
	t.Before = max(0, math.Exp(usual)-floor[f])
	others, beside := k.othersNow(f) // the slow mail was that much slower than what the others have come to
	t.Others = others
	if n > 0 {
		t.Here = max(0, math.Exp(usual+float64(median(slow[:n])+beside))-floor[f])
	}
	host := 0
	for i := range last.of {
		first := last.slow(i)
		for j := range i {
			first = first && (last.of[j].tag != last.of[i].tag || !last.slow(j))
		}
		if first {
			t.Tenants++
		}
	}
	for i, n := range where {
		if n > where[host] {
			host = i
		}
	}
	if tag, _ := last.slowest(); t.Scope == OneTenant {
		for i := range k.tenants {
			if uint8(k.tenants[i].hash) == tag && k.tenants[i].n > 0 {
				t.Tenant = k.tenants[i].name
			}
		}
	}
	if t.Scope == OneHost {
		t.Host = k.hosts[host].name
	}
}

// scopeNow says what evidence in a phase would be told as.
func (d *Detector) scopeNow(k *key, f Phase) Scope {
	s := d.scope(k, f)
	if s == ThisIPHere {
		s = d.wider(k, f)
	}
	return s
}

// othersNow gives what mail of other IPs takes in a phase of late, in seconds, and how much longer that is than usual, in logarithms. IPs that
// something stands against in the phase are left out, where there are others.
func (k *key) othersNow(f Phase) (seconds float64, longer float32) {
	var took, more [nearMost]float32
	n := k.newestOf(f, 1<<f, &took, &more)
	if n < 3 {
		n = k.newestOf(f, 0, &took, &more)
	}
	if n == 0 {
		return 0, 0
	}
	return max(0, math.Exp(float64(k.place.base[f]+median(took[:n])))-floor[f]), max(0, median(more[:n]))
}

// newestOf gives the newest mails of other IPs in a phase, but for those that something stands against in some phases.
func (k *key) newestOf(f Phase, not uint16, took, more *[nearMost]float32) (n int) {
	p, g, at := k.place, k.place.lot(f), inLot[f].at
	for i := 0; i < g.filled && n < nearMost; i++ {
		if s := g.back(i); s.number != k.number && s.r[at] != noByte && s.out&not == 0 {
			r := fromByte(s.r[at])
			more[n], took[n] = r, r+p.besideOf(s.number, f)
			n++
		}
	}
	return n
}

// small reports whether what is slow is too little to be worth a word.
func (k *key) small(f Phase, c *counts) bool {
	return c.slow < leastSlow || c.typical < math.Log(leastTimes) || k.above(f, c) < leastSeconds
}

// little reports whether what is slow is little in seconds.
func (k *key) little(f Phase) bool {
	if f >= Phases {
		return false
	}
	c := k.recently(f)
	return k.above(f, &c) < littleUnder
}

// above is by how many seconds what is slow is typically above the usual.
func (k *key) above(f Phase, c *counts) float64 {
	if f == Write {
		f = Dot
	}
	return math.Exp(float64(k.usually(f))) * (math.Exp(c.typical) - 1) // the floor is in both
}

// scope says whom what is slow in a phase concerns.
func (d *Detector) scope(k *key, f Phase) Scope {
	if f == Refused {
		if k.refused < refusalsLeast {
			return Small
		}
		return ThisIPHere
	}
	c := k.recently(f)
	if k.small(f, &c) {
		return Small
	}
	for h, slow := range c.slowAt[:len(k.hosts)] {
		fast := c.fast - c.fastAt[h]
		if 10*slow >= 9*c.slow && !k.othersFast(f, k.hosts[h].hash) || 4*slow >= 3*c.slow && slow > c.fastAt[h] && fast >= 4 && fast >= 3*(c.slow-slow) {
			return OneHost
		}
	}
	if f >= Mail && !k.splitSays() && !k.severalTenants(f) && (f >= Write || !k.paced(f, &c)) {
		return OneTenant
	}
	return ThisIPHere
}

// othersFast reports whether other IPs were at a host in the last hours and not slow there.
func (k *key) othersFast(f Phase, host uint32) bool {
	p, g := k.place, k.place.lot(f)
	for i := range g.filled {
		s := g.back(i)
		if r := fromByte(s.r[inLot[f].at]); s.number != k.number && s.host == host && !s.shut && present(r) && r < p.tail[f][1] && s.at > k.proof[f].begun-3600 {
			return true
		}
	}
	return false
}

// severalTenants reports whether the recent mail of others than the tenant most of what is slow is of is slow at least
// half as often: chance makes one or two of it very slow. And whether the evidence would be enough without the tenant
// that gives most of it; or, where that are all who send little and have their evidence in one place, what is slow is
// of many of them.
func (k *key) severalTenants(f Phase) bool {
	last := k.last(f)
	tag, many := last.slowest()
	if !last.slowWithout(tag) {
		return false
	}
	for _, parts := range k.proof[f].parts {
		sum, most := float32(0), 0
		for i, x := range parts {
			sum += x
			if x > parts[most] {
				most = i
			}
		}
		if sum-parts[most] >= severalEnough || many && most == len(k.tenants) {
			return true
		}
	}
	return false
}

// endings clears what has ended.
func (d *Detector) endings(k *key) {
	g := &k.finding
	if g.scope == 0 {
		return
	}
	ends := k.drip <= 0
	if g.phase < Dripped {
		ends = k.proof[g.phase].weight() < over
	}
	if !ends && d.now-k.seen < Forgets.Seconds() {
		return
	}
	d.tell(k, Cleared)
	*g = finding{cleared: d.now, was: g.phase, wasOf: g.scope}
}

// wider tells a restriction here from what is slow for the IP everywhere.
func (d *Detector) wider(k *key, f Phase) Scope {
	e := &k.proof[f]
	around := d.around(k, e.begun-minuteOne)
	n, of := around.slow(f, votesMost)
	waited := d.now - e.begun
	switch {
	case n >= 2 && 10*n >= 3*of:
		return ThisIPEverywhere
	case of == 0 && waited < votesFor, of < 4 && waited < 3*votesFor, n >= 2 && 5*n >= of:
		return Unpaired
	}
	return ThisIPHere
}
