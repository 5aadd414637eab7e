package veil

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// People are local parts that texts are searched for, in any letter case. The zero value is nobody.
type People struct {
	tree  []branch // the first is the root
	count int
	full  bool // there are more than are remembered
}

// A branch of the tree of local parts: by their next character. Branches name each other by where they stand, so that a reply's few people cost one piece of
// memory: they are made anew for each refusal that is kept.
type branch struct {
	is    rune
	first int32 // of those that go on from here; 0: none does
	next  int32 // that goes on from where this one does; 0: it is the last
	ends  bool
	// anywhere: it is so long, or so foreign, that it is hidden inside words, too. A shorter one ("info") is part of too many words, and stands by
	// itself where a reply names it. It is so in the records, too (docs/ref/record.md).
	anywhere bool
}

const (
	inWords    = 8       // characters
	mostPeople = 1 << 14 // of one page: it has a hundred mails at most, each with its first recipients
	longest    = 512     // octets of one
)

// Add has the person of an address hidden, in each form that a reply may show him in: as it stands, without quotes, and without the tag of a
// subaddress. What has no @ is no address.
func (p *People) Add(address string) {
	at := strings.LastIndexAny(address, "@＠")
	if at <= 0 {
		return
	}
	local := strings.TrimLeft(address[:at], "<'`")
	if i := strings.LastIndexByte(local, ':'); i >= 0 && local[0] == '@' { // a source route
		local = local[i+1:]
	}
	p.learn(local)
	if strings.ContainsAny(local, `"\`) {
		local = unquoted(local)
		p.learn(local)
	}
	if base, _, tagged := strings.Cut(local, "+"); tagged {
		p.learn(base)
	}
}

// AddAll has everybody hidden whose address stands in a text.
func (p *People) AddAll(text string) {
	if !strings.ContainsAny(text, "@＠") {
		return
	}
	for _, found := range addressed.FindAllString(text, -1) {
		p.Add(found)
	}
}

func unquoted(local string) string {
	var plain strings.Builder
	for i := 0; i < len(local); i++ {
		switch c := local[i]; {
		case c == '\\' && i+1 < len(local):
			i++
			plain.WriteByte(local[i])
		case c != '"':
			plain.WriteByte(c)
		}
	}
	return plain.String()
}

func (p *People) learn(local string) {
	if p.full = p.full || p.count >= mostPeople; p.full || local == "" || local == hidden || len(local) > longest {
		return
	}
	if p.tree == nil {
		const ofReply = 64
		p.tree = append(make([]branch, 0, ofReply), branch{})
	}
	at, long, foreign := int32(0), 0, false
	for _, r := range local {
		r = fold(r)
		long++
		foreign = foreign || r >= utf8.RuneSelf
		next := p.next(at, r)
		if next == 0 {
			next = int32(len(p.tree)) //nolint:gosec // mostPeople of so many octets
			p.tree = append(p.tree, branch{is: r, next: p.tree[at].first})
			p.tree[at].first = next
		}
		at = next
	}
	end := &p.tree[at]
	if !end.ends {
		p.count++
	}
	end.ends, end.anywhere = true, long >= inWords || foreign
}

// next gives where a character leads from a branch; 0: nowhere.
func (p *People) next(at int32, r rune) int32 {
	for n := p.tree[at].first; n != 0; n = p.tree[n].next {
		if p.tree[n].is == r {
			return n
		}
	}
	return 0
}

// Hide gives a text without the people, where they stand by themselves. Where there were too many to remember, all of it is hidden.
func (p *People) Hide(text string) string {
	switch {
	case p.full:
		return hidden
	case p.count == 0:
		return text
	}
	var to strings.Builder
	from, inside := 0, false // what is shown and not written yet; i stands inside a word
	for i := 0; i < len(text); {
		if c := rune(text[i]); c < utf8.RuneSelf && c != '@' && p.next(0, fold(c)) == 0 { // nobody begins so
			inside = ofWord(c)
			i++
			continue
		}
		if n := domain(text[i:]); n > 0 { // which may be called as a person is
			i += n
			inside = true
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if n := p.match(text[i:], inside && ofWord(r)); n > 0 {
			to.WriteString(text[from:i])
			to.WriteString(hidden)
			last, _ := utf8.DecodeLastRuneInString(text[:i+n])
			i += n
			from, inside = i, ofWord(last)
			continue
		}
		i += size
		inside = ofWord(r)
	}
	if from == 0 {
		return text
	}
	to.WriteString(text[from:])
	return to.String()
}

// domain gives the length of an @ and a domain behind it, with which a text begins.
func domain(text string) int {
	if text[0] != '@' {
		return 0
	}
	n := 1
	for n < len(text) && (ofWord(rune(text[n])) || strings.IndexByte("-._", text[n]) >= 0) {
		n++
	}
	if !strings.Contains(text[:n], ".") {
		return 0
	}
	return n
}

// match gives the length of the longest local part that a text begins with; inside: it begins in the middle of a word.
func (p *People) match(text string, inside bool) (longest int) {
	at := int32(0)
	for i, r := range text {
		if at = p.next(at, fold(r)); at == 0 {
			return longest
		}
		if p.tree[at].ends {
			_, size := utf8.DecodeRuneInString(text[i:])
			end := i + size
			behind, _ := utf8.DecodeRuneInString(text[end:])
			if p.tree[at].anywhere || !inside && (!ofWord(r) || !ofWord(behind)) {
				longest = end
			}
		}
	}
	return longest
}

// ofWord tells the letters and digits of ASCII, between which no word ends.
func ofWord(r rune) bool {
	return r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z'
}

func fold(r rune) rune {
	switch {
	case r >= utf8.RuneSelf:
		return unicode.ToLower(unicode.ToUpper(r))
	case r >= 'A' && r <= 'Z':
		return r | 0x20
	}
	return r
}
