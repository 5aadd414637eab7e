package session

import (
	"errors"
	"fmt"
	"slices"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// A message whose dot the MX has refused will never be delivered by that MX. If all of it has been kept, it can be sent
// once more through another sending IP (I3). What is kept is bounded, for one message, for a tenant and for all
// together. Of a message that is too big for it the first piece stays, for what a refusal may repeat of its header.

// keptBody is the message under way, in pieces of outBuffer octets each: what grows as one would be copied again and again.
type keptBody struct{ pieces [][]byte }

// keptAs is what is known of a message that is kept.
type keptAs uint8

const (
	keptWhole   keptAs = 1 << iota // nothing has been left out so far
	keptBegun                      // not even the first piece is complete
	keptPartial                    // something of it has been left out
)

func (m *mail) keptIs(as keptAs) bool { return m.keptAs&as != 0 }

// setKept notes whether the message is kept so.
func (m *mail) setKept(as keptAs, is bool) {
	if m.keptAs &^= as; is {
		m.keptAs |= as
	}
}

func (k *keptBody) octets() int {
	last := len(k.pieces) - 1
	if last < 0 {
		return 0
	}
	return last*outBuffer + len(k.pieces[last])
}

func (s *session) beginKeeping() {
	if s.mail.content.isHeld() { // all of it is kept there
		return
	}
	s.mail.setKept(keptBegun, !s.e.Observe)
	s.mail.setKept(keptWhole, !s.e.Observe && s.e.Rescue.attempts() > 0 && s.e.Rescue.bodyBytes() > 0 && !s.mail.large)
}

// keep adds what is forwarded of the message, the dot included, or gives up where it becomes too much.
func (s *session) keep(p []byte) {
	if s.mail.keptIs(keptWhole) && s.mail.kept.octets()+len(p) > s.e.Rescue.bodyBytes()+len(smtp.EndOfData) {
		s.mail.setKept(keptWhole, false)
	}
	for len(p) > 0 && s.mail.keptIs(keptWhole|keptBegun) {
		last := len(s.mail.kept.pieces) - 1
		if last < 0 || len(s.mail.kept.pieces[last]) == outBuffer {
			if !s.e.Live.bodies.take(s) {
				s.mail.setKept(keptWhole|keptBegun, false)
				break
			}
			s.mail.kept.pieces = append(s.mail.kept.pieces, outBuffers.Get().(*[outBuffer]byte)[:0])
			last++
		}
		piece := s.mail.kept.pieces[last]
		n := min(len(p), outBuffer-len(piece))
		s.mail.kept.pieces[last] = append(piece, p[:n]...)
		p = p[n:]
		if last > 0 || len(s.mail.kept.pieces[last]) == outBuffer {
			s.mail.setKept(keptBegun, false)
		}
	}
	if len(p) > 0 {
		s.mail.setKept(keptPartial, true)
	}
	if !s.mail.keptIs(keptWhole) {
		s.dropPieces(1)
	}
}

// dropPieces gives back what is kept behind the first pieces.
func (s *session) dropPieces(keep int) {
	if keep = min(keep, len(s.mail.kept.pieces)); keep == len(s.mail.kept.pieces) {
		return
	}
	behind := s.mail.kept.pieces[keep:]
	s.e.Live.bodies.give(s, len(behind))
	for _, piece := range behind {
		putOut(piece)
	}
	clear(behind)
	s.mail.kept.pieces = s.mail.kept.pieces[:keep]
}

func (s *session) forgetBody() {
	s.dropPieces(0)
	s.mail.kept, s.mail.keptAs = keptBody{pieces: s.mail.kept.pieces[:0]}, 0
	if cap(s.mail.kept.pieces) > keptSlots {
		s.mail.kept.pieces = nil
	}
}

// rescueDot sends the message again through another sending IP, if its refusal is about ours. The reply at hand is then what
// that got. Once the dot has been sent again there is no way back: its reply, whatever it is, is the MSA's.
func (s *session) rescueDot() (Judgement, error) {
	if s.mx.reply.Class() < 4 { // it goes to the MSA before anything else (I2)
		return Judgement{}, nil
	}
	s.budget.begins(s.dotBegan())
	for s.mx.reply.Class() >= 4 {
		judged := s.judge(event.PhaseDot, s.mx.reply.Code, nil)
		before := s.refusal(event.StepMessage, judged)
		rescued, ended := s.tryOthers(event.PhaseDot, s.mx.reply.Code, judged, s.reopenForBody)
		if ended != nil { // nobody will hear of it
			s.tell(event.StepMessage, judged.Class)
			s.log.answeredDot(s.heardReply(&judged))
		}
		if ended != nil || !rescued {
			return judged, ended
		}
		s.log.bodyAgain()
		if err := s.writeAgain(); err != nil && !errors.Is(err, errEarly) {
			if s.mail.state != mailDotted && !isSaid(err) { // else there is other news of the message
				s.tellNews(before)
			}
			return judged, err
		}
	}
	return Judgement{}, nil
}

// writeAgain is writeDot for a message that another MX leg has had before.
func (s *session) writeAgain() error {
	if s.mail.content.isHeld() {
		return s.writeHeld()
	}
	s.log.line(event.MarkToMX, fmt.Appendf(nil, "(message, %d octets, again)", s.mail.kept.octets()-len(smtp.EndOfData)))
	return s.writeDot(slices.Concat(s.mail.kept.pieces...), s.msaGone())
}

// bodyAgain reports whether the message can be sent once more.
func (s *session) bodyAgain() bool {
	return (s.mail.keptIs(keptWhole) || s.mail.content.isHeld()) && s.mail.envelope.accepted > 0 && !s.msaGone()
}

// reopenForBody opens another leg as far as its 354.
func (s *session) reopenForBody() error {
	if err := s.reopen(smtp.VerbDATA); err != nil {
		return err
	}
	if err := s.mayLeave(); err != nil {
		return err
	}
	s.mx.out = append(s.mx.buffer(), "DATA\r\n"...)
	s.log.line(event.MarkMadeForMX, []byte("DATA"))
	if err := s.sendToMX(event.PhaseData); err != nil {
		return err
	}
	if err := s.readReply(event.PhaseData); err != nil {
		return err
	}
	s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
	if s.mx.reply.Code != 354 {
		return &refused{phase: event.PhaseData}
	}
	if s.held != nil && s.held.saysMore() { // a refusal that goes on, with a 250 perhaps: the message may have been taken (I3)
		return errTaking
	}
	s.mx.info.From = event.PhaseBody
	return nil
}
