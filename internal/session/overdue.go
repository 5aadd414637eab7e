package session

import (
	"time"

	"kanmon/internal/event"
)

// overdue tells of a wait for the MX that has lasted for so long, after ten seconds and each time that its length has doubled: a tarpit that
// never answers is seen while it holds, and not when the phase's time is over. It gives how long until it is to be called again.
func (s *session) overdue(phase event.Phase, waited time.Duration) time.Duration {
	due := event.FirstWait << s.waiting.told
	if waited >= due {
		for ; waited >= due; due *= 2 {
			s.waiting.told++
		}
		ofReply := phase != event.PhaseDial && phase != event.PhaseHandshake
		s.log.waits(event.Wait{Phase: phase, Waited: waited, Began: ofReply && s.mx.reply.Begun()})
	}
	return due - waited
}
