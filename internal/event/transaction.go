package event

import "time"

// A Transaction is MAIL … end of data.
type Transaction struct {
	Number       int           // 1 for the first of the session
	At           time.Duration // MAIL, since the session began
	Sender       Span          // as inside the angle brackets: not sanitised
	Tenant       Span          // whose mail it is; empty: nobody knows
	Account      Span
	Mail         Reply
	Recipients   []Recipient
	MoreRcpts    int           // recipients beyond the recorded ones
	RcptsRefused int           // recipients, those included, whose RCPT the MX has answered with 4xx or 5xx
	more         [4]uint32     // of them, those that were answered: by the first digit of that, from 2
	meanings     *[]Meaning    // that replies refer to
	Suspicion    *Suspicion    // nil: nobody has asked
	Identity     *Identity     // of the message; nil: it is not looked for, or has none
	Data         Reply         // reply to DATA
	Body         time.Duration // 354 relayed → dot read from the MSA
	Window       time.Duration // that the MX's window kept octets of the message from being written; of the connection it went to last
	Stalled      time.Duration // of it this process stood still
	BodyBytes    int64         // octets of the body as the MSA sent it, dot-stuffing and stripped fields included, dot excluded
	Dot          Reply         // reply to the dot
	Content      *Content      // how its content was judged; nil: nobody was to
	Outcome      Outcome
	EndedBy      Side   // who ended it, where no reply has decided
	Leg          uint16 // the connection to an MX that it ended on; 0: none
	octets       uint32 // of its texts, as far as they are kept
	Cause        string // why, where the replies do not say it; "" otherwise
}

// A Recipient is one RCPT of a transaction.
type Recipient struct {
	Address Span // as inside the angle brackets: not sanitised
	Reply   Reply
	Trust   *Trust // what its domain asks of the TLS with the MX; the same for all of the domain; nil: nothing is to be said
}

// An Identity is how others name a message.
type Identity struct {
	MessageID Span      // without its angle brackets; empty: it has none
	QueueID   Span      // of the MTA that it came from, as far as that is known
	Received  time.Time // by that one, likewise
}

// A Side is one that ends a transaction, or decides about a recipient.
type Side uint8

// The sides.
const (
	ByMSA Side = iota
	ByMX
	ByKanmon
)

// String returns the side as it stands in the records.
func (s Side) String() string { return [...]string{"msa", "mx", "kanmon"}[s] }

// Outcome says how a transaction ended, for the MSA and for the MX.
type Outcome uint8

// The outcomes of a transaction.
const (
	OutcomeNone      Outcome = iota
	OutcomeDelivered         // the MX answered the dot with 2xx and the MSA was told
	OutcomeRefused           // the MX refused for good (5xx) at MAIL, at every RCPT, at DATA or at the dot
	OutcomeDeferred          // the MX refused for now (4xx), or was lost before the dot was sent
	OutcomeReset             // the MSA gave it up itself: RSET, EHLO, QUIT
	OutcomeAborted           // kanmon cut it before the dot: MSA lost, bad body, limit, refused account, drain
	OutcomeWithheld          // the MSA was gone when its dot arrived; the dot was not sent to the MX
	OutcomeAmbiguous         // the dot was sent and no reply came: only the MX knows
	OutcomeOrphanAck         // the MX answered 2xx, but the MSA was gone and could not be told
)

// String returns the outcome as it stands in the records.
func (o Outcome) String() string {
	return [...]string{"none", "delivered", "refused", "deferred", "reset", "aborted", "withheld", "ambiguous", "orphan_ack"}[o]
}

// OfReplies is how a transaction ended that was not delivered: by the MX's replies and what the MSA was told in their
// place, else by the MSA's wish. What kanmon itself said of a message decides nothing: it does not know.
func (t *Transaction) OfReplies() Outcome {
	classes := []int{t.Mail.class(), t.Data.class()}
	if len(t.Recipients) > 0 {
		worst := 5
		for i := range t.Recipients {
			worst = min(worst, t.Recipients[i].Reply.class()) // one accepted recipient: not refused here; one 4xx: worth another try
		}
		rest := t.MoreRcpts
		for i, more := range t.more {
			if more > 0 {
				worst = min(worst, i+2)
			}
			rest -= int(more)
		}
		if rest > 0 { // they have no answer yet
			worst = 0
		}
		classes = []int{t.Mail.class(), worst, t.Data.class()}
	}
	if !t.Dot.Local {
		classes = append(classes, t.Dot.class())
	}
	for _, class := range classes {
		switch class {
		case 4:
			return OutcomeDeferred
		case 5:
			return OutcomeRefused
		}
	}
	return OutcomeReset
}

// Copy makes the transaction a copy of another one, with its texts in another place. It uses the memory that it has.
func (t *Transaction) Copy(from *Transaction, texts Texts, to *Texts) {
	rcpts := append(t.Recipients[:0], from.Recipients...)
	*t = *from
	t.Recipients = rcpts
	t.MoveTexts(texts, to)
}

// MoveTexts copies the transaction's texts to another place, where it has them from now on.
func (t *Transaction) MoveTexts(from Texts, to *Texts) {
	for _, s := range [...]*Span{&t.Sender, &t.Tenant, &t.Account, &t.Mail.Text, &t.Data.Text, &t.Dot.Text} {
		*s = to.Take(from, *s)
	}
	if t.Identity != nil {
		own := *t.Identity
		own.MessageID, own.QueueID = to.Take(from, own.MessageID), to.Take(from, own.QueueID)
		t.Identity = &own
	}
	for i := range t.Recipients {
		r := &t.Recipients[i]
		r.Address = to.Take(from, r.Address)
		r.Reply.Text = to.Take(from, r.Reply.Text)
	}
}

// Room is how much is kept of the transaction's next text: as much as short once it has enough of them.
func (t *Transaction) Room(short int) int {
	if t.octets >= maxTransactionText {
		return short
	}
	return MaxText
}

// Count counts a text of the transaction's.
func (t *Transaction) Count(s Span) Span {
	t.octets += s.n()
	return s
}

// TextOctets is how much the texts take that have been counted.
func (t *Transaction) TextOctets() int { return int(t.octets) }
