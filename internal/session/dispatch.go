package session

import (
	"strconv"

	"kanmon/internal/smtp"
)

// dispatch decides about one command: forwarded to the MX, or answered here.
func (s *session) dispatch(cmd smtp.Command) {
	if cmd.Eight && !s.mayBeUTF8(cmd) {
		if cmd.Verb == smtp.VerbMAIL {
			s.strayMail()
		}
		s.answerHere(cmd, &replyBadOctet, true)
		return
	}
	if !s.mx.open() {
		s.dispatchWithoutMX(cmd)
		return
	}
	switch cmd.Verb {
	case smtp.VerbEHLO, smtp.VerbHELO:
		if len(cmd.Args) == 0 {
			s.answerHere(cmd, &replyNeedName, true)
			return
		}
		s.greeted(cmd)
		s.log.held(cmd)
		s.idle++
		s.slots = append(s.slots, slot{verb: cmd.Verb})
	case smtp.VerbMAIL:
		s.dispatchMail(cmd)
	case smtp.VerbRCPT:
		if s.tx.asked >= s.e.Limits.recipients() {
			s.answerHere(cmd, &replyTooManyRcpts, false)
			return
		}
		s.dispatchRcpt(cmd)
	case smtp.VerbDATA, smtp.VerbQUIT:
		if cmd.Verb == smtp.VerbDATA && s.misplaced { // what the MX may have open is not this mail
			s.answerHere(cmd, &replyNeedMail, false)
			return
		}
		s.forward(cmd, slot{verb: cmd.Verb})
	case smtp.VerbRSET, smtp.VerbNOOP:
		s.idle++
		s.forward(cmd, slot{verb: cmd.Verb})
	default:
		s.dispatchLocal(cmd)
	}
}

func (s *session) dispatchMail(cmd smtp.Command) {
	switch {
	case s.e.Live.stopping():
		s.answerAndEnd(cmd, &replyStopping, stopping)
	case s.mx.stage != stageReady || s.hello == smtp.VerbUnknown: // RFC 5321 §4.1.4; and before EHLO there is no TLS yet
		s.answerHere(cmd, &replyNeedHello, true)
	case s.mx.noMail != nil:
		s.answerHere(cmd, s.mx.noMail, false)
	case s.e.Limits.Transactions > 0 && int(s.mails) >= s.e.Limits.Transactions && !s.tx.open:
		s.answerAndEnd(cmd, &replyTooManyMails, tooManyMails)
	default:
		if s.tx.underWay() {
			s.anotherMail(cmd)
			return
		}
		cmd, no := s.admitMail(cmd)
		s.forwardAdmitted(cmd, no)
	}
}

// forwardAdmitted forwards a MAIL, unless it is refused here or a drain has begun meanwhile: it may have been held.
func (s *session) forwardAdmitted(cmd smtp.Command, no *smtp.Reply) {
	switch {
	case no != nil:
		s.misplaced, s.refusal = true, no // what the MX may have open is not this mail
		s.answerHere(cmd, no, false)
	case s.e.Live.stopping():
		s.answerAndEnd(cmd, &replyStopping, stopping)
	default:
		s.mails++
		s.tx.another = true
		s.forwardMail(cmd)
	}
}

// anotherMail is a MAIL inside a transaction, which is the MX's to judge (nearly every one refuses it, RFC 5321 §4.1.4). Where we
// decide by the sender, nobody can be two.
func (s *session) anotherMail(cmd smtp.Command) {
	if s.e.Mover != nil || s.gate != nil {
		s.answerHere(cmd, &replyNested, false)
		return
	}
	s.forwardMail(cmd)
}

// strayMail is called where a line that is, or may be, a MAIL is not forwarded. An MX can still have a transaction open whose DATA
// it has refused: what follows the line is not for that one.
func (s *session) strayMail() {
	if s.tx.open && s.tx.refused && !s.tx.another {
		s.misplaced, s.refusal = true, &replyNeedMail
	}
}

// newMail forgets what was decided about the mail before.
func (s *session) newMail(cmd smtp.Command) {
	keepText(&s.sender, senderOf(cmd))
	s.senderKnown, s.recipientKnown = true, false
	s.tx.asked, s.misplaced, s.refusal = 0, false, nil
}

// admitMail sees to it that a MAIL may leave, and from the sending IP that is right for it; else it says why not.
func (s *session) admitMail(cmd smtp.Command) (smtp.Command, *smtp.Reply) {
	s.newMail(cmd)
	cmd, no := s.askMail(cmd)
	if no != nil {
		return cmd, no
	}
	cmd, ok := s.leaveRightly(cmd)
	if !ok {
		return cmd, s.whyNot()
	}
	return s.askLeave(cmd)
}

func (s *session) dispatchRcpt(cmd smtp.Command) {
	if !s.misplaced && s.tx.asked == 0 {
		mailbox, _, _ := cmd.Path()
		keepText(&s.recipient, mailbox)
		s.recipientKnown = true
		before := s.info.SendingIP
		cmd, _ = s.leaveRightly(cmd)
		if !s.misplaced && s.info.SendingIP != before {
			var no *smtp.Reply
			if cmd, no = s.askLeave(cmd); no != nil {
				s.misplaced, s.refusal = true, no
			}
		}
	}
	if s.misplaced {
		s.answerHere(cmd, s.whyNot(), false)
		return
	}
	cmd, no := s.askRcpt(cmd) // last of all: what it has let pass is forwarded, and told of
	if no != nil {
		s.answerHere(cmd, no, false)
		return
	}
	s.tx.asked++
	s.forward(cmd, slot{verb: cmd.Verb})
}

// greeted keeps how the MSA has introduced itself.
func (s *session) greeted(cmd smtp.Command) {
	s.hello = cmd.Verb
	keepText(&s.info.HeloMSA, cmd.Args)
}

func (s *session) forwardMail(cmd smtp.Command) {
	_, params, _ := cmd.Path()
	sl := slot{verb: cmd.Verb, utf8: smtp.HasParam(params, "SMTPUTF8")}
	size, known := announced(params)
	sl.large = known && size > int64(s.e.Rescue.bodyBytes())
	s.forward(cmd, sl)
}

// announced gives the size of the message that MAIL announces (RFC 1870).
func announced(params []byte) (octets int64, known bool) {
	value, has := smtp.Param(params, "SIZE")
	if !has {
		return 0, false
	}
	octets, err := strconv.ParseInt(string(value), 10, 64)
	return octets, err == nil
}

// dispatchLocal answers the commands of extensions that are stripped, and those that carry no mail: none reaches the MX.
func (s *session) dispatchLocal(cmd smtp.Command) {
	switch cmd.Verb {
	case smtp.VerbVRFY:
		s.answerHere(cmd, &replyVRFY, false)
	case smtp.VerbHELP:
		s.answerHere(cmd, &replyHelp, false)
	case smtp.VerbAUTH:
		s.answerHere(cmd, &replyNoAuth, true)
	case smtp.VerbBDAT: // what follows is a chunk, not commands: there is no way on
		s.answerAndEnd(cmd, &replyNoBDAT, msaAbusive)
	case smtp.VerbSTARTTLS:
		s.answerHere(cmd, s.startTLSReply(cmd), false) // the handshake follows its reply
	case smtp.VerbEXPN, smtp.VerbBURL, smtp.VerbRetired:
		s.answerHere(cmd, &replyNotOffered, true)
	default:
		s.answerHere(cmd, &replyUnknown, true)
	}
	s.idle++
}

// dispatchWithoutMX serves an MSA whose MX leg is closed. Where the MX refused the connection, or TLS failed that must
// be, the session goes on without mail; where the MX went away, the next command learns it, and ends the session.
func (s *session) dispatchWithoutMX(cmd smtp.Command) {
	switch {
	case cmd.Verb == smtp.VerbQUIT:
		s.answerHere(cmd, &replyBye, false)
		s.quit = true
	case s.refused:
		s.answerHere(cmd, &replyMXRefused, true)
	case s.mx.noMail != nil:
		s.dispatchWithoutMail(cmd)
	case s.reply.Code == 421: // that the MX left behind
		s.answerAndEnd(cmd, &s.reply, mxLost)
	default:
		s.answerAndEnd(cmd, &replyMXGone, mxLost)
	}
}

// dispatchWithoutMail keeps the MSA's connection usable, so that it learns at MAIL, and in a 4xx, why nothing goes (I13).
func (s *session) dispatchWithoutMail(cmd smtp.Command) {
	s.idle++
	switch cmd.Verb {
	case smtp.VerbEHLO, smtp.VerbHELO, smtp.VerbRSET, smtp.VerbNOOP:
		if len(cmd.Args) > 0 && cmd.Verb != smtp.VerbNOOP {
			s.greeted(cmd)
		}
		s.answerHere(cmd, &replyOK, false)
	case smtp.VerbMAIL:
		if s.mx.noMail == &replySuspended && s.hello != smtp.VerbUnknown && s.e.Mover != nil {
			s.mailWithoutMX(cmd)
			return
		}
		s.answerHere(cmd, s.mx.noMail, false)
	default:
		s.answerHere(cmd, &replyNeedMail, true)
	}
}

// mailWithoutMX opens the MX leg that there was no sending IP for before the sender was known: it may have one of its own.
func (s *session) mailWithoutMX(cmd smtp.Command) {
	s.newMail(cmd)
	cmd, no := s.askMail(cmd.Clone()) // its memory is the Reader's, and there will be waits
	if no == nil && !s.move(false) {
		no = s.whyNot()
	}
	if no == nil {
		cmd, no = s.askLeave(cmd)
	}
	s.forwardAdmitted(cmd, no)
}

// mayBeUTF8 says whether a command may hold octets above ASCII (RFC 6531 §3.3).
func (s *session) mayBeUTF8(cmd smtp.Command) bool {
	switch cmd.Verb {
	case smtp.VerbMAIL:
		_, params, ok := cmd.Path()
		return ok && cmd.UTF8 && smtp.HasParam(params, "SMTPUTF8")
	case smtp.VerbRCPT:
		if !cmd.UTF8 {
			return false
		}
		for i := len(s.slots) - 1; i >= 0; i-- {
			if s.slots[i].verb == smtp.VerbMAIL {
				return s.slots[i].utf8
			}
		}
		return s.tx.utf8
	case smtp.VerbVRFY, smtp.VerbEXPN:
		return cmd.UTF8
	default:
		return false
	}
}

// answerHere answers a command that the MX does not get to see.
func (s *session) answerHere(cmd smtp.Command, reply *smtp.Reply, isBad bool) {
	if isBad {
		s.bad++
	}
	s.log.held(cmd)
	s.log.answeredHere(cmd, reply)
	s.slots = append(s.slots, slot{verb: cmd.Verb, local: reply})
}

// answerAndEnd answers a command with the last reply of the session.
func (s *session) answerAndEnd(cmd smtp.Command, reply *smtp.Reply, why trouble) {
	s.answerHere(cmd, reply, false)
	s.slots[len(s.slots)-1].end = why
}

// forward puts a command into the group for the MX, octet-identical but for its line end.
func (s *session) forward(cmd smtp.Command, sl slot) {
	s.mx.out = append(append(s.mx.buffer(), cmd.Line...), '\r', '\n')
	sl.rcpt = s.log.command(cmd)
	if s.e.replays() {
		sl.begin = len(s.rescue.group)
		s.rescue.group = append(s.rescue.group, cmd.Line...)
		sl.past = len(s.rescue.group)
	}
	s.slots = append(s.slots, sl)
}
