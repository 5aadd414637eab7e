package sts

import "kanmon/internal/who/share"

// A shelf has the domains with a policy that has a place there. Places are counted by room: a policy takes one for each unit of it that has
// begun. Those that are to be enforced have places of their own. None is taken away for a stranger: who has as many as are free gets no more.
type shelf struct {
	all   map[string]*entry
	firm  share.Places[string] // of policies to be enforced
	loose share.Places[string] // of all others
}

// Bounds of a shelf: 64 MiB in all.
const (
	unit      = 1 << 10 // octets
	mostFirm  = 49_152
	mostLoose = 16_384
	nearlyAll = 4 // when less than this part of its places is free, those go that nobody has used for long
)

func newShelf() shelf { return shelf{all: map[string]*entry{}} }

// placesOf returns those of a mode, and how many there are.
func (s *shelf) placesOf(m Mode) (*share.Places[string], int) {
	if m == Enforce {
		return &s.firm, mostFirm
	}
	return &s.loose, mostLoose
}

// put gives an entry a place by its policy, and reports whether there was one. Reserve is how many of them only owners get who have less than is
// free.
func (s *shelf) put(e *entry, fair bool) bool {
	s.remove(e)
	places, most := s.placesOf(e.policy.Mode)
	bounds := share.Bounds{Most: most}
	if fair {
		bounds.Reserve = most
	}
	units := e.policy.size()/unit + 1
	for taken := range units {
		if !places.Take(e.owner, bounds) {
			for range taken {
				places.Give(e.owner)
			}
			return false
		}
	}
	e.units, e.shelf = units, e.policy.Mode
	s.all[e.domain] = e
	return true
}

// remove takes an entry out, if it is there.
func (s *shelf) remove(e *entry) {
	places, _ := s.placesOf(e.shelf)
	for range e.units {
		places.Give(e.owner)
	}
	if e.units > 0 {
		delete(s.all, e.domain)
	}
	e.units = 0
}

// isCrowded reports whether few places of a mode are left.
func (s *shelf) isCrowded(m Mode) bool {
	places, most := s.placesOf(m)
	return most-places.All() < most/nearlyAll
}
