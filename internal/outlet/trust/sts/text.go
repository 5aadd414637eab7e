package sts

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"kanmon/internal/who/mailbox"
)

// What a policy may be.
const (
	mostText     = 64 << 10                     // octets (RFC 8461 section 3.3 suggests it)
	mostPatterns = 256                          // MX patterns
	mostOfMXs    = 8 << 10                      // octets of them
	mostLines    = 64                           // that are kept for reports
	mostOfLines  = 4 << 10                      // octets of them
	longestAge   = 31557600 * time.Second       // RFC 8461 section 3.2
	mostFieldKey = 32                           // octets of the name of a field
	mostDigits   = len("9999999999")            // of max_age
	version      = "STSv1"                      // case counts
	wordBreaks   = " \t"                        // WSP
	lettersOf    = "abcdefghijklmnopqrstuvwxyz" // of labels that are no number
)

// Errors of what a domain serves.
var (
	errTooLong = fmt.Errorf("the policy has more than %d octets", mostText)
	errNoText  = errors.New("the policy is no UTF-8 text")
)

// A draft is a policy that is being read: of each field but mx the first one counts (RFC 8461 section 3.2).
type draft struct {
	policy  Policy
	seen    map[string]bool
	octets  int
	version string
	mode    string
	age     string
}

// parsePolicy reads a policy as it is served (RFC 8461 section 3.2). The policy has no ID and no times but MaxAge.
func parsePolicy(text []byte) (*Policy, error) {
	switch {
	case len(text) > mostText:
		return nil, errTooLong
	case !utf8.Valid(text):
		return nil, errNoText
	}
	d := draft{seen: map[string]bool{}}
	for number, line := range strings.Split(string(text), "\n") {
		line = strings.TrimRight(strings.TrimSuffix(line, "\r"), wordBreaks)
		if line == "" {
			continue
		}
		if err := d.take(line); err != nil {
			return nil, fmt.Errorf("line %d of the policy: %w", number+1, err)
		}
	}
	return d.finish()
}

// take reads a line.
func (d *draft) take(line string) error {
	key, value, found := strings.Cut(line, ":")
	value = strings.TrimLeft(value, wordBreaks)
	switch {
	case !found || !isFieldKey(key):
		return errors.New(`it is no "key: value"`)
	case value == "" || strings.ContainsFunc(value, isControl):
		return fmt.Errorf("the value of %q is no text", key)
	}
	d.keepLine(line)
	if key == "mx" {
		return d.takeMX(value)
	}
	if d.seen[key] {
		return nil
	}
	switch key {
	case "version":
		d.version = value
	case "mode":
		d.mode = value
	case "max_age":
		d.age = value
	default: // unknown fields are ignored (RFC 8461 section 3.2)
		return nil
	}
	d.seen[key] = true
	return nil
}

// keepLine keeps a line for reports, as long as there is room.
func (d *draft) keepLine(line string) {
	if d.octets+len(line) <= mostOfLines && len(d.policy.Lines) < mostLines {
		d.octets += len(line)
		d.policy.Lines = append(d.policy.Lines, strings.Clone(line))
	}
}

// takeMX reads a pattern. One that can match no MX is left out: an address, a U-label, a star in another place.
func (d *draft) takeMX(value string) error {
	pattern, ok := readPattern(value)
	if !ok {
		return nil
	}
	d.policy.MX = append(d.policy.MX, strings.Clone(pattern))
	octets := 0
	for _, mx := range d.policy.MX {
		octets += len(mx)
	}
	if len(d.policy.MX) > mostPatterns || octets > mostOfMXs {
		return fmt.Errorf("it names more MXs than the %d names, %d octets that are taken", mostPatterns, mostOfMXs)
	}
	return nil
}

// readPattern returns the form of an MX pattern: ["*."] Domain (RFC 8461 section 3.2), A-labels. A star below which there is a single
// label would stand for all of a top-level domain, and stands for nothing.
func readPattern(text string) (form string, ok bool) {
	form = strings.ToLower(strings.TrimSuffix(text, "."))
	domain, wild := strings.CutPrefix(form, "*.")
	read, ok := mailbox.Domain(domain)
	if !ok || read != domain || strings.HasPrefix(domain, "[") || wild && !strings.Contains(domain, ".") {
		return "", false
	}
	last := domain[strings.LastIndexByte(domain, '.')+1:]
	if _, err := netip.ParseAddr(domain); err == nil || !strings.ContainsAny(last, lettersOf) {
		return "", false
	}
	return form, true
}

func (d *draft) finish() (*Policy, error) {
	p := &d.policy
	switch {
	case d.version != version:
		return nil, fmt.Errorf("the policy's version is %q, want %q", d.version, version)
	case !d.seen["mode"]:
		return nil, errors.New("the policy has no mode")
	case !d.seen["max_age"]:
		return nil, errors.New("the policy has no max_age")
	}
	if err := p.Mode.UnmarshalText([]byte(d.mode)); err != nil {
		return nil, fmt.Errorf("the policy's mode: %w", err)
	}
	seconds, err := strconv.ParseUint(d.age, 10, 64)
	if err != nil || len(d.age) > mostDigits || strings.Trim(d.age, "0123456789") != "" {
		return nil, fmt.Errorf("the policy's max_age %q is no number of seconds", d.age)
	}
	p.MaxAge = longestAge
	if seconds < uint64(longestAge/time.Second) {
		p.MaxAge = time.Duration(seconds) * time.Second
	}
	if p.Mode != None && len(p.MX) == 0 {
		return nil, fmt.Errorf("the policy has mode %s and names no MX", p.Mode)
	}
	return p, nil
}

// isFieldKey reports whether a text may be the name of a field, of a policy or a record (RFC 8461 sections 3.1, 3.2).
func isFieldKey(text string) bool {
	if text == "" || len(text) > mostFieldKey {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if !isAlphanumeric(c) && (i == 0 || c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
