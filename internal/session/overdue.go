package session

import (
	"runtime/debug"
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
		s.tellApart(w)
	}
	return due - waited
}

// overdueWindow is overdue for a message that the MX's window keeps: it was kept for so long before, and is now.
func (s *session) overdueWindow(before, now time.Duration) {
	for due := event.FirstWait; due <= now; due *= 2 {
		if before < due {
			s.tellApart(event.Wait{Phase: event.PhaseBody, Waited: now})
			return
		}
	}
}

// tellApart tells of a wait on a stack of its own. What hears of it needs more than the 4 KiB of a session that waits, and a stack that has grown
// stays so until the next collection, for each of ten thousand held sessions. The session waits meanwhile: a panic is its own.
func (s *session) tellApart(w event.Wait) {
	told := make(chan any, 1)
	go func() {
		defer func() {
			fault := recover()
			if fault != nil { // the session, which panics with it, does not have this stack
				s.e.logger().Error("telling of a wait panicked", "session", s.info.ID.String(), "stack", string(debug.Stack()))
			}
			told <- fault
		}()
		s.tellWait(w)
	}()
	if fault := <-told; fault != nil {
		panic(fault) //nolint:forbidigo // as on the session's own stack
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
