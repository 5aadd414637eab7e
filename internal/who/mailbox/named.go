package mailbox

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Named returns the name of an account as a header field or a person writes it: an address in any form that a header has it in
// ("Bob <bob@example.com>", with comments), one of this package's own names, or a login name that is no address, in small letters.
// It is "" for what names nobody, and [Unreadable] for what may name several, or whom is not clear.
func Named(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	switch {
	case text == "" || text == "<>":
		return Null
	case len(text) > maxNamed || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return Unreadable
	case strings.EqualFold(text, Unreadable):
		return Unreadable
	case strings.EqualFold(text, Forwarded):
		return Forwarded
	}
	if domain, cut := strings.CutPrefix(strings.ToLower(text), SRSAccount+"@"); cut {
		if form, ok := Domain(domain); ok {
			return SRSAccount + "@" + form
		}
		return Unreadable
	}
	if inside, cut := strings.CutPrefix(text, "<"); cut && strings.HasSuffix(inside, ">") && !strings.Contains(inside, "<") {
		text = inside[:len(inside)-1]
	}
	if strings.Contains(text, "@") {
		if form := Form([]byte(text)); form != Unreadable {
			return form
		}
	}
	if strings.ContainsAny(text, `<>"(),;`) {
		return displayed(text)
	}
	if strings.Count(text, "@") > 1 {
		return Unreadable
	}
	return strings.ToLower(text)
}

// maxNamed bounds what is read: a line of a header has no more (RFC 5322 §2.1.1).
const maxNamed = 998

// displayed returns the one address in a text that is more than an address.
func displayed(text string) string {
	list, err := mail.ParseAddressList(text)
	if err != nil {
		// Display names hold what only quotes allow: "Doe, Jane <jane@example.com>". The address is still clear.
		name, inside, _ := strings.Cut(text, "<")
		several := strings.ContainsAny(name, `"(`) || strings.Contains(name, "@") && strings.ContainsAny(name, ",;:")
		if address, whole := strings.CutSuffix(inside, ">"); whole && !several && !strings.ContainsAny(address, `<>`) {
			return orUnreadable(Form([]byte(address)))
		}
		return Unreadable
	}
	one := Null
	for _, a := range list {
		form := orUnreadable(Form([]byte(a.Address)))
		if one != Null && form != one {
			return Unreadable
		}
		one = form
	}
	return orUnreadable(one)
}

// orUnreadable is for brackets with nobody inside of them, behind a name.
func orUnreadable(form string) string {
	if form == Null {
		return Unreadable
	}
	return form
}
