package event

import "slices"

// Fate is what became of a recipient.
type Fate uint8

// The fates.
const (
	FateNotSent   Fate = iota // nobody has refused it, and the mail was not sent
	FateDelivered             // the MX took the message for it
	FateRefused               // for good (5xx)
	FateDeferred              // for now (4xx): the MSA has it in its queue
	FateUnknown               // the dot was sent and no reply came: only the MX knows
	FateCount
)

// String returns the fate as it stands in the records.
func (f Fate) String() string {
	return [...]string{"not_sent", "delivered", "refused", "deferred", "unknown"}[f]
}

// Decides is the reply that decides about a recipient whose own is given: its own or, where that is a yes, the one that
// all recipients share. Nil: there is none.
func (t *Transaction) Decides(own *Reply) *Reply {
	switch {
	case t.Mail.Code >= 400: // what is said to its recipients says no more than that
		return &t.Mail
	case own.Code >= 400:
		return own
	case own.Code == 0:
		return nil
	case t.Dot.Code != 0:
		return &t.Dot
	case t.Data.Code >= 400:
		return &t.Data
	default:
		return nil
	}
}

// Fate is what became of a recipient with this reply.
func (t *Transaction) Fate(own *Reply) Fate {
	by := t.Decides(own)
	switch {
	case own.Code/100 == 2 && t.Outcome == OutcomeAmbiguous:
		return FateUnknown
	case by == nil:
		return FateNotSent
	case by.Code/100 == 2 && (t.Outcome == OutcomeDelivered || t.Outcome == OutcomeOrphanAck):
		return FateDelivered
	}
	switch by.class() {
	case 4:
		return FateDeferred
	case 5:
		return FateRefused
	default:
		return FateNotSent
	}
}

// Results counts all recipients by their fate, those beyond the recorded ones included.
func (t *Transaction) Results() (n [FateCount]int) {
	for i := range t.Recipients {
		n[t.Fate(&t.Recipients[i].Reply)]++
	}
	rest := t.MoreRcpts
	for i, more := range t.more {
		n[t.Fate(&Reply{Code: (i + 2) * 100})] += int(more)
		rest -= int(more)
	}
	n[t.Fate(&Reply{})] += rest
	return n
}

// AnswerMore counts the answer to a recipient beyond the recorded ones.
func (t *Transaction) AnswerMore(class int) { t.more[min(max(class, 2), 5)-2]++ }

// By says who has decided about a recipient with this reply, or ended the mail before anybody had.
func (t *Transaction) By(own *Reply) Side {
	switch by := t.Decides(own); {
	case by == nil:
		return t.EndedBy
	case by.ours():
		return ByKanmon
	default:
		return ByMX
	}
}

// Decided says who has decided what became of the mail. What an MX has refused is the MX's doing, whatever kanmon made of it for the MSA; of what was put off
// or refused with no such reply, kanmon's own, unless it was the MX that was lost.
func (t *Transaction) Decided() Side {
	class := 5
	switch t.Outcome {
	case OutcomeDelivered, OutcomeAmbiguous, OutcomeOrphanAck:
		return ByMX
	case OutcomeDeferred:
		class = 4
	case OutcomeRefused:
	default:
		return t.EndedBy
	}
	if t.EndedBy == ByMX || t.Mail.refuses(class) || t.Data.refuses(class) || t.Dot.refuses(class) || t.MoreRcpts > 0 && t.RcptsRefused > 0 {
		return ByMX
	}
	for i := range t.Recipients {
		if t.Recipients[i].Reply.refuses(class) {
			return ByMX
		}
	}
	return ByKanmon
}

// A Meaning is what a refusal of an MX was taken for, or which rule of ours made kanmon refuse.
type Meaning struct {
	Class Class
	Scope Scope
	Rule  string
	Lists []string
}

// Bounds of what is kept of a transaction: its recipients are mostly refused for a few reasons. From the 129th on the
// lists are left out, which strangers can make up without end, and from the 201st on the rule: class and scope there is
// always room for.
const (
	maxListed   = 128
	maxRuled    = 200
	maxMeanings = 255
)

// Means adds a meaning and gives the number by which replies refer to it; 0 where there is none.
func (t *Transaction) Means(m Meaning) uint8 {
	if m.Class == Unjudged && m.Rule == "" {
		return 0
	}
	if t.meanings == nil {
		t.meanings = new([]Meaning)
	}
	at := t.meaningAt(&m)
	if n := len(*t.meanings); at == 0 && n >= maxListed {
		m.Lists = nil
		if n >= maxRuled {
			m.Rule = ""
		}
		at = t.meaningAt(&m)
	}
	if at > 0 || len(*t.meanings) >= maxMeanings {
		return at
	}
	*t.meanings = append(*t.meanings, m)
	return uint8(len(*t.meanings))
}

// meaningAt returns the number of a meaning that is there; 0: it is not.
func (t *Transaction) meaningAt(m *Meaning) uint8 {
	for i := range *t.meanings {
		if (*t.meanings)[i].same(m) {
			return uint8(i + 1)
		}
	}
	return 0
}

// Meaning returns that of a reply of the transaction; the zero Meaning if there is none.
func (t *Transaction) Meaning(r *Reply) (m Meaning) {
	if r.Meaning > 0 && t.meanings != nil {
		m = (*t.meanings)[r.Meaning-1]
	}
	return m
}

func (m *Meaning) same(other *Meaning) bool {
	return m.Class == other.Class && m.Scope == other.Scope && m.Rule == other.Rule && slices.Equal(m.Lists, other.Lists)
}
