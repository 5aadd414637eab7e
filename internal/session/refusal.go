package session

import (
	"errors"
	"syscall"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/who/mailbox"
)

// judge asks what a refusal means: that in s.mx.reply or, with code 0, of the connection itself. The line is the command
// that was refused; nil if it was none of a transaction.
func (s *session) judge(phase event.Phase, code int, line []byte) Judgement {
	if s.e.Observe || code != 0 && code < 400 || s.ownDoing(phase, code) {
		return Judgement{}
	}
	r := MXRefusal{SendingIP: s.mx.info.SendingIP, Phase: phase, Code: code, Mails: int(s.talk.mails)}
	r.Again, r.Beside, r.Stuck = s.again.attempts > 0, s.isBeside(), s.again.rather || s.stuck(phase)
	r.Unkept = s.isUnkept(phase)
	if s.gate != nil {
		r.Owner, r.Pool, r.Suspicion, r.Contained = s.gate.owner, s.gate.pool, s.gate.suspicion, s.contained
	}
	if code != 0 {
		r.Text = s.refusalText()
	}
	if phase >= event.PhaseMail && phase <= event.PhaseDot && s.mail.senderKnown {
		r.Sender = []byte(s.mail.sender)
		if s.mail.recipientKnown {
			r.Recipient = []byte(s.mail.recipient)
		}
		if cmd, _ := smtp.ParseCommand(line); cmd.Verb == smtp.VerbRCPT {
			r.Recipient = []byte(recipientOf(cmd))
			r.Domain = mailbox.DomainOf(string(r.Recipient))
		} else if phase > event.PhaseRcpt {
			r.Domain = s.mail.envelope.domain()
		}
	}
	s.noteSaid(&r)
	s.log.refusals++
	s.log.refusal = s.log.refusals
	s.work += workOfRefusal
	j := s.way.Judge(r)
	if phase < event.PhaseIdle {
		s.log.openingMeans(code, &j)
	}
	if j.Rescue && !j.Observe {
		s.again.refusedBy(s)
		s.again.avoid(j.Avoid)
	}
	return j
}

// refusalText returns the refusal just read, as far as anybody looks at it: an MX can say 64 KiB to each of a thousand recipients.
func (s *session) refusalText() []byte {
	text, _ := s.mx.reply.AppendRawPart(nil, event.MaxText)
	return text
}

// stuck reports that a refusal cannot be answered with another sending IP here.
func (s *session) stuck(phase event.Phase) bool {
	return int(s.again.attempts) >= s.e.Rescue.attempts() || s.talk.orphan || !s.mx.info.SendingIP.IsValid() ||
		phase == event.PhaseDot && !s.bodyAgain() || phase == event.PhaseBody || s.tooLate(phase)
}

// isUnkept reports whether what a mail has said so far is not kept, so that it cannot be said again.
func (s *session) isUnkept(phase event.Phase) bool {
	return phase > event.PhaseMail && s.mail.envelope.broken
}

// softens reports whether a refusal goes to the MSA as a temporary one. At EHLO none does: it refuses no mail (I10).
func (j *Judgement) softens(phase event.Phase, reply *smtp.Reply) bool {
	return j.SoftenTo/100 == 4 && reply.Class() == 5 && (phase == event.PhaseBanner || phase >= event.PhaseMail && phase <= event.PhaseDot)
}

// soften makes the refusal just read a temporary one, if that is what was judged of it.
func (s *session) soften(phase event.Phase, j Judgement) {
	if !j.softens(phase, &s.mx.reply) {
		return
	}
	action := s.action(phase, s.mx.reply.Code, j)
	if action.Did = event.Softened; j.Observe {
		action.Did = event.WouldSoften
	}
	action.Why = j.Why
	s.log.acted(action, &s.mx.reply)
	if j.Observe {
		return
	}
	s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
	if phase == event.PhaseBanner {
		j.SoftenTo = 421 // the only temporary code that a banner can have (RFC 5321 §4.3.2)
	}
	s.mx.reply.Soften(j.SoftenTo)
}

// openingRefusal says what refused, if that is how the MX leg failed to open. Code 0: the dial was refused or not answered, or the
// connection reset.
func (s *session) openingRefusal(err error) (phase event.Phase, code int, refused bool) {
	var f *failure
	no := refusal(err)
	switch {
	case err == nil:
		return event.PhaseBanner, s.mx.reply.Code, s.mx.stage == stageBanner && s.mx.reply.Class() >= 4
	case no != nil:
		return no.phase, s.mx.reply.Code, s.mx.reply.Class() >= 4
	case !errors.As(err, &f):
		return 0, 0, false
	case f.trouble == mxSaid:
		return f.phase, s.mx.reply.Code, true
	case f.trouble == mxUnreachable: // a firewall there may let another IP in
		return f.phase, 0, f.phase == event.PhaseDial && (RefusedDial(f.cause) || UnansweredDial(f.cause))
	case f.trouble == mxLost: // some providers say it with a RST
		return f.phase, 0, errors.Is(f.cause, syscall.ECONNRESET)
	default:
		return 0, 0, false
	}
}
