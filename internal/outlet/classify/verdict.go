package classify

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Phase is the step of the session that was answered, by the name that records and logs give it: banner, ehlo, rcpt, dot.
type Phase string

// A Query is a reply and what is known around it. Only Text is needed.
type Query struct {
	Text     string // the whole reply: code, enhanced code, lines separated by \n
	Phase    Phase
	Provider string

	// SendingIP is our address as the MX sees it. Without it a verdict is about the text alone: nobody has looked
	// whether an address that the reply quotes is ours.
	SendingIP netip.Addr

	// What the session has said. Where the reply repeats it, it is no evidence.
	Sender    string   // as in MAIL, without the angle brackets
	Recipient string   // as in RCPT, without them
	EHLO      []string // the MSA's name and ours
	Subject   string   // of the message, as it stands in its header; of several fields a line each
	Said      []string // whatever else: further recipients, other fields of the header
}

// A Verdict is what a reply means.
type Verdict struct {
	Class      Class
	Scope      Scope
	Suspend    Suspend
	Count      Count // what there was too much of; event.Uncounted: the rule does not say
	Only       bool  // the words blame nothing but our IP: neither content nor sender nor recipient
	Lists      []List
	Rule       string         // the name of the rule that decided
	Source     string         // the document the rule is from
	Advice     string         // what the rule says that the operator should do; "" for what its class demands
	Guard      string         // why Suspend is less than the rule says; "" if it is not
	Quoted     []netip.Prefix // the addresses and networks that the reply quotes
	RetryAfter time.Duration  // when to come back, if the reply says so
}

// What Verdict.Guard and Verdict.Rule may say beside names of rules.
const (
	GuardOther = "quotes another address" // the listing may be true, but is not ours
	GuardBoth  = "quotes another, too"    // one of them is listed
	GuardName  = "names another host"     // and does not say that it is ours
	GuardWeak  = "weight of the list"     // every list named is one that nobody should act on alone

	ruleNone      = "no rule"
	rulePositive  = "positive reply"
	ruleExplained = "page of the sender's domain"
	ruleRange     = "network that our IP is in"
)

// scratch is what classifying needs beside the result.
type scratch struct {
	normal normal
	side   normal // of part of a reply
	echoes echoes
	trace  trace // of the text without the addresses that it quotes
	quoted trace // of the text with them
	url    []byte

	decided  *rule  // the rule that decided; nil: none
	heard    []bool // by rule: one of its any was found
	nameless []byte // see beside
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Classify says what a reply means. It is safe for concurrent use.
func (r *Rules) Classify(q Query) Verdict {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	q.Sender, q.Recipient = strings.Trim(q.Sender, "<> "), strings.Trim(q.Recipient, "<> ")
	s.normal.open(q.Text)
	// A banner of 220 that talks of block lists lets us in all the same.
	if code := s.normal.code; code >= 200 && code < 400 {
		return Verdict{Class: ClassNone, Scope: ScopeUnknown, Rule: rulePositive}
	}
	certain := s.echoes.certain(s.normal.plain, &q)
	v := r.judge(&q, s, certain)
	if rest, theirs := r.beside(&q, &v, s, certain); theirs {
		return rest
	}
	if v.blamesIP() {
		if rest, theirs := r.explained(&q, s); theirs {
			return rest
		}
		if r.ofStranger(&q, s, &v, s.echoes.blank(s.normal.plain)) {
			v.Suspend, v.Scope, v.Guard, v.Only = No, ScopeUnknown, GuardOther, false
			return v
		}
	}
	if v.blamesIP() || len(v.Lists) > 0 {
		if plain, found := s.echoes.doubtful(s.normal.plain, &q); found {
			without := r.judge(&q, s, plain)
			if len(s.echoes.tags) > 0 {
				if rest := r.judge(&q, s, s.echoes.codesAs(markNone, s.normal.plain)); r.ofProvider(&rest, s) {
					without = r.judge(&q, s, s.echoes.codesAs(0, s.normal.plain))
				}
			}
			if v.blamesIP() && (without.Suspend < v.Suspend || !without.blamesIP()) {
				return without
			}
			v.Only, v.Lists = v.Only && without.Only, without.Lists
		}
	}
	return v
}

// blamesIP reports whether a verdict is about our IP.
func (v *Verdict) blamesIP() bool {
	return v.Suspend != No || v.Class == IPBlocklisted || v.Class == IPReputation || v.Class == DNSIdentity
}

// judge says what the words of a reply mean.
func (r *Rules) judge(q *Query, s *scratch, plain []byte) Verdict {
	s.normal.read(string(plain))
	whole := &s.trace
	if s.normal.unquote(func(url []byte) bool { return r.leadsToList(url, s) }) {
		whole = &s.quoted
		r.found.run(s.normal.quoting, whole)
	}
	r.found.run(s.normal.unquoted, &s.trace)
	s.decided = nil
	v := Verdict{Class: PolicyUnspecified, Scope: ScopeUnknown, Rule: ruleNone, Quoted: s.normal.addresses()}
	s.heard = append(s.heard[:0], make([]bool, len(r.rules))...)
	r.hear(&s.trace, s.heard, false)
	r.hear(whole, s.heard, true)
	for i := range r.rules {
		decided, said := &r.rules[i], &s.trace
		if len(decided.any) > 0 && !s.heard[i] {
			continue
		}
		if decided.quoting {
			said = whole
		}
		if decided.holds(q, &s.normal, said) {
			s.decided = decided
			v.Class, v.Scope, v.Suspend, v.Count = decided.class, decided.scope, decided.suspend, decided.count
			v.Rule, v.Source, v.Advice = decided.name, decided.source, decided.advice
			v.Lists = r.namedBy(decided, s)
			break
		}
	}
	v.Only = v.Suspend != No && (v.Class == IPBlocklisted || v.Class == IPReputation) && !r.shared(q, s)
	r.weigh(&v)
	v.clausal(q, s, plain)
	quotes := s.normal.whose(q.SendingIP)
	v.guard(quotes)
	v.ofRange(quotes)
	v.RetryAfter = retryAfter(s.normal.text)
	return v
}

// hear notes for which rules of a kind a trace has one of the phrases that they ask for. Of the others nothing else need be looked at.
func (r *Rules) hear(t *trace, heard []bool, quoting bool) {
	for _, place := range t.met {
		for _, i := range r.asked[place] {
			heard[i] = heard[i] || r.rules[i].quoting == quoting
		}
	}
}

// shared reports whether a reply also says in so many words that somebody else is to blame.
func (r *Rules) shared(q *Query, s *scratch) bool {
	for i := range r.rules {
		if o := &r.rules[i]; o.shares && o.holds(q, &s.normal, &s.trace) {
			return true
		}
	}
	return false
}

// leadsToList reports whether a URL, a word of a normalised text, is of a block list.
func (r *Rules) leadsToList(url []byte, s *scratch) bool {
	s.url = append(append(append(s.url[:0], ' '), url...), ' ')
	r.found.run(s.url, &s.quoted)
	return slices.ContainsFunc(r.lists, func(l knownList) bool {
		return slices.ContainsFunc(l.ids, s.quoted.said)
	})
}

// namedBy returns the lists that a reply names, or that the rule says it means.
func (r *Rules) namedBy(decided *rule, s *scratch) []List {
	lists := r.named(&s.trace)
	if len(lists) > 0 {
		return lists
	}
	for _, i := range decided.lists {
		lists = append(lists, r.lists[i].List)
	}
	if len(lists) == 0 && decided.class == IPBlocklisted {
		if zone, ok := unlisted(s.normal.text); ok {
			lists = append(lists, zone)
		}
	}
	return lists
}

// weigh softens a listing that rests on lists of little weight alone.
func (r *Rules) weigh(v *Verdict) {
	if v.Class != IPBlocklisted || v.Suspend == No || len(v.Lists) == 0 {
		return
	}
	most := No
	for _, l := range v.Lists {
		most = max(most, r.worth[l.Weight])
	}
	if most < v.Suspend {
		v.Suspend, v.Guard = most, GuardWeak
	}
}

// guard lets a verdict against our IP stand only if the reply quotes our IP, or none. An MX must not be able to shut an IP
// by naming another tenant's, nor a neighbour's listing be taken for ours.
func (v *Verdict) guard(quotes whose) {
	switch {
	case v.Suspend == No:
	case quotes == quotesOther, quotes == quotesNeighbour && v.Scope != ScopeNetblock:
		v.Suspend, v.Scope, v.Guard, v.Only = No, ScopeUnknown, GuardOther, false
	case quotes == quotesBoth:
		v.Only = false
		if v.Suspend == Yes {
			v.Suspend, v.Guard = May, GuardBoth
		}
	case quotes == quotesRange:
		v.Scope = ScopeNetblock
	}
}

// ofRange takes a refusal that says nothing but a network that our IP is in for one of that network. Receivers quote
// the address that connects whatever they refuse; its network they quote because that is what they refuse.
func (v *Verdict) ofRange(quotes whose) {
	if quotes == quotesRange && v.Class == PolicyUnspecified {
		*v = Verdict{Class: IPReputation, Scope: ScopeNetblock, Suspend: May, Only: true, Rule: ruleRange, Quoted: v.Quoted}
	}
}
