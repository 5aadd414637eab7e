package session

import (
	"errors"
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
	if cmd.Verb == smtp.VerbRCPT && !s.tx.open && len(s.mx.out) == 0 {
		return cmd, true // MAIL was refused, and so will be this
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
		s.rescue.trying = true
		s.closeMX()
		s.freshLeg()
		err = s.reopen(again)
	}
	s.rescue.trying = false
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
		s.clearTransaction() // one whose DATA was refused, which many an MX keeps open
	}
	if gathered != nil {
		s.mx.out = append(s.mx.buffer(), gathered...)
		putOut(gathered)
	}
	return true
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
