package session

import (
	"strconv"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
)

// dispatch decides about one command: forwarded to the MX, or answered here.
func (s *session) dispatch(cmd smtp.Command) {
	switch {
	case cmd.Eight && !s.mayBeUTF8(cmd):
		s.dispatchBadOctet(cmd)
		return
	case !s.mx.open() && s.mx.shut == shutNot && !s.comesBack(cmd):
		s.dispatchLost(cmd)
		return
	}
	switch cmd.Verb {
	case smtp.VerbEHLO, smtp.VerbHELO:
		if len(cmd.Args) == 0 {
			s.answerBad(cmd, &replyNeedName)
			return
		}
		s.greeted(cmd)
		s.log.notForwarded(cmd)
		s.talk.idle++
		s.talk.slots = append(s.talk.slots, slot{verb: cmd.Verb})
	case smtp.VerbMAIL:
		s.dispatchMail(cmd)
	case smtp.VerbRCPT:
		s.dispatchRcpt(cmd)
	case smtp.VerbDATA:
		s.dispatchData(cmd)
	case smtp.VerbRSET, smtp.VerbNOOP:
		s.dispatchEmpty(cmd)
	case smtp.VerbQUIT:
		s.dispatchQuit(cmd)
	default:
		s.dispatchLocal(cmd)
	}
}

// dispatchBadOctet answers a command with octets above ASCII that are not for it. A MAIL of that kind is a MAIL all the same.
func (s *session) dispatchBadOctet(cmd smtp.Command) {
	if cmd.Verb == smtp.VerbMAIL && !s.mail.underWay() {
		s.turnAway(cmd)
	}
	s.answerBad(cmd, &replyBadOctet)
}

func (s *session) dispatchMail(cmd smtp.Command) {
	switch {
	case s.stops():
		s.answerStop(cmd)
	case s.mx.open() && (s.mx.stage != stageReady || s.talk.hello == smtp.VerbUnknown): // RFC 5321 §4.1.4; and before EHLO there is no TLS yet
		s.turnAway(cmd)
		s.answerBad(cmd, &replyNeedHello)
	case s.mx.shut == shutNoIP && !s.mx.open() && s.talk.hello != smtp.VerbUnknown && !s.e.Observe:
		s.mailWithoutMX(cmd)
	case s.mx.shut != shutNot:
		s.turnAway(cmd)
		s.answerHere(cmd, s.mx.toMail)
	case s.mail.underWay(): // RFC 5321 §4.1.4: nobody can be two senders
		s.answerHere(cmd, &replyNested)
	case s.e.Limits.Transactions > 0 && int(s.talk.mails) >= s.e.Limits.Transactions:
		s.answerAndEnd(cmd, &replyTooManyMails, tooManyMails)
	default:
		s.beginMail(cmd)
		no := s.admitMail(&cmd)
		s.forwardAdmitted(cmd, no)
	}
}

// turnAway is for a MAIL that does not become the mail at hand, and none is in its place: what follows it is for nobody (I16).
func (s *session) turnAway(cmd smtp.Command) {
	s.log.beginsMail(cmd)
	s.mail.anew()
	s.mail.state = mailRefused
}

// forwardAdmitted forwards a MAIL, unless it is refused here or a drain has begun meanwhile: it may have been held.
func (s *session) forwardAdmitted(cmd smtp.Command, no *smtp.Reply) {
	if no == nil {
		no = s.unkept(cmd)
	}
	switch {
	case no != nil:
		s.mail.state = mailRefused
		s.answerHere(cmd, no)
	case s.talk.left:
		s.log.unsaid(cmd)
	case s.stops():
		s.answerStop(cmd)
	default:
		s.talk.mails++
		s.mail.state = mailAsked
		s.forwardMail(cmd)
	}
}

// admitMail sees to it that a MAIL may leave, and from the sending IP that is right for it; else it says why not.
func (s *session) admitMail(cmd *smtp.Command) *smtp.Reply {
	if no := s.askMail(cmd); no != nil || s.talk.left {
		return no
	}
	s.foresee()
	if no := s.leaveRightly(cmd); no != nil {
		return no
	}
	return s.askLeave(cmd)
}

func (s *session) dispatchRcpt(cmd smtp.Command) {
	if no := s.notAdmitted(cmd.Verb); no != nil {
		s.mail.asked++ // MSAs pipeline the recipients of a mail that is refused, but no more of them than it may have
		if s.mail.state == mailNone || int(s.mail.asked) > s.e.Limits.recipients() {
			s.talk.bad++
		}
		if s.mail.state == mailStranded {
			s.log.rule = s.mail.noBy // whoever it is that is refused
		}
		s.answerHere(cmd, no)
		return
	}
	if int(s.mail.asked) >= s.e.Limits.recipients() || s.overflows(cmd.Line) {
		s.answerHere(cmd, &replyTooManyRcpts)
		return
	}
	waited := s.askTrust(&cmd)
	if waited && s.stops() && !s.talk.left {
		s.trust.denied = s.answerStop(cmd)
		return
	}
	no := s.admitRcpt(&cmd)
	p := s.trust.endRcpt()
	switch {
	case no != nil:
		s.answerHere(cmd, no)
	case s.talk.left:
		s.log.unsaid(cmd)
		return
	default:
		s.mail.asked++
		s.forward(cmd, slot{verb: cmd.Verb})
	}
	s.log.trusts(&s.talk.slots[len(s.talk.slots)-1], p)
}

// admitRcpt sees to it that a recipient may be named to the MX, as admitMail does for the sender; else it says why not.
func (s *session) admitRcpt(cmd *smtp.Command) *smtp.Reply {
	if s.talk.left {
		return nil
	}
	if s.mail.asked == 0 {
		no := s.firstRecipient(cmd)
		switch p := s.trust.atHand(); {
		case no == nil:
		case p != nil && p.no == no && s.mx.shut == shutNot: // it is this recipient's alone
			return s.denies(p)
		default:
			s.mail.state, s.mail.no, s.mail.noBy = mailStranded, no, s.log.rule
			s.alsoDenies(no)
			return no
		}
	}
	no := s.proves(cmd) // before all that may refuse the recipient and leave its MAIL to go
	if no == nil {
		no = s.unkept(*cmd)
	}
	if no == nil {
		no = s.addRecipient(cmd)
	}
	if no == nil {
		no = s.askRcpt(cmd) // last of all: what it has let pass is forwarded, and told of
	}
	return no
}

// firstRecipient sees to it that the mail may leave, as admitMail does, now that it is known where to.
func (s *session) firstRecipient(cmd *smtp.Command) *smtp.Reply {
	keepMailbox(&s.mail.recipient, *cmd)
	s.mail.recipientKnown = true
	s.askFirst()
	before := s.mx.info.SendingIP
	no := s.leaveRightly(cmd)
	if no != nil || s.mx.info.SendingIP == before {
		return no
	}
	return s.askLeave(cmd)
}

func (s *session) dispatchData(cmd smtp.Command) {
	if no := s.notAdmitted(cmd.Verb); no != nil {
		if s.mail.state == mailNone {
			s.talk.bad++
		}
		s.mail.endContent()
		s.answerHere(cmd, no)
		return
	}
	if !s.dispatchContent(&cmd) {
		s.forward(cmd, slot{verb: cmd.Verb})
	}
}

// dispatchEmpty is for RSET and NOOP. An MX that no mail can go to, or not yet, has nothing to do with them: whatever stands in them
// would go there before TLS.
func (s *session) dispatchEmpty(cmd smtp.Command) {
	s.talk.idle++
	if s.mx.stage == stageReady && s.mx.shut == shutNot {
		s.forward(cmd, slot{verb: cmd.Verb})
		return
	}
	if cmd.Verb == smtp.VerbRSET {
		s.resetMail()
	}
	s.answerHere(cmd, &replyOK)
}

func (s *session) dispatchQuit(cmd smtp.Command) {
	if !s.mx.open() {
		s.answerHere(cmd, &replyBye)
		s.talk.quit = true
		return
	}
	if s.mx.stage != stageReady || s.mx.shut != shutNot { // as above
		cmd.Line = cmd.Line[:len("QUIT")]
	}
	s.forward(cmd, slot{verb: cmd.Verb})
}

// greeted keeps how the MSA has introduced itself.
func (s *session) greeted(cmd smtp.Command) {
	s.talk.hello = cmd.Verb
	keepText(&s.info.HeloMSA, cmd.Args)
}

func (s *session) forwardMail(cmd smtp.Command) {
	_, params, _ := cmd.Path()
	s.mail.utf8 = smtp.HasParam(params, "SMTPUTF8")
	size, known := announced(params)
	s.mail.large = known && size > int64(s.e.Rescue.bodyBytes())
	s.forward(cmd, slot{verb: cmd.Verb})
}

// announced returns the size of the message that MAIL announces (RFC 1870).
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
		s.answerHere(cmd, &replyVRFY)
	case smtp.VerbHELP:
		s.answerHere(cmd, &replyHelp)
	case smtp.VerbAUTH:
		s.answerBad(cmd, &replyNoAuth)
	case smtp.VerbBDAT: // what follows is a chunk, not commands: there is no way on
		s.answerAndEnd(cmd, &replyNoBDAT, msaAbusive)
	case smtp.VerbSTARTTLS:
		s.dispatchStartTLS(cmd)
	case smtp.VerbEXPN, smtp.VerbBURL, smtp.VerbRetired:
		s.answerBad(cmd, &replyNotOffered)
	default:
		s.answerBad(cmd, &replyUnknown)
	}
	s.talk.idle++
}

// dispatchStartTLS lets the MSA begin its handshake behind the answer, unless there is something against it.
func (s *session) dispatchStartTLS(cmd smtp.Command) {
	if no := s.noTLSNow(cmd); no != nil {
		s.answerHere(cmd, no)
		return
	}
	s.answerHere(cmd, &replyGoAhead)
	s.talk.slots[len(s.talk.slots)-1].tls = true
}

// dispatchLost serves an MSA whose MX leg is closed for good. Where the MX refused the connection, the session goes on without mail;
// where the MX went away, the next command learns it, and ends the session.
func (s *session) dispatchLost(cmd smtp.Command) {
	switch {
	case cmd.Verb == smtp.VerbQUIT:
		s.dispatchQuit(cmd)
	case s.talk.refused:
		s.answerBad(cmd, &replyMXRefused)
	case s.mx.reply.Code == 421: // that the MX left behind
		s.answerAs(cmd, &s.mx.reply, event.ByMX)
		s.talk.slots[len(s.talk.slots)-1].end = mxLost
	default:
		s.answerAndEnd(cmd, &replyMXGone, mxLost)
	}
}

// mailWithoutMX opens the MX leg that there was no sending IP for before the sender was known: it may have one of its own.
func (s *session) mailWithoutMX(cmd smtp.Command) {
	s.beginMail(cmd)
	outlive(&cmd)
	no := s.askMail(&cmd)
	if no == nil && !s.talk.left {
		s.foresee()
		no, _ = s.move(cmd.Verb, false)
	}
	if no == nil && !s.talk.left {
		s.promise() // what another leg must be able to do for this mail
		no = s.askLeave(&cmd)
	}
	s.forwardAdmitted(cmd, no)
}

// mayBeUTF8 reports whether a command may hold the octets above ASCII that it holds (RFC 6531 §3.3). A recipient may also where MAIL
// lacks the parameter, if the MX lists the keyword: many an MSA forgets it, and the MX knows its own mailboxes.
func (s *session) mayBeUTF8(cmd smtp.Command) bool {
	if !cmd.UTF8 {
		return false
	}
	switch cmd.Verb {
	case smtp.VerbMAIL:
		_, params, ok := cmd.Path()
		return ok && smtp.HasParam(params, "SMTPUTF8")
	case smtp.VerbRCPT:
		return s.mail.utf8 || s.talk.ownList || s.mx.caps.offers(kwSMTPUTF8)
	case smtp.VerbVRFY, smtp.VerbEXPN:
		return true
	default:
		return false
	}
}

// answerHere answers a command that the MX does not get to see.
func (s *session) answerHere(cmd smtp.Command, reply *smtp.Reply) {
	s.answerAs(cmd, reply, event.ByKanmon)
}

// answerBad is answerHere for a command of a kind that an MSA may say only so many of.
func (s *session) answerBad(cmd smtp.Command, reply *smtp.Reply) {
	s.talk.bad++
	s.answerHere(cmd, reply)
}

// answerAndEnd answers a command with the last reply of the session.
func (s *session) answerAndEnd(cmd smtp.Command, reply *smtp.Reply, why trouble) {
	s.answerHere(cmd, reply)
	s.talk.slots[len(s.talk.slots)-1].end = why
}

// answerAs is answerHere with what kanmon says, or with what the MX has said before it went.
func (s *session) answerAs(cmd smtp.Command, reply *smtp.Reply, by event.Side) {
	s.log.notForwarded(cmd)
	place := s.log.answeredHere(cmd, reply, by)
	s.talk.slots = append(s.talk.slots, slot{verb: cmd.Verb, local: reply, place: place, mail: s.log.begun})
}

// answerAbuse has the last command of the group, which is one too many, answered with the end of the session, in its
// place behind the replies to those before it. It stays unsaid to the MX, for which so many octets were gathered
// before.
func (s *session) answerAbuse(out int) {
	s.mx.out = s.mx.out[:out]
	reply := replies.Abusive.Say().Reply(s.e.Hostname)
	last := &s.talk.slots[len(s.talk.slots)-1]
	last.local, last.tls, last.end, last.past = &reply, false, msaAbusive, last.begin
	s.log.answeredInstead(last, &reply)
}

// forward puts a command into the group for the MX, octet-identical but for its line end.
func (s *session) forward(cmd smtp.Command, sl slot) {
	s.mx.out = append(append(s.mx.buffer(), cmd.Line...), '\r', '\n')
	sl.place, sl.mail = s.log.command(cmd), s.log.begun
	if s.replays() {
		sl.begin = int32(len(s.talk.group)) //nolint:gosec // a group is of 64 KiB
		s.talk.group = append(s.talk.group, cmd.Line...)
		sl.past = int32(len(s.talk.group)) //nolint:gosec // as above
	}
	s.talk.slots = append(s.talk.slots, sl)
}
