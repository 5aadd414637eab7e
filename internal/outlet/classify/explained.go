package classify

import (
	"bytes"
	"net/url"
	"strings"
)

// A domain that refuses a mail by its SPF policy may say why (RFC 7208 §6.2), and an MX hands that on: in its own
// words, or behind the address of a page, "Please see https://acme.example/why?i=203.0.113.10 : your IP is listed".
// Rules know the words; whose page it is, the session knows.

// maxPages bounds the links that are looked at.
const maxPages = 4

// explained returns the verdict that the sender's domain has spoken, where what blames our IP stands behind a page of
// that domain, or of somebody who is told the sender and our IP as the macros of an explanation are filled in, and
// nothing in front of it does.
func (r *Rules) explained(q *Query, s *scratch) (v Verdict, theirs bool) {
	plain, pages := s.normal.plain, 0
	for at := 0; at < len(plain) && pages < maxPages; {
		if isBlank(plain[at]) {
			at++
			continue
		}
		end := at
		for end < len(plain) && !isBlank(plain[end]) && strings.IndexByte(`<>"`, plain[end]) < 0 {
			end++
		}
		field, begin := string(plain[at:end]), at
		at = end + 1
		start := urlStart(field)
		if start < 0 {
			continue
		}
		pages++
		begin += start
		page := strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(field[start:]), "https://"), "http://")
		if !q.explains(page) && !aboutSPF(page, plain[:begin], s.normal.front) {
			continue
		}
		s.normal.read(page)
		if r.leadsToList(bytes.TrimSpace(s.normal.text), s) {
			continue
		}
		if front := r.judge(q, s, s.echoes.blank(plain[:begin])); front.blamesIP() {
			return v, false
		}
		return Verdict{Class: AuthFailed, Scope: defaults[AuthFailed].scope, Rule: ruleExplained, Quoted: s.normal.addresses()}, true
	}
	return v, false
}

// explains reports whether a page, in lower case and without its scheme, is of the sender's domain or is told of sender and sending IP.
func (q *Query) explains(page string) bool {
	if plain, err := url.QueryUnescape(page); err == nil {
		page = plain
	}
	host, asked := page, ""
	if end := strings.IndexAny(page, "/?#:"); end >= 0 {
		host, asked = page[:end], page[end:]
	}
	sender := strings.ToLower(domainOf(q.Sender))
	if sender != "" && (host == sender || strings.HasSuffix(host, "."+sender)) {
		return true
	}
	told := func(name string) bool {
		at := strings.Index(asked, name)
		return name != "" && at > 0 && strings.IndexByte("=/@,;:", asked[at-1]) >= 0
	}
	return q.SendingIP.IsValid() && told(q.SendingIP.Unmap().String()) && (told(sender) || len(q.EHLO) > 0 && told(strings.ToLower(q.EHLO[0])))
}

// aboutSPF reports whether a page says by its name that it is about SPF, what stands in front of it does, or the
// reply's enhanced code (RFC 7372 §3.2).
func aboutSPF(page string, front []byte, enhanced string) bool {
	spoken := func(text []byte) bool {
		for w := (word{}); w.next(text); {
			if bytes.EqualFold(text[w.begin:w.end], []byte("spf")) {
				return true
			}
		}
		return false
	}
	return spoken([]byte(page)) || spoken(front) || len(enhanced) > 1 && (enhanced[1:] == ".7.23" || enhanced[1:] == ".7.24")
}
