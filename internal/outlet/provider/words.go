package provider

import (
	"bytes"
	"strconv"
	"strings"
)

// words is how to tell whose the words of a provider's MX are: its own, or those of one of its customers.
type words struct {
	Settings
	codes []codes // BlockCodes
}

// codes are enhanced codes (RFC 3463) that begin alike, from one detail to another.
type codes struct {
	stem     string // "5.7."
	from, to int
}

// parseCodes reads "5.7.708" or "5.7.606-649"; ok is false if it is neither.
func parseCodes(text string) (c codes, ok bool) {
	dot := strings.LastIndexByte(text, '.')
	if strings.Count(text, ".") != 2 || dot < 0 {
		return c, false
	}
	first, last, several := strings.Cut(text[dot+1:], "-")
	if !several {
		last = first
	}
	var err1, err2 error
	c.stem = text[:dot+1]
	c.from, err1 = strconv.Atoi(first)
	c.to, err2 = strconv.Atoi(last)
	return c, err1 == nil && err2 == nil && c.from <= c.to && (c.stem[0] == '4' || c.stem[0] == '5')
}

func (c *codes) has(code string) bool {
	detail, found := strings.CutPrefix(code, c.stem)
	n, err := strconv.Atoi(detail)
	return found && err == nil && n >= c.from && n <= c.to
}

// Settings returns what is known of a provider beside its names.
func (l *Lookup) Settings(provider string) Settings { return l.set.words[provider].Settings }

// OwnWord reports whether a reply of a provider's MX must be the provider's own word, and speaks for all of it: about a
// recipient at a domain of its own, with a code that none of its customers can set, or before anybody knows which
// customer's recipient it will be. Else it may be what one customer, who is anybody, has written. The domain is ""
// before a recipient is known.
func (l *Lookup) OwnWord(provider, domain string, reply []byte) bool {
	if domain == "" {
		if !l.Settings(provider).CustomersRunMX {
			return true
		}
	} else if own, _ := l.set.OfDomain(domain); own == provider {
		return true
	}
	return l.OwnCode(provider, reply)
}

// OwnCode reports whether a reply of a provider's MX has a code by which the provider refuses an IP, and which none of
// its customers can set.
func (l *Lookup) OwnCode(provider string, reply []byte) bool {
	w, code := l.set.words[provider], enhanced(reply)
	for i := range w.codes {
		if code != "" && w.codes[i].has(code) {
			return true
		}
	}
	return false
}

// enhanced returns the enhanced code at the beginning of a reply, behind the reply code: what a customer may write stands behind it.
func enhanced(reply []byte) string {
	if len(reply) < 4 {
		return ""
	}
	line, _, _ := bytes.Cut(reply[4:], []byte{'\n'})
	code, _, _ := strings.Cut(string(line), " ")
	return code
}

// Host returns the name of the MX that mail to a domain goes to first, as far as DNS has told lately; "" else. It never waits.
func (l *Lookup) Host(domain string) string {
	k, usable := l.kept(normal(domain))
	if !usable {
		return ""
	}
	return k.MX
}
