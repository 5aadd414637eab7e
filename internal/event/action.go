package event

import (
	"net/netip"
	"time"
)

// An Action is what kanmon did about a refusal of the MX, or would have done.
type Action struct {
	At          time.Duration // when the refusal came, since the session began
	Done        time.Duration // when that was done, likewise
	Transaction int           // number of the transaction it belongs to; 0: none
	Refusal     int           // number of the refusal in its session: what was done about one can be several things
	Phase       Phase
	SendingIP   netip.Addr // that was refused
	Code        int        // of the refusal; 0: the connection was refused, not answered or reset
	Reply       Span       // whole refusal: not sanitised
	Class       Class      // as judged
	Rule        string     // likewise
	Did         Deed
	To          netip.Addr    // with Rescued: the sending IP that goes on
	Took        time.Duration // with Rescued and RescueFailed
	Why         string        // with RescueFailed: what came of the last attempt; else why there was none; not sanitised
}

// A Deed is what was done about a refusal.
type Deed uint8

// The deeds.
const (
	Rescued      Deed = iota // the transaction went on through another sending IP
	RescueFailed             // no other sending IP could take over
	Softened                 // the MSA was given a 4xx in place of the 5xx
	WouldRescue              // as Rescued, but only observing
	WouldSoften              // as Softened, but only observing
	NotRescued               // our sending IP may be the cause, and no other was spent on it; the reply went on as it was
	AlsoRefused              // the sending IP was tried in place of one that had been refused
)

// String returns the deed as it stands in the records.
func (d Deed) String() string {
	return [...]string{"rescued", "rescue_failed", "softened", "would_rescue", "would_soften", "not_rescued", "also_refused"}[d]
}
