package session

import (
	"bytes"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// The content of a message may be judged: behind the reply to its dot, or ahead of it. Then either kanmon keeps the message, and the MX hears
// DATA behind the verdict (hold), or the MX gets all of it but its end (tee). The gate says which messages, by an [Inspection] each; what it
// holds is given back by endContent, whatever the mail comes to.

// An inspected is what a session has of the [Inspection] of the mail at hand.
type inspected struct {
	by       Inspection
	start    Start
	lane     event.Lane // in force, once the message may come
	judged   bool       // the message has been handed over
	closed   bool
	dotTried bool     // LaneHold: the kernel has been given the dot, or a part of it
	again    uint8    // LaneHold: connections that have taken the place of one that was lost behind DATA
	pieces   [][]byte // of the message, of outBuffer octets each. Nobody else's memory: a scanner that is given up may still read it
	size     int64    // octets in them
	no       *heldNo  // LaneHold: why the message is refused, whatever is in it; nil: it is not
	opinion  Opinion
	told     event.Content // for the record
	came     Came
}

// A heldNo is what a message is refused with that nobody but kanmon has.
type heldNo struct {
	reply smtp.Reply
	why   string // for the record
}

// notInspected is in place of what the gate has said no to, until DATA comes.
var notInspected = new(inspected)

// isHeld reports whether the message at hand is kept, and its MX waits for a command.
func (c *inspected) isHeld() bool { return c != nil && c.lane == event.LaneHold }

// keeps reports whether a copy of the message is wanted.
func (c *inspected) keeps() bool { return c != nil && c.lane != event.LaneOff }

// endContent is the end of what is judged of the mail at hand: nothing is kept of it any more.
func (m *mail) endContent() {
	c := m.content
	if m.content = nil; c == nil || c == notInspected || c.closed {
		return
	}
	c.closed, c.pieces = true, nil
	c.came.Waited = c.told.Waited.Duration()
	c.by.Close(c.came)
}

// wantsContent asks the gate, once for each DATA, whether the content of the message is judged. What is in front of that DATA may have yet to
// be answered: where it is judged, that is waited for.
func (s *session) wantsContent() bool {
	if s.mail.content == nil {
		s.mail.content = notInspected
		if d := s.consult(Question{Step: event.StepContent, Recipients: s.mayBeAccepted(), Replied: s.replied()}); d.Inspect != nil {
			s.mail.content = &inspected{by: d.Inspect}
		}
	}
	return s.mail.content != notInspected
}

// mayBeAccepted is how many recipients the MX has accepted, or has yet to answer.
func (s *session) mayBeAccepted() int {
	n := int(s.mail.envelope.accepted)
	for i := range s.talk.slots {
		if sl := &s.talk.slots[i]; sl.verb == smtp.VerbRCPT && sl.local == nil {
			n++
		}
	}
	return n
}

// replied is how long the MX has taken for its replies in this session, as far as that is recorded.
func (s *session) replied() time.Duration {
	took := s.mx.info.Opening()
	if own := s.log.own; own != nil {
		s.log.book()
		took += time.Duration(own.before[event.SpentOnMX]+own.spent[event.SpentOnMX]) * sixteenth
	}
	return took
}

// dataWaits reports whether the next line is a DATA that the replies to the commands in front of it, which the MX has not been told yet, are
// to be waited for.
func (s *session) dataWaits() bool {
	b := s.msa.in.Buffered()
	if s.gate == nil || s.e.Observe || len(s.mx.out) == 0 || len(b) < 4 || !bytes.EqualFold(b[:4], []byte("DATA")) {
		return false
	}
	return s.mail.admitted() && s.mail.asked > 0 && s.mayBeAccepted() > 0 && s.wantsContent()
}

// dispatchContent is for a DATA whose message may be judged. It reports whether the command has its answer: else it is forwarded. No message
// is asked for that no recipient is open for (RFC 2920 §3.1): there the MX decides.
func (s *session) dispatchContent(cmd *smtp.Command) (answered bool) {
	if s.gate == nil || s.e.Observe || s.mail.content == nil && s.mayBeAccepted() == 0 || !s.wantsContent() || s.mail.envelope.accepted == 0 {
		s.mail.endContent()
		return false
	}
	c := s.mail.content
	outlive(cmd)
	s.awaitPlace(c)
	switch {
	case s.talk.left:
		s.log.unsaid(*cmd)
		return true
	case s.stops():
		s.answerStop(*cmd)
		return true
	}
	c.start = c.by.Start()
	if c.start.Refuse != RefuseNot {
		s.refuseData(*cmd, c)
		return true
	}
	s.begins(c, c.start)
	if c.lane != event.LaneHold {
		return false
	}
	s.mail.state = mailComing
	s.log.dataHere(&replySend)
	s.answerHere(*cmd, &replySend)
	return true
}

// begins puts a message into a lane.
func (s *session) begins(c *inspected, start Start) {
	if c.lane = start.Lane; start.Told != nil {
		waited := c.told.Waited
		c.told = *start.Told
		c.told.Waited = waited
	}
	c.told.Lane = c.lane
	s.log.judges(&c.told)
	if c.lane != event.LaneOff {
		s.log.notef("content is judged, lane %s", c.lane)
	}
}

// maxForPlace is how long an MSA waits for room for its message: two minutes are what it has for the reply to DATA (RFC 5321 §4.5.3.2.4).
const maxForPlace = 20 * time.Second

// awaitPlace lets time pass until it is known whether there is room for the message.
func (s *session) awaitPlace(c *inspected) {
	ready := c.by.Room(int(s.mail.envelope.accepted), s.replied())
	if ready == nil || isClosed(ready) {
		return
	}
	s.budget.hides()
	begun, before := s.now(), s.parkHeld()
	look := time.NewTimer(0)
	defer look.Stop()
	for closed := false; !closed; {
		select {
		case <-ready:
			closed = true
		case <-look.C:
			left := begun + maxForPlace - s.now()
			if s.talk.left = s.msaGone(); s.talk.left || s.stops() || left <= 0 {
				closed = true
			}
			look.Reset(min(max(left, 0), watchEvery))
		}
	}
	c.waited(s.log.back(before) - begun)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// waited counts time that the MSA has waited for.
func (c *inspected) waited(d time.Duration) {
	c.told.Waited = event.MicrosOf(c.told.Waited.Duration() + d)
}

// refuseData answers a DATA whose message there is no room for, behind the end of its mail at the MX.
func (s *session) refuseData(cmd smtp.Command, c *inspected) {
	s.begins(c, Start{Told: c.start.Told})
	c.told.Done = handlingOf(c.start.Refuse)
	c.came.Done = c.told.Done
	reply := c.refusal(c.told.Done, c.start.Say, s.e.Hostname)
	s.forgetAtMX()
	s.mail.endContent()
	s.mail.state = mailRefused
	s.log.dataHere(reply)
	s.answerHere(cmd, reply)
}

func handlingOf(r Refuse) event.Handling {
	if r == RefuseForGood {
		return event.HandleRefuse
	}
	return event.HandleDefer
}

// resetPatience is how long an MX may take to forget a mail that it gets no DATA for: the MSA's next command waits meanwhile.
const resetPatience = 10 * time.Second

// forgetAtMX has the MX forget a mail that it has open. One that does not say so soon is left: what followed could join the recipients.
func (s *session) forgetAtMX() {
	if !s.mx.open() {
		return
	}
	now := s.now()
	outer := s.budget.narrow(now + resetPatience)
	err := s.resetMX()
	s.budget.widen(outer)
	if s.mx.transaction = false; err != nil {
		s.log.notef("the MX is left: %s", err)
		s.mx.mute = s.mx.mute || isGarbled(err)
		s.closeMX()
	}
}
