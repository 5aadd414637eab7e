package session

import (
	"time"

	"kanmon/internal/event"
)

// Where a session's time goes is kept as it goes: there is one thing at a time that it is spent on, so that all of them
// add up. What is done as a whole, to open a leg, to move or to rescue, counts as that, whatever is waited for in it.

// book counts the time until now, and gives it: since the session began.
func (t *trace) book() time.Duration {
	now := t.of.now()
	t.bookAt(now)
	return now
}

// bookAt is book where it is known what time it is. What is less than is counted in is left for the next time.
func (t *trace) bookAt(now time.Duration) {
	if t.own == nil || now < t.own.since+sixteenth {
		return
	}
	spent := (now - t.own.since).Truncate(sixteenth)
	t.own.spent[t.on] += uint32(spent / sixteenth) //nolint:gosec // of 74 hours
	t.own.since += spent
}

// spends says what the time is spent on from now on, and gives what it was spent on before.
func (t *trace) spends(on event.Spending) (before event.Spending) {
	now := t.book()
	before, t.on = t.on, on
	t.of.shown.does(on, now)
	return before
}

// spendsIn is spends for a wait, which may be a part of something.
func (t *trace) spendsIn(on event.Spending) (before event.Spending) {
	if t.on >= event.SpentHeld {
		return t.on
	}
	return t.spends(on)
}

// waitsIn is spendsIn for the wait that has begun in a phase, or goes on now.
func (t *trace) waitsIn(on event.Spending, phase event.Phase, now time.Duration) (before event.Spending) {
	t.bookAt(now)
	if before = t.on; before < event.SpentHeld {
		t.on = on
	}
	t.of.shown.waits(t.on, phase, t.of.waiting.began)
	return before
}

// back is the end of what spends, or spendsIn, has begun. It gives the time since the session began.
func (t *trace) back(to event.Spending) time.Duration {
	now := t.book()
	t.on = to
	t.of.shown.does(to, now)
	return now
}

// arrives notes when octets of the MX have come. Those that the read did not have to wait for may have lain there.
func (s *session) arrives(now time.Duration) {
	if s.mx.lain > 0 && now-s.waiting.began < time.Millisecond {
		s.mx.came = s.mx.lain
		return
	}
	s.mx.came, s.mx.lain = now, 0
}

// waitedForMX is how long a mail has waited for the MX on the connection at hand, with a wait in progress. Where a part of it was said on another
// connection, only the wait itself is known to be of this one.
func (t *trace) waitedForMX(w *event.Wait) (sum time.Duration) {
	leg := &t.of.mx.info
	if leg.Mails == 0 {
		sum = leg.Opening()
	}
	if !t.tx || w.Phase < event.PhaseIdle || leg.Mails == 0 && leg.From != event.PhaseDial {
		return sum + w.Waited
	}
	t.book()
	spent := t.own.spent.times()
	return sum + spent.ForMX()
}

// spending is what a wait is for.
func (s *session) spending(l *leg, phase event.Phase) event.Spending {
	switch {
	case l != &s.msa:
		return event.SpentOnMX
	case phase == event.PhaseBody:
		return event.SpentOnBodyMSA
	default:
		return event.SpentOnMSA
	}
}

// sixteenths are what time is counted in here, to hold little: up to 74 hours of each spending.
type sixteenths [event.SpendingCount]uint32

const sixteenth = time.Millisecond / 16

// times returns them as they go on record.
func (x *sixteenths) times() (spent event.Spent) {
	for i, n := range x {
		spent[i] = time.Duration(n) * sixteenth
	}
	return spent
}

// anew begins with what is next.
func (l *lasting) anew() {
	for i, n := range l.spent {
		l.before[i] += n
	}
	l.spent = sixteenths{}
}

// legs are connections to MXs that others have taken the place of.
type legs struct {
	all  []event.Leg
	more int
}

// maxLegs bounds how many are told of.
const maxLegs = 32

// leaves keeps what is known of a connection that is about to be forgotten.
func (t *trace) leaves(l *event.Leg) {
	if t.own == nil || l.Number == 0 {
		return
	}
	if t.own.legs == nil {
		t.own.legs = new(legs)
	}
	if own := t.own.legs; len(own.all) < maxLegs {
		own.all = append(own.all, *l)
	} else {
		own.more++
	}
}
