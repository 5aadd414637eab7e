package session

import (
	"errors"
	"slices"
	"time"

	"kanmon/internal/smtp"
)

// leaveRightly sees to it that the mail leaves from a sending IP that is right for it, as far as MAIL or the first RCPT tells
// (I11): if need be through another MX leg, opened before anything of this command is forwarded. ok is false if that cannot be.
// The command it gives is good for use behind that.
func (s *session) leaveRightly(cmd smtp.Command) (_ smtp.Command, ok bool) {
	if s.e.Mover == nil {
		return cmd, true
	}
	mailbox, _, _ := cmd.Path()
	switch {
	case cmd.Verb == smtp.VerbRCPT && !s.tx.open && len(s.mx.out) == 0:
		return cmd, true // MAIL was refused, and so will be this
	case cmd.Verb == smtp.VerbRCPT:
		keepText(&s.recipient, mailbox)
		s.recipientKnown = true
	case s.tx.underWay() || s.mailForwarded(): // nearly every MX refuses a second MAIL; one that does not takes it as a new transaction
		req := s.dialRequest()
		req.Sender, req.Recipient = string(mailbox), ""
		return cmd, s.e.Mover.MayStay(req, s.info.SendingIP)
	default:
		keepText(&s.sender, mailbox)
		s.senderKnown, s.recipientKnown, s.misplaced = true, false, false
	}
	if s.e.Mover.MayStay(s.dialRequest(), s.info.SendingIP) {
		return cmd, true
	}
	cmd = cmd.Clone() // its memory is the Reader's, and there will be waits
	return cmd, s.move(cmd.Verb == smtp.VerbRCPT)
}

// keepText makes a string only of what is not in it already.
func keepText(s *string, text []byte) {
	if *s != string(text) {
		*s = string(text)
	}
}

// move replaces the MX leg by one from the right sending IP and says there what the MX has accepted already, if it has. What of
// the group at hand is gathered for the MX, and not yet written, goes to the new leg.
func (s *session) move(again bool) bool {
	gathered := s.mx.out
	s.mx.out = nil
	outer := s.hiddenBy
	s.hideUntil(time.Now().Add(s.e.Rescue.time()))
	s.setAside()
	err := s.reopen(again)
	for tries := 0; err != nil && tries < s.e.Rescue.attempts() && time.Now().Before(s.hiddenBy) && !ends(err); tries++ {
		s.noteAttempt(err)
		if !s.worthAnother(err) {
			break
		}
		s.rescue.refusedBy(s)
		s.closeMX()
		s.freshLeg()
		err = s.reopen(again)
	}
	s.hiddenBy = outer
	if err != nil {
		s.log.notef("no other connection: %s", err)
		s.takeBack() // a lost MSA, or a drain, is seen by the next wait
		s.mx.out, s.misplaced, s.suspended = gathered, true, errors.Is(err, ErrSuspended)
		return false
	}
	s.log.notef("goes on from %s", s.info.SendingIP)
	s.drop()
	if !again {
		s.forgetTransaction() // one whose DATA was refused, which many an MX keeps open
	}
	if gathered != nil {
		s.mx.out = append(s.mx.buffer(), gathered...)
		putOut(gathered)
	}
	return true
}

// mailForwarded says whether a MAIL is among what the group at hand has for the MX.
func (s *session) mailForwarded() bool {
	return slices.ContainsFunc(s.slots, func(sl slot) bool { return sl.verb == smtp.VerbMAIL && sl.local == nil })
}

// whyNot is the answer to a command of a mail that was refused here, or has no sending IP to leave from.
func (s *session) whyNot() *smtp.Reply {
	if s.refusal != nil {
		return s.refusal
	}
	if s.suspended {
		return &replySuspended
	}
	return &replyElsewhere
}
