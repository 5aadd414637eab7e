package classify

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
)

// minBase64 is how long a line must be to be taken for base64, which any word could be.
const minBase64 = 24

// Decoded returns a message as its reader and a content filter see it, behind the message as it is: lines of base64 and
// of quoted-printable, encoded words of the header (RFC 2047) and parameters (RFC 2231). It looks at no structure: what
// is decoded for nothing says nothing.
func Decoded(message []byte) []byte {
	out := append(bytes.Clone(message), '\n')
	var run []byte
	flush := func() {
		if text, err := base64.RawStdEncoding.DecodeString(string(bytes.TrimRight(run, "="))); len(run) > 0 && err == nil {
			out = append(append(out, text...), '\n')
		}
		run = run[:0]
	}
	for line := range bytes.Lines(message) {
		line = bytes.TrimRight(line, "\r\n")
		if isBase64(line) && (len(line) >= minBase64 || len(run) > 0) {
			run = append(run, line...)
			continue
		}
		flush()
		if bytes.Contains(line, []byte("=?")) {
			out = append(append(out, decodeWords(string(line))...), '\n')
		}
		if bytes.Contains(line, []byte("*=")) || bytes.Contains(line, []byte("*0")) {
			if text, err := url.PathUnescape(string(line)); err == nil {
				out = append(append(out, text...), '\n')
			}
		}
	}
	flush()
	if bytes.IndexByte(message, '=') >= 0 {
		out = appendUnquoted(out, message)
	}
	return out
}

// appendUnquoted reads quoted-printable. What is none of it stays: a header stands in front of a body that is.
func appendUnquoted(dst, text []byte) []byte {
	for len(text) > 0 {
		var octet [1]byte
		switch {
		case text[0] != '=':
			dst, text = append(dst, text[0]), text[1:]
		case bytes.HasPrefix(text, []byte("=\r\n")):
			text = text[3:]
		case len(text) > 2 && decodesHex(octet[:], text[1:3]):
			dst, text = append(dst, octet[0]), text[3:]
		default:
			dst, text = append(dst, '='), text[1:]
		}
	}
	return dst
}

func decodesHex(dst, digits []byte) bool {
	_, err := hex.Decode(dst, digits)
	return err == nil
}

func isBase64(line []byte) bool {
	if len(line) == 0 {
		return false
	}
	for _, c := range line {
		if (!alnum(c) || c >= 0x80) && c != '+' && c != '/' && c != '=' {
			return false
		}
	}
	return true
}
