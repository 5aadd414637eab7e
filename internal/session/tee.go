package session

import (
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// inspectEnd is sendDot for a message of which a copy is kept, with its last octets, the dot included.
func (s *session) inspectEnd(last []byte, gone bool) error {
	c, was := s.mail.content, s.mail.content.lane
	pass, err := s.inspectChunk(last[:len(last)-len(smtp.EndOfData)])
	if err != nil {
		return err
	}
	if was == event.LaneHold && c.lane != was { // the MX has got what was held, and the Reader has been parked
		last, gone = append(pass, smtp.EndOfData...), s.msaGone()
	}
	switch c.lane {
	case event.LaneHold:
		return s.endHeld(gone)
	case event.LaneTee:
		return s.endTeed(last, gone)
	default:
		return s.endSent(last, gone)
	}
}

// endTeed keeps the end of a message back, of which the MX has all else, until there is a verdict (T1). One that must not go has no other way
// out than the end of its connection with the MX, without a dot. The session goes on, as behind any other refusal: its next mail gets another one.
func (s *session) endTeed(last []byte, gone bool) error {
	c := s.mail.content
	switch {
	case gone:
		return s.withhold()
	case c.no != nil:
		return s.answersTeed(&c.no.reply, c.no.why)
	}
	if front := len(last) - maxWithDot; front > 0 {
		if err := s.forwardFront(last[:front]); err != nil {
			return err
		}
		last = last[front:]
	}
	last = append(outBuffers.Get().(*[outBuffer]byte)[:0], last...) // a look at the MSA may read
	defer putOut(last)
	s.judges(c)
	if err := s.awaitVerdict(c, s.now()+orMost(c.start.Pause, defaultPause, maxPause)+time.Second); err != nil {
		return err
	}
	switch o := &c.opinion; o.Handle {
	case event.HandleDefer, event.HandleRefuse:
		c.does(o.Handle)
		return s.answersTeed(c.refusal(o.Handle, o.Say, s.e.Hostname), "refused for its content")
	default:
		c.does(event.HandleAccept)
		return s.endSent(last, s.msaGone())
	}
}

// answersTeed ends the connection with an MX that has the beginning of a message that must not go, and answers its dot. The next mail opens
// another connection.
func (s *session) answersTeed(no *smtp.Reply, why string) error {
	s.closeMX()
	err := s.answersDot(no, why)
	if err == nil {
		s.freshLeg()
		s.shut(shutNoIP, &replyElsewhere)
	}
	return err
}

// forwardFront writes what stands in front of the octets that are kept back.
func (s *session) forwardFront(p []byte) error {
	s.keep(p)
	return s.writeChunk(p, onePiece)
}

// triesDot notes that the kernel is about to be given the dot.
func (c *inspected) triesDot() {
	if c != nil {
		c.dotTried = true
	}
}

// told is called once the MX's reply to the dot has been passed on, or its MSA has gone: a message that is judged behind its end is handed over.
func (s *session) told(code int) {
	c := s.mail.content
	if c == nil {
		return
	}
	c.came.Code = code
	if c.lane == event.LaneBehind {
		c.does(event.HandleAccept)
		s.judges(c)
	}
}
