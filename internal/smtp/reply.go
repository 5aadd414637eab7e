package smtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Bounds of a reply.
const (
	maxReplyLine  = 2000     // octets of one line kept; the rest of the line is cut. Postfix reads 2,048
	maxReplyLines = 128      // lines kept; further ones are read and dropped
	maxReplySize  = 64 << 10 // octets kept of one reply
	maxReplyRead  = 1 << 20  // octets of one reply read before the MX is given up
)

// Errors of [Reader.Reply]. After one of them the MX's stream cannot be trusted any more: close it.
var (
	// ErrBadReply is returned for a line that is no reply line.
	ErrBadReply = errors.New("smtp: malformed reply")
	// errNoReplyLine is that of a line that bears no code.
	errNoReplyLine = fmt.Errorf("%w: no reply line", ErrBadReply)
	// ErrReplyTooLong is returned for a reply that does not end within a megabyte.
	ErrReplyTooLong = errors.New("smtp: reply too long")
)

// A Reply is a code and one line of text or several. A zero Reply is ready to be read into; reading again reuses its memory.
type Reply struct {
	Code int // 200 to 599; of the last line, where the lines carry different ones

	text    []byte  // lines separated by '\n', without codes, as they came
	lent    *[]byte // what text is in; nil: that is the reply's own
	lines   int32
	read    int32
	begun   bool
	last    bool  // the final line has been seen
	classes uint8 // of all lines so far: bit 2 for 2xx, bit 5 for 5xx
	pieces  uint8 // that it came in so far
	other   int16 // a code that a line before the last one carries, and the last one does not; 0: none
	loose   bool  // Tolerate was called
	junk    bool  // a line was dropped
}

// NewReply makes a reply of kanmon's own, of one line: code, enhanced code (RFC 3463; "" for none), text.
func NewReply(code int, enhanced, text string) Reply {
	if enhanced != "" {
		text = enhanced + " " + text
	}
	return Reply{Code: code, text: []byte(text), lines: 1, begun: true, last: true}
}

// Soften makes a permanent refusal (5xx) a temporary one, of the code given: code and enhanced codes of all lines change together. Other
// replies stay as they are.
func (p *Reply) Soften(to int) {
	if p.Class() != 5 {
		return
	}
	p.Code = to
	for line := range bytes.SplitSeq(p.text, []byte("\n")) { // they share the text's memory
		if enhancedLen(line) > 0 && line[0] == '5' {
			line[0] = '4'
		}
	}
}

// Clone returns a copy that shares no memory.
func (p *Reply) Clone() Reply {
	c := *p
	c.text, c.lent = bytes.Clone(p.text), nil
	return c
}

// Class is the first digit of the code.
func (p *Reply) Class() int { return p.Code / 100 }

// Positive reports whether the reply is a 2xx.
func (p *Reply) Positive() bool { return p.Class() == 2 }

// Mixed returns a code that differs from [Reply.Code] and stands on a line before the last one; 0 if all lines carry the same. RFC 5321
// §4.2.1 demands one code. Who breaks that is taken at the last line's word, as Postfix' client does: postscreen greets with 220
// and a hyphen, and when it has found the client on a list, the same reply ends in 521.
func (p *Reply) Mixed() int { return int(p.other) }

// Contradicts reports whether some lines are 2xx and others are not: then nobody knows what the server has done.
func (p *Reply) Contradicts() bool {
	const positive = 1 << 2
	return p.classes&positive != 0 && p.classes != positive
}

// Text returns all lines, separated by '\n', without their codes: as they came, not sanitised.
func (p *Reply) Text() []byte { return p.text }

// Enhanced returns the enhanced status code at the start of the text, or with lines of different codes of the last one; "" if there is
// none or if its class is not the code's: then the code is what counts (RFC 2034 §4).
func (p *Reply) Enhanced() string {
	text := p.text
	if p.other != 0 {
		text = text[bytes.LastIndexByte(text, '\n')+1:]
	}
	n := enhancedLen(text)
	if n == 0 || int(text[0]-'0') != p.Class() {
		return ""
	}
	return string(text[:n])
}

// Reset makes the reply empty, keeping its memory unless that has grown large.
func (p *Reply) Reset() {
	p.giveBack()
	text := p.text[:0]
	if cap(text) > ownText {
		text = nil
	}
	*p = Reply{text: text}
}

// Tolerate lets lines that are no reply lines, empty ones among them, be dropped where they stand inside a reply: behind a line that
// says that more follow. Call it, behind Reset, only where no other reply is to come: else a line dropped could be what parts two of them.
func (p *Reply) Tolerate() { p.loose = true }

// Junk reports whether such lines were dropped.
func (p *Reply) Junk() bool { return p.junk }

// Begun reports whether some of the reply has been read.
func (p *Reply) Begun() bool { return p.begun }

// Pieces is how many times octets of the reply were found in what had been read: once for a reply that was there as a
// whole. It counts as far as 255.
func (p *Reply) Pieces() uint8 { return p.pieces }

// Reply reads, from what is buffered, into a reply that is zero or [Reply.Reset]. ok is false if it is not whole yet:
// Fill, then call again with the same reply.
func (r *Reader) Reply(into *Reply) (ok bool, err error) {
	if !r.Empty() && into.pieces < math.MaxUint8 {
		into.pieces++
	}
	for {
		b := r.Buffered()
		if len(b) == 0 {
			return false, nil
		}
		into.begun = true
		end := bytes.IndexByte(b, '\n') // LF alone is taken from an MX: it cannot hide a command
		if end < 0 && !r.skipping && len(b) <= maxReplyLine {
			return false, nil
		}
		used := end + 1
		if end < 0 {
			used = len(b)
		}
		if into.read += int32(used); into.read > maxReplyRead {
			return false, ErrReplyTooLong
		}
		if !r.skipping {
			line := bytes.TrimSuffix(b[:max(end, 0)], []byte("\r"))
			if end < 0 {
				line = b
			}
			if err := into.addLine(line); err != nil && !into.drops(err) {
				return false, err
			}
		}
		r.Discard(used)
		r.skipping = end < 0
		if into.last && !r.skipping {
			return true, nil
		}
	}
}

// drops reports whether a line that gave an error is left out of the reply.
func (p *Reply) drops(err error) bool {
	if !p.loose || p.lines == 0 || !errors.Is(err, errNoReplyLine) {
		return false
	}
	p.junk, p.last = true, false
	return true
}

// addLine takes a line without its line end. RFC 5321 §4.2: code, then "-" if more follow, else SP, else nothing.
func (p *Reply) addLine(line []byte) error {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !digit(line[1]) || !digit(line[2]) {
		return errNoReplyLine
	}
	code := int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	last := true
	if len(line) > 3 {
		switch line[3] {
		case ' ':
		case '-':
			last = false
		default:
			return errNoReplyLine
		}
	}
	if p.junk && code != p.Code { // what was dropped may be what parts two replies
		return ErrBadReply
	}
	p.addCode(code)
	p.last = last
	p.lines++
	if p.lines > maxReplyLines || len(p.text) >= maxReplySize {
		return nil
	}
	line = line[min(4, len(line)):min(len(line), maxReplyLine)]
	p.room(1 + len(line))
	if p.lines > 1 {
		p.text = append(p.text, '\n')
	}
	p.text = append(p.text, line...)
	return nil
}

// addCode takes the code of a line: it is the reply's, until another line follows.
func (p *Reply) addCode(code int) {
	if p.lines > 0 && code != p.Code {
		p.other = int16(p.Code)
	}
	p.Code = code
	p.classes |= 1 << (code / 100)
}

// MostWire is how many octets AppendWire appends at most.
func (p *Reply) MostWire() int {
	return len(p.text) + min(max(int(p.lines), 1), maxReplyLines)*len("250-\r\n")
}

// AppendWire appends the reply as it goes to the MSA: re-serialised, one CRLF a line, and sanitised. Control characters
// become '?', and so does everything above ASCII unless the transaction uses SMTPUTF8 (RFC 6531 §3.5).
func (p *Reply) AppendWire(dst []byte, utf8Asked bool) []byte {
	for rest, more := p.text, true; more; {
		var line []byte
		line, rest, more = bytes.Cut(rest, []byte("\n"))
		dst = appendReplyLine(dst, p.Code, !more, line, utf8Asked)
	}
	return dst
}

// AppendRaw appends the reply with its code on each line, lines separated by '\n', as it came: for records.
func (p *Reply) AppendRaw(dst []byte) []byte {
	for rest, more := p.text, true; more; {
		var line []byte
		line, rest, more = bytes.Cut(rest, []byte("\n"))
		dst = appendCode(dst, p.Code, !more)
		dst = append(dst, line...)
		if more {
			dst = append(dst, '\n')
		}
	}
	return dst
}

// AppendRawPart is AppendRaw as far as most octets; left is how many it would be more.
func (p *Reply) AppendRawPart(dst []byte, most int) (_ []byte, left int) {
	begin := len(dst)
	for rest, more := p.text, true; more; {
		var line []byte
		line, rest, more = bytes.Cut(rest, []byte("\n"))
		if len(dst)-begin <= most { // else it is only counted
			dst = appendCode(dst, p.Code, !more)
			n := min(len(line), most)
			dst = append(dst, line[:n]...)
			left += len(line) - n
		} else {
			left += len("250 ") + len(line)
		}
		if more {
			dst = append(dst, '\n')
		}
	}
	if over := len(dst) - begin - most; over > 0 {
		dst, left = dst[:begin+most], left+over
	}
	return dst, left
}

func appendReplyLine(dst []byte, code int, last bool, text []byte, utf8Asked bool) []byte {
	dst = appendCode(dst, code, last)
	dst = AppendSanitised(dst, text, utf8Asked)
	return append(dst, '\r', '\n')
}

func appendCode(dst []byte, code int, last bool) []byte {
	dst = strconv.AppendInt(dst, int64(code), 10)
	if last {
		return append(dst, ' ')
	}
	return append(dst, '-')
}

// AppendSanitised appends text as it may stand in a reply: control characters become ?, and so does everything above
// ASCII unless UTF-8 was asked for and is valid.
func AppendSanitised(dst, text []byte, utf8Asked bool) []byte {
	if isPlain(text) {
		return append(dst, text...)
	}
	keepUTF8 := utf8Asked && utf8.Valid(text)
	for _, c := range text {
		if c == '\t' {
			c = ' '
		}
		if c < ' ' || c == 0x7f || c >= 0x80 && !keepUTF8 {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

// isPlain reports whether all of a text is ASCII that can be seen, and blanks. It looks at eight octets at once.
func isPlain(text []byte) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	odd := uint64(0)
	for ; len(text) >= 8; text = text[8:] {
		x := binary.LittleEndian.Uint64(text)
		del := x ^ each*0x7f
		odd |= x | (x-each*' ')&^x | (del-each)&^del // the high bit of an octet that is not: 0x80 and above, below a blank, 0x7f
	}
	for _, c := range text {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return odd&high == 0
}

// enhancedLen is the length of an RFC 3463 status code that starts text and is followed by a blank or the line's end, else 0.
func enhancedLen(text []byte) int {
	if len(text) < 5 || (text[0] != '2' && text[0] != '4' && text[0] != '5') || text[1] != '.' {
		return 0
	}
	i := 2
	for part := range 2 {
		start := i
		for i < len(text) && digit(text[i]) && i-start < 3 {
			i++
		}
		if i == start {
			return 0
		}
		if part == 0 {
			if i >= len(text) || text[i] != '.' {
				return 0
			}
			i++
		}
	}
	if i < len(text) && text[i] != ' ' && text[i] != '\n' {
		return 0
	}
	return i
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
