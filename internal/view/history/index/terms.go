package index

import (
	"strings"

	"github.com/dchest/siphash"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Term is what a line is found by: the hash of a word with the letter of what it is. It has 47 bits, the most that SQLite writes in six octets; whoever
// finds a line by it looks whether the line has the word.
type Term = int64

const (
	byRecipient = 'r'
	byDomain    = 'd'
	bySender    = 's'
	byAccount   = 'a'
	// ByIdentity is the letter of ids.
	ByIdentity = 'i' // a message id, a queue id of the MSA or the MX, a reference
	byMX       = 'x'
	bySession  = 'e'
	byMail     = 'm'
)

// Hash is that of words of one kind.
func Hash(kind byte, words ...string) int64 {
	buf := make([]byte, 0, 96)
	buf = append(buf, kind)
	for _, w := range words {
		buf = append(buf, 0)
		buf = append(buf, w...)
	}
	return int64(siphash.Hash(0x6b616e6d6f6e, 0x686973746f7279, buf) >> 17) //nolint:gosec // 47 bits
}

// OfSession is by what lines of a session are found.
func OfSession(session event.ID) Term { return Hash(bySession, session.String()) }

// OfMail is by what attempts of a mail are found.
func OfMail(mail int64) Term { return Hash(byMail, MailName(mail)) }

// Fold is the form in which addresses are compared.
func Fold(address string) string { return strings.ToLower(address) }

func domainOf(address string) string { return Fold(address[strings.LastIndexByte(address, '@')+1:]) }

// Terms gives what an attempt is found by.
func Terms(a *history.Attempt) []Term {
	terms := []Term{Hash(bySender, Fold(a.Sender)), Hash(byMX, a.Destination.Addr().String())}
	if a.Account != "" {
		terms = append(terms, Hash(byAccount, a.Account))
	}
	for _, id := range [...]string{a.MessageID, a.QueueID, a.MXQueueID, a.Reference} {
		if id != "" {
			terms = append(terms, Hash(ByIdentity, id))
		}
	}
	last := ""
	for _, r := range a.Recipients {
		terms = append(terms, Hash(byRecipient, Fold(r.Address)))
		if d := domainOf(r.Address); d != last {
			terms, last = append(terms, Hash(byDomain, d)), d
		}
	}
	return terms
}

// Wanted gives the terms that a line must all have for a filter, and reports whether there are any.
func Wanted(of *history.Filter) (terms []Term) {
	add := func(kind byte, word string) {
		if word != "" {
			terms = append(terms, Hash(kind, word))
		}
	}
	switch domain, is := strings.CutPrefix(of.Recipient, "@"); {
	case is:
		add(byDomain, Fold(domain))
	default:
		add(byRecipient, Fold(of.Recipient))
	}
	add(ByIdentity, of.ID)
	if mail, ok := MailNamed(of.Mail); ok && mail&ByID != 0 {
		terms = append(terms, OfMail(mail))
	}
	if of.Session != 0 {
		terms = append(terms, OfSession(of.Session))
	}
	if of.Sender != "" {
		terms = append(terms, Hash(bySender, Fold(of.Sender)))
	}
	add(byAccount, of.Account)
	if of.MX.IsValid() {
		terms = append(terms, Hash(byMX, of.MX.String()))
	}
	return terms
}

// Meets reports whether an attempt is what a filter asks for.
func Meets(of *history.Filter, a *history.Attempt, e *event.Entry) bool {
	is := func(want, has string) bool { return want == "" || want == has }
	switch {
	case !is(of.Gateway, a.Gateway), !is(of.Tenant, a.Tenant), !is(of.Account, a.Account), !is(of.Provider, a.Provider),
		!is(Fold(of.Sender), Fold(a.Sender)), !is(of.Mail, a.Mail),
		of.SendingIP.IsValid() && of.SendingIP != a.SendingIP, of.MX.IsValid() && of.MX != a.Destination.Addr(),
		of.Session != 0 && of.Session != a.Session,
		of.ID != "" && of.ID != a.MessageID && of.ID != a.QueueID && of.ID != a.MXQueueID && of.ID != a.Reference,
		!of.From.IsZero() && a.At.Before(of.From), !of.To.IsZero() && !a.At.Before(of.To):
		return false
	}
	return meetsRecipient(of.Recipient, a) && MeetsOutcome(of.Outcomes, a.Outcome) && meetsRefusal(of, e)
}

// meetsRefusal reports whether a refusal of a line, not only that which decided, has the class and the shape asked for.
func meetsRefusal(of *history.Filter, e *event.Entry) bool {
	if of.Class == "" && of.Shape == "" {
		return true
	}
	for _, r := range history.Refusals(e) {
		if (of.Class == "" || of.Class == r.Class) && (of.Shape == "" || of.Shape == r.Shape) {
			return true
		}
	}
	return false
}

// MeetsOutcome reports whether an outcome is one that is asked for; none: any is.
func MeetsOutcome(want []string, has string) bool {
	for _, w := range want {
		if w == has {
			return true
		}
	}
	return len(want) == 0
}

func meetsRecipient(want string, a *history.Attempt) bool {
	if want == "" {
		return true
	}
	domain, byDomain := strings.CutPrefix(want, "@")
	for _, r := range a.Recipients {
		if byDomain && domainOf(r.Address) == Fold(domain) || Fold(r.Address) == Fold(want) {
			return true
		}
	}
	return false
}
