package dns

import (
	"errors"
	"strings"

	miekg "github.com/miekg/dns"
)

// ErrName is seen for a name that is none: longer than 253 octets, or with others than a host name or a name of a service has.
var ErrName = errors.New("not a name of the DNS")

// Octets of a name and of its labels (RFC 1035 section 2.3.4), without the root's dot.
const (
	mostName  = 253
	mostLabel = 63
)

// canonical returns a name in lower case without its trailing dot. It does not allocate for a name that is so already.
func canonical(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > mostName {
		return "", false
	}
	lower, label := true, 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = 0
			continue
		case !plain(c):
			return "", false
		case 'A' <= c && c <= 'Z':
			lower = false
		}
		if label++; label > mostLabel {
			return "", false
		}
	}
	if !lower {
		name = strings.ToLower(name) // of ASCII alone
	}
	return name, label > 0
}

// plain reports whether an octet stands in a name for itself, also where zone files and the library write names.
func plain(c byte) bool {
	switch c {
	case '\\', '"', '(', ')', ';', '@', '\'':
		return false
	}
	return '!' <= c && c <= '~'
}

// told brings a name that an answer has, as the library writes it, into the form of [canonical]. The root is "".
func told(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Reverse returns the name that the PTR records of an address have.
func Reverse(address string) (string, error) {
	name, err := miekg.ReverseAddr(address)
	return strings.TrimSuffix(name, "."), err
}
