package session

import (
	"errors"
	"fmt"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// relayBody streams the message from the MSA to the MX, from the relayed 354 to the reply to the dot (S6 to S8).
// Only octets that cannot be, for anybody, an end of data go out before the true one has been read.
func (s *session) relayBody() error {
	s.mail.body = smtp.Body{}
	s.mayDelay(MaxDelay)
	s.seekIdentity()
	s.beginKeeping()
	defer s.forgetBody()
	s.msa.in.BodyMode(true)
	defer s.msa.in.BodyMode(false)
	s.waiting = waiting{began: s.now()}
	s.budget.begins(s.waiting.began)
	s.log.bodyBegins(s.waiting.began)
	size := int64(0)
	defer func() { s.carries(size) }()
	for {
		if chunk := s.msa.in.Buffered(); len(chunk) > 0 {
			safe, verdict := s.mail.body.Scan(chunk)
			size += int64(safe)
			s.log.bodyGoes(size)
			s.talk.given.before = s.talk.given.now // who goes on behind them has heard them
			why, unwanted := s.unwanted(size, safe, verdict)
			if unwanted || verdict != smtp.BodyEnds {
				s.msa.in.Discard(safe) // the octets stay where they are until the next read
			}
			if unwanted {
				return s.dropBody(why)
			}
			switch {
			case verdict == smtp.BodyEnds:
				s.log.bodyEnds(size, &s.mail.body)
				s.mail.octets = size
				return s.sendDot(safe + len(smtp.EndOfData))
			case safe > 0:
				if err := s.sendChunk(chunk[:safe]); err != nil {
					return err
				}
				s.waiting = waiting{began: s.now()}
			}
		}
		if err := s.await(&s.msa, event.PhaseBody); err != nil {
			return s.msaFailure(event.PhaseBody, err)
		}
	}
}

// unwanted says why a message must not go on, after size octets of which the last are safe.
func (s *session) unwanted(size int64, safe int, verdict smtp.Verdict) (why trouble, unwanted bool) {
	switch {
	case s.e.Limits.BodyBytes > 0 && size > s.e.Limits.BodyBytes:
		return bodyTooBig, true
	case s.mail.envelope.accepted == 0 && (safe > 0 || verdict == smtp.BodySmuggle):
		return bodyUnwanted, true
	case verdict == smtp.BodySmuggle:
		return bodySmuggled, true
	default:
		return 0, false
	}
}

// sendChunk writes a piece of the body. An MX that has something to say before the dot is not written to any more.
func (s *session) sendChunk(p []byte) error {
	switch {
	case s.mail.header == nil:
	case s.mail.header.Asks():
		return s.passHeader(p)
	default:
		s.identify(p)
	}
	return s.forwardChunk(p)
}

func (s *session) forwardChunk(p []byte) error {
	if s.mail.content != nil && len(p) > 0 {
		var err error
		if p, err = s.inspectChunk(p); err != nil {
			return err
		}
	}
	if len(p) == 0 {
		return nil
	}
	s.keep(p)
	return s.writeChunk(p, onePiece)
}

func (s *session) writeChunk(p []byte, which piece) error {
	if s.mx.pending() {
		return s.saidEarly()
	}
	before := s.log.spendsIn(event.SpentOnBodyMX)
	err := s.writeText(p, which)
	s.log.back(before)
	if err != nil {
		return s.bodyWriteFailed(err)
	}
	return nil
}

// saidEarly reads what an MX says before it has the dot. A refusal is what the dot would have got; anything else can
// only be an error (a 2xx now is no acknowledgement, I1).
func (s *session) saidEarly() error {
	if err := s.readReply(event.PhaseBody); err != nil {
		return err
	}
	if s.mail.content.isHeld() && s.mx.reply.Class() >= 4 && s.mx.reply.Code != 421 {
		return errEarly
	}
	if s.mx.reply.Class() >= 4 {
		judged := s.judge(event.PhaseBody, s.mx.reply.Code, nil)
		downgraded := s.refusedForDowngrade(event.PhaseBody, &judged)
		// When the MX began to mind nobody can tell: its time is left out.
		s.log.answeredDot(heard{&s.mx.reply, &judged, judged.softens(event.PhaseBody, &s.mx.reply) && !judged.Observe, 0, 0})
		s.tell(event.StepMessage, judged.Class)
		s.putMildly(event.PhaseBody, judged, downgraded)
		return s.saidGoodbye(event.PhaseBody)
	}
	return &failure{trouble: mxGarbled, phase: event.PhaseBody, cause: fmt.Errorf("reply %d before the dot", s.mx.reply.Code)}
}

// bodyWriteFailed looks for the reason that an MX may have given before it closed.
func (s *session) bodyWriteFailed(err error) error {
	if errors.Is(err, errMSAGone) {
		return s.withhold()
	}
	lost := s.mxFailure(event.PhaseBody, err)
	if !s.mx.pending() {
		return lost
	}
	if said := s.saidEarly(); isSaid(said) || errors.Is(said, errEarly) {
		return said
	}
	return lost
}

func isSaid(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.trouble == mxSaid
}

// dropBody gives a message up: finish cuts the MX off without a dot (I4), reads the MSA's message to its end, and
// answers it.
func (s *session) dropBody(why trouble) error {
	return &failure{trouble: why, phase: event.PhaseBody}
}

// drainBody reads a message that nobody wants any more to its true end, so that the MSA gets to read the reply.
// It says whether the end was reached.
func (s *session) drainBody() bool {
	s.msa.in.BodyMode(true)
	begun := time.Now()
	read := 0
	defer func() { s.carries(int64(read)) }()
	for read < maxDrained && time.Since(begun) < maxDrainTime {
		chunk := s.msa.in.Buffered()
		safe, verdict := s.mail.body.Scan(chunk)
		switch verdict {
		case smtp.BodyEnds:
			s.msa.in.Discard(safe + len(smtp.EndOfData))
			s.mail.state, s.mail.dotAt = mailWhole, max(1, s.now())
			return true
		case smtp.BodySmuggle:
			s.mail.body.Pass()
			safe++
		}
		s.msa.in.Discard(safe)
		if read += safe; safe > 0 {
			continue
		}
		if s.waiting = (waiting{began: s.now()}); s.await(&s.msa, event.PhaseBody) != nil {
			return false
		}
	}
	return false
}

// Bounds of reading an unwanted message to its end.
const (
	maxDrained   = 1 << 30
	maxDrainTime = 10 * time.Minute
)

// sendDot writes the last octets of the message and its dot, waits for the one reply that counts, and passes it on at once (I2).
func (s *session) sendDot(n int) error {
	s.mail.state = mailWhole
	s.mail.dotAt = max(1, s.now()) // never 0, which is none
	if s.mail.header != nil && !s.mail.header.Asks() {
		s.endIdentity(s.msa.in.Buffered()[:n-len(smtp.EndOfData)])
	}
	gone := (s.mail.header != nil || s.msa.isTLS()) && s.msaGoneBehind(n) // it may read: the octets are looked at behind it
	last := s.msa.in.Buffered()[:n]
	s.msa.in.Discard(n)
	if s.mail.header != nil {
		if err := s.endHeader(last[:n-len(smtp.EndOfData)]); err != nil {
			return err
		}
		last, gone = []byte(smtp.EndOfData), s.msaGone() // there may have been a wait
	}
	s.budget.hidesNothing() // whatever was hidden before: the reply to the dot is waited for as long as the MSA does
	if s.mail.content.keeps() {
		return s.inspectEnd(last, gone)
	}
	return s.endSent(last, gone)
}

// endSent writes the last octets of a message that the MX has the rest of, and passes the reply on.
func (s *session) endSent(last []byte, gone bool) error {
	s.keep(last)
	if err := s.writeDot(last, gone); err != nil {
		return err
	}
	judged, err := s.rescueDot()
	if err != nil {
		return err
	}
	return s.tellDot(judged)
}

// writeDot writes the last octets of a message and its dot, unless the MSA has gone, and reads the one reply that counts. From the
// write on, an error means that nobody but the MX knows (S7).
func (s *session) writeDot(last []byte, gone bool) error {
	content, inTLS := max(0, len(last)-maxWithDot), s.msa.isTLS()
	if content > 0 || inTLS {
		octets := last
		last = append(outBuffers.Get().(*[outBuffer]byte)[:0], octets[content:]...) // a look at the MSA may read
		defer putOut(last)
		if content > 0 {
			// A write that has to wait could let an early 250 pass for the reply to the dot (I1).
			which := lastPiece
			if inTLS {
				which = onePiece
			}
			if err := s.writeChunk(octets[:content], which); err != nil {
				return err
			}
			gone = s.msaGone()
		}
	}
	said, hungUp := s.lookAtBoth()
	if said {
		return s.saidEarly()
	}
	if gone || hungUp && s.msaGone() {
		return s.withhold()
	}
	if s.mustEnd() { // from here on there is only waiting
		return s.ends(event.PhaseBody)
	}
	s.budget.hidesNothing()
	before := s.log.spendsIn(event.SpentOnBodyMX)
	s.mail.content.triesDot()
	s.mail.state = mailDotted
	err := s.writeText(last, lastPiece)
	s.mx.sent = s.log.back(before) // not before the MX has taken it
	if err != nil {
		s.mail.state = mailWhole // the kernel did not take it all: the MX cannot have the dot
		return s.bodyWriteFailed(err)
	}
	s.log.dotted()
	s.msa.in.BodyMode(false)
	if err := s.readReply(event.PhaseDot); err != nil {
		return err
	}
	if s.mx.reply.Contradicts() { // yes on one line and no on another: whatever the last one says, the MX may have the message, or may not
		return &failure{trouble: mxGarbled, phase: event.PhaseDot, cause: fmt.Errorf("reply of %d and %d to the dot", s.mx.reply.Mixed(), s.mx.reply.Code)}
	}
	if s.mx.reply.Class() == 3 {
		return &failure{trouble: mxGarbled, phase: event.PhaseDot, cause: fmt.Errorf("reply %d to the dot", s.mx.reply.Code)}
	}
	s.mail.state = mailWhole
	return nil
}

// withhold gives up a message whose dot the MX has not been given. Directly the MX would perhaps deliver now, and the MSA would send
// again: without the dot there is no duplicate.
func (s *session) withhold() error {
	s.log.endTransaction(event.OutcomeWithheld, event.ByMSA, "the MSA hung up before its dot was forwarded")
	return &failure{trouble: msaLost, phase: event.PhaseBody}
}

// maxWithDot is what goes out in one write with the dot: less than a socket takes at once.
const maxWithDot = 8 << 10

// orphanWait is how long the reply to a dot is waited for when there is nobody left to tell: for the record only (S7).
const orphanWait = time.Minute

// tellDot passes the MX's reply to the MSA before anything else happens.
func (s *session) tellDot(judged Judgement) error {
	downgraded := s.refusedForDowngrade(event.PhaseDot, &judged)
	original, softened := s.mx.reply, judged.softens(event.PhaseDot, &s.mx.reply)
	if softened {
		original = s.mx.reply.Clone()
		s.putMildly(event.PhaseDot, judged, downgraded)
	}
	s.msa.out = s.mx.reply.AppendWire(s.msa.buffer(), s.mail.utf8)
	err := s.msa.flush(s.e.timeout(event.PhaseBody))
	gone := err != nil || s.unheard()
	s.log.answeredDot(heard{&original, &judged, softened && !judged.Observe, s.mx.first, s.mx.took})
	if !gone {
		s.log.toldDot(s.mx.reply.Code)
	}
	s.log.reply(event.MarkToMSA, &s.mx.reply, s.mx.first, s.mx.took)
	outcome := dotOutcome(s.mx.reply.Class())
	nobody := outcome == event.OutcomeDelivered && s.mail.envelope.accepted == 0 // a lone dot (RFC 2920 §3.1): the recipients' replies are what it came to
	switch {
	case nobody:
		outcome = event.OutcomeReset
	case outcome == event.OutcomeDelivered && gone:
		outcome = event.OutcomeOrphanAck
	case outcome == event.OutcomeDelivered:
		s.talk.delivered++
	}
	code := s.mx.reply.Code
	s.told(code)
	s.mx.reply = original
	if !nobody {
		s.tell(event.StepMessage, judged.Class)
	}
	s.endMail()
	s.log.endTransaction(outcome, event.ByMX, "")
	if !s.e.Observe && code/100 == 2 && !nobody {
		s.way.Accepted(s.mx.info.SendingIP)
	}
	if err != nil {
		return s.msaFailure(event.PhaseDot, err)
	}
	if code == 421 {
		return s.endAfterReply(event.PhaseDot, mxSaid)
	}
	return nil
}

func dotOutcome(class int) event.Outcome {
	switch class {
	case 2:
		return event.OutcomeDelivered
	case 5:
		return event.OutcomeRefused
	default:
		return event.OutcomeDeferred
	}
}
