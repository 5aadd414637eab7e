package session

import (
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp/replies"
	"kanmon/internal/who/whose"
)

// A MXRefusal is a 4xx or 5xx reply of an MX, or a connection that it refused, did not answer or reset.
type MXRefusal struct {
	Owner     *whose.Owner // whose the mail is, or the session; nil: nobody has asked
	SendingIP netip.Addr   // it met this sending IP
	Phase     event.Phase
	Mails     int              // transactions that the session had begun
	Code      int              // 0: the dial was refused or not answered (PhaseDial), or the connection reset
	Text      []byte           // the reply with its codes, lines separated by '\n', as much as a record keeps: not sanitised, valid during the call
	Sender    []byte           // of the transaction, in the form of package mailbox; nil before MAIL, empty for the null sender
	Recipient []byte           // that was refused, or the first one of the transaction, likewise; nil before RCPT
	Domain    string           // at RCPT that of the recipient, behind it that of all recipients that the MX has accepted; "": none, or several
	Suspicion *event.Suspicion // what speaks against the mail; nil: nobody has asked
	Pool      string           // that the gate wants the mail to leave from; "": what the routes say
	Again     bool             // another sending IP was tried for this mail, or this opening, already
	Beside    bool             // another leg of the session was there meanwhile: the MX may count connections
	Stuck     bool             // the session cannot go on from another one, whatever is judged
	Unkept    bool             // the mail so far is not kept, to be said again: a Rescue is only put on record

	// Contained asks the gate whether it has something against whoever sends the mail. Nil where there is no gate; good during the call.
	Contained func() bool

	// What else the session has said that the reply may repeat.
	EHLO    [2]string // by the MSA, and by kanmon to the MX
	Subject string    // of the message that is refused: the values of its fields, a line each
	Said    []string  // its other recipients and fields

	// Message gives as much of the message that is refused as is kept. Nil before there is one; good during the call.
	Message func() []byte
	Partial bool // the message has more than is kept
}

// Own reports whether the reply is another kanmon's, which is no evidence of anybody's conduct.
func (r *MXRefusal) Own() bool {
	return replies.IsOwn(r.Text, string(r.Sender), string(r.Recipient), r.EHLO[0], r.EHLO[1])
}

// A Judgement is what to do about a refusal.
type Judgement struct {
	Rescue   bool         // our sending IP is the cause, and another one may be spent on it (I19)
	SoftenTo int          // the 4xx that goes to the MSA in place of a 5xx, so that it tries again later; 0: the refusal goes as it is
	Observe  bool         // record what would be done, and do nothing
	Avoid    []netip.Addr // with Rescue: sending IPs that would be refused as this one was
	Class    event.Class  // what the refusal means; for the record
	Scope    event.Scope  // whose it is, likewise
	Lists    []string     // that it names, likewise
	Rule     string       // what decided; for the record
	Why      string       // why there is no Rescue though our sending IP may be the cause; for the record
}

// Temporary returns the 4xx that says of the same thing as a refusal that it is temporary (RFC 5321 §4.2.3): what a
// judge softens to that knows of no better.
func Temporary(code int) int {
	switch {
	case code/100 == 4:
		return code
	case code == 550 || code == 553:
		return 450 // mailbox
	case code == 552:
		return 452 // storage
	default:
		return 451
	}
}

// Rescue bounds what is done behind one refusal. Zero entries mean the default, negative ones none at all.
type Rescue struct {
	Attempts    int           // other sending IPs that are tried for one transaction, or for the opening; default 2
	Time        time.Duration // for all of them; default one minute. Behind a banner never more than 25 s (I12)
	BodyBytes   int           // octets of one message that are kept in case its dot is refused; default 256 KiB
	BodiesBytes int64         // octets kept of all messages together; default 64 MiB
}

// Defaults of Rescue.
const (
	DefaultRescueAttempts    = 2
	DefaultRescueTime        = time.Minute
	DefaultRescueBodyBytes   = 256 << 10
	DefaultRescueBodiesBytes = 64 << 20
)

func (r *Rescue) attempts() int { return orDefaultOrNone(r.Attempts, DefaultRescueAttempts) }
func (r *Rescue) time() time.Duration {
	return orDefaultOrNone(r.Time, DefaultRescueTime)
}
func (r *Rescue) bodyBytes() int     { return orDefaultOrNone(r.BodyBytes, DefaultRescueBodyBytes) }
func (r *Rescue) bodiesBytes() int64 { return orDefaultOrNone(r.BodiesBytes, DefaultRescueBodiesBytes) }

func orDefaultOrNone[T int | int64 | time.Duration](n, def T) T {
	if n == 0 {
		return def
	}
	return max(n, 0)
}
