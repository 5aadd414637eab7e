package index

import "slices"

// Spans are the lines of a run that a day has, or has had: what comes twice counts once, also where the line itself is not kept any more. Lines of a
// run have numbers without gaps, so there are few spans.
type Spans struct {
	All []Span // in order, none touches another
}

// A Span is lines that follow each other.
type Span struct{ First, Last uint64 }

// Add takes a line up, and reports whether a line is new.
func (s *Spans) Add(n uint64) bool {
	at, found := slices.BinarySearchFunc(s.All, n, func(has Span, n uint64) int {
		switch {
		case has.Last < n:
			return -1
		case has.First > n:
			return 1
		}
		return 0
	})
	if found {
		return false
	}
	behind, ahead := at > 0 && s.All[at-1].Last+1 == n, at < len(s.All) && n+1 == s.All[at].First
	switch {
	case behind && ahead:
		s.All[at-1].Last = s.All[at].Last
		s.All = slices.Delete(s.All, at, at+1)
	case behind:
		s.All[at-1].Last = n
	case ahead:
		s.All[at].First = n
	default:
		s.All = slices.Insert(s.All, at, Span{n, n})
	}
	return true
}
