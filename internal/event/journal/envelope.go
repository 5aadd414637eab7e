package journal

import "bytes"

var (
	blank      = []byte(" ")
	equals     = []byte("=")
	plus       = []byte("+")
	atSign     = []byte("@")
	paramAUTH  = []byte("AUTH")
	paramORCPT = []byte("ORCPT")
	paramENVID = []byte("ENVID")
)

// An envelopeCommand is MAIL, RCPT or one of their obsolete kin, taken apart. Joined, its parts are the line.
type envelopeCommand struct {
	before []byte // "MAIL FROM:<"
	path   []byte
	after  []byte // ">"
	params []byte // " SIZE=327"
}

// parseEnvelope is loose where grammar is (blanks, missing brackets): senders are. It is false for anything else.
func parseEnvelope(line []byte) (c envelopeCommand, ok bool) {
	verb := verbOf(line)
	if !envelopeVerb(verb) {
		return c, false
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return c, false
	}
	word := bytes.TrimSpace(line[bytes.Index(line, verb)+len(verb) : colon])
	if !equalFold(word, "FROM") && !equalFold(word, "TO") {
		return c, false
	}
	at := colon + 1
	for at < len(line) && (line[at] == ' ' || line[at] == '\t') {
		at++
	}
	if at < len(line) && line[at] == '<' {
		end := closing(line[at+1:], '>')
		if end < 0 {
			return c, false
		}
		end += at + 1
		return envelopeCommand{line[:at+1], line[at+1 : end], line[end : end+1], line[end+1:]}, true
	}
	end := closing(line[at:], ' ')
	if end < 0 {
		end = len(line) - at
	}
	return envelopeCommand{line[:at], line[at : at+end], nil, line[at+end:]}, true
}

func verbOf(line []byte) []byte {
	line = bytes.TrimLeft(line, " \t")
	n := 0
	for n < len(line) && line[n]|0x20 >= 'a' && line[n]|0x20 <= 'z' {
		n++
	}
	return line[:n]
}

func envelopeVerb(verb []byte) bool {
	for _, v := range [...]string{"MAIL", "RCPT", "SEND", "SOML", "SAML"} {
		if equalFold(verb, v) {
			return true
		}
	}
	return false
}

func lookupVerb(verb []byte) bool { return equalFold(verb, "VRFY") || equalFold(verb, "EXPN") }

func equalFold(text []byte, word string) bool {
	if len(text) != len(word) {
		return false
	}
	for i := range text {
		c := text[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// closing is the offset of the first end octet outside quotes, or failing that of the first at all; -1 if there is none.
func closing(text []byte, end byte) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == end && !quoted:
			return i
		}
	}
	return bytes.IndexByte(text, end)
}

// splitPath takes a path apart: source route ("@a,@b:"), local part, and "@domain". What looks like none of them is all
// local part, so that nothing of it is shown.
func splitPath(path []byte) (route, local, domain []byte) {
	local = path
	if len(local) > 0 && local[0] == '@' {
		if end := bytes.IndexByte(local, ':'); end > 0 && isDomain(local[:end], "@,") {
			route, local = local[:end+1], local[end+1:]
		}
	}
	at := -1
	quoted := false
	for i := 0; i < len(local); i++ {
		switch c := local[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '@' && !quoted:
			at = i
		}
	}
	if at < 0 || quoted || !isDomain(local[at+1:], "[]:") {
		return route, local, nil
	}
	return route, local[:at], local[at:]
}

func isDomain(text []byte, also string) bool {
	for _, c := range text {
		if !domainOctet(c) && bytes.IndexByte([]byte(also), c) < 0 {
			return false
		}
	}
	return true
}

func domainOctet(c byte) bool {
	return wordOctet(c) || c == '-' || c == '.' || c == '_' || c >= 0x80
}

// localOctet tells what may stand in an unquoted local part. Controls may: they come in damaged addresses.
func localOctet(c byte) bool {
	switch c {
	case ' ', '\t', '<', '>', '(', ')', '[', ']', ',', ';', ':', '"', '@':
		return false
	}
	return true
}

// unquote appends a local part without its quotes and backslashes.
func unquote(dst, local []byte) []byte {
	for i := 0; i < len(local); i++ {
		switch c := local[i]; {
		case c == '"':
		case c == '\\' && i+1 < len(local):
			i++
			dst = append(dst, local[i])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendXtext appends what xtext (RFC 3461 §4) stands for.
func appendXtext(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c == '+' && i+2 < len(text) {
			hi, lo := hexValue(text[i+1]), hexValue(text[i+2])
			if hi >= 0 && lo >= 0 {
				dst = append(dst, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		dst = append(dst, text[i])
	}
	return dst
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
