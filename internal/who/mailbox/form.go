package mailbox

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Null is the form of the null sender.
const Null = ""

// Unreadable is the form of what cannot be brought into it. No mailbox equals it: an angle bracket stands in no form but inside quotes.
const Unreadable = "<unreadable>"

// Form returns the normal form of what stands in a path, between its angle brackets. It allocates nothing but the string.
func Form(path []byte) string {
	if IsForm(path) {
		return string(path)
	}
	p, ok := parse(path)
	switch {
	case !ok:
		return Unreadable
	case p.null:
		return Null
	}
	local, ok := foldCase(p.local)
	if !ok {
		return Unreadable
	}
	if !p.hasDomain {
		return withoutDomain(local)
	}
	domain, ok := domainForm(p.domain)
	if !ok {
		return Unreadable
	}
	return quoted(local) + "@" + domain
}

// IsForm reports whether a path is its own normal form, as most are. It is strict: there are forms that it does not know as such.
func IsForm(path []byte) bool {
	at := -1
	for i, c := range path {
		switch {
		case at >= 0:
			if !isDomainOctet(c) && c != '.' {
				return false
			}
		case c == '@':
			at = i
		case 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf || !isAtext(c) && c != '.':
			return false
		}
	}
	return len(path) == 0 || at > 0 && areLabels(path[at+1:])
}

// foldCase returns a local part composed and in small letters. ok is false for what is no text.
func foldCase(local []byte) (_ string, ok bool) {
	for _, c := range local {
		if c >= utf8.RuneSelf {
			if !utf8.Valid(local) {
				return "", false
			}
			// Small letters can have another composition than the capitals they are made of.
			return norm.NFC.String(strings.ToLower(norm.NFC.String(string(local)))), true
		}
	}
	return strings.ToLower(string(local)), true
}

// withoutDomain returns the form of a mailbox without a domain: "postmaster". Some MXs read a!b and b%a as b@a, and some a parameter
// of MAIL as a mailbox.
func withoutDomain(local string) string {
	if strings.Trim(local, ".") == "" {
		return Unreadable
	}
	for i := range len(local) {
		if c := local[i]; !isAtext(c) && c != '.' || c >= utf8.RuneSelf || c == '!' || c == '%' || c == '=' {
			return Unreadable
		}
	}
	return local
}

// quoted returns a local part with the quotes that it needs (RFC 5321 §4.1.2). Dots in wrong places need none: some people have them.
func quoted(local string) string {
	need := local == ""
	for i := range len(local) {
		need = need || !isAtext(local[i]) && local[i] != '.'
	}
	if !need {
		return local
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(local) {
		if c := local[i]; c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}

// unquoted is the inverse of quoted.
func unquoted(local string) string {
	if !strings.HasPrefix(local, `"`) {
		return local
	}
	var b strings.Builder
	for i := 1; i < len(local)-1; i++ {
		if local[i] == '\\' {
			i++
		}
		b.WriteByte(local[i])
	}
	return b.String()
}

// DomainOf returns the domain of a mailbox in normal form: "" for the null sender, for Unreadable, and where there is none.
func DomainOf(form string) string {
	if at := strings.LastIndexByte(form, '@'); at >= 0 && !strings.HasPrefix(form, Unreadable) {
		return form[at+1:]
	}
	return ""
}
