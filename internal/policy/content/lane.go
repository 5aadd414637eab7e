package content

import (
	"fmt"
	"time"

	"kanmon/internal/event"
)

// Doubtful is the suspicion from which on mail is looked at before it passes.
const Doubtful = 0.3

// The bounds of what is held.
const (
	SlowReplies = 10 * time.Second // an MX that has taken longer for its replies in a session is slow: the rest would fall into the MSA's wait at its dot
	teePause    = 8 * time.Second  // that the end of a message is kept back: the MX waits inside of DATA
	teeSlack    = 2 * time.Second  // for what is decided when that is over
	FirstMails  = 50               // that an account is new for,
	FirstDays   = 14               // if it is younger than that
)

// A Mail is what is known of one before its DATA.
type Mail struct {
	Tenant, Account string
	Suspicion       float64       // of it, so far
	New             bool          // the account has sent fewer than FirstMails, and is younger than FirstDays
	Contained       bool          // the account, or the tenant, is contained at all
	Forwarded       bool          // the account forwards what others have written
	Allowed         bool          // a person has said that its content is not to be held against it
	Size            int64         // as announced; 0: it was not
	Replied         time.Duration // what the MX has taken for its replies so far in the session
	WasSlow         bool          // a message of this size to this MX took too long before
	Number          uint64        // of the account's mails; each mail has another
}

// A choice is which lane a mail gets.
type choice struct {
	lane, wanted event.Lane
	why          string
	tooLarge     bool // for every scanner
}

// choose says which lane a mail gets. Sampled is asked only where chance decides.
func (s *Settings) choose(t *Tenant, m *Mail, sampled func() bool) (c choice) {
	doubt := m.doubt()
	switch {
	case t.Mode == Off:
		return c
	case doubt != "":
		c.lane, c.why = event.LaneHold, doubt
	case t.Mode == All:
		c.lane, c.why = event.LaneBehind, "all of the tenant's mail is scanned"
	case sampled():
		c.lane, c.why = event.LaneBehind, "sampled"
	default:
		return c
	}
	c.tooLarge = m.Size > s.largest(t)
	if c.lane == event.LaneHold {
		c.mayNotHold(s, m)
	}
	if !s.Enforce && c.lane != event.LaneBehind {
		c.lane, c.wanted = event.LaneBehind, c.lane
	}
	return c
}

// doubt says why a mail is looked at before it passes; "": it is not.
func (m *Mail) doubt() string {
	switch {
	case m.Allowed:
		return ""
	case m.Contained:
		return "the sender is contained"
	case m.Suspicion >= Doubtful:
		return fmt.Sprintf("suspicion %.2f", m.Suspicion)
	case m.New:
		return "a new account"
	}
	return ""
}

// mayNotHold has what cannot be held streamed.
func (c *choice) mayNotHold(s *Settings, m *Mail) {
	var why string
	switch {
	case m.Size > s.Hold:
		why = "too large to be held"
	case m.Replied > SlowReplies:
		why = "a slow MX"
	case m.WasSlow:
		why = "held before, it took too long"
	default:
		return
	}
	c.lane, c.wanted = event.LaneTee, event.LaneHold
	c.why += "; " + why
}
