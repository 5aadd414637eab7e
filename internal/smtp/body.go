package smtp

import "bytes"

// A Verdict is what [Body.Scan] found.
type Verdict uint8

// The verdicts.
const (
	BodyGoesOn  Verdict = iota // no end yet
	BodyEnds                   // the true end of data follows the safe octets: exactly "." CRLF
	BodySmuggle                // a look-alike of the end of data follows the safe octets
)

// EndOfData is what stands at the safe octets' end when the verdict is BodyEnds. The CRLF before it is part of the message.
const EndOfData = ".\r\n"

// A Body finds the one true end of data, CRLF.CRLF (RFC 5321 §4.1.1.4), and every form that some MTA takes for it
// (CVE-2023-51764, -51765, -51766): a dot between two line breaks of any kind, where a break is CRLF, a bare LF, a bare CR, or
// a break with NUL beside it. The zero Body is at the start of a message, right after 354.
type Body struct {
	BareCR uint32 // CRs not followed by LF
	BareLF uint32 // LFs not preceded by CR

	state bodyState
}

type bodyState uint8

const (
	lineStart  bodyState = iota // after CRLF, or at the start
	inLine                      // somewhere in a line
	afterCR                     // after a CR that may be half of a CRLF
	looseStart                  // after a bare LF, or after a break and NUL: some MTAs see a line start here
)

// Scan looks at octets of the message: those of the last call that were not safe, and those behind them. It returns how
// many of them, counted from the start, are safe to forward; the rest (a dot, or a dot and a CR, when the body goes on) must
// be given again with more behind it.
func (b *Body) Scan(p []byte) (safe int, v Verdict) {
	for i := 0; i < len(p); i++ {
		if b.state == inLine {
			n := lineBreak(p[i:])
			if n < 0 {
				break
			}
			i += n
		}
		if p[i] == '.' && b.state != inLine {
			v, known := judgeDot(p[i+1:], b.state == lineStart)
			if !known || v != BodyGoesOn {
				return i, v
			}
		}
		b.step(p[i])
	}
	return len(p), BodyGoesOn
}

// Pass takes the dot that Scan stopped at with BodySmuggle as text, so that the search for the true end can go on behind it.
func (b *Body) Pass() { b.state = inLine }

// judgeDot says what a dot behind a line break is, by the octets behind it. known is false if more are needed.
func judgeDot(rest []byte, strict bool) (v Verdict, known bool) {
	switch {
	case len(rest) == 0:
		return BodyGoesOn, false
	case rest[0] == '\n', rest[0] == 0, rest[0] == '\r' && !strict:
		return BodySmuggle, true
	case rest[0] != '\r':
		return BodyGoesOn, true
	case len(rest) == 1:
		return BodyGoesOn, false
	case rest[1] == '\n':
		return BodyEnds, true
	default:
		return BodySmuggle, true
	}
}

func (b *Body) step(c byte) {
	switch {
	case b.state == afterCR && c == '\n':
		b.state = lineStart
		return
	case b.state == afterCR:
		b.BareCR++
	}
	switch {
	case c == '\r':
		b.state = afterCR
	case c == '\n':
		b.BareLF++
		b.state = looseStart
	case c == 0 && b.state != inLine:
		b.state = looseStart
	default:
		b.state = inLine
	}
}

// lineBreak finds the first CR or LF. Two vectorised searches beat one loop over the octets.
func lineBreak(p []byte) int {
	n := bytes.IndexByte(p, '\n')
	line := p
	if n >= 0 {
		line = p[:n]
	}
	if m := bytes.IndexByte(line, '\r'); m >= 0 {
		return m
	}
	return n
}
