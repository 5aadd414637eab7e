package mailbox

import "unicode/utf8"

// A path in its parts, without quotes, escapes, comments and blanks.
type path struct {
	null      bool
	local     []byte
	domain    []byte // as written; an address literal with its brackets
	hasDomain bool
}

// A parser reads a path as an MX does that takes all of RFC 5322's older grammar (§4.4), which is more than RFC 5321 allows.
type parser struct {
	text []byte
	at   int
}

func parse(text []byte) (p path, ok bool) {
	r := parser{text: text}
	if !r.skipBlanks() || !r.skipRoute() {
		return path{}, false
	}
	if r.over() { // "<>", "< >", and a route that leads nowhere
		return path{null: true}, true
	}
	isQuoted := r.peek() == '"'
	if p.local, ok = r.localPart(); !ok {
		return path{}, false
	}
	if r.over() {
		if len(p.local) == 0 {
			return path{null: true}, isQuoted // `<"">` names nobody, at nobody's
		}
		return p, true
	}
	if !r.take('@') {
		return path{}, false
	}
	p.domain, ok = r.domain()
	p.hasDomain = true
	return p, ok && r.over()
}

func (r *parser) over() bool { return r.at == len(r.text) }

// peek returns the next octet, 0 at the end.
func (r *parser) peek() byte {
	if r.over() {
		return 0
	}
	return r.text[r.at]
}

func (r *parser) take(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.at++
	return true
}

// skipBlanks skips blanks and comments, which nest (RFC 5322 §3.2.2). It is false for a comment without an end.
func (r *parser) skipBlanks() bool {
	depth := 0
	for ; !r.over(); r.at++ {
		switch c := r.peek(); {
		case c == '(':
			depth++
		case depth == 0:
			if c != ' ' && c != '\t' {
				return true
			}
		case c == ')':
			depth--
		case c == '\\':
			if r.at++; r.over() {
				return false
			}
		case isControl(c):
			return false
		}
	}
	return depth == 0
}

// skipRoute skips "@a.example,@b.example:" (RFC 5321 appendix C). It is false for what begins like a route and is none.
func (r *parser) skipRoute() bool {
	for first := true; first || r.take(','); first = false {
		if !r.skipBlanks() {
			return false
		}
		if !r.take('@') {
			return first
		}
		if _, ok := r.domain(); !ok {
			return false
		}
	}
	return r.take(':') && r.skipBlanks()
}

// localPart reads words with dots between them. Dots may stand in wrong places, as they do in addresses that people have.
func (r *parser) localPart() (local []byte, ok bool) {
	local = []byte{}
	joined := true // the next word may follow
	for words := 0; ; words++ {
		switch c := r.peek(); {
		case c == '.':
			local, joined = append(local, c), true
			r.at++
		case r.over() || c == '@':
			return local, words > 0
		case !joined:
			return nil, false
		case c == '"':
			if local, ok = r.quotedString(local); !ok {
				return nil, false
			}
			joined = false
		default:
			if local, ok = r.atom(local); !ok {
				return nil, false
			}
			joined = false
		}
		if !r.skipBlanks() {
			return nil, false
		}
	}
}

// atom appends the octets of an atom. A backslash takes the meaning from the octet behind it (RFC 821 §4.1.2).
func (r *parser) atom(local []byte) ([]byte, bool) {
	begin := r.at
	for ; !r.over(); r.at++ {
		c := r.peek()
		if c == '\\' {
			if r.at++; r.over() || isControl(r.peek()) {
				return nil, false
			}
			c = r.peek()
		} else if !isAtext(c) {
			break
		}
		local = append(local, c)
	}
	return local, r.at > begin
}

func (r *parser) quotedString(local []byte) ([]byte, bool) {
	for r.at++; !r.over(); r.at++ {
		switch c := r.peek(); {
		case c == '"':
			r.at++
			return local, true
		case c == '\\':
			if r.at++; r.over() || isControl(r.peek()) {
				return nil, false
			}
		case isControl(c):
			return nil, false
		}
		local = append(local, r.peek())
	}
	return nil, false
}

// domain reads a domain or an address literal, with what blanks are around it and its dots.
func (r *parser) domain() (domain []byte, ok bool) {
	if !r.skipBlanks() {
		return nil, false
	}
	if r.peek() == '[' {
		begin := r.at
		for ; !r.over() && r.peek() != ']'; r.at++ {
			if c := r.peek(); isControl(c) || c == '\\' || c >= utf8.RuneSelf {
				return nil, false
			}
		}
		if !r.take(']') {
			return nil, false
		}
		return r.text[begin:r.at], r.skipBlanks()
	}
	for joined := true; ; {
		begin := r.at
		for !r.over() && (isAtext(r.peek()) || r.peek() == '.') {
			r.at++
		}
		part := r.text[begin:r.at]
		if len(part) == 0 {
			return domain, len(domain) > 0
		}
		if !joined && part[0] != '.' {
			return nil, false
		}
		domain, joined = append(domain, part...), part[len(part)-1] == '.'
		if !r.skipBlanks() {
			return nil, false
		}
	}
}

// isAtext reports whether an octet may stand in an atom (RFC 5322 §3.2.3, RFC 6532 §3.2).
func isAtext(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c >= utf8.RuneSelf:
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '/', '=', '?', '^', '_', '`', '{', '|', '}', '~':
		return true
	}
	return false
}

func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }
