package session

import (
	"bytes"
	"errors"
	"net/netip"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// Rescue: an MX has refused, and the refusal is about our sending IP. Before the MSA hears of it, another MX leg is opened
// from another sending IP, the transaction so far is said again there, and the session goes on as if nothing had been. The leg
// that refused is set aside until that has worked; if it does not, all is as before and the MSA gets the refusal.

// again is what a session knows for a leg that may have to follow the present one, and of those before it.
type again struct {
	refused  *[]netip.Addr // sending IPs that this MX does not want in this session; nil: there is none
	promised promise       // zero with Engine.Observe: then no mail is said again
	attempts uint16        // at other sending IPs in this transaction, or during the opening
	dials    uint16        // connections that there were when the leg that is set aside was
	trying   bool          // one of those was tried for the mail at hand, and another is to take its place
	rather   bool          // the leg that is set aside would do for the mail at hand
	helo     heloNeed
}

// Why another MX leg cannot take the place of the one before.
var (
	errUnfit  = errors.New("the other connection offers less")
	errLong   = errors.New("sender and recipients so far are too long to be said again, or not all of them count")
	errUnlet  = errors.New("a limit does not let the mail leave from the other sending IP")
	errTaking = errors.New("the refusal goes on: the MX may have taken the message")
)

// rescueOpening tries other sending IPs when the MX has refused before any mail was spoken of. It gives what openMX gives.
func (s *session) rescueOpening(goal stage, err error) error {
	phase, code, isRefusal := s.openingRefusal(err)
	if !isRefusal || s.e.Observe {
		return err
	}
	at := s.log.openings() - 1
	j := s.judge(phase, code, nil)
	rescued, ended := s.tryOthers(phase, code, j, func() error {
		if err := s.openAsFar(goal); err != nil {
			return err
		}
		if goal > stageDialled && !s.mx.reply.Positive() {
			return &refused{phase: event.PhaseBanner}
		}
		return s.stillFits(goal)
	})
	switch {
	case ended != nil:
		return ended
	case rescued:
		return nil
	case code != 0:
		s.soften(phase, j)
	}
	if err == nil && s.mx.reply.Code == 421 && code != 421 {
		s.log.openingSoftened(at)
		reply := s.mx.reply.Clone()
		return &failure{trouble: mxRefused, phase: phase, reply: &reply}
	}
	var f *failure
	if errors.As(err, &f) && f.trouble == mxSaid {
		return s.saidGoodbye(phase)
	}
	return err
}

// stillFits is asked of another leg when the MSA has been told already what the MX can do.
func (s *session) stillFits(goal stage) error {
	told := s.again.promised != promise{}
	if goal == stageReady && (s.mx.shut != shutNot || told && !s.again.promised.kept(&s.mx.caps, s.mx.info.MX.State == event.TLSOn)) {
		return errUnfit
	}
	return nil
}

// rescueGroup continues a transaction through another sending IP: the command of a slot was refused, and is said again there,
// with all that follow it in its group.
func (s *session) rescueGroup(from int, phase event.Phase, j Judgement) (rescued bool, ended error) {
	return s.tryOthers(phase, s.mx.reply.Code, j, func() error {
		if err := s.reopen(s.talk.slots[from].verb); err != nil {
			return err
		}
		if err := s.mayLeave(); err != nil {
			return err
		}
		s.mx.out = s.mx.buffer()
		for i := range s.talk.slots[from:] {
			sl := &s.talk.slots[from+i]
			if line := sl.line(s); len(line) > 0 { // an EHLO has none: it is said when its turn comes
				s.mx.out = append(append(s.mx.out, line...), '\r', '\n')
				s.log.line(event.MarkToMX, line)
			}
		}
		return s.sendToMX(phase)
	})
}

// reopen opens another leg for a command of the mail at hand and what follows it. Behind MAIL it says there again what the MX before has
// accepted. Only if all of that is accepted can the leg take over (I5); and nothing of it is said before the leg has proved what is asked
// of it (I22).
func (s *session) reopen(next smtp.Verb) error {
	again := next != smtp.VerbMAIL
	if again && s.mail.envelope.broken {
		return errLong
	}
	if err := s.openProved(); err != nil {
		return err
	}
	if !again {
		return nil
	}
	batch := 1
	if s.mx.caps.offers(kwPipelining) {
		// Whoever goes step by step may have a reason, in this MX or in what stands in front of it: boxes lose commands sent ahead.
		batch = min(max(1, int(s.mail.envelope.ahead)), maxReplayed)
	}
	for rest := s.mail.envelope.lines; len(rest) > 0; {
		var err error
		if rest, err = s.replay(rest, batch); err != nil {
			return err
		}
	}
	s.mx.info.From = phaseOf(next)
	return nil
}

// maxReplayed is how many commands are sent ahead: their replies fit into any socket.
const maxReplayed = 50

// replay says up to n commands of the envelope and demands that each is accepted. It gives what is left.
func (s *session) replay(envelope []byte, n int) (rest []byte, err error) {
	rest = envelope
	var said []smtp.Command
	s.mx.out = s.mx.buffer()
	for range n {
		if len(rest) == 0 {
			break
		}
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		s.log.line(event.MarkMadeForMX, line)
		s.mx.out = append(append(s.mx.out, line...), '\r', '\n')
		cmd, _ := smtp.ParseCommand(line)
		said = append(said, cmd)
	}
	if err := s.sendToMX(phaseOf(said[0].Verb)); err != nil {
		return nil, err
	}
	for _, cmd := range said {
		phase := phaseOf(cmd.Verb)
		if err := s.readReply(phase); err != nil {
			return nil, err
		}
		s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
		if !s.mx.reply.Positive() {
			return nil, &refused{phase: phase, line: cmd.Line}
		}
	}
	return rest, nil
}

// tryOthers sets the leg that refused aside and tries other sending IPs until one can take over. If none can, all is as before.
// An error means that the session must end all the same: its MSA has gone, or kanmon stops.
func (s *session) tryOthers(phase event.Phase, code int, j Judgement, takeOver func() error) (rescued bool, ended error) {
	if !j.Rescue {
		s.noteNotRescued(phase, code, j)
	}
	limit := s.e.Rescue.attempts()
	if !j.Rescue || s.stuck(phase) {
		return false, nil
	}
	action := s.action(phase, code, j)
	if j.Observe {
		action.Did = event.WouldRescue
		s.log.acted(action, &s.mx.reply)
		return false, nil
	}
	if s.isUnkept(phase) { // no other connection is made for that
		s.noteNoRescue(action, errLong)
		return false, nil
	}
	begun := s.now()
	if err := s.tellSoFar(phase, begun); err != nil {
		return false, err
	}
	before := s.log.spends(event.SpentRescuing)
	defer func() { s.log.back(before) }()
	s.again.trying = true
	defer func() { s.again.trying = false }()
	outer := s.budget.narrow(s.rescueEnd(phase, begun))
	defer s.budget.widen(outer)
	s.setAside()
	var why error
	for int(s.again.attempts) < limit && s.budget.left(s.now()) > 0 {
		s.again.attempts++
		err := takeOver()
		if why == nil || !errors.Is(err, ErrNoOtherIP) { // else what the others met says more
			why = err
		}
		if err == nil {
			action.Took = s.now() - begun
			s.rescuedBy(action, phase, code, j)
			return true, nil
		}
		if ends(err) {
			break
		}
		s.again.refusedBy(s) // or failed: it would fare no better the next time
		s.noteAttempt(err)
		if !s.worthAnother(err) {
			break
		}
		s.closeMX()
		s.freshLeg()
	}
	s.takeBack()
	action.Took = s.now() - begun
	s.noteNoRescue(action, why)
	if ends(why) {
		return false, why
	}
	return false, nil
}

// rescuedBy records that the leg at hand has taken over from the one that refused, and ends that one.
func (s *session) rescuedBy(action event.Action, phase event.Phase, code int, j Judgement) {
	s.logRescued(phase, code)
	action.Did, action.To = event.Rescued, s.mx.info.SendingIP
	s.log.acted(action, &s.held.reply)
	s.log.notef("%s goes on from %s instead of %s (%s)", phase, action.To, action.SendingIP, j.Class)
	s.drop()
}

// noteNoRescue records that no other sending IP could take over, and why; nil: there was no time for any.
func (s *session) noteNoRescue(action event.Action, why error) {
	if action.Did = event.RescueFailed; why != nil {
		action.Why = why.Error()
	}
	s.log.acted(action, &s.mx.reply)
}

// noteNotRescued records that no other sending IP was spent, and why, where nothing else will: what is softened says it itself.
func (s *session) noteNotRescued(phase event.Phase, code int, j Judgement) {
	if j.Why == "" || code != 0 && j.softens(phase, &s.mx.reply) {
		return
	}
	action := s.action(phase, code, j)
	action.Did, action.Why = event.NotRescued, j.Why
	s.log.acted(action, &s.mx.reply)
}

// logRescued adds the refusal that the MSA will not see to the session log, where it does not stand yet.
func (s *session) logRescued(phase event.Phase, code int) {
	if code != 0 && (phase == event.PhaseBanner && s.talk.hello == smtp.VerbUnknown || phase >= event.PhaseMail) {
		s.log.reply(event.MarkFromMX, &s.held.reply, s.held.first, s.held.took)
	}
}

// noteAttempt tells of what an operator should know even of an attempt that failed.
func (s *session) noteAttempt(err error) {
	var f *failure
	if errors.As(err, &f) {
		s.noteFailure(f)
	}
}

// action begins the record of what is done about the refusal at hand.
func (s *session) action(phase event.Phase, code int, j Judgement) event.Action {
	at := s.mx.came // a rescue may lie between
	if code == 0 {
		at = s.now()
	}
	return event.Action{
		At: at, Refusal: int(s.log.refusal), Phase: phase, SendingIP: s.mx.info.SendingIP, Code: code, Class: j.Class, Rule: j.Rule,
	}
}

// worthAnother says, of an attempt that failed, whether yet another sending IP may fare better.
func (s *session) worthAnother(err error) bool {
	if errors.Is(err, ErrNoOtherIP) || s.noSendingIP(err) != nil {
		return false
	}
	phase, code, refused := s.openingRefusal(err)
	if !refused {
		return true
	}
	var line []byte
	if no := refusal(err); no != nil {
		line = no.line
	}
	before := s.log.refusal
	j := s.judge(phase, code, line)
	if j.Rescue || j.SoftenTo != 0 || j.Why != "" { // it is about this sending IP, too
		action := s.action(phase, code, j)
		action.Did = event.AlsoRefused
		s.log.acted(action, &s.mx.reply)
	}
	s.log.refusal = before
	return j.Rescue
}

// ends reports whether an error is one that the session cannot survive, whatever becomes of its MX.
func ends(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.trouble > mxSaid
}

// accepted notes a command that the MX has said yes to, for a replay.
func (s *session) accepted(sl *slot) {
	if !s.replays() {
		return
	}
	if sl.verb == smtp.VerbMAIL {
		s.mail.envelope.clear()
	}
	s.mail.envelope.add(sl.line(s), s.forwarded())
}

// forwarded is how many commands of the group at hand the MSA has sent ahead of each other.
func (s *session) forwarded() (n int16) {
	for i := range s.talk.slots {
		if s.talk.slots[i].local == nil {
			n++
		}
		if n == maxReplayed {
			break
		}
	}
	return n
}

// line is the command of a slot as it was forwarded; empty if it was not.
func (sl *slot) line(s *session) []byte { return s.talk.group[sl.begin:sl.past] }
