package session

import (
	"time"

	"kanmon/internal/event"
)

// overdue tells of a wait for the MX that has lasted for so long, after ten seconds and each time that its length has
// doubled: a tarpit that never answers is seen while it holds, and not when the phase's time is over. It gives how long
// until it is to be called again.
func (s *session) overdue(phase event.Phase, waited time.Duration) time.Duration {
	due := event.FirstWait << s.waiting.told
	if waited >= due {
		for ; waited >= due; due *= 2 {
			s.waiting.told++
		}
		w := event.Wait{Phase: phase, Waited: waited}
		if phase != event.PhaseDial && phase != event.PhaseHandshake && s.mx.reply.Begun() {
			w.Began, w.Pieces, w.First = true, s.mx.reply.Pieces(), s.mx.first
		}
		s.e.Live.tellers.tell(s, w)
	}
	return due - waited
}

// overdueWindow is overdue for a message that the MX's window keeps: it was kept for so long before, and is now.
func (s *session) overdueWindow(before, now time.Duration) {
	for due := event.FirstWait; due <= now; due *= 2 {
		if before < due {
			s.e.Live.tellers.tell(s, event.Wait{Phase: event.PhaseBody, Waited: now})
			return
		}
	}
}

// tellWait tells of a wait. The kernel is asked about the way, but not again where everything has been acknowledged and nothing is written.
func (s *session) tellWait(w event.Wait) {
	leg := &s.mx.info
	if !s.waiting.settled {
		leg.Resent, leg.RTT, s.waiting.settled = s.mx.wire()
	}
	if w.Phase == event.PhaseHandshake || w.Phase == event.PhaseBody {
		s.waiting.settled = false
	}
	w.Resent, w.RTT = leg.Resent, leg.RTT
	s.log.waits(w)
}
