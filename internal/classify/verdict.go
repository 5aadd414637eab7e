package classify

import (
	"net/netip"
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
}

// A Verdict is what a reply means.
type Verdict struct {
	Class      Class
	Scope      Scope
	Suspend    Suspend
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
	GuardWeak  = "weight of the list"     // every list named is one that nobody should act on alone

	ruleNone     = "no rule"
	rulePositive = "positive reply"
)

// scratch is what classifying needs beside the result.
type scratch struct {
	normal normal
	trace  trace
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Classify says what a reply means. It is safe for concurrent use.
func (r *Rules) Classify(q Query) Verdict {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.normal.open(q.Text)
	s.normal.read(string(s.normal.plain))
	// A banner of 220 that talks of block lists lets us in all the same.
	if code := s.normal.code; code >= 200 && code < 400 {
		return Verdict{Class: ClassNone, Rule: rulePositive}
	}
	r.found.run(s.normal.text, &s.trace)
	v := Verdict{Class: PolicyUnspecified, Rule: ruleNone, Quoted: s.normal.addresses()}
	for i := range r.rules {
		if decided := &r.rules[i]; decided.holds(&q, &s.normal, &s.trace) {
			v.Class, v.Scope, v.Suspend = decided.class, decided.scope, decided.suspend
			v.Rule, v.Source, v.Advice = decided.name, decided.source, decided.advice
			v.Lists = r.namedBy(decided, s)
			break
		}
	}
	r.weigh(&v)
	v.guard(s.normal.whose(q.SendingIP))
	v.RetryAfter = retryAfter(s.normal.text)
	return v
}

// namedBy gives the lists that a reply names, or that the rule says it means.
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
		v.Suspend, v.Scope, v.Guard = No, ScopeUnknown, GuardOther
	case quotes == quotesRange:
		v.Scope = ScopeNetblock
	}
}
