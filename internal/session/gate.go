package session

import (
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
	"kanmon/internal/who/whose"
)

// A Gate decides who may send, and how much. A session asks it before it forwards a command, and inside a message where that names
// its account, and tells it what came of that.
type Gate interface {
	// Enter begins a session's way through the gate; the session closes it.
	Enter(Origin) Pass
}

// A Pass is one session's way through a [Gate]. One goroutine uses it. Nothing in it may block.
type Pass interface {
	Ask(Question) Decision
	Tell(News)
	Close()
}

// A Question is what a gate is asked.
type Question struct {
	Step      event.Step
	Sender    string     // of StepMail, as mailbox.Form gives it; "": the null sender
	Number    int        // of StepMail: of the transaction, as the records count
	Size      int64      // of StepMail: octets that the MSA announces; 0: not known
	SendingIP netip.Addr // of StepLeave
	Recipient string     // of StepRecipient and StepFirst, as mailbox.Form gives it; behind mailbox.Unreadable stands what it could not read
	Unseen    bool       // of StepConnect: the session is passed through, and this is the only question

	// Instead is of StepLeave: a second sending IP is asked for while the mail still has the first, which has been
	// refused. Nobody can wait: a Delay counts as a refusal. The mail has both until there is News from the second.
	Instead bool

	Recipients int           // of StepContent: that the MX has accepted, or has yet to answer in the group at hand
	Replied    time.Duration // of StepContent: what the MX has taken for its replies so far in this session

	// Fields of StepAccount: what the message's fields of that name say, in their order. Anything but a true line end may stand in them.
	Fields []smtp.HeaderField
}

// A Decision is what a gate says. The zero Decision lets the command, or the message, pass.
type Decision struct {
	Refuse Refuse
	Say    replies.Said  // the reply with which it is refused
	Delay  time.Duration // it is held for so long first; at most [MaxDelay] in all
	Again  bool          // with Delay: then the gate is asked again
	Owner  *whose.Owner  // with StepConnect and StepMail: whose the session, or the mail, is; nil: nobody has asked
	Pool   string        // with StepMail: the mail leaves from this pool, whatever the routes say; "": as they say
	Header string        // with StepMail: name of the header field that says which account sent the message; "": none does
	Strip  bool          // with Header: the MX does not get to see these fields
	Must   bool          // with Header: StepAccount is asked about a message without such a field, too
	Notes  []event.Note  // for the record
	Whose  string        // with StepMail and StepAccount: the tenant whose mail it is, for the record; "": nobody knows
	Sender string        // likewise: the account

	Whole bool // with StepMail: all of its envelope must be kept, for whoever judges the message: a recipient that there is no room for is put off

	// Suspicion is what speaks against the mail, with StepMail; nil: nobody has asked. Where it is there, StepFirst is asked, too. With that
	// and StepAccount it takes the place of the one before.
	Suspicion *event.Suspicion

	Inspect   Inspection // with StepContent, which is neither refused nor delayed: how the message's content is judged; nil: it is not
	Contained bool       // with StepRescue: there is something against who sends the mail at hand; no other sending IP is spent on it
}

// Refuse says how a command is refused, or a message.
type Refuse uint8

// The ways to refuse.
const (
	RefuseNot     Refuse = iota
	RefuseNow            // 4xx: try again later
	RefuseForGood        // 5xx
)

// News is what came of a command that was let pass.
type News struct {
	Step       event.Step  // StepMail, StepRecipient; the message itself has StepMessage
	Code       int         // the MX's, as it gave it
	Class      event.Class // of a refusal, as judged
	Text       []byte      // of a refusal: as much of the reply as a record keeps, not sanitised, valid during the call
	Octets     int64       // of a message
	Recipients int         // of a message: that the MX accepted
	SendingIP  netip.Addr  // that it left from
	Own        bool        // the refusal is another kanmon's: no evidence of anybody's conduct
	Names      []string    // of a refusal: whom it may name, those of its mail, as they were written and in the form of package mailbox; valid during the call
}

// MaxDelay is how long the commands of a group, or a message, can be held: well within the five minutes of an MSA (RFC 5321
// §4.5.3.2), and of the MX that waits.
const MaxDelay = time.Minute
