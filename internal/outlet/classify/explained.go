package classify

import (
	"bytes"
	"net/url"
	"strings"
)

// A domain that refuses a mail by its SPF policy may say why (RFC 7208 §6.2), and an MX hands that on: in its own words, or behind the address of a
// page, "Please see https://acme.example/why?i=203.0.113.10 : your IP is listed". Rules know the words; whose page it is, the session knows.

// maxPages bounds the links that are looked at.
const maxPages = 4

// explained gives the verdict that the sender's domain has spoken, where what blames our IP stands behind a page of that domain, or of somebody who is
// told the sender and our IP as the macros of an explanation are filled in, and nothing in front of it does.
func (r *Rules) explained(q *Query, s *scratch) (v Verdict, theirs bool) {
	plain, at := s.normal.plain, 0
	for range maxPages {
		scheme := bytes.Index(plain[at:], []byte("://"))
		if scheme < 0 {
			break
		}
		begin := at + scheme
		for begin > 0 && letter(plain[begin-1]) {
			begin--
		}
		at += scheme + len("://")
		end := at
		for end < len(plain) && !isBlank(plain[end]) && strings.IndexByte(`<>"`, plain[end]) < 0 {
			end++
		}
		page := plain[at:end]
		if !q.explains(string(page)) && !aboutSPF(page, s.normal.front) {
			continue
		}
		s.normal.read(string(page))
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

// explains reports whether a page, without its scheme, is of the sender's domain or is told of sender and sending IP.
func (q *Query) explains(page string) bool {
	if plain, err := url.QueryUnescape(page); err == nil {
		page = plain
	}
	page = strings.ToLower(page)
	host, asked := page, ""
	if end := strings.IndexAny(page, "/?#:"); end >= 0 {
		host, asked = page[:end], page[end:]
	}
	sender := strings.ToLower(domainOf(q.Sender))
	if sender != "" && (host == sender || strings.HasSuffix(host, "."+sender)) {
		return true
	}
	if !q.SendingIP.IsValid() || !strings.Contains(asked, "="+q.SendingIP.Unmap().String()) {
		return false
	}
	told := func(name string) bool {
		return name != "" && (strings.Contains(asked, "="+name) || strings.Contains(asked, "@"+name))
	}
	return told(sender) || len(q.EHLO) > 0 && told(strings.ToLower(q.EHLO[0]))
}

// aboutSPF reports whether a page says by its name that it is about SPF, or the reply's enhanced code does (RFC 7372 §3.2).
func aboutSPF(page []byte, enhanced string) bool {
	for w := (word{}); w.next(page); {
		if bytes.EqualFold(page[w.begin:w.end], []byte("spf")) {
			return true
		}
	}
	return len(enhanced) > 1 && (enhanced[1:] == ".7.23" || enhanced[1:] == ".7.24")
}
