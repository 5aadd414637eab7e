package classify

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"
)

// How what was said is found in a reply. A reply may be full of signs, and fifty mailboxes may have been said: neither is gone through once
// for each of the other.

// A needle is one thing said, as significant octets: letters and digits in lower case, whatever stands between them.
type needle struct {
	from, to int // in echoes.letter
	words    int
	mark     byte
}

// Bounds of what is found. Below them a match may be chance.
const (
	minPart = 12 // octets in a row of several words, wherever they begin and end
	minBare = 6  // octets of a whole name without quotes or brackets around it
	maxSaid = 1 << 10
)

// signify notes the significant octets of the reply, its at signs, and what words in front of these begin with.
func (e *echoes) signify(plain []byte) {
	most := len(plain)
	e.sig, e.begin, e.end = slices.Grow(e.sig[:0], most)[:most], slices.Grow(e.begin[:0], most)[:most], slices.Grow(e.end[:0], most)[:most]
	e.ats = e.ats[:0]
	n := 0
	for i := 0; i < len(plain); {
		c, size := plainOctets[plain[i]], 1
		if c == 0 && (plain[i] == '%' || plain[i] == '+') {
			c, size = significant(plain[i:])
		}
		switch {
		case c != 0:
			e.sig[n], e.begin[n], e.end[n] = c, int32(i), int32(i+size)
			n++
		case plain[i] == '@', size == 3 && plain[i+1] == '4' && plain[i+2] == '0':
			e.ats = append(e.ats, int32(n))
		}
		i += size
	}
	e.sig, e.begin, e.end = e.sig[:n], e.begin[:n], e.end[:n]
	if e.heads = (heads{}); len(e.ats) > 0 {
		for i := range int(e.ats[len(e.ats)-1]) {
			if e.wordBegins(i) {
				e.heads.add(headOf(e.sig[i:]))
			}
		}
	}
}

// significant returns the letter or digit that a text begins with, 0 for anything else, and its size: an octet, or one in
// hexadecimal as URLs (%41) and xtext (+41, RFC 3461 §4) have it.
func significant(text []byte) (c byte, size int) {
	if c = text[0]; len(text) > 2 && (c == '%' || c == '+') {
		high, low := unhex(text[1]), unhex(text[2])
		if high < 16 && low < 16 && (c == '%' || text[1]|text[2] < 'a') {
			c, size = high<<4|low, 3
		}
	}
	size = max(size, 1)
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A', size
	case alnum(c):
		return c, size
	}
	return 0, size
}

func alnum(c byte) bool { return letter(c) || '0' <= c && c <= '9' || c >= 0x80 }

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

// needle makes one of a text. It reports false where there is nothing to look for.
func (e *echoes) needle(text string, mark byte) (needle, bool) {
	n := needle{from: len(e.letter), mark: mark}
	e.folded = e.folding.fold(e.folded[:0], text[:min(len(text), maxSaid)], 2*maxSaid)
	inside := false
	for folded := e.folded; len(folded) > 0; {
		c, size := plainOctets[folded[0]], 1
		if c == 0 {
			c, size = significant(folded)
		}
		if c != 0 {
			e.letter = append(e.letter, c)
			if !inside || c >= 0x80 {
				n.words++
			}
		}
		inside = c != 0
		folded = folded[size:]
	}
	n.to = len(e.letter)
	return n, n.to > n.from
}

// A box is a mailbox that was said.
type box struct {
	needle
	head, mask uint32 // its first octets, and how many of them there are
}

// mailboxes covers addresses that stand in the reply with their at sign, however they are quoted. The reply is looked at as far in front of
// its at signs as a mailbox can begin.
func (e *echoes) mailboxes(said ...string) {
	if len(e.ats) == 0 {
		return
	}
	e.boxes = e.boxes[:0]
	longest := 0
	for _, text := range said {
		longest = max(longest, e.box(text))
	}
	done := 0
	for _, sign := range e.ats {
		at := int(sign)
		for i := max(done, at-longest+1); i < at; i++ {
			if e.wordBegins(i) {
				e.coverBoxes(i, at)
			}
		}
		done = at
	}
}

// box notes a mailbox to be found, and gives the number of its octets; 0 for what is none, or does not begin as a word of the reply does.
func (e *echoes) box(mailbox string) int {
	if strings.IndexByte(mailbox, '@') <= 0 {
		return 0
	}
	if head, known := headOfText(mailbox); known && !e.heads.has(head) {
		return 0
	}
	n, ok := e.needle(mailbox, markMail)
	if !ok {
		return 0
	}
	b := box{needle: n, head: headOf(e.letter[n.from:n.to]), mask: ^uint32(0)}
	if size := n.to - n.from; size < 4 {
		b.mask >>= 32 - 8*size
	}
	e.boxes = append(e.boxes, b)
	return n.to - n.from
}

// coverBoxes covers the mailboxes that begin at a word and have the next at sign behind it in them.
func (e *echoes) coverBoxes(i, at int) {
	head := headOf(e.sig[i:])
	for k := range e.boxes {
		b := &e.boxes[k]
		end := i + b.to - b.from
		if head&b.mask == b.head && at < end && end <= len(e.sig) && e.wordBegins(end) && bytes.Equal(e.sig[i:end], e.letter[b.from:b.to]) {
			e.fill(e.begin[i], e.end[end-1], markMail)
		}
	}
}

// headOf returns the first four octets, or as many as there are.
func headOf(sig []byte) (head uint32) {
	if len(sig) >= 4 {
		return binary.LittleEndian.Uint32(sig)
	}
	for i, c := range sig {
		head |= uint32(c) << (8 * i)
	}
	return head
}

// headOfText returns the head of what is folded, if a look at the first octets of a text tells.
func headOfText(text string) (head uint32, known bool) {
	for i, n := 0, 0; i < len(text) && text[i] < utf8.RuneSelf && text[i] != '%' && text[i] != '+'; i++ {
		if c := plainOctets[text[i]]; c != 0 {
			head |= uint32(c) << (8 * n)
			if n++; n == 4 {
				return head, true
			}
		}
	}
	return 0, false
}

// heads says of heads which may be among others.
type heads [16]uint64

func (h *heads) add(head uint32) { h[head*0x9e3779b1>>28] |= 1 << (head * 0x9e3779b1 >> 22 % 64) }

func (h *heads) has(head uint32) bool {
	return h[head*0x9e3779b1>>28]&(1<<(head*0x9e3779b1>>22%64)) != 0
}

// each calls what with every place in the reply that has these significant octets, as whole words.
func (e *echoes) each(sig []byte, what func(from, to int32)) {
	for at := 0; ; {
		i := bytes.Index(e.sig[at:], sig)
		if i < 0 {
			return
		}
		i += at
		if j := i + len(sig); e.wordBegins(i) && e.wordBegins(j) {
			what(e.begin[i], e.end[j-1])
			at = j
		} else {
			at = i + 1
		}
	}
}

func (e *echoes) wordBegins(i int) bool {
	return i == 0 || i == len(e.sig) || e.end[i-1] < e.begin[i] || e.sig[i] >= 0x80
}

// A piece is minPart octets.
type piece struct {
	head uint64
	tail uint32
}

func pieceOf(octets []byte) piece {
	return piece{binary.LittleEndian.Uint64(octets), binary.LittleEndian.Uint32(octets[8:])}
}

// few says of pieces which may be among others: of those that are not, nearly all are told by a bit.
type few [256]uint64

func (f *few) bit(p piece) (word *uint64, bit uint64) {
	h := (p.head ^ uint64(p.tail)) * 0x9e3779b97f4a7c15 >> 50
	return &f[h/64], 1 << (h % 64)
}

// seek finds where what was said has the pieces that words of the reply begin with: of each the first place, or -1.
func (e *echoes) seek() {
	if clear(e.pieces); e.pieces == nil {
		e.pieces = map[piece]int32{}
	}
	var asked few
	for i := range len(e.sig) - minPart + 1 {
		if e.wordBegins(i) {
			p := pieceOf(e.sig[i:])
			word, bit := asked.bit(p)
			*word |= bit
			e.pieces[p] = -1
		}
	}
	for at := range len(e.joined) - minPart + 1 {
		p := pieceOf(e.joined[at:])
		if word, bit := asked.bit(p); *word&bit == 0 {
			continue
		}
		if first, isAsked := e.pieces[p]; isAsked && first < 0 {
			e.pieces[p] = int32(at)
		}
	}
}

// parts covers whatever has at least minPart significant octets in common with what was said.
func (e *echoes) parts(plain []byte) (found bool) {
	if len(e.joined) < minPart || len(e.sig) < minPart {
		return false
	}
	e.seek()
	for i := 0; i+minPart <= len(e.sig); i++ {
		if !e.wordBegins(i) {
			continue
		}
		at, j := int(e.pieces[pieceOf(e.sig[i:])]), i
		if at < 0 {
			continue
		}
		for j < len(e.sig) && at+j-i < len(e.joined) && e.sig[j] == e.joined[at+j-i] {
			j++
		}
		for j > i && !e.wordBegins(j) {
			j--
		}
		if j-i < minPart {
			continue
		}
		if !ofTheMX(plain, e.begin[i], e.end[j-1]) {
			e.fill(e.begin[i], e.end[j-1], markSaid)
			found = true
		}
		i = j - 1
	}
	return found
}
