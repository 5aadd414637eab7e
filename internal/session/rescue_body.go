package session

import (
	"fmt"
	"slices"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// A message whose dot the MX has refused will never be delivered by that MX. If all of it has been kept, it can be sent once
// more through another sending IP (I3). What is kept is bounded, for one message, for a tenant and for all together. Of a message that is too big for it
// the first piece stays, for what a refusal may repeat of its header.

// keptBody is the message under way, in pieces: what grows as one would be copied again and again.
type keptBody struct {
	pieces  [][]byte // of outBuffer octets each
	whole   bool     // nothing has been left out so far
	begun   bool     // not even the first piece is complete
	partial bool     // something of it has been left out
}

func (k *keptBody) octets() int {
	last := len(k.pieces) - 1
	if last < 0 {
		return 0
	}
	return last*outBuffer + len(k.pieces[last])
}

func (s *session) beginKeeping() {
	s.kept.begun = s.e.Judge != nil
	s.kept.whole = s.kept.begun && s.e.Rescue.attempts() > 0 && s.e.Rescue.bodyBytes() > 0 && !s.tx.large
}

// keep adds what is forwarded of the message, the dot included, or gives up where it becomes too much.
func (s *session) keep(p []byte) {
	if s.kept.whole && s.kept.octets()+len(p) > s.e.Rescue.bodyBytes()+len(smtp.EndOfData) {
		s.kept.whole = false
	}
	for len(p) > 0 && (s.kept.whole || s.kept.begun) {
		last := len(s.kept.pieces) - 1
		if last < 0 || len(s.kept.pieces[last]) == outBuffer {
			if !s.e.Live.bodies.take(s) {
				s.kept.whole, s.kept.begun = false, false
				break
			}
			s.kept.pieces = append(s.kept.pieces, outBuffers.Get().(*[outBuffer]byte)[:0])
			last++
		}
		piece := s.kept.pieces[last]
		n := min(len(p), outBuffer-len(piece))
		s.kept.pieces[last] = append(piece, p[:n]...)
		p = p[n:]
		s.kept.begun = s.kept.begun && last == 0 && len(s.kept.pieces[last]) < outBuffer
	}
	s.kept.partial = s.kept.partial || len(p) > 0
	if !s.kept.whole {
		s.dropPieces(1)
	}
}

// dropPieces gives back what is kept behind the first pieces.
func (s *session) dropPieces(keep int) {
	if keep = min(keep, len(s.kept.pieces)); keep == len(s.kept.pieces) {
		return
	}
	behind := s.kept.pieces[keep:]
	s.e.Live.bodies.give(s, len(behind))
	for _, piece := range behind {
		putOut(piece)
	}
	clear(behind)
	s.kept.pieces = s.kept.pieces[:keep]
}

func (s *session) forgetBody() {
	s.dropPieces(0)
	s.kept = keptBody{pieces: s.kept.pieces[:0]}
	if cap(s.kept.pieces) > keptSlots {
		s.kept.pieces = nil
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
		s.log.line(event.MarkToMX, fmt.Appendf(nil, "(message, %d octets, again)", s.kept.octets()-len(smtp.EndOfData)))
		if err := s.writeDot(slices.Concat(s.kept.pieces...), s.msaGone()); err != nil {
			if !s.dotSent && !isSaid(err) { // else there is other news of the message
				s.tellNews(before)
			}
			return judged, err
		}
	}
	return Judgement{}, nil
}

// bodyAgain says whether the message can be sent once more.
func (s *session) bodyAgain() bool { return s.kept.whole && s.tx.accepted > 0 && !s.msaGone() }

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
		return errUnfit
	}
	return nil
}
