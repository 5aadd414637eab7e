package session

import (
	"math"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// An MSA waits for one reply at a time, and gives up after a time of its own: five minutes, two for that to DATA, ten for that to its dot
// (RFC 5321 §4.5.3.2); for a banner some wait half a minute. So all that is done behind one reply has one beginning, and counts together:
// what the gate holds back, moves, connections anew for TLS or for HELO, rescues, and the time that the MX itself takes (I12). Once
// anything is hidden behind a reply that the MX alone would not have made the MSA wait for, the whole must be over earlier.

const (
	// maxHidden bounds what is hidden behind one reply, and the MX's own time with it.
	maxHidden = 4 * time.Minute
	// replyReserve is what of that time is left to the MX for the reply itself.
	replyReserve = 30 * time.Second
	// maxBehindBanner is for what is hidden behind a banner.
	maxBehindBanner = 25 * time.Second
	// maxBehindData is for the reply to DATA.
	maxBehindData = 100 * time.Second
	// maxBehindDot is how long after the dot another sending IP may be tried: the other MX needs its time, too.
	maxBehindDot = time.Minute
	// minBehindHello is what TLS gets of an MX that took nearly all of the time for its first answer to EHLO, and maxBehindHello the end
	// of that.
	minBehindHello = 30 * time.Second
	maxBehindHello = 290 * time.Second
	// leastAttempt is less than any connection to an MX is worth beginning with.
	leastAttempt = 500 * time.Millisecond
)

// A budget is the time of the reply that the MSA waits for. Nobody else decides until when something may be hidden behind one. Its times
// are those since the session began.
type budget struct {
	begun time.Duration // when the MSA began to wait for the reply that is next
	end   time.Duration // of what it does not see: TLS, other connections, what the gate holds back; 0: nothing is hidden behind that reply
}

// begins notes that the MSA waits from now on for the reply that is next, with nothing hidden behind it.
func (b *budget) begins(now time.Duration) { *b = budget{begun: now} }

// hides notes that something is done behind the reply at hand that the MSA does not see.
func (b *budget) hides() {
	if b.end == 0 {
		b.end = b.begun + maxHidden
	}
}

// hidesBehindHello is hides behind the MX's first answer to EHLO, which has had the time that an answer may have.
func (b *budget) hidesBehindHello(now time.Duration) {
	if b.end != 0 {
		return // this goes on behind something else, within its time
	}
	b.end = max(b.begun+maxHidden, min(now+minBehindHello, b.begun+maxBehindHello))
}

// hidesUntil sets the end of what is hidden: a rescue has worked, and the reply that counts is yet to come.
func (b *budget) hidesUntil(end time.Duration) { b.end = end }

// hidesNothing is for a reply, or a message, that nothing is hidden behind any more.
func (b *budget) hidesNothing() { b.end = 0 }

// narrow lowers the end for one step of what is hidden. It returns what widen needs behind that step.
func (b *budget) narrow(end time.Duration) (outer time.Duration) {
	outer = b.end
	b.end = b.bound(end)
	return outer
}

// widen gives the end back that narrow has lowered.
func (b *budget) widen(outer time.Duration) { b.end = outer }

// bound returns a deadline, or the end where that is sooner.
func (b *budget) bound(deadline time.Duration) time.Duration {
	if b.end == 0 {
		return deadline
	}
	return min(deadline, b.end)
}

// left is how long what is hidden may still go on; unbounded where nothing is.
func (b *budget) left(now time.Duration) time.Duration { return b.bound(math.MaxInt64) - now }

// spare is what may still be spent on what is hidden behind the reply to a command.
func (b *budget) spare(now time.Duration) time.Duration {
	return b.begun + maxHidden - replyReserve - now
}

// now is how long the session has lasted.
func (s *session) now() time.Duration { return time.Since(s.info.Start) }

// at is the time of that.
func (s *session) at(now time.Duration) time.Time { return s.info.Start.Add(now) }

// tellSoFar gives the MSA the replies that there are, ahead of a wait: with them begins its wait for the next one.
func (s *session) tellSoFar(phase event.Phase, now time.Duration) error {
	if len(s.msa.out) == 0 {
		return nil
	}
	s.budget.begins(now)
	return s.flushMSA(phase)
}

// patience is what a step toward the MX may take: the phase's time, and no more than what is left of the MSA's.
func (s *session) patience(phase event.Phase, now time.Duration) time.Duration {
	return min(s.e.timeout(phase), s.budget.left(now))
}

// flushMX writes the commands that have been gathered for the MX: nearly always there is no wait.
func (s *session) flushMX() error {
	return s.mx.flush(max(s.patience(event.PhaseBody, s.mx.sent), time.Second), s.at(s.mx.sent))
}

// behind is how long the reply of a phase may take where something is hidden behind it.
func (s *session) behind(phase event.Phase) time.Duration {
	switch {
	case s.talk.hello == smtp.VerbUnknown:
		return maxBehindBanner
	case phase == event.PhaseData:
		return maxBehindData
	case phase == event.PhaseDot:
		return maxBehindDot
	default:
		return maxHidden
	}
}

// rescueEnd bounds all attempts together that are made behind one reply.
func (s *session) rescueEnd(phase event.Phase, now time.Duration) time.Duration {
	of := s.budget
	if len(s.msa.out) > 0 {
		of.begins(now) // these replies go out first
	}
	last := of.begun + s.behind(phase)
	if phase >= event.PhaseMail && phase <= event.PhaseData { // what is said again there has yet to be answered
		last -= replyReserve
	}
	return of.bound(min(last, now+s.e.Rescue.time()))
}

// tooLate reports whether there is no time left for another connection.
func (s *session) tooLate(phase event.Phase) bool {
	now := s.now()
	return s.rescueEnd(phase, now)-now < leastAttempt
}

// dotBegan is when the MSA began to wait for the reply to its dot: that may have stood in the socket while the gate held the message back.
func (s *session) dotBegan() time.Duration {
	at := s.mail.dotAt
	if s.msa.probe != nil {
		at = min(at, s.now()-s.msa.probe.Quiet())
	}
	return at
}
