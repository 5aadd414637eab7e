package event

import "time"

// Decided is what has been decided about a mail, or would have been.
type Decided struct {
	At          time.Duration // since the session began
	Transaction int           // number of the transaction that went on then; 0: none
	Step        Step
	Note
}

// A Note is what has been decided, or would have been, and why.
type Note struct {
	Did     string // "delayed", "deferred", …
	Tenant  string
	Account string
	Rule    string // what decided
	Why     string // numbers and threshold
}

// A Step is where in a session is asked who may send, and what came of it is told.
type Step uint8

// The steps.
const (
	StepConnect   Step = iota // before the MX is connected to
	StepMail                  // before MAIL is forwarded; what was admitted of a mail before it, and never told of, is over
	StepLeave                 // the same, once the sending IP is known that the mail leaves from
	StepRecipient             // before RCPT is forwarded
	StepAccount               // in the message, behind its header, if that has fields of the name that the decision of StepMail gave
	StepRescue                // when the mail at hand has been refused: only whether its sender is contained
	StepContent               // before DATA is forwarded, where the content of messages may be judged
	StepFirst                 // before the first RCPT has the mail leave, where the decision of StepMail has a suspicion: only how large it is now
)

// What is news without having been asked about.
const (
	StepMessage Step = 100 + iota // the reply to the dot
	StepData                      // the reply to DATA where it is a refusal; the mail is not over: many MXs let an MSA try again
	StepOver                      // the transaction has come to its end, whatever that was
	StepGivenUp                   // what was to be asked about again is refused instead: nobody can wait any longer
)

// String returns the step as it stands in the records.
func (s Step) String() string {
	switch s {
	case StepConnect:
		return "connect"
	case StepMail:
		return "mail"
	case StepLeave:
		return "leave"
	case StepRecipient:
		return "rcpt"
	case StepAccount:
		return "account"
	case StepRescue:
		return "rescue"
	case StepContent:
		return "content"
	case StepFirst:
		return "first"
	case StepMessage:
		return "message"
	case StepData:
		return "data"
	case StepOver:
		return "over"
	case StepGivenUp:
		return "given up"
	}
	return "unknown"
}
