package rspamd

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"kanmon/internal/policy/inspect"
)

// mostRecipients is how many are told: each takes a line, and Rspamd closes a connection whose request has too many.
const mostRecipients = 1000

// fieldsOf makes the header fields of a request. The error says what of the mail cannot stand in one.
func fieldsOf(m *inspect.Mail, settingsID string) (http.Header, error) {
	h := http.Header{"User-Agent": {"kanmon"}, "Content-Type": {"message/rfc822"}}
	// Without a user Rspamd takes a mail from a public address for inbound mail, and judges the MSA by SPF, greylisting and lists of addresses.
	user, err := text(m.User())
	if err != nil || user == "" {
		return nil, errors.New("the account")
	}
	h["User"] = []string{user}
	if err := addEnvelope(h, m); err != nil {
		return nil, err
	}
	if helo, err := text(m.Helo); err != nil {
		return nil, errors.New("the name in EHLO")
	} else if helo != "" {
		h["Helo"] = []string{helo}
	}
	if m.Source.IsValid() {
		h["Ip"] = []string{m.Source.Unmap().WithZone("").String()}
	}
	if id, err := text(m.ID); err == nil && id != "" {
		h["Queue-Id"] = []string{id}
	}
	if settingsID != "" {
		h["Settings-Id"] = []string{settingsID}
	}
	return h, nil
}

func addEnvelope(h http.Header, m *inspect.Mail) error {
	h["From"] = []string{"<>"}
	if m.Sender != "" {
		from, err := address(m.Sender)
		if err != nil {
			return fmt.Errorf("the sender's address: %w", err)
		}
		h["From"] = []string{from}
	}
	for _, r := range m.Recipients {
		rcpt, err := address(r) // of all of them: the last must not be a way around
		if err != nil {
			return fmt.Errorf("a recipient's address: %w", err)
		}
		if len(h["Rcpt"]) < mostRecipients {
			h["Rcpt"] = append(h["Rcpt"], rcpt)
		}
	}
	return nil
}

// Errors of addresses.
var (
	errControl = errors.New("it has a control character")
	errDomain  = errors.New("its domain is none")
	errLocal   = errors.New("its local part is none")
)

// address gives an address as Rspamd reads it: its domain in ASCII, its local part a dot-atom or quoted, other octets percent-encoded.
func address(a string) (string, error) {
	if hasControl(a) {
		return "", errControl
	}
	if strings.HasPrefix(a, "@") { // a source route: it says how, not to whom
		_, a, _ = strings.Cut(a, ":")
	}
	local, domain, err := divide(a)
	if err != nil {
		return "", err
	}
	if domain == "" {
		if !strings.EqualFold(local, "postmaster") {
			return "", errDomain
		}
		return "postmaster@localhost", nil // one without a domain it does not read
	}
	if domain, err = asciiDomain(domain); err != nil {
		return "", err
	}
	return local + "@" + domain, nil
}

// divide divides an address at the @ behind its local part.
func divide(a string) (local, domain string, err error) {
	if strings.HasPrefix(a, `"`) {
		end := quotedEnd(a)
		if end < 0 || len(a) > end && a[end] != '@' {
			return "", "", errLocal
		}
		return encoded(a[:end]), strings.TrimPrefix(a[end:], "@"), nil
	}
	at := strings.LastIndexByte(a, '@')
	if at < 0 {
		at = len(a)
	}
	local, domain = a[:at], strings.TrimPrefix(a[at:], "@")
	if local == "" || strings.ContainsAny(local, "@\"\\<> ") {
		return "", "", errLocal
	}
	return quoted(encoded(local)), domain, nil
}

// quotedEnd is where the quoted string ends that a begins with; -1: it does not.
func quotedEnd(a string) int {
	for i := 1; i < len(a); i++ {
		switch a[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// atext are the characters of an atom, but for letters and digits (RFC 5321 section 4.1.2).
const atext = "!#$%&'*+-/=?^_`{|}~"

// quoted quotes a local part that is no dot-atom, such as those with two dots in a row that Japanese carriers gave out.
func quoted(local string) string {
	isAtom := !strings.HasPrefix(local, ".") && !strings.HasSuffix(local, ".") && !strings.Contains(local, "..")
	for i := 0; i < len(local) && isAtom; i++ {
		isAtom = isAlnum(local[i]) || local[i] == '.' || strings.IndexByte(atext, local[i]) >= 0
	}
	if isAtom {
		return local
	}
	return `"` + local + `"`
}

// encoded percent-encodes octets that are not ASCII.
func encoded(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] < 0x80 {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// asciiDomain gives a domain in A-labels, or a literal address.
func asciiDomain(d string) (string, error) {
	if inside, is := strings.CutPrefix(d, "["); is {
		inside, closed := strings.CutSuffix(inside, "]")
		bare := inside
		if len(bare) > 5 && strings.EqualFold(bare[:5], "IPv6:") {
			bare = bare[5:]
		}
		if _, err := netip.ParseAddr(bare); err != nil || !closed {
			return "", errDomain
		}
		return d, nil
	}
	if !utf8.ValidString(d) {
		return "", errDomain
	}
	ascii, err := idna.Lookup.ToASCII(d)
	if err != nil { // an underscore is no reason
		ascii, err = idna.Punycode.ToASCII(d)
	}
	if err != nil || !isDomain(strings.TrimSuffix(ascii, ".")) {
		return "", errDomain
	}
	return strings.TrimSuffix(ascii, "."), nil
}

// isDomain reports whether Rspamd reads it as one: it knows underscores, but not at the ends of a label.
func isDomain(d string) bool {
	if d == "" || len(d) > 253 {
		return false
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 || !isAlnum(label[0]) || !isAlnum(label[len(label)-1]) {
			return false
		}
		for i := range len(label) {
			if !isAlnum(label[i]) && label[i] != '-' && label[i] != '_' {
				return false
			}
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// text gives a text that is no address: other octets than ASCII percent-encoded, and blanks at its ends, which a field has none of.
func text(s string) (string, error) {
	if hasControl(s) {
		return "", errControl
	}
	trimmed := strings.TrimLeft(s, " ")
	before := len(s) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, " ")
	behind := len(s) - before - len(trimmed)
	return strings.Repeat("%20", before) + encoded(trimmed) + strings.Repeat("%20", behind), nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
