package session

import (
	"errors"
	"fmt"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
)

// A message that is held (H1 to H7). The 354 is kanmon's, and the MX, which has accepted sender and recipients, waits for DATA until there is
// a verdict. It may lose patience meanwhile: then, and where the verdict wants another pool, another connection takes its place, on which all
// is said again. As long as no dot has been written nothing is delivered, so the message may go to another MX leg (I3); from the dot on all
// is as ever. Behind one that must not go the MX hears RSET.

// Times of a hold.
const (
	defaultDot   = 2 * time.Minute  // from the MSA's dot to ours
	maxDot       = 4 * time.Minute  // I12
	defaultPause = 8 * time.Second  // that the end of a message is kept back in a tee
	maxPause     = 15 * time.Second // likewise: an MX has five minutes, and many have less
	heldAttempts = 2                // connections that take the place of one that is lost behind DATA, of all of a message (I3)
)

func orMost(d, def, most time.Duration) time.Duration {
	if d <= 0 {
		d = def
	}
	return min(d, most)
}

// dotBy is until when the dot of a held message may be written.
func (s *session) dotBy() time.Duration {
	return s.mail.dotAt + orMost(s.mail.content.start.Dot, defaultDot, maxDot)
}

// endHeld is sendDot for a message that is held: all of it is there.
func (s *session) endHeld(gone bool) error {
	c := s.mail.content
	switch {
	case gone:
		return s.withhold()
	case c.no != nil:
		return s.answersDot(&c.no.reply, c.no.why)
	}
	s.judges(c)
	if err := s.awaitVerdict(c, s.dotBy()); err != nil {
		return err
	}
	switch o := &c.opinion; o.Handle {
	case event.HandleDefer, event.HandleRefuse:
		c.does(o.Handle)
		return s.answersDot(c.refusal(o.Handle, o.Say, s.e.Hostname), "refused for its content")
	default:
		return s.sendHeld()
	}
}

// does notes what is done about a message.
func (c *inspected) does(h event.Handling) { c.told.Done, c.came.Done = h, h }

// sendHeld gives a held message to its MX, as far as the reply to its dot.
func (s *session) sendHeld() error {
	c := s.mail.content
	s.budget.begins(s.mail.dotAt)
	s.budget.hidesUntil(s.dotBy())
	switch no, err := s.diverts(); {
	case err != nil:
		return err
	case no != nil:
		c.does(event.HandleDefer)
		return s.answersDot(no, "it cannot leave from where it must")
	}
	for ; ; c.again++ {
		refused, err := s.reachData()
		switch {
		case err != nil:
			return err
		case refused != nil:
			return s.answersRefused(refused)
		}
		err = s.writeHeld()
		switch {
		case err == nil, errors.Is(err, errEarly):
			return s.heldDot()
		case s.mail.state == mailDotted, c.dotTried, ends(err), isSaid(err):
			return err
		case s.now() >= s.dotBy():
			return s.tooLong(err)
		case c.again == heldAttempts || !isLost(err):
			return err
		}
		s.log.notef("the message is given to another connection: %s", err)
		s.closeMX()
	}
}

func isLost(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.trouble == mxLost
}

// heldDot is for a held message whose dot has its reply, or that the MX has refused in the middle: its dot would have got that.
func (s *session) heldDot() error {
	judged, err := s.rescueDot()
	if err == nil {
		err = s.tellDot(judged)
	}
	if err == nil && s.mx.text { // the rest of the message is not for it any more
		s.closeMX()
	}
	return err
}

// tooLong is for a held message that the MX has not taken in the time that its MSA waits: without its dot it is none.
func (s *session) tooLong(cause error) error {
	s.log.notef("no time is left for the message: %s", cause)
	s.closeMX()
	s.mail.content.does(event.HandleDefer)
	reply := replies.TookTooLong.Say().Reply(s.e.Hostname)
	return s.answersDot(&reply, "the MX took too long for it")
}

// diverts sees to it that the message leaves from the pool that its verdict wants, if any; else it says why it cannot.
func (s *session) diverts() (no *smtp.Reply, err error) {
	c := s.mail.content
	if c.opinion.Handle != event.HandleDivert {
		c.does(event.HandleAccept)
		return nil, nil
	}
	c.does(event.HandleDivert)
	if err := s.lookAtHeld(); err != nil {
		return nil, err
	}
	s.gate.pool = c.opinion.Pool
	before := s.mx.info.SendingIP
	cmd := smtp.Command{Verb: smtp.VerbDATA, Line: []byte("DATA")}
	if stay := s.askStay(); s.mx.open() && (!stay.Moves || stay.Anew || stay.Rather) {
		no = s.leaveRightly(&cmd)
	} else {
		s.forgetAtMX()
		no, _ = s.move(smtp.VerbDATA, false)
	}
	if no == nil && s.mx.info.SendingIP != before {
		no = s.askLeave(&cmd)
	}
	return no, nil
}

// A noData is an MX's refusal of the DATA of a held message, as the MSA is to have it, or why there is no MX for it.
type noData struct {
	reply    smtp.Reply
	judged   Judgement
	original heard
	byMX     bool
}

// reachData says DATA to the MX for a held message, and goes on from elsewhere where that MX leg has been lost, or its refusal is about our
// sending IP. It returns the refusal that it comes to; neither that nor an error: the MX wants the message.
func (s *session) reachData() (refused *noData, err error) {
	for c := s.mail.content; ; c.again++ {
		if err := s.beforeData(); err != nil {
			return nil, err
		}
		if s.loseHeldMX(); !s.mx.open() || !s.mx.transaction {
			if no := s.elsewhere(); no != nil {
				c.does(event.HandleDefer)
				return &noData{reply: *no}, nil
			}
			if err := s.beforeData(); err != nil { // there may have been a wait
				return nil, err
			}
		}
		err := s.sayData()
		if err == nil {
			break
		}
		if ends(err) || !isLost(err) || c.again == heldAttempts || s.budget.left(s.now()) < leastAttempt {
			return nil, s.ofMessage(err)
		}
		s.log.notef("DATA is said on another connection: %s", err)
		s.closeMX()
	}
	if s.mx.reply.Class() >= 4 {
		return s.refusedData()
	}
	return nil, nil
}

// beforeData looks around before an MX hears of a held message: a message that nobody waits for goes nowhere.
func (s *session) beforeData() error {
	switch {
	case s.mustEnd():
		return s.ends(event.PhaseBody)
	case s.mail.dotAt > 0 && s.msaGone():
		return s.withhold()
	}
	return nil
}

// elsewhere gives a held message another MX leg in place of one that was lost. The sending IP there must have room for it, as at its first
// recipient.
func (s *session) elsewhere() (no *smtp.Reply) {
	before := s.mx.info.SendingIP
	cmd := smtp.Command{Verb: smtp.VerbDATA, Line: []byte("DATA")}
	if no, _ = s.move(cmd.Verb, false); no == nil && s.mx.info.SendingIP != before {
		no = s.askLeave(&cmd)
	}
	return no
}

// ofMessage makes a failure at the DATA of a held message one of that message: its MSA waits for the reply to that.
func (*session) ofMessage(err error) error {
	var f *failure
	if !errors.As(err, &f) || f.phase == event.PhaseBody {
		return err
	}
	own := *f
	own.phase = event.PhaseBody
	return &own
}

// sayData says DATA on the leg at hand, and reads what the MX says.
func (s *session) sayData() error {
	s.mx.out = append(s.mx.buffer(), "DATA\r\n"...)
	s.log.line(event.MarkMadeForMX, []byte("DATA"))
	if err := s.sendToMX(event.PhaseData); err != nil {
		return err
	}
	if err := s.readReply(event.PhaseData); err != nil {
		return err
	}
	s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
	if class := s.mx.reply.Class(); s.mx.reply.Code != 354 && class < 4 {
		return &failure{trouble: mxGarbled, phase: event.PhaseBody, cause: fmt.Errorf("reply %d to %s", s.mx.reply.Code, smtp.VerbDATA)}
	}
	return nil
}

// refusedData is for the refusal of DATA that is at hand: another sending IP may be spent on it, as on any.
func (s *session) refusedData() (*noData, error) {
	for s.mx.reply.Class() >= 4 {
		judged := s.judge(event.PhaseData, s.mx.reply.Code, nil)
		before := s.refusal(event.StepData, judged)
		rescued, ended := s.tryOthers(event.PhaseData, s.mx.reply.Code, judged, s.reopenForBody)
		switch {
		case ended != nil:
			s.tellNews(before)
			return nil, s.ofMessage(ended)
		case !rescued:
			return s.tellsData(judged), nil
		}
	}
	return nil, nil
}

// tellsData makes of the MX's refusal of DATA what the MSA is told at its dot.
func (s *session) tellsData(judged Judgement) *noData {
	downgraded := s.refusedForDowngrade(event.PhaseData, &judged)
	no := &noData{judged: judged, byMX: true}
	softened := judged.softens(event.PhaseData, &s.mx.reply)
	original := s.mx.reply.Clone()
	no.original = heard{&original, &no.judged, softened && !judged.Observe, s.mx.first, s.mx.took}
	s.putMildly(event.PhaseData, judged, downgraded)
	no.reply = s.mx.reply.Clone()
	if no.reply.Code == 503 { // it is no reply to a message (RFC 5321 §4.3.2)
		no.reply.Code = 554
	}
	return no
}

// answersRefused tells the MSA at its dot that the MX does not want the message, or that there is no way to it.
func (s *session) answersRefused(no *noData) error {
	if !no.byMX {
		return s.answersDot(&no.reply, "there is no way to the MX for it")
	}
	goodbye := s.mx.reply.Code == 421 || no.reply.Code == 421
	s.log.answeredDot(no.original)
	s.mx.reply = *no.original.reply
	s.tell(event.StepData, no.judged.Class)
	gone, err := s.givesDot(&no.reply, event.ByMX)
	if !gone {
		s.log.toldDot(no.reply.Code)
	}
	return s.leavesHeld(dotOutcome(no.reply.Class()), event.ByMX, "", err, goodbye)
}

// answersDot answers the dot of a held message with a reply of kanmon's own: the MX has not heard of the message.
func (s *session) answersDot(no *smtp.Reply, why string) error {
	s.log.dotHere(no)
	gone, err := s.givesDot(no, event.ByKanmon)
	if !gone {
		s.log.toldDot(no.Code)
	}
	return s.leavesHeld(event.OutcomeAborted, event.ByKanmon, why, err, false)
}

// givesDot gives the MSA a reply to its dot that is not the MX's to a message. gone: nobody has heard it.
func (s *session) givesDot(reply *smtp.Reply, by event.Side) (gone bool, err error) {
	s.msa.in.BodyMode(false)
	s.toMSA(reply, by)
	err = s.msa.flush(s.e.timeout(event.PhaseBody))
	return err != nil || s.unheard(), err
}

// leavesHeld ends a held mail that the MX has open, and that must not go there: the MX forgets it before it hears of another one.
func (s *session) leavesHeld(o event.Outcome, by event.Side, why string, err error, goodbye bool) error {
	open := s.mx.open() && s.mx.transaction
	s.endMail()
	s.log.endTransaction(o, by, why)
	switch {
	case err != nil:
		return s.msaFailure(event.PhaseDot, err)
	case goodbye:
		return s.endAfterReply(event.PhaseDot, mxSaid)
	case open:
		s.budget.begins(s.now())
		s.forgetAtMX()
	}
	return nil
}

// writeHeld writes a held message to its MX, with its dot, and reads the reply to that.
func (s *session) writeHeld() error {
	c := s.mail.content
	c.told.Prepended = int64(len(c.opinion.Fields))
	s.log.line(event.MarkMadeForMX, fmt.Appendf(nil, "(message, %d octets, held until now)", c.size+int64(len(c.opinion.Fields))))
	last := c.opinion.Fields
	for _, piece := range c.pieces {
		if len(last) > 0 {
			if err := s.writeChunk(last, lastPiece); err != nil {
				return err
			}
		}
		last = piece
	}
	if s.now() >= s.dotBy() {
		return &failure{trouble: mxSilent, phase: event.PhaseBody, cause: errTimeout}
	}
	return s.writeDot(append(append(make([]byte, 0, outBuffer+len(smtp.EndOfData)), last...), smtp.EndOfData...), s.msaGone())
}
