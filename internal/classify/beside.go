package classify

import (
	"regexp"
	"strings"
)

// A list can be named beside what a refusal is about: a link to look the address up, a score, a note of a filter. Where the words say that
// somebody is listed or blocked, the list is the cause; where they say that a message, a sender or a recipient is refused, and the list is
// only named, it is theirs.

// saysListed are the words of which one must be there for a list to be the cause.
var saysListed = regexp.MustCompile(`(?i)list|\busing\b|mail from\b.*\brejected|\b(are|currently) sending spam|blackhol|\brbls?\b|dns-?bl|blocked\s+(using|by|at|via|due|because|for)|reputation|score of your|(your|our|client|sending|remote|source)\s+(ip|host|server|address)|gelistet|répertori|bloqué par|bloquead[oa] por|登録|リスト|黑名单|名单`)

// namesOnly is what names a list, an address or a place to look: it is left out.
var namesOnly = regexp.MustCompile(`(?i)https?://\S+|\b(x-ip|rbl|dnsbl)\s*=\s*\S+|[\w-]+(\.[\w-]+){2,}\S*|\[?\d{1,3}(\.\d{1,3}){3}\]?`)

// beside gives the verdict on the rest of a reply whose list is only named, if that is somebody else's.
func (r *Rules) beside(q *Query, v *Verdict, s *scratch) (rest Verdict, theirs bool) {
	if v.Class != IPBlocklisted || v.Suspend == No {
		return rest, false
	}
	text := string(s.normal.plain)
	for _, l := range v.Lists {
		for _, name := range []string{l.Zone, l.Name} {
			if name != "" {
				text = replaceFold(text, name)
			}
		}
	}
	text = namesOnly.ReplaceAllString(text, " ")
	if saysListed.MatchString(text) {
		return rest, false
	}
	rest = r.judge(q, s, []byte(text))
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

// replaceFold takes a name out of a text, in any case.
func replaceFold(text, name string) string {
	lower := strings.ToLower(text)
	if len(lower) != len(text) {
		return text
	}
	name = strings.ToLower(name)
	for at := strings.Index(lower, name); at >= 0; at = strings.Index(lower, name) {
		text, lower = text[:at]+" "+text[at+len(name):], lower[:at]+" "+lower[at+len(name):]
	}
	return text
}
