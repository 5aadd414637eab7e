package classify

import (
	"errors"
	"strings"
)

// An automaton finds all phrases in one pass over a text (Aho and Corasick, 1975): one table look-up an octet, whatever the
// text is.
type automaton struct {
	class [256]uint8 // octets that no phrase contains share class 0
	width int
	next  []int32  // state × class → state
	found [][]end  // what ends in a state
	uses  [][]slot // of a part: where phrases have it
	slots int      // parts of all phrases
	ids   int      // phrases
}

// An end is the last octet of one spelling of a part. Phrases that have a part in common share it.
type end struct{ part, size int32 }

// A slot is the place of a part in a phrase.
type slot struct {
	phrase int32
	at     int32 // the part before has at-1
	gap    int32 // octets that may stand in front
	first  bool
	last   bool
}

// A trace is what one pass has found. It is reused.
type trace struct {
	hit     []bool  // by phrase
	reached []int32 // by slot: where the part ended last, 0 for never
	older   []int32 // by slot: where it ended the time before
}

func newAutomaton(phrases []phrase) (*automaton, error) {
	a := &automaton{width: 1, ids: len(phrases)}
	total := 0
	for _, p := range phrases {
		for _, part := range p.parts {
			for _, l := range part {
				total++
				for i := range len(l) {
					if a.class[l[i]] == 0 {
						a.class[l[i]] = uint8(a.width)
						a.width++
					}
				}
			}
		}
	}
	if total > maxLiterals {
		return nil, errors.New("the rules have too many phrases")
	}
	t := tree{}
	t.state(0)
	known := map[string]int32{}
	for id, p := range phrases {
		for i, literals := range p.parts {
			key := strings.Join(literals, "\x00")
			part, seen := known[key]
			if !seen {
				part = int32(len(a.uses))
				known[key], a.uses = part, append(a.uses, nil)
				for _, l := range literals {
					s := t.insert(a, l)
					t.found[s] = append(t.found[s], end{part, int32(len(l))})
				}
			}
			a.uses[part] = append(a.uses[part], slot{int32(id), int32(a.slots), p.gaps[i], i == 0, i == len(p.parts)-1})
			a.slots++
		}
	}
	a.next, a.found = t.table(a.width), t.found
	a.link()
	return a, nil
}

// A tree has the beginnings of all literals, each a state. The children of a state are a list.
type tree struct {
	class          []uint8 // on the way from the parent
	child, sibling []int32 // first child, next sibling; 0: none
	found          [][]end
}

func (t *tree) state(class uint8) int32 {
	t.class, t.child, t.sibling, t.found = append(t.class, class), append(t.child, 0), append(t.sibling, 0), append(t.found, nil)
	return int32(len(t.class) - 1)
}

func (t *tree) insert(a *automaton, l string) int32 {
	s := int32(0)
	for i := range len(l) {
		class := a.class[l[i]]
		n := t.child[s]
		for n != 0 && t.class[n] != class {
			n = t.sibling[n]
		}
		if n == 0 {
			n = t.state(class)
			t.sibling[n], t.child[s] = t.child[s], n
		}
		s = n
	}
	return s
}

// table gives the tree as a table of states × classes.
func (t *tree) table(width int) []int32 {
	next := make([]int32, len(t.class)*width)
	for s := range t.child {
		for n := t.child[s]; n != 0; n = t.sibling[n] {
			next[s*width+int(t.class[n])] = n
		}
	}
	return next
}

// link turns the tree into the automaton, nearest states first: where the tree ends, go on with the longest suffix that is
// in it.
func (a *automaton) link() {
	suffix := make([]int32, len(a.found))
	queue := []int32{0}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		for c := range a.width {
			at := int(s)*a.width + c
			shorter := int32(0)
			if s != 0 {
				shorter = a.next[int(suffix[s])*a.width+c]
			}
			child := a.next[at]
			if child == 0 {
				a.next[at] = shorter
				continue
			}
			suffix[child] = shorter
			a.found[child] = append(a.found[child], a.found[shorter]...)
			queue = append(queue, child)
		}
	}
}

// run notes in t which phrases a normalised text contains.
func (a *automaton) run(text []byte, t *trace) {
	if len(t.hit) != a.ids || len(t.reached) != a.slots {
		t.hit, t.reached, t.older = make([]bool, a.ids), make([]int32, a.slots), make([]int32, a.slots)
	}
	clear(t.hit)
	clear(t.reached)
	clear(t.older)
	s, sentence := int32(0), int32(0)
	for i, c := range text {
		if c == '.' && text[i-1] == ' ' {
			sentence = int32(i)
		}
		s = a.next[int(s)*a.width+int(a.class[c])]
		for _, e := range a.found[s] {
			for j := range a.uses[e.part] {
				t.meet(&a.uses[e.part][j], int32(i)+1, e.size, sentence)
			}
		}
	}
}

// meet notes that the part of a slot ends at stop, if the part before it stands close enough in front.
func (t *trace) meet(u *slot, stop, size, sentence int32) {
	if !u.first {
		before := t.reached[u.at-1]
		if before == stop { // a word that may be either must not hide the part before it from itself
			before = t.older[u.at-1]
		}
		// Parts share the blank between them, and may share a word: "blocked by ... by dnsbl".
		if before <= sentence || before >= stop || stop-size-before > u.gap {
			return
		}
	}
	if t.reached[u.at] != stop {
		t.older[u.at], t.reached[u.at] = t.reached[u.at], stop
	}
	if u.last {
		t.hit[u.phrase] = true
	}
}
