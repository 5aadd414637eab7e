package replies

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kanmon/internal/smtp"
)

// Mark starts the text of every reply that kanmon makes itself, so that operators, and kanmon's own evidence, can tell
// it from what an MX said.
const Mark = "kanmon: "

// A Code is a reply code with its enhanced code (RFC 3463); "" for none.
type Code struct {
	Code     int
	Enhanced string
}

func (c Code) String() string {
	if c.Enhanced == "" {
		return fmt.Sprint(c.Code)
	}
	return fmt.Sprintf("%d %s", c.Code, c.Enhanced)
}

// An Entry is a reply of kanmon's own. They are made in this package alone.
type Entry struct {
	Name  string   // that docs/ref/replies.md has it under
	Codes []Code   // the first one, unless Said.As says otherwise
	Text  string   // with a %s for each of Holds
	Holds []string // what is filled in, as the page names it
	Bare  bool     // without the Mark

	Happened   string // what kanmon has seen
	Mail       string // what becomes of the mail
	Postmaster string // what the tenant's postmaster should do
	Operator   string // what the operator of kanmon should do
}

// A Section is a part of the catalogue.
type Section struct {
	Title, About string
	Entries      []*Entry
}

func (s *Section) add(e Entry) *Entry {
	s.Entries = append(s.Entries, &e)
	return &e
}

// Catalogue returns all there is, in the order of the page.
func Catalogue() []*Section {
	return []*Section{ofSender, ofDestination, ofMessage, ofContent, ofConnection, ofCommand}
}

// A Said is an entry that is filled in. The zero Said is nothing.
type Said struct {
	entry *Entry
	code  Code
	text  string
}

// Say fills in an entry: a value for each of Holds.
func (e *Entry) Say(values ...string) Said {
	text := e.Text
	if len(values) > 0 {
		filled := make([]any, len(values))
		for i, v := range values {
			filled[i] = v
		}
		text = fmt.Sprintf(e.Text, filled...)
	}
	return Said{e, e.Codes[0], text}
}

// Plain returns the reply of an entry that has nothing to fill in. It can be shared.
func (e *Entry) Plain() smtp.Reply { return e.Say().Reply("") }

// As returns it with that code of its entry.
func (s Said) As(code int) Said {
	if i := slices.IndexFunc(s.entry.Codes, func(c Code) bool { return c.Code == code }); i >= 0 {
		s.code = s.entry.Codes[i]
	}
	return s
}

// Of reports whether it is that entry.
func (s Said) Of(e *Entry) bool { return s.entry == e }

// String returns the text, without codes and mark.
func (s Said) String() string { return s.text }

// Code returns the reply code; 0 if nothing is said.
func (s Said) Code() int { return s.code.Code }

// Reply makes the reply. It says which gateway gave it, if the operator has named that one.
func (s Said) Reply(host string) smtp.Reply {
	text := s.text
	if host != "" {
		text += " (" + host + ")"
	}
	if s.entry == nil || !s.entry.Bare {
		text = Mark + text
	}
	return smtp.NewReply(s.code.Code, s.code.Enhanced, text)
}

// Find returns the entry that a kanmon has said, from the whole reply as somebody has it from a log or a bounce; nil if
// it is none of this version.
func Find(reply string) *Entry {
	if !IsOwn([]byte(reply)) {
		return nil
	}
	_, text, _ := strings.Cut(reply, Mark)
	for _, s := range Catalogue() {
		for _, e := range s.Entries {
			if !e.Bare && e.pattern().MatchString(strings.TrimSpace(text)) {
				return e
			}
		}
	}
	return nil
}

// pattern finds the text of an entry, whatever it is filled with, also with the name of the gateway behind it.
func (e *Entry) pattern() *regexp.Regexp {
	text := strings.NewReplacer("%s", ".*", "%q", `".*"`).Replace(regexp.QuoteMeta(e.Text))
	return regexp.MustCompile(`^` + text + `( \([^ ]*\))?$`)
}

// IsOwn reports whether a reply is a kanmon's: another one's, where it comes from an MX. That is no evidence of anybody's conduct. It is
// known by its form: the mark behind the codes, and nowhere else, for an MX may repeat in its text what it was told; nor where what was
// said to it begins so.
func IsOwn(reply []byte, said ...string) bool {
	text := bytes.TrimLeft(reply, "0123456789")
	if len(text) != len(reply)-3 || len(text) == 0 || text[0] != ' ' && text[0] != '-' {
		return false
	}
	text = text[1:]
	if rest := bytes.TrimLeft(text, "0123456789."); len(rest) < len(text) {
		text = bytes.TrimPrefix(rest, []byte{' '})
	}
	return bytes.HasPrefix(text, []byte(Mark)) && !slices.ContainsFunc(said, mayPassForOwn)
}

// mayPassForOwn reports whether something said looks like the mark when it is repeated without its quotes.
func mayPassForOwn(said string) bool {
	const name = "kanmon"
	said = strings.TrimLeft(said, "<\"'\\ ")
	return len(said) >= len(name) && strings.EqualFold(said[:len(name)], name)
}
