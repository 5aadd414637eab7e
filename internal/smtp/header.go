package smtp

import (
	"bytes"
	"slices"
)

// A HeaderFilter looks for the fields of a name in the header of a message that passes through it, and can leave them
// out; or for what tells one message from others ([HeaderFilter.Identify]); or for both. A field is its name in any
// letter case, blanks perhaps, a colon, and the folded lines behind (RFC 5322 §2.2, §4.5).
//
// It is for octets that [Body.Scan] has found safe: dots are stuffed, only CRLF ends a line, and a line is taken as it is without
// its first dot (RFC 5321 §4.5.2), as the receiver will take it. The header ends at the first empty line and nowhere else: where it
// holds a line that is no field some MTAs read on, and nobody shall hide a field behind such a line.
//
// Whatever the pieces are that a message comes in, the same octets pass. Of a field that is left out, what can still become it is held
// back: at most [maxHeld] octets. A filter is for one message.
type HeaderFilter struct {
	names  [soughtCount]string
	sought sought // those that are looked for
	strip  bool
	read   int // octets, as long as it is identified

	state headerState
	at    int    // octets of a name that the line at hand has so far
	could sought // names that begin so
	is    sought // of them, those that end there; of a field at hand, what it is
	cr    bool   // the last octet of the line at hand was CR
	field bool   // the line at hand, or the one before where none has begun, belongs to a field
	told  bool   // the end of the header has been seen
	held  []byte

	value  fieldValue // of the field at hand
	fields []HeaderField

	messageID, received HeaderField
}

// sought is a set of names of fields: each has a bit.
type sought uint8

const (
	soughtFields    sought = 1 << iota // those that the filter is for
	soughtMessageID                    // the first one
	soughtReceived                     // likewise: that of the MTA that the message comes from
	soughtCount     = iota
	soughtIdentity  = soughtMessageID | soughtReceived
)

// A HeaderField is what a field says: unfolded, each run of blanks as one, and none around it.
type HeaderField struct {
	Text string
	Cut  bool // it said more than can be kept
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
	maxHeld   = 998 // a line that is the name and blanks, and nothing else by then, is taken for the field, and for one that is cut
	maxValue  = 998 // of one field, blanks that are left out not counted
	maxFields = 8   // of those beyond, the last one is kept
)

// maxIdentified is how much of a header is looked at for what identifies its message.
const maxIdentified = 16 << 10

// NewHeaderFilter returns a filter for the fields of a name. With strip their lines do not pass. Without a name there
// are none, and all passes.
func NewHeaderFilter(name string, strip bool) *HeaderFilter {
	h := &HeaderFilter{names: [soughtCount]string{name, "Message-ID", "Received"}, strip: strip}
	if name != "" {
		h.sought = soughtFields
	}
	return h
}

// Identify has the filter look for what tells the message from others, too, in the first 16 KiB.
func (h *HeaderFilter) Identify() { h.sought |= soughtIdentity }

// Identity returns the first Message-ID and the topmost Received field, as far as they have been found.
func (h *HeaderFilter) Identity() (messageID, received HeaderField) { return h.messageID, h.received }

// Asks reports whether there is a name to look for: else all passes as it comes, and need not be taken from the filter.
func (h *HeaderFilter) Asks() bool { return h.names[0] != "" }

// Take looks at octets of the message: n of them are done with, and pass goes out. Both can be 0; the rest is to be given
// again, until there is none. pass is a part of p, or octets that were held back, and is valid until the next Take.
// over is true once: at the end of the header, before any octet behind it passes.
func (h *HeaderFilter) Take(p []byte) (pass []byte, n int, over bool) {
	if h.sought&soughtIdentity == 0 {
		return h.look(p)
	}
	left := maxIdentified - h.read
	if pass, n, over = h.look(p[:min(len(p), left)]); n == left {
		h.sought &^= soughtIdentity
		if h.field && h.is&soughtFields == 0 {
			h.value.end()
			if h.field = false; h.state == inField { // else a line is to begin, or has begun, that is another one
				h.state = inOther
			}
		}
	}
	h.read += n
	return pass, n, over
}

func (h *HeaderFilter) look(p []byte) (pass []byte, n int, over bool) {
	begin := 0 // of the line at hand, while it is not decided what it is
	for n < len(p) && h.state != headerOver && h.seeks() {
		switch h.state {
		case inOther:
			n += h.restOfLine(p[n:])
		case inField:
			from := n
			n += h.restOfLine(p[n:])
			h.value.add(p[from:n])
			if h.strips() {
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
				h.keepField()
			}
			read := h.decide(p[n], len(h.held)+n-begin)
			if n += read; h.state == inField && h.strips() {
				h.held = h.held[:0]
				return p[:begin], n, false
			}
			if h.decided() && len(h.held) > 0 {
				return h.release(p[:n]), n, false
			}
		}
	}
	return h.rest(p, n, begin)
}

// seeks reports whether there is still something to be found.
func (h *HeaderFilter) seeks() bool { return h.sought != 0 || h.field }

// strips reports whether the field at hand is left out.
func (h *HeaderFilter) strips() bool { return h.strip && h.is&soughtFields != 0 }

// rest is Take for what has been looked at: a piece to its end, or to the end of the header.
func (h *HeaderFilter) rest(p []byte, n, begin int) (pass []byte, done int, over bool) {
	switch {
	case h.state == headerOver && !h.told:
		h.told = true
		return p[:n], n, true // an empty line was never held back
	case h.decided():
		return p, len(p), false
	default:
		h.held = append(h.held, p[begin:]...)
		return p[:begin], len(p), false
	}
}

// End is the end of the message: it may have had nothing behind the header. over is as with Take; pass is what is still held
// back, and belongs to the header.
func (h *HeaderFilter) End() (pass []byte, over bool) {
	if h.field {
		h.keepField()
	}
	over, h.told, h.state = !h.told, true, headerOver
	return h.release(nil), over
}

// Done reports whether whatever follows passes as it is, and need not be given to Take.
func (h *HeaderFilter) Done() bool { return h.told && len(h.held) == 0 || !h.seeks() }

// Fields returns the fields found, in their order. Of more than can be kept, one in the middle stands for all that are not, and is cut.
func (h *HeaderFilter) Fields() []HeaderField { return h.fields }

// fieldEnds reports whether an octet at the start of a line shows that the field in the lines before is complete.
func (h *HeaderFilter) fieldEnds(c byte) bool {
	return h.field && !isBlank(c) && (h.state == behindDot || h.state == atLineStart && c != '.')
}

// keepField ends the field at hand.
func (h *HeaderFilter) keepField() {
	h.field = false
	f := h.value.end()
	if h.is&soughtMessageID&h.sought != 0 {
		h.messageID = f
	}
	if h.is&soughtReceived&h.sought != 0 {
		h.received = f
	}
	h.sought &^= h.is & soughtIdentity // the first one is all that is wanted
	if h.is&soughtFields == 0 {
		return
	}
	if len(h.fields) == maxFields {
		h.fields = slices.Delete(h.fields, maxFields-2, maxFields-1)
		h.fields[maxFields-2].Cut = true
	}
	h.fields = append(h.fields, f)
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
	case length >= maxHeld && h.state == behindName:
		h.state, h.field, h.value.cut = inField, true, true
		return 0
	case length >= maxHeld:
		h.state = inOther
		return 0
	case atStart && h.begins(c), h.state == inName && h.goesOn(c):
	case h.state == behindName && isBlank(c):
		h.could = h.is
	case h.state == behindName && h.could != h.is && h.goesOn(c): // it is a longer name
	case h.state == behindName && c == ':':
		h.state, h.field = inField, true
	default:
		h.state = inOther
		return 0
	}
	return 1
}

// begins reports whether a line that begins with c may be a field that is looked for.
func (h *HeaderFilter) begins(c byte) bool {
	h.at, h.could = 0, h.sought
	return h.goesOn(c)
}

// goesOn reports whether the line at hand, all of it a name so far, may be a field that is looked for, with c next.
func (h *HeaderFilter) goesOn(c byte) bool {
	var still, whole sought
	for i, name := range h.names {
		if bit := sought(1) << i; h.could&bit != 0 && h.at < len(name) && sameLetter(c, name[h.at]) {
			still |= bit
			if h.at+1 == len(name) {
				whole |= bit
			}
		}
	}
	if still == 0 {
		return false
	}
	h.at++
	if h.could, h.is, h.state = still, whole, inName; whole != 0 {
		h.state = behindName
	}
	return true
}

// decided reports whether it is known what the line at hand is, or none has begun.
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

// A fieldValue gathers what a field says.
type fieldValue struct {
	text  []byte
	blank bool // one is to come before the next octet
	cr    bool // the last octet was CR: part of a line's end, or of the text
	cut   bool
}

func (v *fieldValue) add(p []byte) {
	for _, c := range p {
		if v.cr {
			if v.cr = false; c == '\n' {
				continue // blanks follow, or the field has ended
			}
			v.octet('\r')
		}
		switch {
		case c == '\r':
			v.cr = true
		case isBlank(c):
			v.blank = len(v.text) > 0
		default:
			v.octet(c)
		}
	}
}

func (v *fieldValue) octet(c byte) {
	if v.blank && len(v.text) < maxValue {
		v.text = append(v.text, ' ')
	}
	v.blank = false
	if v.cut = v.cut || len(v.text) >= maxValue; !v.cut {
		v.text = append(v.text, c)
	}
}

// end returns what was gathered, and forgets it.
func (v *fieldValue) end() HeaderField {
	f := HeaderField{string(v.text), v.cut}
	*v = fieldValue{text: v.text[:0]}
	return f
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// sameLetter compares as ASCII does without its cases: a field's name has no other letters.
func sameLetter(a, b byte) bool { return a == b || a|0x20 == b|0x20 && 'a' <= a|0x20 && a|0x20 <= 'z' }
