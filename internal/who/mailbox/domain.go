package mailbox

import (
	"bytes"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// profile reads a domain as a resolver does (UTS #46, non-transitional): every kind of dot, capitals and widths are mapped. What ASCII
// may stand in a label is decided here, not there: some have an underscore.
var profile = idna.New(
	idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.CheckHyphens(false), idna.BidiRule(),
)

// Domain returns the normal form of a domain or an address literal. ok is false for what is neither.
func Domain(name string) (form string, ok bool) {
	if areLabels([]byte(name)) && strings.IndexFunc(name, notDomainRune) < 0 {
		return name, true
	}
	return domainForm([]byte(name))
}

// Pattern returns the normal form of a domain with perhaps "*." in front, which stands for all below it.
func Pattern(text string) (form string, ok bool) {
	if below, cut := strings.CutPrefix(text, "*."); cut {
		form, ok = Domain(below)
		return "*." + form, ok && !strings.HasPrefix(form, "[")
	}
	return Domain(text)
}

func domainForm(name []byte) (string, bool) {
	if len(name) > 0 && name[0] == '[' {
		return literal(string(name))
	}
	form := strings.ToLower(string(name))
	for _, c := range name {
		if c < utf8.RuneSelf {
			continue
		}
		mapped, err := profile.ToASCII(string(name))
		if err != nil || bytes.ContainsRune(name, utf8.RuneError) || !utf8.Valid(name) {
			return "", false
		}
		form = mapped
		break
	}
	form = strings.TrimSuffix(form, ".")
	return form, strings.IndexFunc(form, notDomainRune) < 0 && areLabels([]byte(form))
}

// literal returns the form of an address literal (RFC 5321 §4.1.3).
func literal(text string) (string, bool) {
	inside, closed := strings.CutSuffix(text[1:], "]")
	inside = strings.ToLower(strings.Trim(inside, " \t"))
	addr, err := netip.ParseAddr(strings.TrimPrefix(inside, "ipv6:"))
	if !closed || err != nil || addr.Zone() != "" {
		return "", false
	}
	if addr = addr.Unmap(); addr.Is4() {
		return "[" + addr.String() + "]", true
	}
	return "[ipv6:" + addr.String() + "]", true
}

// areLabels reports whether labels and the whole have the right length (RFC 1035 §2.3.4). There is at least one.
func areLabels(domain []byte) bool {
	length := 0
	for _, c := range domain {
		if c != '.' {
			if length++; length > 63 {
				return false
			}
			continue
		}
		if length == 0 {
			return false
		}
		length = 0
	}
	return length > 0 && len(domain) <= 253
}

// isDomainOctet reports whether an octet may stand in a label of a form.
func isDomainOctet(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func notDomainRune(r rune) bool {
	return r != '.' && (r >= utf8.RuneSelf || !isDomainOctet(byte(r)))
}

// Covers reports whether a domain, or all that a pattern stands for, is among what a pattern stands for. Both are in normal form.
func Covers(pattern, narrower string) bool {
	below, all := strings.CutPrefix(pattern, "*")
	return pattern == narrower || all && strings.HasSuffix(narrower, below)
}

// Domains are domains in normal form, "*.acme.example" for all below acme.example.
type Domains []string

// NewDomains makes Domains of texts; those that are none are left out.
func NewDomains(texts []string) (all Domains) {
	for _, text := range texts {
		if form, ok := Pattern(text); ok {
			all = append(all, form)
		}
	}
	return all
}

// Has reports whether a domain in normal form is one of them.
func (d Domains) Has(domain string) bool {
	for _, pattern := range d {
		if Covers(pattern, domain) {
			return true
		}
	}
	return false
}
