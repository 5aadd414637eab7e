package smtp

import (
	"bytes"
	"strings"
)

// A HeaderFilter looks for the fields of one name in the header of a message that passes through it, and can leave them out.
// A field is its name in any letter case, blanks perhaps, a colon, and the folded lines behind (RFC 5322 §2.2, §4.5).
//
// It is for octets that [Body.Scan] has found safe: dots are stuffed, only CRLF ends a line, and a line is taken as it is without
// its first dot (RFC 5321 §4.5.2), as the receiver will take it. The header ends at the first empty line and nowhere else: where it
// holds a line that is no field some MTAs read on, and nobody shall hide a field behind such a line.
//
// Whatever the pieces are that a message comes in, the same octets pass. What can still become the field is held back: at most
// [maxHeld] octets. A filter is for one message.
type HeaderFilter struct {
	name  string
	strip bool

	state headerState
	at    int  // octets of the name that the line at hand has so far
	cr    bool // the last octet of the line at hand was CR
	field bool // the line at hand, or the one before where none has begun, belongs to the field
	found bool // the end of the first field has been seen
	held  []byte
	value []byte // of the first field, with its line ends
}

type headerState uint8

const (
	atLineStart headerState = iota
	behindDot               // after a dot at the start of a line
	inName                  // all octets of the line so far are the name's
	behindName              // after the whole name and perhaps blanks
	inField                 // in a line of the field
	inOther                 // in any other line
	inEmpty                 // after CR at the start of a line
	headerOver              // nothing more to look for
)

// Bounds of what a filter keeps, in octets: a line has at most 998 (RFC 5322 §2.1.1).
const (
	maxHeld  = 998 // a line that has no colon by then is not the field
	maxValue = 998 // the value is what begins in these
)

// NewHeaderFilter gives a filter for the fields of a name, which is not empty. With strip their lines do not pass.
func NewHeaderFilter(name string, strip bool) *HeaderFilter {
	return &HeaderFilter{name: name, strip: strip}
}

// Take looks at octets of the message: n of them are done with, and pass goes out. Both can be 0; the rest is to be given
// again, until there is none. pass is a part of p, or octets that were held back, and is valid until the next Take.
// found is true once: at the end of the first field, before any octet behind it passes.
func (h *HeaderFilter) Take(p []byte) (pass []byte, n int, found bool) {
	begin := 0 // of the line at hand, while it is not decided what it is
	for n < len(p) && h.state != headerOver {
		switch h.state {
		case inOther:
			n += h.restOfLine(p[n:])
		case inField:
			from := n
			n += h.restOfLine(p[n:])
			h.gather(p[from:n])
			if h.strip {
				return nil, n, false // a stripped line begins a Take: what is before it has passed
			}
		case inEmpty:
			if h.state = inOther; p[n] == '\n' {
				h.state = headerOver
				n++
			}
		default:
			if h.state == atLineStart {
				begin = n
			}
			if h.fieldEnds(p[n]) {
				if len(h.held) == 0 && h.state == behindDot {
					h.state = atLineStart // the dot is given again
				}
				return p[:begin], begin, h.finds()
			}
			read := h.decide(p[n], len(h.held)+n-begin)
			if n += read; h.state == inField && h.strip {
				h.held = h.held[:0]
				return p[:begin], n, false
			}
			if h.decided() && len(h.held) > 0 {
				return h.release(p[:n]), n, false
			}
		}
	}
	return h.rest(p, begin)
}

// rest is Take for a piece that has been looked at to its end, or to the end of what is to be looked at.
func (h *HeaderFilter) rest(p []byte, begin int) (pass []byte, n int, found bool) {
	switch {
	case h.state == headerOver && len(h.held) > 0:
		return h.release(nil), 0, false
	case h.decided():
		return p, len(p), false
	default:
		h.held = append(h.held, p[begin:]...)
		return p[:begin], len(p), false
	}
}

// End is the end of the message: it may have had nothing behind the header. found is as with Take; pass is what is still held
// back, and behind the field.
func (h *HeaderFilter) End() (pass []byte, found bool) {
	found = h.field && h.finds()
	h.state = headerOver
	return h.release(nil), found
}

// Done says whether whatever follows passes as it is, and need not be given to Take.
func (h *HeaderFilter) Done() bool { return h.state == headerOver && len(h.held) == 0 }

// Value is that of the field found: unfolded, without the blanks around it, and without angle brackets if it stands in them. Of a
// longer one than 998 octets the rest is missing.
func (h *HeaderFilter) Value() string {
	v := strings.Trim(strings.ReplaceAll(string(h.value), "\r\n", ""), " \t\r\n")
	if inside, ok := strings.CutPrefix(v, "<"); ok && strings.HasSuffix(inside, ">") {
		return inside[:len(inside)-1]
	}
	return v
}

// fieldEnds says whether an octet at the start of a line shows that the field in the lines before is complete.
func (h *HeaderFilter) fieldEnds(c byte) bool {
	return h.field && !isBlank(c) && (h.state == behindDot || h.state == atLineStart && c != '.')
}

// finds notes the end of a field and says whether it is the first.
func (h *HeaderFilter) finds() bool {
	first := !h.found
	h.field, h.found = false, true
	if !h.strip {
		h.state = headerOver
	}
	return first
}

// decide looks at the next octet of a line, of which there are length, that can still become anything. It says how many octets
// it has read: an octet that decides against the field is left to whoever reads the line's rest.
func (h *HeaderFilter) decide(c byte, length int) (read int) {
	atStart := h.state == atLineStart || h.state == behindDot
	switch {
	case h.state == atLineStart && c == '.':
		h.state = behindDot
	case h.state == atLineStart && c == '\r':
		h.state = inEmpty
	case atStart && h.field: // and a blank: else the field would have ended
		h.state = inField
		return 0
	case length >= maxHeld:
		h.state = inOther
		return 0
	case atStart && sameLetter(c, h.name[0]):
		h.begin(1)
	case h.state == inName && sameLetter(c, h.name[h.at]):
		h.begin(h.at + 1)
	case h.state == behindName && isBlank(c):
	case h.state == behindName && c == ':':
		h.state, h.field = inField, true
	default:
		h.state = inOther
		return 0
	}
	return 1
}

// begin notes how much of the name the line has.
func (h *HeaderFilter) begin(at int) {
	if h.state, h.at = inName, at; at == len(h.name) {
		h.state = behindName
	}
}

// decided says whether it is known what the line at hand is, or none has begun.
func (h *HeaderFilter) decided() bool {
	return h.state != behindDot && h.state != inName && h.state != behindName
}

// release gives what is held back, with what follows it.
func (h *HeaderFilter) release(p []byte) []byte {
	pass := append(h.held, p...)
	h.held = pass[:0]
	return pass
}

// restOfLine says how many octets belong to the line at hand.
func (h *HeaderFilter) restOfLine(p []byte) (n int) {
	for n < len(p) {
		i := bytes.IndexByte(p[n:], '\n')
		if i < 0 {
			break
		}
		n += i + 1
		if n > 1 && p[n-2] == '\r' || n == 1 && h.cr {
			h.state, h.cr = atLineStart, false
			return n
		}
	}
	h.cr = p[len(p)-1] == '\r'
	return len(p)
}

// gather adds to the value of the first field.
func (h *HeaderFilter) gather(p []byte) {
	if !h.found {
		h.value = append(h.value, p[:min(len(p), maxValue-len(h.value))]...)
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// sameLetter compares as ASCII does without its cases: a field's name has no other letters.
func sameLetter(a, b byte) bool { return a == b || a|0x20 == b|0x20 && 'a' <= a|0x20 && a|0x20 <= 'z' }
