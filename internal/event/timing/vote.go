package timing

import "math/bits"

// A source is one sending IP, at all providers.
type source struct {
	ip    string
	keys  int
	votes voting
	wide  breadth // a finding of scope ThisIPEverywhere
}

// voting is a ring of the newest votes: mails that were, or were not, slow.
type voting struct {
	ring   [24]vote
	newest int
	filled int
}

type vote struct {
	at    float64
	place *place
	from  *source
	slow  uint16
	had   uint16 // phases
}

const votesFor = 3600 // s

func (v *voting) put(x vote) {
	own := 0
	for i := 0; i < v.filled && i < 8; i++ {
		b := v.back(i)
		if b.place == x.place && b.from == x.from {
			own++
			if own == 3 { // three of a key among eight are enough: the newest takes the place of its last
				*b = x
				return
			}
		}
	}
	v.newest = (v.newest + 1) % len(v.ring)
	v.filled = min(v.filled+1, len(v.ring))
	v.ring[v.newest] = x
}

func (v *voting) back(i int) *vote { return &v.ring[(v.newest-i+len(v.ring))%len(v.ring)] }

// elsewhere is what the nearest votes of other places say: of the same IP, and of others.
type elsewhere struct {
	own, all [votesMost]*vote
	n, m     int
}

const votesMost = 16

// around gives the votes at other places since a time, the newest first.
func (d *Detector) around(k *key, since float64) (e elsewhere) {
	e.n = k.source.votes.pick(&e.own, k.place, nil, since)
	e.m = d.votes.pick(&e.all, k.place, k.source, since)
	return e
}

func (v *voting) pick(into *[votesMost]*vote, not *place, nor *source, since float64) (n int) {
	for i := 0; i < v.filled && n < votesMost; i++ {
		b := v.back(i)
		if b.at >= since && b.place != not && b.from != nor {
			into[n] = b
			n++
		}
	}
	return n
}

// slow counts the IP's votes about a phase, and those that say that it is slow elsewhere too, at two places at least. If most say so of
// other IPs, those count.
func (e *elsewhere) slow(f Phase, most int) (slow, of int) {
	slow, of = count(e.own[:e.n], f, most)
	if n, all := count(e.all[:e.m], f, most); n >= 4 && 5*n >= 2*all && n*of >= slow*all {
		return n, all
	}
	return slow, of
}

func count(votes []*vote, f Phase, most int) (slow, of int) {
	var first *place
	several := false
	for _, b := range votes {
		if f < Phases && b.had>>f&1 == 0 && b.slow == 0 {
			continue
		}
		if of == most {
			break
		}
		of++
		if b.slow>>f&1 == 1 || b.slow&(b.slow-1) != 0 {
			slow++
			several = several || first != nil && first != b.place
			first = b.place
		}
	}
	if !several {
		slow = min(slow, 1)
	}
	return slow, of
}

// breadth is a finding that is wider than a provider.
type breadth struct {
	on    bool
	phase Phase
	since float64
	ended float64
	grows [Phases]growth
}

// growth is how long it has been so that it would be a finding. The newest votes alone do not tell: at a busy gateway they are of the last seconds.
type growth struct {
	from float64
	seen float64 // when it was so last
}

// lasts takes whether it is so now, by votes since a time, and reports whether it has been for long enough.
func (g *growth) lasts(is bool, since, now float64) bool {
	switch {
	case !is:
		*g = growth{}
		return false
	case g.seen == 0 || now-g.seen > wideFor || since < g.from:
		g.from = since
	}
	g.seen = now
	return now-g.from >= wideFor
}

const (
	wideVotes  = 8
	wideFor    = 300  // s
	wideWithin = 1800 // s
)

// vote tells what a mail was, by the key's own history. What is told as a restriction here says nothing of the IP elsewhere.
func (d *Detector) vote(k *key, m *mail) {
	if k.finding.scope == ThisIPHere {
		return
	}
	x := vote{at: m.at, place: k.place, from: k.source}
	for f := range Phases {
		if !present(m.r[f]) || k.learnt[f] < needHistory {
			continue
		}
		x.had |= 1 << f
		if m.r[f] > max(.6, (k.place.tail[f][1]+k.place.tail[f][2])/2) {
			x.slow |= 1 << f
		}
	}
	if x.had == 0 {
		return
	}
	k.source.votes.put(x)
	d.votes.put(x)
	d.widely(k.source, x.slow)
}

// widely begins and clears findings that are wider than a provider: of one IP, or of several, which is ours. One IP alone has nobody to
// tell the two apart.
func (d *Detector) widely(s *source, slow uint16) {
	if d.ours.on {
		if n, of, _ := d.share(&d.votes, nil, d.ours.phase); of >= wideVotes && 7*n < of {
			d.ours = breadth{ended: d.now, phase: d.ours.phase, since: d.ours.since}
			d.tellWide(Cleared, Everything, &d.ours, "")
		}
	}
	if s.wide.on {
		if n, of, _ := d.share(&s.votes, nil, s.wide.phase); of >= wideVotes && 7*n < of {
			s.wide = breadth{ended: d.now, phase: s.wide.phase, since: s.wide.since}
			d.tellWide(Cleared, ThisIPEverywhere, &s.wide, s.ip)
		}
	}
	if slow == 0 || s.wide.on || d.ours.on || len(d.sources) < 2 {
		return
	}
	f := Phase(bits.TrailingZeros16(slow))
	n, of, since := d.share(&s.votes, nil, f)
	own := s.wide.grows[f].lasts(of >= wideVotes && 2*n >= of, since, d.now)
	n, of, since = d.share(&d.votes, s, f)
	others := of >= wideVotes && 5*n >= 2*of
	ours := d.ours.grows[f].lasts(others, since, d.now)
	if !own || others && !ours { // what may be ours is not told to be this IP's meanwhile
		return
	}
	b, scope, ip := &s.wide, ThisIPEverywhere, s.ip
	if ours {
		b, scope, ip = &d.ours, Everything, ""
	}
	change := Begun
	if b.ended > 0 && d.now-b.ended < Again.Seconds() {
		change = Continued
	}
	*b = breadth{on: true, phase: f, since: d.now, ended: b.ended}
	d.tellWide(change, scope, b, ip)
}

// share counts the votes of late, and those that say that it is slow, at three places at least; and gives since when they do.
func (d *Detector) share(v *voting, nor *source, f Phase) (slow, of int, since float64) {
	var votes [votesMost]*vote
	var at [3]*place
	places := 0
	since = d.now
	for _, b := range votes[:v.pick(&votes, nil, nor, d.now-wideWithin)] {
		if b.had>>f&1 == 0 {
			continue
		}
		of++
		if b.slow>>f&1 == 0 {
			continue
		}
		slow++
		since = b.at
		if places < len(at) && b.place != at[0] && b.place != at[1] {
			at[places] = b.place
			places++
		}
	}
	if places < len(at) {
		slow = 0
	}
	return slow, of, since
}

func (d *Detector) tellWide(c Change, s Scope, b *breadth, ip string) {
	d.out = append(d.out, Finding{Change: c, Scope: s, Phase: b.phase, At: d.timeOf(d.now), Since: d.timeOf(b.since), IP: ip})
}
