package journal

import (
	"unicode"
	"unicode/utf8"
)

// A localSet is a set of local parts that a text is searched for, in any letter case: a trie over folded characters.
// A reply often names a mailbox without its domain ("550 alice: no such user"), which only this finds.
type localSet struct {
	nodes []localNode // 0 is the root
	more  map[edge]int32
	first [utf8.RuneSelf]bool // characters of ASCII that a local part may begin with, in any letter case
	far   [64]uint64          // the same of others, by the last bits of their numbers: a reply may be full of them
}

type localNode struct {
	r              rune
	sibling, child int32
	final          bool // a local part ends here
	anywhere       bool // it is long or foreign enough to be replaced inside words, too
	many           bool // it has more children than are chained: those are in localSet.more
}

// An edge leads from a node to the child with a character.
type edge struct {
	from int32
	r    rune
}

const (
	// inWords is the length from which on a local part is looked for inside words. A shorter one ("info") is part of too many
	// words, and stands by itself when a reply names it.
	inWords = 8
	// maxLocal bounds one local part (RFC 5321 §4.5.3.1.1: 64 octets), maxLocals the octets of all.
	maxLocal  = 512
	maxLocals = 1 << 20
	// maxChain bounds how many children of a node are looked through. A thousand recipients can begin with a thousand characters.
	maxChain = 8
	// maxKeptNodes keeps what a record with many local parts took from staying in memory.
	maxKeptNodes = 1 << 14
)

func (s *localSet) reset() {
	if cap(s.nodes) > maxKeptNodes {
		s.nodes, s.more = nil, nil
	}
	clear(s.more)
	clear(s.far[:])
	s.nodes = append(s.nodes[:0], localNode{})
	clear(s.first[:])
}

func (s *localSet) empty() bool { return len(s.nodes) <= 1 }

// add is false if the local part is there already, or too long to be one.
func (s *localSet) add(local []byte) bool {
	if len(local) == 0 || len(local) > maxLocal || len(s.nodes) > maxLocals {
		return false
	}
	if r, _ := fold(local); r < utf8.RuneSelf {
		s.first[r] = true
		s.first[unicode.ToUpper(r)] = true
	} else {
		s.far[r/64%64] |= 1 << (r % 64)
	}
	at, depth, foreign := int32(0), 0, false
	for len(local) > 0 {
		r, size := fold(local)
		local = local[size:]
		depth++
		foreign = foreign || r >= utf8.RuneSelf
		next, children := s.child(at, r)
		if next == 0 {
			next = s.grow(at, r, children)
		}
		at = next
	}
	n := &s.nodes[at]
	fresh := !n.final
	n.final, n.anywhere = true, depth >= inWords || foreign
	return fresh
}

// child returns the node that a character leads to from another one, 0 if there is none; and how many it has looked through.
func (s *localSet) child(at int32, r rune) (child int32, seen int) {
	c := s.nodes[at].child
	for ; c != 0 && s.nodes[c].r != r; seen++ {
		c = s.nodes[c].sibling
	}
	if c == 0 && s.nodes[at].many {
		c = s.more[edge{at, r}]
	}
	return c, seen
}

// grow returns a node, which has so many children in its chain, another child.
func (s *localSet) grow(at int32, r rune, chained int) int32 {
	next := int32(len(s.nodes))
	if chained < maxChain {
		s.nodes = append(s.nodes, localNode{r: r, sibling: s.nodes[at].child})
		s.nodes[at].child = next
		return next
	}
	s.nodes = append(s.nodes, localNode{r: r})
	s.nodes[at].many = true
	if s.more == nil {
		s.more = make(map[edge]int32)
	}
	s.more[edge{at, r}] = next
	return next
}

// mayBegin reports whether a local part may begin with the first character of a text, and gives that character's size.
func (s *localSet) mayBegin(text []byte) (may bool, size int) {
	if c := text[0]; c < utf8.RuneSelf {
		return s.first[c], 1
	}
	r, size := fold(text)
	return r < utf8.RuneSelf || s.far[r/64%64]&(1<<(r%64)) != 0, size
}

// match returns the length of the longest local part that stands in text at offset i; 0 if there is none.
func (s *localSet) match(text []byte, i int) int {
	if i >= len(text) || s.empty() {
		return 0
	}
	if may, _ := s.mayBegin(text[i:]); !may {
		return 0
	}
	inside := i > 0 && wordOctet(text[i-1]) && wordOctet(text[i])
	longest := 0
	at := int32(0)
	for j := i; j < len(text); {
		r, size := fold(text[j:])
		if at, _ = s.child(at, r); at == 0 {
			break
		}
		last := text[j]
		j += size
		if n := &s.nodes[at]; n.final {
			split := j < len(text) && wordOctet(last) && wordOctet(text[j])
			if n.anywhere || !inside && !split {
				longest = j - i
			}
		}
	}
	return longest
}

// wordOctet tells letters and digits, between which no word ends.
func wordOctet(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// fold returns the first character of text without its letter case. Octets that are no UTF-8 stay apart from all characters.
func fold(text []byte) (r rune, size int) {
	if c := text[0]; c < utf8.RuneSelf {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		return rune(c), 1
	}
	r, size = utf8.DecodeRune(text)
	if r == utf8.RuneError && size == 1 {
		return unicode.MaxRune + 1 + rune(text[0]), 1
	}
	if r >= 0x2e80 && r < 0xa640 || r >= 0xac00 && r < 0xd800 {
		return r, size // the scripts of East Asia have no letter case, and their texts are long
	}
	return unicode.ToLower(unicode.ToUpper(r)), size
}
