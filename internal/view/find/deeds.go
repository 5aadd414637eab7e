package find

import (
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Deed is what kanmon did about an attempt, or would have done.
type Deed struct {
	At     time.Time
	Action string // as docs/ref/record.md has it of a refusal and of a decision; or one of those below
	From   netip.Addr
	To     netip.Addr
	Rule   string
	Cause  string
	Took   time.Duration
	Reply  string // that led to it
}

// Actions that no line of the records has.
const (
	WaitedLong  = "waited"      // for the MX, long enough to be told
	WentAround  = "went_around" // from another sending IP than usual, since the provider is slow to answer that one
	PlainText   = "plain_text"  // TLS failed
	AnsweredFor = "answered"    // kanmon itself gave the reply that decided
)

// deedsOf gives what lines of a session tell of one of its transactions.
func deedsOf(lines []event.Entry, a *history.Attempt, e *event.Entry) (all []Deed) {
	longest := Deed{Action: WaitedLong}
	rescued := false
	for i := range lines {
		l := &lines[i]
		if l.Gateway != a.Gateway || l.Run != a.Run || l.Number != a.Number && (l.Number != 0 || a.Number != 1) {
			continue
		}
		switch l.Type {
		case "refusal":
			rescued = rescued || l.Action == event.Rescued.String()
			all = append(all, Deed{l.At, l.Action, l.SendingIP, l.RescuedBy, l.Rule, l.Cause, l.Took.Duration(), l.Reply.Text})
		case "decision":
			all = append(all, Deed{At: l.At, Action: l.Action, Rule: l.Rule, Cause: l.Cause, Took: l.Took.Duration()})
		case "wait":
			if took := l.Waited.Duration(); took > longest.Took {
				longest = Deed{At: l.At, Action: WaitedLong, From: l.SendingIP, Rule: l.Phase, Took: took}
			}
		}
	}
	if longest.Took > 0 {
		all = append(all, longest)
	}
	if a.Rescued && !rescued { // the line is no more there
		all = append(all, Deed{Action: event.Rescued.String(), To: a.SendingIP})
	}
	if e != nil && e.InsteadOf.IsValid() {
		all = append(all, Deed{Action: WentAround, From: e.InsteadOf, To: a.SendingIP})
	}
	if a.TLS == "downgraded" {
		d := Deed{Action: PlainText}
		if e != nil {
			d.Cause = e.TLSMX.Error
		}
		all = append(all, d)
	}
	if a.Reply.Local && a.Reply.Rule != "" {
		all = append(all, Deed{At: a.At, Action: AnsweredFor, Rule: a.Reply.Rule})
	}
	return all
}
