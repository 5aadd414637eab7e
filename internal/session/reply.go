package session

import (
	"errors"
	"os"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// readReply reads the next reply of the MX into s.mx.reply, waiting up to the phase's time.
// Replies gathered for the MSA are flushed before a wait.
func (s *session) readReply(phase event.Phase) error {
	s.mx.reply.Reset()
	if s.mx.owed <= 1 && phase != event.PhaseStartTLS {
		s.mx.reply.Tolerate()
	}
	s.mx.first = 0
	s.waiting = waiting{}
	for {
		ok, err := s.mx.in.Reply(&s.mx.reply)
		if s.mx.reply.Begun() && (ok || s.mx.first == 0) {
			s.timeReply()
		}
		if ok && err == nil {
			s.heard(phase)
			return nil
		}
		if err != nil {
			s.mx.mute = true // nobody knows what it takes next for what
		} else {
			err = s.mayWait(phase)
		}
		if err == nil {
			err = s.await(&s.mx.leg, phase)
		}
		if err != nil {
			return s.replyFailed(phase, err)
		}
	}
}

// timeReply notes how long the MX has taken so far.
func (s *session) timeReply() {
	if s.mx.took = max(s.mx.came-s.mx.sent, 1); s.mx.first == 0 {
		s.mx.first = s.mx.took
	}
}

// heard is called with each reply that is complete.
func (s *session) heard(phase event.Phase) {
	s.mx.heard(phase, &s.mx.reply)
	if other := s.mx.reply.Mixed(); other != 0 {
		s.log.notef("the next reply's lines carry different codes, %d and %d: the last one counts", other, s.mx.reply.Code)
	}
	if n, over := s.mx.reply.Pieces(), s.mx.took-s.mx.first; n >= manyPieces && over >= time.Second {
		s.log.notef("the next reply came in %d pieces, over %s", n, over.Round(time.Millisecond))
	}
}

// manyPieces is from how many on a reply that takes its time is one that drips.
const manyPieces = 4

// replyFailed ends the wait for a reply. Where a refusal has begun, and all that is missing is its end behind a line that is none, it
// counts: a mail that was refused for good must not be tried for days. The MX is of no more use.
func (s *session) replyFailed(phase event.Phase, err error) error {
	err = s.mxFailure(phase, err)
	if ends(err) || !s.mx.reply.Junk() || s.mx.reply.Class() < 4 || isGarbled(err) {
		return err
	}
	s.log.notef("the reply ends in the middle: %s", err)
	s.mx.mute = true
	s.closeMX()
	return nil
}

func isGarbled(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.trouble == mxGarbled
}

// junkWait is how long a reply with a line that is none may go on: its end may have been that line.
const junkWait = 5 * time.Second

// mayWait is called before each wait for more of a reply. A reply that drips never lets await's slices end: it looks around, too.
func (s *session) mayWait(phase event.Phase) error {
	now := s.now()
	if !s.waiting.forMX {
		s.waiting.began, s.waiting.forMX = now, true
		s.msa.park()
		return s.tellSoFar(phase, now)
	}
	if past := now - s.waiting.began; past-s.waiting.looked.Duration() > time.Second {
		s.waiting.looked = event.MicrosOf(past)
		_ = s.overdue(phase, past) // the next octets wake it
		if err := s.lookAround(&s.mx.leg, phase); err != nil {
			return err
		}
	}
	if phase != event.PhaseDot && s.mx.reply.Pieces() >= manyPieces && now-s.mx.sent > dripAfter && len(s.mx.in.Buffered()) < dripOctets {
		s.letDrip()
	}
	return nil
}

// letDrip waits for more of a reply that drips. Inside TLS each octet may be a record of its own: those that have come are read first.
func (s *session) letDrip() {
	before := s.log.spendsIn(event.SpentOnMX)
	for s.mx.isTLS() && len(s.mx.in.Buffered()) < dripOctets {
		if s.mx.arm(time.Now().Add(time.Millisecond)); s.mx.in.Fill() != nil {
			break
		}
	}
	time.Sleep(dripPause)
	s.log.back(before)
}

// A tarpit gives its reply octet by octet. Once it is known for one, its octets are let gather: waking for each of them is
// what a tarpit costs. The reply to the dot is never made to wait.
const (
	dripAfter  = 5 * time.Second
	dripOctets = 64
	dripPause  = time.Second
)

// toMSA puts a reply into the buffer for the MSA: the MX's, or kanmon's own.
func (s *session) toMSA(reply *smtp.Reply, by event.Side) {
	s.msa.room(reply.MostWire())
	before := len(s.msa.out)
	s.msa.out = reply.AppendWire(s.msa.buffer(), s.mail.utf8)
	s.work += int32((len(s.msa.out) - before) / repliesForWork) //nolint:gosec // a reply is bounded
	s.log.passedOn(reply, by, s.mx.first, s.mx.took)
}

func (s *session) flushMSA(phase event.Phase) error {
	if len(s.msa.out) == 0 {
		return nil
	}
	before := s.log.spendsIn(event.SpentOnMSA)
	err := s.msa.flush(s.e.timeout(event.PhaseBody))
	s.log.back(before)
	if err != nil {
		unheard := s.talk.slots[min(int(s.talk.given.now), len(s.talk.slots)):]
		if len(unheard) > 0 && stepOf(unheard[0].verb) != 0 {
			phase = phaseOf(unheard[0].verb)
		}
		s.log.untold(unheard)
		return s.msaFailure(phase, err)
	}
	s.talk.given = given{s.talk.given.now, s.talk.next}
	return nil
}

// mxFailure and msaFailure name what an error of a leg is.
func (s *session) mxFailure(phase event.Phase, err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	t := mxLost
	switch {
	case errors.Is(err, errTimeout), errors.Is(err, os.ErrDeadlineExceeded):
		t = mxSilent
	case errors.Is(err, smtp.ErrBadReply), errors.Is(err, smtp.ErrReplyTooLong), errors.Is(err, smtp.ErrBufferFull):
		t = mxGarbled
	}
	return &failure{trouble: t, phase: phase, cause: err}
}

func (s *session) msaFailure(phase event.Phase, err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	t := msaLost
	switch {
	case errors.Is(err, errTimeout):
		t = msaSilent
	case errors.Is(err, os.ErrDeadlineExceeded):
		t = msaStuck
	}
	return &failure{trouble: t, phase: phase, cause: err}
}
