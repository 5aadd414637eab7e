package find

import (
	"kanmon/internal/event"
	"kanmon/internal/event/word"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/smtp/replies"
	"kanmon/internal/view/history"
)

// A Fault is whose a refusal is.
type Fault uint8

// The faults.
const (
	FaultUnsaid    Fault = iota // the reply does not say
	FaultOurs                   // our sending IP, its network or names, or how we send
	FaultAccount                // the sender's: account, domain, message, list of recipients
	FaultRecipient              // the mailbox that was written to
	FaultReceiver               // the receiver's mail server, or the way to it
	FaultNobody                 // nobody's: it is how mail works
	FaultLimit                  // a limit or an order of this gateway, on purpose
	FaultCount
)

var faults = word.List[Fault]("fault", "unsaid", "ours", "account", "recipient", "receiver", "nobody", "limit")

// String returns the fault as JSON has it.
func (f Fault) String() string { return faults.Text(f) }

// MarshalText writes it so.
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// In says whose it is.
func (f Fault) In(l Lang) string { return faultTexts[f].in(l) }

// A Sense is what a reply means to people.
type Sense struct {
	Class   event.Class // event.Unjudged: of a reply of kanmon's own, or of none
	Own     *replies.Entry
	Rule    string
	Whose   Fault
	advised string // what the rule says that is to be done
	Lists   []classify.List
}

// Sense reads a reply that decided. What the record says of it holds; the rules are asked for what the record does not have: advice, and
// where a list takes requests.
func (f *Finder) Sense(r *history.Reply, of *history.Attempt) Sense {
	if r.Local {
		own := replies.Find(r.Text)
		return Sense{Own: own, Rule: r.Rule, Whose: ownFault(own)}
	}
	class := classOf(r.Class)
	s := Sense{Class: class, Rule: r.Rule, Whose: faultOf(class, scopeOf(r.Scope))}
	if class == event.Unjudged || f.Rules == nil {
		return s
	}
	q := classify.Query{Text: r.Text, Phase: classify.Phase(r.Phase)}
	if of != nil {
		q.Provider, q.SendingIP, q.Sender = of.Provider, of.SendingIP, of.Sender
		if len(of.Recipients) > 0 {
			q.Recipient = of.Recipients[0].Address
		}
	}
	if v := f.Rules.Classify(q); v.Class == class {
		s.advised, s.Lists = v.Advice, v.Lists
	}
	return s
}

// Meaning says in one sentence what a reply means.
func (s *Sense) Meaning(l Lang) string {
	switch {
	case s.Own != nil:
		return ownMeaning(s.Own, l)
	case s.Class == event.Unjudged && s.Whose == FaultLimit:
		return ownUnknown.in(l)
	default:
		return classTexts[s.Class].meaning.in(l)
	}
}

// Advice says what the operator should do. What a rule advises is in English.
func (s *Sense) Advice(l Lang) string {
	switch {
	case s.Own != nil:
		return ownAdvice(s.Own, l)
	case s.advised != "" && l == English:
		return s.advised
	default:
		return classTexts[s.Class].do.in(l)
	}
}

// Meaning says in one sentence what a class of refusals means.
func Meaning(c event.Class, l Lang) string { return classTexts[c].meaning.in(l) }

// Advice says what the operator should do about a class of refusals.
func Advice(c event.Class, l Lang) string { return classTexts[c].do.in(l) }

// Whose says whose refusals of a class are, where their scope is not known.
func Whose(c event.Class) Fault { return classTexts[c].whose }

// ClassOf returns the class that records have by that name.
func ClassOf(name string) event.Class { return classOf(name) }

func classOf(name string) event.Class {
	for c := event.Unjudged; c < event.ClassCount; c++ {
		if c.String() == name {
			return c
		}
	}
	return event.Unjudged
}

func scopeOf(name string) event.Scope {
	for s := event.Unscoped; s < event.ScopeCount; s++ {
		if s.String() == name {
			return s
		}
	}
	return event.Unscoped
}

// faultOf goes by the scope, where that says whose it is; else by the class.
func faultOf(c event.Class, s event.Scope) Fault {
	if c == event.Greylisted {
		return FaultNobody
	}
	switch s {
	case event.ScopeIP, event.ScopeNetblock, event.ScopeConnections, event.ScopeHost:
		return FaultOurs
	case event.ScopeSender, event.ScopeMessage, event.ScopeTransaction:
		return FaultAccount
	case event.ScopeRecipient:
		return FaultRecipient
	case event.ScopeReceiver:
		return FaultReceiver
	default:
		return classTexts[c].whose
	}
}

// ForSender says what a class of refusals means to whoever sent the mail, and what he can do; "" where that is nothing.
func ForSender(c event.Class, l Lang) (says, remedy string) {
	return classTexts[c].customer.in(l), classTexts[c].remedy.in(l)
}
