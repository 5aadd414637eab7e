package classify

import (
	"bytes"
	"slices"
	"strings"
)

// A list can be named beside what a refusal is about: a link to look the address up, a score, a note of a filter. Where the words say that
// somebody is listed or blocked, the list is the cause; where they say that a message, a sender or a recipient is refused, and the list is
// only named, it is theirs.

// causeWords is the group of words of which one must be there for a list to be the cause.
const causeWords = "list_is_cause"

// beside returns the verdict on the rest of a reply whose list is only named, if that is somebody else's. plain is what has been judged.
// A rule that reads addresses wants a whole clause about ours, and is not asked again.
func (r *Rules) beside(q *Query, v *Verdict, s *scratch, plain []byte) (rest Verdict, theirs bool) {
	if v.Class != IPBlocklisted || v.Suspend == No || s.decided.quoting {
		return rest, false
	}
	s.nameless = withoutNames(s.nameless[:0], plain, v.Lists)
	s.normal.read(string(s.nameless))
	r.found.run(s.normal.text, &s.quoted)
	if slices.ContainsFunc(r.cause, s.quoted.said) {
		return rest, false
	}
	rest = r.judge(q, s, s.nameless)
	if strings.HasPrefix(rest.Rule, "code") {
		return rest, false
	}
	switch rest.Class {
	case ContentRejected, RecipientInvalid, RecipientPolicy, MailboxFull, SenderRejected, AuthFailed, MessageTooBig, RelayDenied, TLSRequired:
		return rest, true
	case Throttled:
		return rest, rest.Scope == ScopeSender || rest.Scope == ScopeTransaction || rest.Scope == ScopeRecipient
	default:
		return rest, false
	}
}

// withoutNames appends a text without what names a list, an address or a place to look.
func withoutNames(dst, plain []byte, lists []List) []byte {
	for word := range bytes.FieldsSeq(plain) {
		lower := bytes.ToLower(word)
		named := bytes.Count(bytes.TrimRight(lower, `.,:;!?)]>"'`), []byte{'.'}) > 1 || bytes.Contains(lower, []byte("://"))
		for _, l := range lists {
			for _, name := range []string{l.Zone, l.Name} {
				named = named || name != "" && bytes.Contains(lower, []byte(strings.ToLower(name)))
			}
		}
		if !named {
			dst = append(append(dst, word...), ' ')
		}
	}
	return dst
}
