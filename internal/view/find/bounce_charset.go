package find

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
)

// readable makes UTF-8 of a text. What it is written in is seen by its octets: where the field that says so was pasted, too, it is often of a
// part around, or untrue.
func readable(text string) string {
	switch {
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"):
		return decodedAs(text, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM))
	case strings.Contains(text, "\x1b$B"), strings.Contains(text, "\x1b$@"):
		return decodedAs(text, japanese.ISO2022JP)
	case utf8.ValidString(text):
		return strings.TrimPrefix(text, "\ufeff")
	}
	for _, e := range []encoding.Encoding{japanese.EUCJP, japanese.ShiftJIS} { // hardly a text in the latter can be read as the former
		if got := decodedAs(text, e); !strings.ContainsRune(got, utf8.RuneError) {
			return got
		}
	}
	return text
}

func decodedAs(text string, e encoding.Encoding) string {
	got, err := e.NewDecoder().Bytes([]byte(text))
	if err != nil {
		return text
	}
	return string(bytes.TrimPrefix(got, []byte("\ufeff")))
}
