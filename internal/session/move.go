package session

import (
	"errors"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// leaveRightly sees to it that the mail leaves from a sending IP that is right for it, as far as MAIL or the first RCPT tells
// (I11): if need be through another MX leg, opened before anything of this command is forwarded. It returns the reply of a mail that
// cannot, else nil.
func (s *session) leaveRightly(cmd *smtp.Command) *smtp.Reply {
	if s.e.Observe {
		return nil
	}
	stay := s.askStay()
	if stay.isPlain() {
		return nil
	}
	outlive(cmd)
	if stay = s.roomFor(stay, event.StepLeave, s.askStay); stay.Full != nil {
		return s.full(event.StepLeave, stay.Full)
	}
	switch {
	case !stay.Moves:
		return nil
	case stay.Anew:
		return s.renew(cmd.Verb)
	}
	no, byMX := s.move(cmd.Verb, stay.Rather)
	if no != nil && stay.Rather {
		return s.staysAfterAll(cmd, no, byMX)
	}
	return no
}

// ratherPatience is how long a mail that could leave from where it is waits for another connection. MXs that greet late do so within it.
const ratherPatience = 30 * time.Second

// staysAfterAll has a mail that could not move leave from where it is, if it may: over the connection at hand, or the
// one that is to follow it. Else it is told why it could not.
func (s *session) staysAfterAll(cmd *smtp.Command, no *smtp.Reply, byMX bool) *smtp.Reply {
	stuck := s.dialRequest()
	stuck.Stuck, stuck.ByMX = true, byMX
	ask := func() Stay { return s.way.MayStay(stuck, s.mx.info.SendingIP) }
	switch stay := s.roomFor(ask(), event.StepLeave, ask); {
	case stay.Full != nil:
		return s.full(event.StepLeave, stay.Full)
	case stay.Anew:
		return s.renew(cmd.Verb)
	case stay.Moves:
		return no
	}
	s.log.rule = 0 // nothing is refused
	return nil
}

// askStay asks whether the mail may stay where it is.
func (s *session) askStay() Stay { return s.way.MayStay(s.dialRequest(), s.mx.info.SendingIP) }

// keepText makes a string only of what is not in it already.
func keepText(s *string, text []byte) {
	if *s != string(text) {
		*s = string(text)
	}
}

// move replaces the MX leg by one from the right sending IP and says there what the MX has accepted already, if it has.
// What of the group at hand is gathered for the MX, and not yet written, goes to the new leg; the command that it is
// done for is next there. It returns what the mail is told that has no sending IP to leave from, and whether that is
// the MX's doing; nil: it has moved. A mail that would only rather leave from elsewhere gets one connection, and a
// shorter wait for it: its MSA would have neither directly.
func (s *session) move(next smtp.Verb, rather bool) (no *smtp.Reply, byMX bool) {
	s.budget.hides()
	now, most := s.now(), s.e.Rescue.time()
	if rather {
		most = min(most, ratherPatience)
	}
	patience := min(most, s.budget.spare(now))
	if patience < leastAttempt {
		s.log.note("no time left for another connection")
		return &replyElsewhere, false
	}
	before := s.log.spends(event.SpentMoving)
	defer func() { s.log.back(before) }()
	gathered := s.mx.out
	s.mx.out = nil
	outer := s.budget.narrow(now + patience)
	defer s.budget.widen(outer)
	s.setAside()
	s.again.rather = rather
	err := s.reopen(next)
	denied := notProved(err)
	for tries := 0; err != nil && tries < s.e.Rescue.attempts() && s.budget.left(s.now()) > 0 && !ends(err); tries++ {
		s.noteAttempt(err)
		if !s.worthAnother(err) || !s.mayConnectAnew() {
			break
		}
		s.again.refusedBy(s)
		s.again.trying = true
		s.closeMX()
		s.freshLeg()
		err = s.reopen(next)
		if no := notProved(err); no != nil {
			denied = no
		}
	}
	s.again.trying, s.again.rather = false, false
	if err != nil {
		s.log.notef("no other connection: %s", err)
		s.takeBack() // a lost MSA, or a drain, is seen by the next wait
		s.mx.out = gathered
		if denied != nil { // more than that there is no other sending IP either
			return denied, false
		}
		if no := s.strands(err); no != nil {
			return no, false
		}
		return &replyElsewhere, hasMet(err, patience == most)
	}
	s.log.notef("goes on from %s", s.mx.info.SendingIP)
	s.drop()
	if gathered != nil {
		s.mx.out = append(s.mx.buffer(), gathered...)
		putOut(gathered)
	}
	return nil, false
}

// hasMet reports whether a connection has failed by what the MX did. That it has not answered is its doing only where
// it had all the time that there is: who was kept waiting by others before has less.
func hasMet(err error, patient bool) bool {
	var f *failure
	var inTLS *tlsFailure
	switch {
	case errors.Is(err, errUnfit), refusal(err) != nil, errors.As(err, &inTLS):
		return true
	case !errors.As(err, &f) || f.side() != event.ByMX:
		return false
	case f.trouble == mxSilent:
		return patient
	case f.trouble == mxUnreachable:
		return RefusedDial(f.cause) || patient && UnansweredDial(f.cause)
	}
	return true
}
