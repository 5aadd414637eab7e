package session

import (
	"errors"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
)

// Room: a provider takes only so much from one sending IP. Where none that a mail may leave from has room, the MSA
// waits a little, and is then told when to come back, before the MX is bothered.

const (
	// roomAtBanner is how long an MSA may wait for room before it is greeted, what else was held back included: then it
	// waits again at MAIL.
	roomAtBanner = bannerDelay
	// roomAtMail is the same behind one group of commands.
	roomAtMail = 30 * time.Second
	// askAgain is how often is asked where nobody can know when there will be room.
	askAgain = time.Second
)

// isPlain reports whether there is nothing to be done.
func (s *Stay) isPlain() bool { return !s.Moves && s.Full == nil && len(s.Notes) == 0 }

// noRoom gives what an error says of room; nil: nothing.
func noRoom(err error) *NoRoom {
	var full *NoRoom
	_ = errors.As(err, &full)
	return full
}

// says is what the mail is told.
func (n *NoRoom) says() replies.Said {
	return replies.NoRoom.Say(n.Provider, max(n.Wait, time.Second).Round(time.Second).String())
}

func (s *session) noRoomReply(n *NoRoom) *smtp.Reply {
	reply := n.says().Reply(s.e.Hostname)
	return &reply
}

// noted puts what a way has to say on record.
func (s *session) noted(step event.Step, notes []event.Note) {
	for i := range notes {
		s.log.decided(step, notes[i])
	}
}

func (s *session) noteRoom(step event.Step, n *NoRoom, did string) {
	note := n.Note
	note.Did = did
	s.log.decided(step, note)
}

// stepOfDial is where a session stands that dials.
func (s *session) stepOfDial() event.Step {
	if s.mail.senderKnown {
		return event.StepLeave
	}
	return event.StepConnect
}

// roomFor lets time pass until there is room, as far as there is time, and gives what holds then.
func (s *session) roomFor(stay Stay, step event.Step, ask func() Stay) Stay {
	s.noted(step, stay.Notes)
	for waited := false; stay.Full != nil && !stay.Full.Ends && s.awaitRoom(step, stay.Full, waited); waited = true {
		stay = ask()
		s.noted(step, stay.Notes)
	}
	return stay
}

// awaitRoom lets some time pass, after which there may be room; false: there is no time left for it, or nobody waits any more.
func (s *session) awaitRoom(step event.Step, full *NoRoom, waited bool) bool {
	now, most := s.now(), roomAtMail
	if s.talk.hello == smtp.VerbUnknown {
		most = roomAtBanner
	}
	s.budget.hides()
	left := min(s.budget.begun+most-now, s.budget.spare(now), s.budget.left(now)-leastAttempt)
	wait := full.Wait
	if full.Guess {
		wait = min(wait, askAgain)
	}
	if left <= 0 || wait > left {
		return false
	}
	if !waited {
		s.noteRoom(step, full, "delayed")
	}
	s.hold(max(wait, time.Millisecond))
	return !s.stops() && !s.msaGone()
}

// full refuses a mail, or a recipient, that there is no room for.
func (s *session) full(step event.Step, n *NoRoom) *smtp.Reply {
	s.noteRoom(step, n, "deferred")
	s.log.refusedBy(n.Note.Rule)
	if n.Ends {
		return &replyNoMoreRcpts
	}
	return s.noRoomReply(n)
}

// addRecipient sees to it that there is room for one more recipient; else it says why not.
func (s *session) addRecipient(cmd *smtp.Command) *smtp.Reply {
	if s.e.Observe {
		return nil
	}
	stay := s.askAdd()
	if stay.isPlain() {
		return nil
	}
	outlive(cmd)
	if stay = s.roomFor(stay, event.StepRecipient, s.askAdd); stay.Full != nil {
		return s.full(event.StepRecipient, stay.Full)
	}
	return nil
}

func (s *session) askAdd() Stay { return s.way.MayAdd(s.mx.info.SendingIP) }

// renew replaces the MX leg by another one from the same sending IP, because this one has carried what one may carry. It is over before
// the other one begins: the MX counts them. It returns what the mail is told if there is no other one; nil: the session goes on there.
func (s *session) renew(next smtp.Verb) *smtp.Reply {
	s.budget.hides()
	before := s.log.spendsIn(event.SpentOpening)
	defer func() { s.log.back(before) }()
	gathered := s.mx.out
	s.mx.out = nil
	defer putOut(gathered)
	s.takeLeave()
	s.closeMX()
	s.freshLeg()
	err := s.reopen(next)
	if err == nil {
		s.log.notef("goes on in another connection from %s", s.mx.info.SendingIP)
		if gathered != nil {
			s.mx.out = append(s.mx.buffer(), gathered...)
		}
		return nil
	}
	s.noteAttempt(err)
	s.log.notef("no other connection: %s", err)
	s.closeMX()
	s.freshLeg()
	no := &replyElsewhere
	if none := s.strands(err); none != nil {
		no = none
	}
	if none := notProved(err); none != nil {
		no = none
	}
	s.shut(shutNoIP, no) // the next mail tries again
	return no
}

// takeLeave says QUIT and waits a little for the answer: then the MX has noticed.
func (s *session) takeLeave() {
	if s.leave(&s.mx); s.mx.open() {
		s.mx.arm(time.Now().Add(leavePatience))
		_ = s.mx.in.Fill()
	}
}

// leavePatience is how long the MX may take for its 221: the MSA waits meanwhile.
const leavePatience = time.Second
