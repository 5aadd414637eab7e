package session

import (
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

// begins notes that the MSA waits from now on for the reply that is next, with nothing hidden behind it.
func (s *session) begins(now time.Time) { s.begun, s.hiddenBy = now, time.Time{} }

// tellSoFar gives the MSA the replies that there are, ahead of a wait: with them begins its wait for the next one.
func (s *session) tellSoFar(phase event.Phase, now time.Time) error {
	if len(s.msa.out) == 0 {
		return nil
	}
	s.begins(now)
	return s.flushMSA(phase)
}

// hides notes that something is done behind the reply at hand that the MSA does not see.
func (s *session) hides() {
	if s.hiddenBy.IsZero() {
		s.hiddenBy = s.begun.Add(maxHidden)
	}
}

// hidesBehindHello is hides behind the MX's first answer to EHLO, which has had the time that an answer may have.
func (s *session) hidesBehindHello() {
	if !s.hiddenBy.IsZero() {
		return // this goes on behind something else, within its time
	}
	s.hides()
	soon, last := time.Now().Add(minBehindHello), s.begun.Add(maxBehindHello)
	if soon.After(last) {
		soon = last
	}
	if s.hiddenBy.Before(soon) {
		s.hiddenBy = soon
	}
}

// hideUntil lowers the time at which what the MSA does not see must be over.
func (s *session) hideUntil(end time.Time) {
	if s.hiddenBy.IsZero() || end.Before(s.hiddenBy) {
		s.hiddenBy = end
	}
}

// spare is what may still be spent on what is hidden behind the reply to a command.
func (s *session) spare(now time.Time) time.Duration {
	return s.begun.Add(maxHidden - replyReserve).Sub(now)
}

// patience is what a step toward the MX may take: the phase's time, and no more than what is left of the MSA's.
func (s *session) patience(phase event.Phase, now time.Time) time.Duration {
	most := s.e.timeout(phase)
	if !s.hiddenBy.IsZero() {
		most = min(most, s.hiddenBy.Sub(now))
	}
	return most
}

// flushMX writes the commands that have been gathered for the MX: nearly always there is no wait.
func (s *session) flushMX() error {
	return s.mx.flush(max(s.patience(event.PhaseBody, s.sent), time.Second), s.sent)
}

// behind is how long the reply of a phase may take where something is hidden behind it.
func (s *session) behind(phase event.Phase) time.Duration {
	switch {
	case s.hello == smtp.VerbUnknown:
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
func (s *session) rescueEnd(phase event.Phase, now time.Time) time.Time {
	begun, limit := s.begun, s.hiddenBy
	if len(s.msa.out) > 0 {
		begun, limit = now, time.Time{} // these replies go out first
	}
	last := begun.Add(s.behind(phase))
	if phase >= event.PhaseMail && phase <= event.PhaseData { // what is said again there has yet to be answered
		last = last.Add(-replyReserve)
	}
	if end := now.Add(s.e.Rescue.time()); end.Before(last) {
		last = end
	}
	if !limit.IsZero() && limit.Before(last) {
		last = limit
	}
	return last
}

// tooLate says whether there is no time left for another connection.
func (s *session) tooLate(phase event.Phase) bool {
	now := time.Now()
	return s.rescueEnd(phase, now).Sub(now) < leastAttempt
}

// dotBegan is when the MSA began to wait for the reply to its dot: that may have stood in the socket while the gate held the message back.
func (s *session) dotBegan() time.Time {
	at := s.looks.dotAt
	if s.msa.probe != nil {
		at = min(at, time.Since(s.info.Start)-s.msa.probe.Quiet())
	}
	return s.info.Start.Add(at)
}
