package mailbox

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Folded says what was taken out of a mailbox to find its account: several of these, or nothing.
type Folded uint8

// What can be taken out.
const (
	Tag     Folded = 1 << iota // a subaddress: bob+tag (RFC 5233)
	BATV                       // a signature against forged bounces: prvs=0123456789=bob
	VERP                       // the recipient, or a number for it: list-bounces+user=example.com
	SRS                        // the sender of forwarded mail: SRS0=hash=day=example.com=user
	Special                    // what a pattern of the tenant's has left out
	Nothing Folded = 0
)

// String returns the names, joined by "+".
func (f Folded) String() string {
	var names []string
	for i, name := range [...]string{"tag", "batv", "verp", "srs", "pattern"} {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "plain"
	}
	return strings.Join(names, "+")
}

// SRSAccount is the local part of the account that all mail has which a domain forwards. It is nobody's mailbox.
const SRSAccount = "<srs>"

// Forwarded is the account of mail that a tenant passes on for strangers, where it is marked as one that does. It is nobody's mailbox.
const Forwarded = "<forwarded>"

// A Fold finds the account of a mailbox. It is immutable; a nil one folds what [Default] does.
type Fold struct {
	subaddress bool
	patterns   []*regexp.Regexp
}

// Default folds subaddresses, and has no patterns.
var Default = &Fold{subaddress: true}

// Errors of patterns.
var (
	ErrNoGroup = errors.New("it has no part in parentheses: what is in them is the account")
	ErrLong    = fmt.Errorf("it is longer than %d octets", maxPattern)
)

const maxPattern = 512

// NewFold makes a Fold. A pattern is a regular expression (RE2) that a whole mailbox in normal form must match; its account is what
// the groups have matched, joined. The first pattern that matches counts.
func NewFold(subaddress bool, patterns ...string) (*Fold, error) {
	f := &Fold{subaddress: subaddress}
	for _, text := range patterns {
		compiled, err := CompilePattern(text)
		if err != nil {
			return nil, fmt.Errorf("account pattern %q: %w", text, err)
		}
		f.patterns = append(f.patterns, compiled)
	}
	return f, nil
}

// CompilePattern reads a pattern, and says what is wrong with it.
func CompilePattern(text string) (*regexp.Regexp, error) {
	if len(text) > maxPattern {
		return nil, ErrLong
	}
	if _, err := regexp.Compile(text); err != nil { // as it is written: parentheses could balance with those around it
		return nil, err
	}
	compiled, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err == nil && compiled.NumSubexp() == 0 {
		err = ErrNoGroup
	}
	return compiled, err
}

// maxAccount is the longest name of an account, in octets: what is longer is a suspect.
const maxAccount = 255

// Account returns the account of a mailbox in normal form, and what was folded to find it. The account of an account is itself. It does
// not allocate where nothing is folded, nor where only a domain is joined to what is left.
func (f *Fold) Account(form string) (account string, how Folded) {
	if f == nil {
		f = Default
	}
	for { // each round makes it shorter
		next, did := f.once(form)
		if did == Nothing || next == form {
			break
		}
		form, how = next, how|did
		if did == SRS {
			break
		}
	}
	if len(form) > maxAccount {
		return Unreadable, how
	}
	return form, how
}

// once takes one thing out.
func (f *Fold) once(form string) (rest string, did Folded) {
	if form == Null || form[0] == '<' {
		return form, Nothing
	}
	for _, p := range f.patterns {
		if groups := p.FindStringSubmatch(form); groups != nil {
			if joined := strings.Join(groups[1:], ""); joined != "" && len(joined) < len(form) {
				return joined, Special
			}
			break
		}
	}
	at := strings.LastIndexByte(form, '@')
	if at <= 0 || !strings.ContainsAny(form[:at], "+=*0123456789") { // there is something of these in every tag
		return form, Nothing
	}
	local := unquoted(form[:at])
	if isSRS(local) {
		return SRSAccount + form[at:], SRS
	}
	if rest, did = withoutBATV(local); did == Nothing {
		if rest, did = withoutVERP(local); did == Nothing && f.subaddress {
			rest, did = withoutTag(local)
		}
	}
	if did == Nothing {
		return form, Nothing
	}
	return quoted(rest) + form[at:], did
}
