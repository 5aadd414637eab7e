package classify

import (
	"bytes"
	"slices"
	"strings"
)

// Providers refuse an IP by codes of a few letters and digits: S3140, BL21, CXBL. A mailbox can have such a name, and a rule that knows the code
// would take its echo for a refusal of our IP. What is that short is else no echo: "user" and "host" are the MX's words.

// Bounds of what can be a code.
const (
	minCode = 3
	maxCode = 8
)

// codes covers words of the reply that look like a code and were said by the session, wherever it said them.
func (e *echoes) codes(plain []byte, q *Query) (found bool) {
	for w := (word{}); w.next(plain); {
		if !coded(plain[w.begin:w.end]) || insideName(plain, w) || !q.said(plain[w.begin:w.end]) {
			continue
		}
		e.fill(int32(w.begin), int32(w.end), markSaid)
		found = true
	}
	return found
}

// coded reports whether a word is like no word of a language: letters with digits, or without a vowel.
func coded(word []byte) bool {
	if len(word) < minCode || len(word) > maxCode {
		return false
	}
	letters, digits := false, false
	for _, c := range word {
		switch {
		case c >= 0x80:
			return false
		case '0' <= c && c <= '9':
			digits = true
		default:
			letters = true
		}
	}
	return letters && (digits || !bytes.ContainsAny(word, "aeiouAEIOU"))
}

// insideName reports whether a word is part of a name or an address: mx1.example.net, zen-sbl.example, 2001:db8::1.
func insideName(plain []byte, w word) bool {
	joins := func(c byte) bool { return strings.IndexByte(".-_@:/", c) >= 0 }
	return w.begin > 1 && joins(plain[w.begin-1]) && alnum(plain[w.begin-2]) ||
		w.end+1 < len(plain) && joins(plain[w.end]) && alnum(plain[w.end+1])
}

// said reports whether the session has said a word: in a mailbox, a name, or its message.
func (q *Query) said(word []byte) bool {
	for _, text := range [...]string{q.Sender, q.Recipient, q.Subject, decodeWords(q.Subject)} {
		if hasWord(text, word) {
			return true
		}
	}
	has := func(text string) bool { return hasWord(text, word) }
	return slices.ContainsFunc(q.EHLO, has) || slices.ContainsFunc(q.Said, has)
}

// hasWord reports whether a text has a word, in whatever case.
func hasWord(text string, sought []byte) bool {
	whole := []byte(text[:min(len(text), maxSaid)])
	for w := (word{}); w.next(whole); {
		if bytes.EqualFold(whole[w.begin:w.end], sought) {
			return true
		}
	}
	return false
}
