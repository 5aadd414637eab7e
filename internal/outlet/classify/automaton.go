package classify

import "bytes"

// An automaton finds all phrases in one pass over a text (Aho and Corasick, 1975). Few states go on with more than one octet, so
// its table has for each state the states that it goes on to, next to each other, and the state of its longest suffix. An octet costs a
// look-up, and one more for each suffix that is tried.
type automaton struct {
	states []state // the root is the first; the last one only tells where those of the one before it end
	octets []byte  // by state: the octet that leads to it
	root   [256]int32
	blank  [256]int32 // from the state of a blank, which begins almost every literal
	ends   []end
	uses   []use   // where phrases have parts, those of a part next to each other
	part   []int32 // by part: the first of its uses; those of the next one begin where its own end
	places int
}

// fewChildren are looked through faster one by one.
const fewChildren = 5

// A state is the beginning of literals.
type state struct {
	child  int32 // the first state that it goes on to; those of the next state begin where its own end
	suffix int32 // its longest suffix that begins literals, too
	found  int32 // itself if something ends in it, else the longest suffix where something does; 0: none
	ends   int32 // the first of what ends in it, in automaton.ends; the same holds as of child
}

// An end is the last octet of one spelling of a part.
type end struct{ part, size int32 }

// A use is a place where phrases have a part. Phrases that begin alike share their first places, and a phrase is its last place.
type use struct {
	place  int32
	before int32 // the place of the part in front; -1: none
	gap    int32 // octets that may stand between them; next: only the blank that they share
}

// A trace is what one pass has found. It is reused.
type trace struct {
	reached []int32 // by place: where it ended last, 0 for never
	older   []int32 // by place: where it ended the time before
	met     []int32 // the places reached
}

// said reports whether a phrase was found.
func (t *trace) said(phrase int32) bool { return t.reached[phrase] != 0 }

// begin forgets what an earlier pass has found.
func (t *trace) begin(places int) {
	if len(t.reached) != places { // of other rules
		t.reached, t.older, t.met = make([]int32, places), make([]int32, places), t.met[:0]
	}
	for _, place := range t.met {
		t.reached[place], t.older[place] = 0, 0
	}
	t.met = t.met[:0]
}

// run notes in t which phrases a normalised text contains.
func (a *automaton) run(text []byte, t *trace) {
	t.begin(a.places)
	s, sentence := int32(0), int32(0)
	for i, c := range text {
		if c == '.' && text[i-1] == ' ' {
			sentence = int32(i)
		}
		s = a.step(s, c)
		for at := a.states[s].found; at != 0; at = a.states[a.states[at].suffix].found {
			for _, e := range a.ends[a.states[at].ends:a.states[at+1].ends] {
				for _, u := range a.uses[a.part[e.part]:a.part[e.part+1]] {
					if u.before < 0 || t.reached[u.before] != 0 && t.follows(u, int32(i)+1, e.size, sentence) {
						t.meet(u.place, int32(i)+1)
					}
				}
			}
		}
	}
}

// step goes on with an octet from the longest suffix that can.
func (a *automaton) step(s int32, c byte) int32 {
	for s > 1 {
		first, past := a.states[s].child, a.states[s+1].child
		if past-first < fewChildren {
			for ; first < past; first++ {
				if a.octets[first] == c {
					return first
				}
			}
		} else if i := bytes.IndexByte(a.octets[first:past], c); i >= 0 {
			return first + int32(i)
		}
		s = a.states[s].suffix
	}
	if s == 1 {
		return a.blank[c]
	}
	return a.root[c]
}

// meet notes that the part of a place ends at stop.
func (t *trace) meet(place, stop int32) {
	switch t.reached[place] {
	case stop:
	case 0:
		t.met = append(t.met, place)
		t.reached[place] = stop
	default:
		t.older[place], t.reached[place] = t.reached[place], stop
	}
}

// follows reports whether a part of that size that ends at stop comes behind the part before it.
func (t *trace) follows(u use, stop, size, sentence int32) bool {
	before := t.reached[u.before]
	if u.gap == next {
		return before == stop-size+1 || t.older[u.before] == stop-size+1
	}
	if before == stop { // a word that may be either must not hide the part before it from itself
		before = t.older[u.before]
	}
	// Parts share the blank between them, and may share a word: "blocked by ... by dnsbl".
	return before > sentence && before < stop && stop-size-before <= u.gap
}

// A builder collects literals, parts and places for an automaton.
type builder struct {
	octet          []byte  // by state of the tree: on the way from the parent
	child, sibling []int32 // first child, next sibling; 0: none
	found          [][]end
	uses           [][]use // by part
	places         map[use]int32
	literals       int
}

func newBuilder() *builder {
	b := &builder{places: map[use]int32{}}
	b.state(0)
	b.insert(" ") // see automaton.blank
	return b
}

func (b *builder) state(octet byte) int32 {
	b.octet, b.child, b.sibling, b.found = append(b.octet, octet), append(b.child, 0), append(b.sibling, 0), append(b.found, nil)
	return int32(len(b.octet) - 1)
}

// part makes a part of its spellings.
func (b *builder) part(literals []string) int32 {
	part := int32(len(b.uses))
	b.uses, b.literals = append(b.uses, nil), b.literals+len(literals)
	for _, l := range literals {
		s := b.insert(l)
		b.found[s] = append(b.found[s], end{part, int32(len(l))})
	}
	return part
}

// place returns the place of a part behind another place.
func (b *builder) place(part, before, gap int32) int32 {
	key := use{part, before, gap}
	place, known := b.places[key]
	if !known {
		place = int32(len(b.places))
		b.places[key] = place
		b.uses[part] = append(b.uses[part], use{place, before, gap})
	}
	return place
}

func (b *builder) insert(l string) int32 {
	s := int32(0)
	for i := range len(l) {
		n := b.child[s]
		for n != 0 && b.octet[n] != l[i] {
			n = b.sibling[n]
		}
		if n == 0 {
			n = b.state(l[i])
			b.sibling[n], b.child[s] = b.child[s], n
		}
		s = n
	}
	return s
}

// automaton lays the states out, nearest to the root first, so that those of one parent stand together.
func (b *builder) automaton() *automaton {
	n := len(b.octet)
	a := &automaton{states: make([]state, n+1), octets: make([]byte, n), places: len(b.places)}
	order := make([]int32, 1, n) // of the tree's states
	for s := range n {
		from := order[s]
		a.states[s].child = int32(len(order))
		if from == 0 { // the blank is the first
			order = append(order, 1)
		}
		for c := b.child[from]; c != 0; c = b.sibling[c] {
			if c != 1 {
				order = append(order, c)
			}
		}
		a.octets[s], a.states[s].ends = b.octet[from], int32(len(a.ends))
		a.ends = append(a.ends, b.found[from]...)
	}
	a.states[n] = state{child: int32(n), ends: int32(len(a.ends))}
	for s := range int32(n) {
		for c := a.states[s].child; c < a.states[s+1].child; c++ {
			a.link(s, c)
		}
		switch s {
		case 0:
			a.row(&a.root, s)
		case 1:
			a.row(&a.blank, s)
		}
	}
	for _, uses := range b.uses {
		a.part = append(a.part, int32(len(a.uses)))
		a.uses = append(a.uses, uses...)
	}
	a.part = append(a.part, int32(len(a.uses)))
	return a
}

// link finds the suffix of a state from that of its parent, which is linked already.
func (a *automaton) link(parent, s int32) {
	if parent != 0 {
		a.states[s].suffix = a.step(a.states[parent].suffix, a.octets[s])
	}
	if a.states[s].found = s; a.states[s].ends == a.states[s+1].ends {
		a.states[s].found = a.states[a.states[s].suffix].found
	}
}

// row fills the row of a state that is asked most.
func (a *automaton) row(row *[256]int32, s int32) {
	if s != 0 {
		*row = a.root
	}
	for c := a.states[s].child; c < a.states[s+1].child; c++ {
		row[a.octets[c]] = c
	}
}
