package share

import "slices"

// A Party is owners who want one and the same thing. It is done in the part of the first of them; where that has no place for it, in that of another
// one: who has used up his own part holds up nobody who wants the same. The zero Party is ready.
type Party[K comparable] struct {
	all  []K
	next int // of them
}

// mostOfParty is how many are in a Party. Of so many owners one may take a place whenever one is free, if there are up to 64 places in all. Of more,
// such as the 512 of questions to the DNS, up to seven can be free while each of the 64 has his part: whoever comes 65th waits until one of them
// gives a place back.
const mostOfParty = 64

// Join adds an owner, if there is room for one more.
func (p *Party[K]) Join(owner K) {
	if len(p.all) < mostOfParty && !slices.Contains(p.all, owner) {
		p.all = append(p.all, owner)
	}
}

// Next gives them one after the other, again and again: first whoever joined first. The empty Party gives the zero owner.
func (p *Party[K]) Next() (owner K) {
	if len(p.all) == 0 {
		return owner
	}
	owner = p.all[p.next]
	p.next = (p.next + 1) % len(p.all)
	return owner
}

// Take takes a place for the first of them who may have one, and says for whom.
func (p *Party[K]) Take(places *Places[K], b Bounds) (owner K, taken bool) {
	for _, owner := range p.all {
		if places.Take(owner, b) {
			return owner, true
		}
	}
	return owner, false
}
