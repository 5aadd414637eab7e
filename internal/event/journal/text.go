package journal

import (
	"bytes"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// maxText bounds a text in the sinks, in octets before escaping.
const maxText = 2048

// bound cuts a text to maxText octets, not inside a character, and gives the number of octets cut.
func bound(text []byte) (kept []byte, cut int) {
	if len(text) <= maxText {
		return text, 0
	}
	n := maxText
	for back := 0; back < utf8.UTFMax-1 && !utf8.RuneStart(text[n]); back++ {
		n--
	}
	return text[:n], len(text) - n
}

// appendCut marks a cut. Texts cannot forge it: their own backslashes are doubled.
func appendCut(dst []byte, cut int) []byte {
	dst = append(dst, `\[`...)
	dst = strconv.AppendInt(dst, int64(cut), 10)
	return append(dst, ` octets cut]`...)
}

// appendSafe appends text so that it can be shown on a terminal and stays on its line: printable UTF-8 as it is,
// backslashes doubled, everything else as \xHH (octets up to 0xff that are controls or no UTF-8) or \u{H…}.
func appendSafe(dst, text []byte) []byte {
	for len(text) > 0 {
		n := shownLength(text)
		dst = append(dst, text[:n]...)
		if text = text[n:]; len(text) == 0 {
			break
		}
		r, size := utf8.DecodeRune(text)
		switch {
		case r == '\\':
			dst = append(dst, `\\`...)
		case r == utf8.RuneError && size == 1:
			dst = appendHex(dst, text[0])
		case r < ' ' || r == 0x7f:
			dst = appendHex(dst, byte(r))
		case shown(r):
			dst = append(dst, text[:size]...)
		default:
			dst = append(dst, `\u{`...)
			dst = strconv.AppendUint(dst, uint64(r), 16)
			dst = append(dst, '}')
		}
		text = text[size:]
	}
	return dst
}

// plainLength is how many octets at the beginning of text are printable ASCII without the backslash.
func plainLength(text []byte) int {
	for i, c := range text {
		if c < ' ' || c >= 0x7f || c == '\\' {
			return i
		}
	}
	return len(text)
}

// shownLength is how many octets at the beginning of text stand as they are: printable ASCII without the backslash, and the signs that East
// Asian texts consist of.
func shownLength(text []byte) int {
	for n := 0; ; {
		n += plainLength(text[n:])
		r, size := utf8.DecodeRune(text[n:])
		if !eastAsian(r) {
			return n
		}
		n += size
	}
}

// eastAsian knows ideographs, kana and Korean syllables, all of which are shown. A reply may consist of nothing else.
func eastAsian(r rune) bool {
	return 0x4e00 <= r && r <= 0x9fff || 0x3041 <= r && r <= 0x3096 || 0x30a1 <= r && r <= 0x30fa || 0xac00 <= r && r <= 0xd7a3
}

// shown reports whether a character has a shape or a width of its own. That leaves out controls, direction marks and
// zero-width characters (Unicode's Cf, and what Default_Ignorable_Code_Point adds), line separators, private use.
func shown(r rune) bool {
	switch {
	case !unicode.IsGraphic(r),
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r),
		unicode.Is(unicode.Variation_Selector, r):
		return false
	}
	return true
}

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, c byte) []byte {
	return append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
}

// appendJSON appends text as a JSON string (RFC 8259 §7). Its value is what appendSafe makes of each line, lines parted by
// newlines. So many octets behind the text have been left out already.
func (f *formatter) appendJSON(dst, text []byte, left int) []byte {
	kept, cut := bound(text)
	cut += left
	dst = append(dst, '"')
	for {
		line, rest, more := bytes.Cut(kept, newline)
		dst = f.appendEscaped(dst, line)
		if !more {
			break
		}
		dst = append(dst, `\n`...)
		kept = rest
	}
	if cut > 0 {
		dst = append(dst, '\\')
		dst = appendCut(dst, cut)
	}
	return append(dst, '"')
}

// appendEscaped appends the inside of a JSON string. What appendSafe gives needs only two characters escaped.
func (f *formatter) appendEscaped(dst, line []byte) []byte {
	if plainLength(line) != len(line) {
		f.safe = appendSafe(f.safe[:0], line)
		line = f.safe
	}
	from := 0
	for i, c := range line {
		if c == '"' || c == '\\' {
			dst = append(dst, line[from:i]...)
			dst = append(dst, '\\')
			from = i
		}
	}
	return append(dst, line[from:]...)
}

var newline = []byte{'\n'}
