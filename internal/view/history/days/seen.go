package days

import "slices"

// spans are the lines of a run that a day has, or has had: what comes twice counts once, also where the line itself is not kept any more. Lines of a
// run have numbers without gaps, so there are few spans.
type spans struct {
	all   []span // in order, none touches another
	dirty bool
}

type span struct{ first, last uint64 }

// add reports whether a line is new.
func (s *spans) add(n uint64) bool {
	at, found := slices.BinarySearchFunc(s.all, n, func(has span, n uint64) int {
		switch {
		case has.last < n:
			return -1
		case has.first > n:
			return 1
		}
		return 0
	})
	if found {
		return false
	}
	s.dirty = true
	behind, ahead := at > 0 && s.all[at-1].last+1 == n, at < len(s.all) && n+1 == s.all[at].first
	switch {
	case behind && ahead:
		s.all[at-1].last = s.all[at].last
		s.all = slices.Delete(s.all, at, at+1)
	case behind:
		s.all[at-1].last = n
	case ahead:
		s.all[at].first = n
	default:
		s.all = slices.Insert(s.all, at, span{n, n})
	}
	return true
}
