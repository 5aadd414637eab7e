package classify

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A rule is one line of thought: if all its conditions hold, it says what the reply means.
type rule struct {
	name      string
	class     Class
	scope     Scope
	suspend   Suspend
	count     Count
	phases    []string
	providers []string
	codes     []codeRange
	nested    []codeRange // enhanced codes of another server's reply that this one quotes
	any       []int32     // phrases
	all       []int32
	none      []int32
	regexps   []*regexp.Regexp
	lists     []int // indexes of Rules.lists, named by the rule itself: a provider's own list
	source    string
	advice    string
	quoting   bool // its phrases name <ip>: it reads the reply with the addresses that it quotes
	shares    bool // where another rule blames our IP, this one's words share the blame
}

// holds reports whether the rule decides a reply. Conditions that the rule does not have hold.
func (r *rule) holds(q *Query, n *normal, t *trace) bool {
	return (len(r.any) == 0 || slices.ContainsFunc(r.any, t.said)) &&
		!slices.ContainsFunc(r.all, func(id int32) bool { return !t.said(id) }) &&
		!slices.ContainsFunc(r.none, t.said) &&
		(len(r.codes) == 0 || slices.ContainsFunc(r.codes, func(c codeRange) bool { return c.contains(n.code, n.enhanced) })) &&
		(len(r.nested) == 0 || slices.ContainsFunc(r.nested, func(c codeRange) bool { return c.enhanced && c.contains(0, n.nested) })) &&
		(len(r.phases) == 0 || slices.Contains(r.phases, string(q.Phase))) &&
		(len(r.providers) == 0 || slices.Contains(r.providers, q.Provider)) &&
		(len(r.regexps) == 0 || slices.ContainsFunc(r.regexps, func(re *regexp.Regexp) bool { return re.Match(n.text) }))
}

// A codeRange is "550", "5xx", "5.7.1", "x.7.25" or "5.7.606-649".
type codeRange struct {
	enhanced bool
	digit    byte // first digit of an enhanced code, '4' or '5', or 'x' for both
	subject  int  // -1 for any
	from, to int  // code, or detail
}

func (c codeRange) contains(code int, enhanced string) bool {
	if !c.enhanced {
		return c.from <= code && code <= c.to
	}
	if enhanced == "" || c.digit != 'x' && c.digit != enhanced[0] {
		return false
	}
	subject, detail, _ := strings.Cut(enhanced[2:], ".")
	s, _ := strconv.Atoi(subject) // isEnhanced has seen to it
	d, _ := strconv.Atoi(detail)
	return (c.subject < 0 || c.subject == s) && c.from <= d && d <= c.to
}

func parseCode(text string) (codeRange, error) {
	wrong := fmt.Errorf("code %q: want one like 550, 5xx, 5.7.1, x.7.25, 5.7.x or 5.7.606-649", text)
	parts := strings.Split(text, ".")
	switch {
	case len(parts) == 1 && len(text) == 3 && ('4' <= text[0] && text[0] <= '5'):
		from, err := strconv.Atoi(strings.ReplaceAll(text, "x", "0"))
		to, err2 := strconv.Atoi(strings.ReplaceAll(text, "x", "9"))
		if err != nil || err2 != nil {
			return codeRange{}, wrong
		}
		return codeRange{from: from, to: to}, nil
	case len(parts) == 3 && len(parts[0]) == 1 && strings.Contains("45x", parts[0]):
		c := codeRange{enhanced: true, digit: parts[0][0], subject: -1, to: 999}
		var err, err2, err3 error
		if parts[1] != "x" {
			c.subject, err = strconv.Atoi(parts[1])
		}
		if parts[2] != "x" {
			from, to, several := strings.Cut(parts[2], "-")
			if !several {
				to = from
			}
			c.from, err2 = strconv.Atoi(from)
			c.to, err3 = strconv.Atoi(to)
		}
		if err != nil || err2 != nil || err3 != nil || c.from > c.to {
			return codeRange{}, wrong
		}
		return c, nil
	}
	return codeRange{}, wrong
}
