package classify

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
)

// Whose listing it is stands in the clause that names the list: "origin 198.51.100.7 is on SpamCop, 203.0.113.10 forwarded it".

// clausal lets a verdict that our IP is listed stand only if that clause, or the nearest one in front of it that tells
// whose it is, is not about a stranger: by address, or by a host's name where we know the names of ours.
func (v *Verdict) clausal(q *Query, s *scratch, plain []byte) {
	if v.Suspend == No || v.Class != IPBlocklisted || !q.SendingIP.IsValid() || v.Scope == ScopeNetblock {
		return
	}
	clauses := bytes.FieldsFunc([]byte(joined.Replace(string(plain))), func(r rune) bool { return strings.ContainsRune(",;()\n", r) })
	at := 0
	for ; at < len(clauses) && !namesList(clauses[at], v.Lists); at++ {
	}
	if at == len(clauses) {
		return
	}
	s.side.read(string(plain))
	quotes := s.side.whose(q.SendingIP)
	for i := at; i >= 0; i-- {
		clause := clauses[i]
		switch {
		case !relative(clause):
		case i < at && i > 0: // it is about whom the next one is about, too
			continue
		case i > 1 && len(bytes.Fields(clauses[i-1])) == 1 && s.ofLast(clauses[i-2], nil, q.SendingIP) == quotesOurs: // our name, in brackets
		case i > 0:
			if quotes != quotesNone && s.ofLast(clauses[i-1], clause, q.SendingIP) == quotesOther {
				v.Suspend, v.Scope, v.Guard, v.Only = No, ScopeUnknown, GuardOther, false
				return
			}
			if len(q.EHLO) > 0 && quotes != quotesNone && s.endsWithHost(clauses[i-1]) {
				v.Suspend, v.Scope, v.Guard, v.Only = No, ScopeUnknown, GuardName, false
				return
			}
			clause = slices.Concat(clauses[i-1], []byte{' '}, clause)
		}
		s.side.read(string(clause))
		switch here := s.side.whose(q.SendingIP); {
		case here == quotesOther && quotes == quotesBoth:
			v.Suspend, v.Scope, v.Guard, v.Only = No, ScopeUnknown, GuardOther, false
			return
		case here != quotesNone:
			return
		case i == at && len(q.EHLO) > 0 && namesHost(s.side.text):
			v.Only = false
			if v.Suspend, v.Guard = May, GuardName; quotes != quotesNone {
				v.Suspend, v.Scope = No, ScopeUnknown
			}
			return
		}
	}
}

// relative reports whether a clause says something of who stands last in the one in front of it: "which is on", "listed at".
func relative(clause []byte) bool {
	var first []byte
	for word := range bytes.FieldsSeq(clause) {
		if first = word; !bytes.EqualFold(word, []byte("and")) && !bytes.EqualFold(word, []byte("a")) {
			break
		}
	}
	switch strings.ToLower(string(first)) {
	case "which", "that", "who", "whose", "latter", "host", "server", "listed", "blacklisted", "blocklisted", "found", "gelistet", "geblacklistet", "liste", "listee", "listado", "listada", "elencato", "die", "der", "das", "welche", "welcher", "welches", "qui", "que", "che", "il",
		"ktory", "ktora", "dat", "wat", "которыи", "которая", "которого", "その":
		return true
	}
	return false
}

// endsWithHost reports whether a clause ends with a host that something is done for, or comes from: "203.0.113.10
// relayed mail for web3.shop.example".
func (s *scratch) endsWithHost(clause []byte) bool {
	s.side.read(string(clause))
	words := bytes.Fields(s.side.text)
	return len(words) > 2 && preposition(words[len(words)-2]) && hostName(words[len(words)-1])
}

// ofLast says whose the last address of a clause is that a relative clause without one follows.
func (s *scratch) ofLast(clause, relative []byte, ours netip.Addr) whose {
	if s.side.read(string(relative)); s.side.whose(ours) != quotesNone {
		return quotesNone
	}
	last := quotesNone
	for word := range bytes.FieldsSeq(clause) {
		s.side.read(string(word))
		if whose := s.side.whose(ours); whose != quotesNone {
			last = whose
		}
	}
	return last
}

// joined takes what opens and closes clauses for what it is.
var joined = strings.NewReplacer("->", ";", " which ", "; which ", " that is ", "; that is ", " that was ", "; that was ", " who ", "; who ", " qui ", "; qui ", " and that one ", "; that one ", " and the latter ", "; which ", " whose ", "; whose ", " [listed", "; listed", " [gelistet", "; listed", " das ", "; das ")

// namesList reports whether a clause names a list, or says that something is listed.
func namesList(clause []byte, lists []List) bool {
	lower := bytes.ToLower(clause)
	for _, l := range lists {
		if l.Zone != "" && bytes.Contains(lower, []byte(strings.ToLower(l.Zone))) {
			return true
		}
		for part := range strings.SplitSeq(strings.ToLower(l.Name), "-") {
			if len(part) >= minCode && bytes.Contains(lower, []byte(part)) {
				return true
			}
		}
	}
	for _, word := range []string{"listed", "blacklist", "blocklist", "rbl", "dnsbl"} {
		if bytes.Contains(lower, []byte(word)) {
			return true
		}
	}
	return false
}

// namesHost reports whether a host that is not ours, whose names are blanked, is what a normalised text says is on a
// list: at once behind its name. An MX's own name stands at the front of what it says, and not there.
func namesHost(text []byte) bool {
	var before []byte
	for word := range bytes.FieldsSeq(text) {
		switch string(word) {
		case "is", "was", "listed", "blacklisted", "blocklisted", "on", "which", "that", "who", "found":
			if hostName(before) && letter(before[len(before)-1]) {
				return true
			}
		}
		before = word
	}
	return false
}

// ofStranger reports whether it is a stranger alone of whom a reply that quotes his address and ours says what blames
// an IP: "198.51.100.7 is known for spam; you, 203.0.113.10, have relayed it".
func (r *Rules) ofStranger(q *Query, s *scratch, v *Verdict, plain []byte) bool {
	if v.Suspend == No || v.Class != IPReputation || !q.SendingIP.IsValid() {
		return false
	}
	if s.side.read(string(plain)); s.side.whose(q.SendingIP) != quotesBoth {
		return false
	}
	alone, theirs := *q, false
	alone.SendingIP = netip.Addr{} // whose it is is asked here
	for sentence := range bytes.SplitSeq(bytes.ReplaceAll(plain, []byte(". "), []byte(";")), []byte(";")) {
		s.side.read(string(sentence))
		here := s.side.whose(q.SendingIP)
		if said := r.judge(&alone, s, sentence); !said.blamesIP() {
			continue
		}
		if here != quotesOther {
			return false
		}
		theirs = true
	}
	return theirs
}
