package session

import (
	"io"
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp/replies"
)

// An Inspection is the judgement of one message's content, from its DATA on. The gate gives it with its [Decision] at StepContent. The session
// that has it is the only one that calls it, and nothing in it blocks.
type Inspection interface {
	// Room asks for room for the message, behind the replies to its recipients, of which the MX has accepted so many, and which it has taken
	// so long for, with all its replies before, in this session. It is closed when there is an answer, in a few seconds; nil: there is one.
	Room(recipients int, replied time.Duration) <-chan struct{}
	// Start is asked behind Room, once: how the message is judged, or that it is refused for want of room. Behind a hold that there is no
	// room for may stand a tee, or a lane that nobody waits in.
	Start() Start
	// Grow takes memory for so many octets more of the message. Where it says no the message has no room: what follows is said by Full.
	Grow(octets int) bool
	// Full says what becomes of a message that there is no room for any more, or that is too large to be kept: it goes on in a lane
	// that needs no memory, or is refused.
	Full() Start
	// Judge hands the whole message over. Its octets never change.
	Judge(Message)
	// Done is closed when there is a verdict, or when there will be none in time; the session itself waits no longer than Start.Dot or
	// Start.Pause, and defers the message then.
	Done() <-chan struct{}
	// Verdict is asked behind Done, once.
	Verdict() Opinion
	// Close ends it, with the time that the MSA waited and what came of the mail. It gives back what Grow took; of a message that is judged
	// behind its end when that is done. A judgement under way that nobody waits for is given up.
	Close(came Came)
}

// A Start is how the inspection of a message begins.
type Start struct {
	Lane   event.Lane
	Refuse Refuse         // at DATA, or where the body is read already at its dot
	Say    replies.Said   // with Refuse
	Dot    time.Duration  // LaneHold: from the MSA's dot to the dot toward the MX at most
	Pause  time.Duration  // LaneTee: how long the end may be kept back at most
	Told   *event.Content // for the record, unless there is a verdict; nil: the lane says it all
}

// A Message is what is judged.
type Message struct {
	Session    event.ID
	Number     int // of the session's transactions
	Source     netip.Addr
	Helo       string
	Sender     string   // envelope sender as it came, inside the angle brackets
	Recipients []string // that the MX has accepted, likewise
	Unlisted   int      // of them, those that are left out: they are too many to be kept
	UTF8       bool     // SMTPUTF8 was said
	SendingIP  netip.Addr
	Octets     int64
	Open       func() io.Reader // the octets without dot-stuffing and without the end of data, as the MX would get them. Several may read at once
}

// An Opinion is what a message's content comes to.
type Opinion struct {
	Handle event.Handling // HandleNot: nobody knows, and it goes on
	Say    replies.Said   // with HandleDefer, HandleRefuse
	Pool   string         // with HandleDivert: that it leaves from
	Fields []byte         // LaneHold: complete header fields, each with its CRLF, that stand before the message; nil: none
	Told   *event.Content // for the record
}

// Came is what came of a message that was inspected.
type Came struct {
	Waited time.Duration  // that the MSA waited for room and verdict
	Done   event.Handling // HandleNot: it was given up before anything was done
	Code   int            // the MX's reply to the dot; 0: the MX has not had it
}
