package event

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable makes a stranger's text fit to be kept and shown: at most so many octets, nothing that is not printable (which also keeps out
// marks that reorder text on a terminal). The copy holds no larger text in memory.
func Printable(text string, most int) string {
	if len(text) > most {
		for most > 0 && !utf8.RuneStart(text[most]) {
			most--
		}
		text = text[:most]
	}
	return strings.Clone(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r): // no replacement character: it is longer than what it replaces
			return '?'
		}
		return r
	}, text))
}
