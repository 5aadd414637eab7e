package session

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// A person may have one session end. Its own goroutine does it, at the points where it looks whether kanmon stops: at once where it
// waits, and never between the dot and its reply (I1 to I4).

// An Ending is what has come of an order to end a session.
type Ending uint8

// What can come of it.
const (
	EndingNone   Ending = iota // there is no such session
	EndingPasses               // it is passed through: whether it is behind a dot nobody knows, and it is left alone
	EndingSoon                 // it ends as soon as it is done with what it does, which takes no MX
	EndingWaits                // the MX has its dot: it ends behind the reply
	EndingDone                 // it has ended
)

// An order is one for a session to end.
type order struct {
	by    string      // who has given it
	heard atomic.Bool // by the session: it is not to be disturbed any more
}

// endPatience is how long End waits for the session's end: the steps of a session that cannot be interrupted take less, but for an MSA that
// takes its time to read the last reply.
const endPatience = 2 * time.Second

// End has a session end, in the name of who has ordered it, and waits a moment for that. The MSA is told, where a reply is possible.
func (l *Live) End(ctx context.Context, id event.ID, by string) Ending {
	s := l.running.find(id)
	switch {
	case s == nil:
		return EndingNone
	case s.passes():
		return EndingPasses
	}
	o := l.order(s, by)
	if l.running.find(id) != s { // it had ended before it was given one
		l.mu.Lock()
		delete(l.orders, id)
		l.mu.Unlock()
		return EndingDone
	}
	tick := time.NewTicker(lookTogether)
	defer tick.Stop()
	for end := time.Now().Add(endPatience); l.running.find(id) == s; {
		dotted := s.waitsForDot()
		if !dotted && !o.heard.Load() {
			s.nudge()
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
			if time.Now().Before(end) {
				continue
			}
		}
		switch {
		case dotted:
			return EndingWaits
		case s.passes(): // it had begun to before it was given the order
			return EndingPasses
		}
		return EndingSoon
	}
	return EndingDone
}

// passes reports whether a session is seen to be passed through.
func (s *session) passes() bool {
	return event.Spending(s.shown.doing.Load()) == event.SpentPassing //nolint:gosec // eight bits
}

// order gives the order for a session to end, the first one that there was.
func (l *Live) order(s *session, by string) *order {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.orders[s.info.ID]
	if o == nil {
		if o = (&order{by: by}); l.orders == nil {
			l.orders = map[event.ID]*order{}
		}
		l.orders[s.info.ID] = o
		s.marks.set(markOrdered)
	}
	return o
}

// waitsForDot reports whether a session is seen to wait for the reply to its dot.
func (s *session) waitsForDot() bool {
	doing := s.shown.doing.Load()
	return event.Phase(doing>>8) == event.PhaseDot && event.Spending(doing) != event.SpentByKanmon //nolint:gosec // eight bits each
}

// nudge ends the wait of a session, once, so that it looks around. A step aside looks by itself, and is not to be disturbed. Writes are
// left alone: what is written may be the reply to a dot (I2).
func (s *session) nudge() {
	switch event.Phase(s.shown.doing.Load() >> 8) { //nolint:gosec // eight bits
	case event.PhaseDial, event.PhaseHandshake:
		return
	}
	endWait(s.msa.base)
	if mx := s.cuts.Load(); mx != nil {
		endWait(*mx)
	}
}

// marks are what other goroutines tell a session.
type marks struct{ bits atomic.Uint32 }

const (
	markHungUp  uint32 = 1 << iota // the MSA has, while it is watched
	markOrdered                    // a person has ordered the session to end: Live knows who
)

func (m *marks) has(one uint32) bool { return m.bits.Load()&one != 0 }
func (m *marks) set(one uint32)      { m.bits.Or(one) }
func (m *marks) clear(one uint32)    { m.bits.And(^one) }

// stops reports that no transaction may begin any more, in this session or in any.
func (s *session) stops() bool { return s.marks.has(markOrdered) || s.e.Live.stopping() }

// idlesTooLong reports that the MSA has begun nothing for longer than a process that is being replaced waits for it.
func (s *session) idlesTooLong() bool {
	most := time.Duration(s.e.Live.idles.Load())
	return most > 0 && s.now()-s.waiting.began >= most
}

// mustEnd reports that what is under way is given up. What the MX has the dot of is not: by order of a person, that is waited for.
func (s *session) mustEnd() bool {
	return s.e.Live.cutting() || s.marks.has(markOrdered) && s.mail.state != mailDotted
}

// ends is the end of a session because kanmon stops, or by order.
func (s *session) ends(phase event.Phase) *failure {
	switch {
	case s.marks.has(markOrdered):
		o := s.e.Live.order(s, "")
		o.heard.Store(true)
		return &failure{trouble: byOrder, phase: phase, cause: errors.New("by order of " + o.by)}
	case s.e.Live.cutting():
		return &failure{trouble: cut, phase: phase}
	default:
		return &failure{trouble: stopping, phase: phase}
	}
}

// answerStop answers a command that comes too late, and ends the session. It gives the answer.
func (s *session) answerStop(cmd smtp.Command) *smtp.Reply {
	no, why := &replyStopping, stopping
	if s.marks.has(markOrdered) {
		s.e.Live.order(s, "").heard.Store(true)
		no, why = &replyEnded, byOrder
	}
	s.answerAndEnd(cmd, no, why)
	return no
}
