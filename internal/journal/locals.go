package journal

import (
	"unicode"
	"unicode/utf8"
)

// A localSet is a set of local parts that a text is searched for, in any letter case: a trie over folded characters.
// A reply often names a mailbox without its domain ("550 alice: no such user"), which only this finds.
type localSet struct {
	nodes []localNode // 0 is the root
	first [256]bool   // octets that a local part may begin with, in any letter case
}

type localNode struct {
	r              rune
	sibling, child int32
	final          bool // a local part ends here
	anywhere       bool // it is long or foreign enough to be replaced inside words, too
}

const (
	// inWords is the length from which on a local part is looked for inside words. A shorter one ("info") is part of too many
	// words, and stands by itself when a reply names it.
	inWords = 8
	// maxLocal bounds one local part (RFC 5321 §4.5.3.1.1: 64 octets), maxLocals the octets of all.
	maxLocal  = 512
	maxLocals = 1 << 20
)

func (s *localSet) reset() {
	s.nodes = append(s.nodes[:0], localNode{})
	clear(s.first[:utf8.RuneSelf])
	for i := utf8.RuneSelf; i < len(s.first); i++ {
		s.first[i] = true // even U+212A is a k in another case
	}
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
	}
	at, depth, foreign := int32(0), 0, false
	for len(local) > 0 {
		r, size := fold(local)
		local = local[size:]
		depth++
		foreign = foreign || r >= utf8.RuneSelf
		next := s.child(at, r)
		if next == 0 {
			next = int32(len(s.nodes))
			s.nodes = append(s.nodes, localNode{r: r, sibling: s.nodes[at].child})
			s.nodes[at].child = next
		}
		at = next
	}
	n := &s.nodes[at]
	fresh := !n.final
	n.final, n.anywhere = true, depth >= inWords || foreign
	return fresh
}

func (s *localSet) child(at int32, r rune) int32 {
	c := s.nodes[at].child
	for c != 0 && s.nodes[c].r != r {
		c = s.nodes[c].sibling
	}
	return c
}

// match gives the length of the longest local part that stands in text at offset i; 0 if there is none.
func (s *localSet) match(text []byte, i int) int {
	if i >= len(text) || !s.first[text[i]] || s.empty() {
		return 0
	}
	inside := i > 0 && wordOctet(text[i-1]) && wordOctet(text[i])
	longest := 0
	at := int32(0)
	for j := i; j < len(text); {
		r, size := fold(text[j:])
		at = s.child(at, r)
		if at == 0 {
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

// fold gives the first character of text without its letter case. Octets that are no UTF-8 stay apart from all characters.
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
	return unicode.ToLower(unicode.ToUpper(r)), size
}
