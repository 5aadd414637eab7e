package days

import (
	"strings"

	"github.com/dchest/siphash"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A term is what a line is found by: the hash of a word with the letter of what it is. It has 47 bits, the most that SQLite writes in six octets; whoever
// finds a line by it looks whether the line has the word.
type term = int64

const (
	byRecipient = 'r'
	byDomain    = 'd'
	bySender    = 's'
	byAccount   = 'a'
	byIdentity  = 'i' // a message id, a queue id of the MSA or the MX, a reference
	byMX        = 'x'
	bySession   = 'e'
	byMail      = 'm'
)

func hashOf(kind byte, words ...string) int64 {
	buf := make([]byte, 0, 96)
	buf = append(buf, kind)
	for _, w := range words {
		buf = append(buf, 0)
		buf = append(buf, w...)
	}
	return int64(siphash.Hash(0x6b616e6d6f6e, 0x686973746f7279, buf) >> 17) //nolint:gosec // 47 bits
}

func termOfSession(session event.ID) term { return hashOf(bySession, session.String()) }

func termOfMail(mail int64) term { return hashOf(byMail, mailName(mail)) }

// fold is the form in which addresses are compared.
func fold(address string) string { return strings.ToLower(address) }

func domainOf(address string) string { return fold(address[strings.LastIndexByte(address, '@')+1:]) }

// termsOf gives what an attempt is found by.
func termsOf(a *history.Attempt) []term {
	terms := []term{hashOf(bySender, fold(a.Sender)), hashOf(byMX, a.Destination.Addr().String())}
	if a.Account != "" {
		terms = append(terms, hashOf(byAccount, a.Account))
	}
	for _, id := range [...]string{a.MessageID, a.QueueID, a.MXQueueID, a.Reference} {
		if id != "" {
			terms = append(terms, hashOf(byIdentity, id))
		}
	}
	last := ""
	for _, r := range a.Recipients {
		terms = append(terms, hashOf(byRecipient, fold(r.Address)))
		if d := domainOf(r.Address); d != last {
			terms, last = append(terms, hashOf(byDomain, d)), d
		}
	}
	return terms
}

// wanted gives the terms that a line must all have for a filter, and reports whether there are any.
func wanted(of *history.Filter) (terms []term) {
	add := func(kind byte, word string) {
		if word != "" {
			terms = append(terms, hashOf(kind, word))
		}
	}
	switch domain, is := strings.CutPrefix(of.Recipient, "@"); {
	case is:
		add(byDomain, fold(domain))
	default:
		add(byRecipient, fold(of.Recipient))
	}
	add(byIdentity, of.ID)
	if mail, ok := mailNamed(of.Mail); ok && mail&byID != 0 {
		terms = append(terms, termOfMail(mail))
	}
	if of.Session != 0 {
		terms = append(terms, termOfSession(of.Session))
	}
	if of.Sender != "" {
		terms = append(terms, hashOf(bySender, fold(of.Sender)))
	}
	add(byAccount, of.Account)
	if of.MX.IsValid() {
		terms = append(terms, hashOf(byMX, of.MX.String()))
	}
	return terms
}

// meets reports whether an attempt is what a filter asks for.
func meets(of *history.Filter, a *history.Attempt, e *event.Entry) bool {
	is := func(want, has string) bool { return want == "" || want == has }
	switch {
	case !is(of.Gateway, a.Gateway), !is(of.Tenant, a.Tenant), !is(of.Account, a.Account), !is(of.Provider, a.Provider),
		!is(fold(of.Sender), fold(a.Sender)), !is(of.Mail, a.Mail),
		of.SendingIP.IsValid() && of.SendingIP != a.SendingIP, of.MX.IsValid() && of.MX != a.Destination.Addr(),
		of.Session != 0 && of.Session != a.Session,
		of.ID != "" && of.ID != a.MessageID && of.ID != a.QueueID && of.ID != a.MXQueueID && of.ID != a.Reference,
		!of.From.IsZero() && a.At.Before(of.From), !of.To.IsZero() && !a.At.Before(of.To):
		return false
	}
	return meetsRecipient(of.Recipient, a) && meetsOutcome(of.Outcomes, a.Outcome) && meetsRefusal(of, e)
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

func meetsOutcome(want []string, has string) bool {
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
		if byDomain && domainOf(r.Address) == fold(domain) || fold(r.Address) == fold(want) {
			return true
		}
	}
	return false
}
