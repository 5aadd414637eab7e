package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// A slot is the place of one command in the order of replies (I6).
type slot struct {
	local *smtp.Reply // kanmon's own answer; nil: the MX answers
	verb  smtp.Verb
	end   trouble // why the session ends behind this local answer; noTrouble: it does not
	tls   bool    // behind this local answer the MSA begins its handshake
	place int32   // of its reply in the record: that of an RCPT is the recipient's; -1: it has none
	mail  int32   // number of the transaction there
	begin int32   // where its line is in the group that was forwarded
	past  int32
}

// awaitCommand waits until the MSA has sent a whole command. Between transactions that is where a session idles.
func (s *session) awaitCommand() error {
	for settled := false; ; settled = true {
		if s.hasLine() {
			return nil
		}
		if !settled {
			s.waiting = waiting{began: s.now()}
			s.settle()
		}
		if s.waiting.fed == 0 && s.msa.in.BareFeed() {
			s.waiting.fed = max(1, event.MicrosOf(s.now()-s.waiting.began))
		}
		if s.marks.has(markOrdered) || s.e.Live.stopping() && !s.mail.underWay() {
			return s.ends(event.PhaseIdle)
		}
		if err := s.await(&s.msa, event.PhaseIdle); err != nil {
			if s.waiting.fed > 0 && (errors.Is(err, errTimeout) || errors.Is(err, io.EOF)) { // it may read on behind its FIN
				return &failure{trouble: msaLineFeed, phase: event.PhaseIdle}
			}
			return s.msaFailure(event.PhaseIdle, err)
		}
	}
}

// feedWait is how long a line that LF alone has ended may take to end in CRLF (RFC 5321 §2.3.8). Its sender waits for a reply; what it has
// sent is never taken for commands.
const feedWait = 3 * time.Second

// hasLine reports whether the next step can be taken: a whole line, or the start of something that is not SMTP.
func (s *session) hasLine() bool {
	b := s.msa.in.Buffered()
	return s.msa.in.HasCommand() || !s.talk.begun && len(b) > 0 && b[0] == tlsHandshakeRecord
}

// tlsHandshakeRecord is the first octet of a ClientHello (RFC 8446 §5.1), which no command starts with.
const tlsHandshakeRecord = 0x16

// settle holds as little as possible before a wait of unknown length.
func (s *session) settle() {
	s.mx.park()
	s.mx.reply.Park()
	s.talk.said = nil
	if cap(s.talk.slots) > keptSlots && !s.msa.hungUp() { // else somebody will want to know whom it has not heard about
		s.talk.slots = nil
	}
	if cap(s.talk.group) > keptLines {
		s.talk.group = nil
	}
	if !s.mx.transaction {
		s.mail.envelope.clear()
		if cap(s.mail.envelope.lines) > keptLines {
			s.mail.envelope.lines = nil
		}
	}
}

// What a session keeps for its next mail.
const (
	keptSlots = 16
	keptLines = 256
)

// serveGroup takes the commands that are there, forwards those that may pass in one write, and gives the replies back in order.
// toBody says that the MX has answered DATA with 354 and the MSA knows.
func (s *session) serveGroup() (toBody bool, err error) {
	s.budget.begins(s.now())
	if err := s.takeGroup(); err != nil {
		return false, err
	}
	s.keepBack()
	if len(s.talk.slots) == 0 {
		return false, nil
	}
	if err := s.forwardGroup(); err != nil {
		return false, err
	}
	s.works()
	for i := range s.talk.slots {
		s.talk.next = uint16(i) //nolint:gosec // a group is of 64 KiB
		toBody, err = s.answerSlot(i)
		if err != nil {
			return false, err
		}
	}
	s.talk.next = uint16(len(s.talk.slots)) //nolint:gosec // as above
	err = s.flushMSA(phaseOf(s.talk.slots[len(s.talk.slots)-1].verb))
	s.log.handOverIfLarge()
	if s.talk.quit {
		err = nil // many MSAs do not wait for the 221 (RFC 5321 §4.1.1.10 notwithstanding)
	}
	return toBody, err
}

// takeGroup parses commands until one that must end a group (RFC 2920 §3.1), or until there are none left.
// Without PIPELINING at the MX a group is one command.
func (s *session) takeGroup() error {
	s.talk.slots, s.talk.group, s.talk.said, s.talk.next, s.talk.given = s.talk.slots[:0], s.talk.group[:0], nil, 0, given{}
	s.mayDelay(MaxDelay)
	for {
		if err := s.checkForeign(); err != nil {
			return err
		}
		if s.mailComes() && len(s.mx.out) > 0 {
			return nil // what becomes of those before it decides about this one
		}
		if s.dataWaits() {
			return nil
		}
		out := len(s.mx.out)
		cmd, ok, err := s.msa.in.Command()
		switch {
		case errors.Is(err, smtp.ErrLineTooLong):
			s.rejectLine("line too long", &replyBadSyntax)
		case err != nil:
			s.rejectLine("malformed line", &replyBadOctet)
		case !ok:
			return nil
		default:
			s.talk.begun = true
			verb := cmd.Verb // the rest may be another's memory then
			if s.dispatch(cmd); s.talk.left {
				return &failure{trouble: msaLost, phase: phaseOf(verb)} // nothing of the group has been said to the MX
			}
		}
		if int(s.talk.bad) > s.e.Limits.badCommands() || int(s.talk.idle) > s.e.Limits.idleCommands() {
			s.answerAbuse(out)
			return nil
		}
		last := s.talk.slots[len(s.talk.slots)-1]
		if last.end != noTrouble || last.verb.EndsGroup() || !s.mx.caps.offers(kwPipelining) {
			return nil
		}
		if last.verb == smtp.VerbRSET {
			return nil // one transaction a group: its record is complete before the next one's begins
		}
		if len(s.talk.slots)%shortGroup == 0 && s.isSlowed() {
			return nil
		}
		if last.verb == smtp.VerbMAIL && s.mx.transaction {
			return nil // an MX that has a transaction open, whose DATA it refused, may refuse this one and go on with that
		}
	}
}

// mailComes reports whether the next line is a MAIL.
func (s *session) mailComes() bool {
	b := s.msa.in.Buffered()
	return len(b) >= 4 && bytes.EqualFold(b[:4], []byte("MAIL"))
}

// rejectLine answers what is no command at all. It may have been meant for a MAIL.
func (s *session) rejectLine(what string, reply *smtp.Reply) {
	s.strayMail()
	s.talk.bad++
	s.log.line(event.MarkFromMSA, []byte("("+what+")"))
	s.talk.slots = append(s.talk.slots, slot{verb: smtp.VerbUnknown, local: reply})
}

// checkForeign looks at the first line of a session for other protocols: what follows would be their octets, not commands.
func (s *session) checkForeign() error {
	if s.talk.begun {
		return nil
	}
	b := s.msa.in.Buffered()
	if len(b) > 0 && b[0] == tlsHandshakeRecord {
		return &failure{trouble: msaForeign, phase: event.PhaseIdle, cause: errors.New("TLS ClientHello")}
	}
	word, _, _ := bytes.Cut(b, []byte(" "))
	switch string(word) {
	case "GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "TRACE", "PATCH", "PROXY", "PRI":
		return &failure{trouble: msaForeign, phase: event.PhaseIdle, cause: fmt.Errorf("first word %s", word)}
	}
	return nil
}

// forwardGroup writes the group. What the MX has said unasked is looked at first: it must never pass for a reply to it (I6).
func (s *session) forwardGroup() error {
	if len(s.mx.out) == 0 {
		return nil
	}
	err := s.sendToMX(s.firstPhase())
	if err != nil && s.firstPhase() == event.PhaseQuit {
		return s.quitAnyway(err)
	}
	if err != nil {
		s.judgeGoodbye(err)
	}
	return err
}

// judgeGoodbye is for what an MX has said unasked to end the session: it may be evidence; what was refused is the mail that it has open,
// if any. Where a leg is only being opened or tried, whoever tries others judges it: one reply, one judgement.
func (s *session) judgeGoodbye(err error) {
	var f *failure
	switch {
	case !errors.As(err, &f) || f.trouble != mxSaid:
	case s.mail.state == mailOpen:
		s.tellGoodbye()
	default:
		s.judge(f.phase, s.mx.reply.Code, nil)
	}
}

// sendToMX writes what has been gathered for the MX, if that has not said anything unasked.
func (s *session) sendToMX(phase event.Phase) error {
	if s.mx.pending() {
		return s.unasked(phase)
	}
	s.mx.sent, s.mx.lain = s.now(), 0
	before := s.log.spendsIn(event.SpentOnMX)
	err := s.flushMX()
	s.log.back(before)
	if err != nil {
		return s.mxFailure(phase, err)
	}
	return nil
}

func (s *session) firstPhase() event.Phase {
	for _, sl := range s.talk.slots {
		if sl.local == nil {
			return phaseOf(sl.verb)
		}
	}
	return event.PhaseIdle
}

// unasked reads what the MX sent without having been asked: only 421 and its hang-up are lawful (RFC 5321 §3.8).
func (s *session) unasked(phase event.Phase) error {
	if err := s.readReply(phase); err != nil {
		if isGarbled(err) {
			s.noteStray("what is no reply")
		}
		return err
	}
	s.log.reply(event.MarkFromMX, &s.mx.reply, 0, 0)
	if s.mx.reply.Code == 421 {
		return s.saidGoodbye(phase)
	}
	s.noteStray("a reply")
	return &failure{trouble: mxGarbled, phase: phase, cause: fmt.Errorf("reply %d without a command", s.mx.reply.Code)}
}

// answerSlot gives the MSA the reply to one command. Sessions wait in here for most of their life, so frames are kept
// small: ten thousand stacks are of 4 KiB where what waits needs little more than one.
func (s *session) answerSlot(i int) (toBody bool, err error) {
	sl := &s.talk.slots[i]
	if sl.local != nil {
		return sl.local == &replySend, s.answerLocally(sl)
	}
	switch sl.verb {
	case smtp.VerbEHLO, smtp.VerbHELO:
		return false, s.answerHello()
	case smtp.VerbQUIT:
		s.answerQuit()
		return false, nil
	}
	if err := s.readReply(phaseOf(sl.verb)); err != nil {
		return false, err
	}
	return s.passOn(i)
}

func (s *session) answerLocally(sl *slot) error {
	if sl.tls && !s.msa.in.Empty() {
		return s.refuseAhead(sl)
	}
	s.toMSA(sl.local, event.ByKanmon)
	s.log.told(sl, sl.local.Code)
	if sl.tls {
		s.resetMail() // what was said before TLS admits nothing inside it (RFC 3207 §4.2)
		return s.startTLSToMSA()
	}
	if sl.end != noTrouble {
		return s.endAfterReply(event.PhaseIdle, sl.end)
	}
	return nil
}

// passOn gives the MSA the reply that was read to a command, or what rescue and softening make of it.
func (s *session) passOn(i int) (toBody bool, err error) {
	sl := &s.talk.slots[i]
	phase := phaseOf(sl.verb)
	judged, err := s.verdict(i, phase)
	if err != nil {
		return false, err
	}
	downgraded := sl.verb != smtp.VerbRSET && sl.verb != smtp.VerbNOOP && s.refusedForDowngrade(phase, &judged)
	if s.mx.reply.Code == 421 {
		if stepOf(sl.verb) == 0 {
			s.tellGoodbye()
		}
		s.tellReply(sl.verb, judged.Class)
		s.log.answered(sl, s.heardReply(&judged))
		return false, s.saidGoodbye(phase)
	}
	if stepOf(sl.verb) != 0 && s.waitedLong() && s.msaGone() { // as it was about to hear
		s.log.answered(sl, s.heardReply(&judged))
		s.tellReply(sl.verb, judged.Class)
		return false, &failure{trouble: msaLost, phase: phase}
	}
	if err := s.follow(sl, &judged); err != nil {
		return false, err
	}
	s.tellReply(sl.verb, judged.Class)
	s.putMildly(phase, judged, downgraded)
	s.toMSA(&s.mx.reply, event.ByMX)
	s.log.told(sl, s.mx.reply.Code)
	return sl.verb == smtp.VerbDATA && s.mx.reply.Code == 354, nil
}

// verdict judges the reply to the command of a slot. Where it is a refusal that is about our sending IP, the transaction
// goes on from another one, and the reply is what that gets.
func (s *session) verdict(i int, phase event.Phase) (Judgement, error) {
	sl := &s.talk.slots[i]
	if sl.verb != smtp.VerbMAIL && sl.verb != smtp.VerbRCPT && sl.verb != smtp.VerbDATA {
		return Judgement{}, nil
	}
	for s.mx.reply.Class() >= 4 {
		judged := s.judge(phase, s.mx.reply.Code, sl.line(s))
		if !s.mail.admitted() {
			return judged, nil // what the MX says behind its own refusal of MAIL: another would be asked for what was not admitted
		}
		before := s.refusal(stepOf(sl.verb), judged)
		rescued, err := s.rescueGroup(i, phase, judged)
		if err != nil { // nobody will hear of it
			s.tellReply(sl.verb, judged.Class)
			s.log.answered(sl, s.heardReply(&judged))
		}
		if err != nil || !rescued {
			return judged, err
		}
		s.budget.hidesUntil(s.budget.begun + s.behind(phase)) // until the reply that counts is there
		if err := s.readReply(phase); err != nil {
			s.tellNews(before)
			return Judgement{}, err
		}
	}
	return Judgement{}, nil
}

// saidGoodbye relays an MX's 421 and ends the session, as the MX does.
func (s *session) saidGoodbye(phase event.Phase) error {
	reply := s.mx.reply.Clone() // the session's own is used again
	return &failure{trouble: mxSaid, phase: phase, reply: &reply}
}

// endAfterReply ends the session behind a reply that has been put into the buffer, or sent, already.
func (s *session) endAfterReply(phase event.Phase, why trouble) error {
	if err := s.flushMSA(phase); err != nil {
		return err
	}
	return &failure{trouble: why, phase: phase, told: true}
}

func phaseOf(v smtp.Verb) event.Phase {
	switch v {
	case smtp.VerbEHLO, smtp.VerbHELO:
		return event.PhaseEHLO
	case smtp.VerbMAIL:
		return event.PhaseMail
	case smtp.VerbRCPT:
		return event.PhaseRcpt
	case smtp.VerbDATA:
		return event.PhaseData
	case smtp.VerbQUIT:
		return event.PhaseQuit
	default:
		return event.PhaseReset
	}
}
