package share

import (
	"iter"
	"maps"
)

// Places count what owners have taken. The zero Places is ready.
type Places[K comparable] struct {
	all  int
	held map[K]int
}

// Bounds say how many places there are.
type Bounds struct {
	Most int // in all
	// Reserve are those that only owners get who have less than is free. As long as there are more, everybody gets one: with the
	// Reserve of all places the rule holds from the first one, with 0 who comes first has all.
	Reserve int
	Each    int // the most of one owner; 0: as many as the rule allows
}

// Take takes a place, if the owner may have one more.
func (p *Places[K]) Take(owner K, b Bounds) bool {
	if !p.Room(owner, b) {
		return false
	}
	if p.held == nil {
		p.held = make(map[K]int)
	}
	p.all++
	p.held[owner]++
	return true
}

// Room reports whether Take would give a place.
func (p *Places[K]) Room(owner K, b Bounds) bool {
	free, held := b.Most-p.all, p.held[owner]
	return free > 0 && (free > b.Reserve || held < free) && (b.Each == 0 || held < b.Each)
}

// Give gives a place back.
func (p *Places[K]) Give(owner K) {
	p.all--
	if p.held[owner]--; p.held[owner] == 0 {
		delete(p.held, owner)
	}
}

// Each returns all owners that have any, and how many, in no order.
func (p *Places[K]) Each() iter.Seq2[K, int] { return maps.All(p.held) }

// All is how many are taken.
func (p *Places[K]) All() int { return p.all }

// Of is how many an owner has.
func (p *Places[K]) Of(owner K) int { return p.held[owner] }

// Owners is how many have any.
func (p *Places[K]) Owners() int { return len(p.held) }
