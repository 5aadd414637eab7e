package journal

import (
	"bytes"
	"net/url"
)

// An address inside a URL, a quoted-printable text or a parameter has its "@" written in other octets. What stands before it names
// somebody all the same.

// encodedAts are the spellings of "@": of URLs (RFC 3986 §2.1), once and twice, of quoted-printable (RFC 2045 §6.7), of xtext (RFC 3461
// §4) and of HTML.
var encodedAts = [][]byte{[]byte("%40"), []byte("%2540"), []byte("=40"), []byte("+40"), []byte("&#64;"), []byte("&#x40;"), []byte("&commat;")}

// encodedAddress finds the first address of that kind in a run of octets: where its local part begins, and where its "@" ends.
func encodedAddress(run []byte) (local, past int, ok bool) {
	for i := 1; i < len(run); i++ {
		if c := run[i]; c != '%' && c != '=' && c != '+' && c != '&' { // as most are
			continue
		}
		n := lengthOfAt(run[i:])
		if n == 0 || !beginsHost(run[i+n:]) {
			continue
		}
		local = bytes.LastIndexAny(run[:i], "/?=&") + 1
		if local < i {
			return local, i + n, true
		}
	}
	return 0, 0, false
}

// encodedAt returns where the "@" of an address begins that encodedAddress has found at the beginning of text.
func encodedAt(text []byte) int {
	for i := 1; i < len(text); i++ {
		if n := lengthOfAt(text[i:]); n > 0 && beginsHost(text[i+n:]) {
			return i
		}
	}
	return len(text)
}

func lengthOfAt(text []byte) int {
	switch text[0] {
	case '%', '=', '+', '&':
	default:
		return 0
	}
	for _, at := range encodedAts {
		if len(text) >= len(at) && bytes.EqualFold(text[:len(at)], at) {
			return len(at)
		}
	}
	return 0
}

// endsInEntity reports whether a ";" behind the text makes an "@" of HTML whole.
func endsInEntity(text []byte) bool {
	for _, at := range encodedAts {
		if entity := at[:len(at)-1]; at[0] == '&' && len(text) > len(entity) && bytes.EqualFold(text[len(text)-len(entity):], entity) {
			return true
		}
	}
	return false
}

// beginsHost reports whether text begins with a name that has a dot in it.
func beginsHost(text []byte) bool {
	end := 0
	for end < len(text) && domainOctet(text[end]) {
		end++
	}
	dot := bytes.IndexByte(text[:end], '.')
	return dot > 0 && dot < end-1
}

// decodedLocal undoes the escapes of a URL, so that somebody's hash is the same in every spelling.
func decodedLocal(local []byte) []byte {
	if plain, err := url.PathUnescape(string(local)); err == nil {
		return []byte(plain)
	}
	return local
}
