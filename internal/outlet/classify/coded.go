package classify

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// Providers refuse an IP by codes of a few letters and digits: S3140, BL21, CXBL. A mailbox can have such a name, and a
// rule that knows the code would take its echo for a refusal of our IP. What is that short is else no echo: "user" and
// "host" are the MX's words.
//
// Who sends can write such a code as well in order to hide a listing that is known by its code alone. So a code that
// the session has said is the provider's all the same where it stands as providers place them, apart from the sentence,
// and the rest says what providers say beside it (group beside_code): neither a sender, a recipient nor a message has
// its name there.

// Bounds of what can be a code.
const (
	minCode  = 3
	maxCode  = 8
	maxLabel = 16 // of several parts: OFR006_102, AUP#In-1200
)

// codeForm is the group of words of which one must be there for a code to be the provider's that the session has said as well.
const codeForm = "beside_code"

// codes covers what looks like a code in the reply and was said by the session, wherever it said that.
func (e *echoes) codes(plain []byte, q *Query) (found bool) {
	for w := (word{}); w.next(plain); {
		w.end = pastLabel(plain, w)
		if !coded(plain[w.begin:w.end]) || e.cover[w.begin] != 0 || insideName(plain, w) || ofTheMX(plain, int32(w.begin), int32(w.end)) || !q.said(plain[w.begin:w.end]) {
			continue
		}
		e.fill(int32(w.begin), int32(w.end), markSaid)
		e.apart(plain, w)
		found = true
	}
	return found
}

// pastLabel returns where a word ends with those that a dash or an underline joins to it: OU-002, OFR006_102.
func pastLabel(plain []byte, w word) int {
	for w.end+1 < len(plain) && (plain[w.end] == '-' || plain[w.end] == '_') && alnum(plain[w.end+1]) && plain[w.end+1] < utf8.RuneSelf {
		for w.end++; w.end < len(plain) && alnum(plain[w.end]); w.end++ {
		}
	}
	return w.end
}

// coded reports whether a word is like no word of a language: letters with digits, or without a vowel; nor does one end
// as the names of lists do.
func coded(word []byte) bool {
	letters, digits, joined := false, false, false
	for _, c := range word {
		switch {
		case c >= utf8.RuneSelf:
			return false
		case '0' <= c && c <= '9':
			digits = true
		case c == '-' || c == '_':
			joined = true
		default:
			letters = true
		}
	}
	switch {
	case joined:
		return letters && digits && len(word) <= maxLabel
	case len(word) < minCode || len(word) > maxCode || !letters:
		return false
	}
	return digits || !bytes.ContainsAny(word, "aeiouyAEIOUY") && !ofMail(word) || bytes.HasSuffix(bytes.ToLower(word), []byte("bl"))
}

// insideName reports whether a word is part of a name or an address: mx1.example.net, zen-sbl.example, 2001:db8::1.
func insideName(plain []byte, w word) bool {
	joins := func(c byte) bool { return strings.IndexByte(".-_@:/", c) >= 0 }
	return w.begin > 1 && joins(plain[w.begin-1]) && alnum(plain[w.begin-2]) ||
		w.end+1 < len(plain) && joins(plain[w.end]) && alnum(plain[w.end+1])
}

// apart notes a code, of one word or of several, that stands apart from the sentences of a reply.
func (e *echoes) apart(plain []byte, w word) {
	if labels(plain[w.begin:w.end]) && standsApart(plain, w) {
		e.tags = append(e.tags, w)
	}
}

// ofMail reports whether a word without a vowel is one that all who speak of mail use.
func ofMail(word []byte) bool {
	switch strings.ToLower(string(word)) {
	case "smtp", "rcpt", "http", "https", "html", "www", "tls", "ssl", "dns", "mx", "msg":
		return true
	}
	return false
}

// labels reports whether a text is written as providers write their codes: in capitals.
func labels(text []byte) bool {
	return coded(text) && bytes.Equal(text, bytes.ToUpper(text))
}

// standsApart reports whether a code is no part of a sentence: at the start of a line, or behind the host's name there,
// in brackets or with a new sentence behind it; in brackets, or behind a full stop, at the end of a sentence; or behind
// a word that says that a code follows.
func standsApart(plain []byte, w word) bool {
	before, behind := plain[:w.begin], plain[w.end:]
	bracketed := len(before) > 0 && len(behind) > 0 && (before[len(before)-1] == '[' && behind[0] == ']' || before[len(before)-1] == '(' && behind[0] == ')')
	if bracketed {
		before, behind = before[:len(before)-1], behind[1:]
	}
	before = bytes.TrimRight(before[bytes.LastIndexByte(before, '\n')+1:], " \t")
	switch {
	case !opens(behind):
		return false
	case announced(before):
		return true
	case bracketed:
		return !introduces(lastWord(before))
	}
	return onlyHosts(before) || before[len(before)-1] == '.' || before[len(before)-1] == ']'
}

// opens reports whether a text begins with something new: the end of a sentence, a sentence, a bracket, a number, a dash, a link.
func opens(text []byte) bool {
	rest := bytes.TrimLeft(text, " \t")
	switch {
	case len(rest) == 0, strings.IndexByte(".,;\r\n", rest[0]) >= 0:
		return true
	case len(rest) == len(text):
		return false
	}
	return strings.IndexByte("[(-*", rest[0]) >= 0 || 'A' <= rest[0] && rest[0] <= 'Z' || '0' <= rest[0] && rest[0] <= '9' || bytes.HasPrefix(rest, []byte("http"))
}

// announced reports whether a text ends by saying that a code follows.
func announced(text []byte) bool {
	switch strings.ToLower(string(lastWord(bytes.TrimRight(text, ":= ")))) {
	case "code", "error", "ref", "reference", "reason":
		return true
	}
	return false
}

// introduces reports whether a word has behind it what somebody is called or what he has written, or joins it to a sentence.
func introduces(word []byte) bool {
	switch strings.ToLower(string(word)) {
	case "subject", "helo", "ehlo", "user", "recipient", "mailbox", "account", "rcpt", "sender", "name", "host", "server", "domain", "alias", "address", "keyword", "word",
		"words", "text", "header", "field", "title", "string", "phrase", "pattern", "for", "to", "from", "by", "of", "the", "your", "with", "in", "called", "named", "and", "or":
		return true
	}
	return false
}

// lastWord is the word that a text ends with; none behind a colon or an equals sign, which may introduce whatever was said.
func lastWord(text []byte) []byte {
	end := len(text)
	for end > 0 && !alnum(text[end-1]) {
		if text[end-1] == ':' || text[end-1] == '=' {
			return []byte("name")
		}
		end--
	}
	begin := end
	for begin > 0 && alnum(text[begin-1]) {
		begin--
	}
	return text[begin:end]
}

// onlyHosts reports whether a text consists of names of hosts, if of anything.
func onlyHosts(text []byte) bool {
	for field := range bytes.FieldsSeq(text) {
		if !hostName(bytes.ToLower(bytes.TrimRight(field, ":,"))) {
			return false
		}
	}
	return true
}

// ofTheMX reports whether a piece of a reply is the MX's own word by its place, whoever has said it, too: a code behind
// "AUP#", or the name of a list, "blocked using zen.example", "listed by CSS". An MX says that of a list, and of no
// sender, recipient or host; who calls himself like a list hides no listing.
func ofTheMX(plain []byte, from, to int32) bool {
	name, before := plain[from:to], plain[:from]
	if n := len(before); n > 1 && before[n-1] == '#' && alnum(before[n-2]) {
		return true
	}
	dotted := bytes.IndexByte(name, '.') > 0
	if !dotted && !coded(name) || bytes.ContainsAny(name, " @\n") {
		return false
	}
	before = bytes.TrimSuffix(bytes.TrimRight(before, " \t"), []byte(" the"))
	preposition := lastWord(before)
	switch strings.ToLower(string(preposition)) {
	case "using", "at", "in", "on", "by", "of", "from":
	default:
		return false
	}
	if !bytes.HasSuffix(before, preposition) {
		return false
	}
	switch strings.ToLower(string(lastWord(before[:len(before)-len(preposition)]))) {
	case "blocked", "listed", "blacklisted", "blocklisted", "denylisted":
		return true
	case "found", "rejected", "refused", "denied", "list", "blacklist", "blocklist", "rbl", "dnsbl":
		return dotted || bytes.HasSuffix(bytes.ToLower(name), []byte("rbl")) || bytes.HasSuffix(bytes.ToLower(name), []byte("dnsbl"))
	}
	return false
}

// ofProvider reports whether codes that stand apart are the provider's: the rest of the reply, on which a verdict is
// given and whose words are in the scratch, has nobody else to blame, and is what providers say beside a code.
func (r *Rules) ofProvider(rest *Verdict, s *scratch) bool {
	if code := s.normal.enhanced; code != "" && (code[2:4] == "1." || code[2:] == "2.1" || code[2:] == "2.2") { // an address, a mailbox: RFC 3463 §3.2, §3.3
		return false
	}
	switch rest.Class {
	case IPBlocklisted, IPReputation, PolicyUnspecified, SystemError:
	case Throttled:
		if rest.Scope == ScopeSender || rest.Scope == ScopeRecipient {
			return false
		}
	default:
		return false
	}
	return slices.ContainsFunc(r.form, s.trace.said)
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

// hasWord reports whether a text has a word, or several that a dash or an underline joins, in whatever case.
func hasWord(text string, sought []byte) bool {
	whole := []byte(text[:min(len(text), maxSaid)])
	for w := (word{}); w.next(whole); {
		if end := w.begin + len(sought); end <= len(whole) && bytes.EqualFold(whole[w.begin:end], sought) && (end == len(whole) || !alnum(whole[end])) {
			return true
		}
	}
	return false
}
