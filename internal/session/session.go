package session

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
)

// session is one intercepted connection. Its goroutine owns everything in it; Live may only move deadlines. What
// changes while it runs is in five nouns: what the MSA has said and what this MX has, the mail at hand, the time of the
// reply that is next, and what is left of MXs before.
type session struct {
	e     *Engine
	shown shown // beside what else others look at
	info  event.Arrival
	log   trace
	gate  *gating // nil: there is none

	way Way // out

	msa     leg
	talk    talk
	mx      mxLeg
	held    *mxLeg // one that has been set aside; nil: none
	mail    mail
	budget  budget
	again   again
	waiting waiting
	trust   *trusting // nil: nothing of it has been asked

	dest          rule
	marks         marks                    // that others set
	work          int32                    // done since it was last counted (pace.go)
	msaDescriptor int32                    // of the MSA's connection, which its session alone closes; 0: it has none
	cuts          atomic.Pointer[net.Conn] // the MX connection, for Live to cut
}

// run is a whole session, from the intercepted connection to both legs closed.
func (s *session) run() {
	defer s.leaveWay() // behind all that a leg may have to say to it
	defer s.survivePanic()
	err := s.converse()
	s.finish(err)
	s.endTrust()
}

func (s *session) converse() error {
	s.way = s.e.Ways.Enter(s.origin())
	if s.e.Gate != nil {
		s.gate = &gating{pass: s.e.Gate.Enter(s.origin())}
		defer s.leaveGate()
	}
	switch passes, err := s.letIn(); {
	case err != nil:
		return err
	case passes:
		return s.passThrough()
	}
	s.restFirst()
	for !s.talk.quit {
		s.rest()
		if err := s.awaitCommand(); err != nil {
			return err
		}
		toBody, err := s.serveGroup()
		if err != nil {
			return err
		}
		if toBody {
			if err := s.relayBody(); err != nil {
				return err
			}
		}
	}
	return nil
}

// await reads at least one octet more on one leg, until the phase's time is over, and meanwhile watches the other leg. The wait
// began at s.waiting.began. The common case is one read; whoever waits longer is looked after in slices. This is where
// sessions spend their lives: what is not needed to wait is in functions of its own, off the stack.
func (s *session) await(l *leg, phase event.Phase) error {
	now := s.armWait(l, phase)
	before := s.log.waitsIn(s.spending(l, phase), phase, now)
	for {
		err := l.in.Fill()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if err = s.waitOn(l, phase); err == nil {
				l.in.WaitsLong()
				continue
			}
		}
		if s.talk.watched {
			s.unwatchMSA(l)
		}
		if now := s.log.back(before); l != &s.msa {
			s.arrives(now)
		}
		return err
	}
}

// waiting is a wait in progress.
type waiting struct {
	began   time.Duration // since the session began
	end     time.Duration // of the phase's time, likewise; 0: it has just begun
	looked  event.Micros  // behind began, at the other leg, while a reply is coming in pieces
	fed     event.Micros  // behind began, when a line was seen that only LF ends; 0: none was
	forMX   bool          // it is for a reply, and has begun
	told    uint8         // how often it has been told of
	settled bool          // the way has been looked at, and will not change: the MX's host has acknowledged everything
}

// armWait sets the deadline of the next read, and gives the time that it is.
func (s *session) armWait(l *leg, phase event.Phase) (now time.Duration) {
	began := s.waiting.began
	now = began
	if s.waiting.end != 0 {
		now = s.now()
	}
	if phase.FromBegin() {
		began = min(began, s.budget.begun)
	}
	end := s.budget.bound(began + s.e.timeout(phase))
	if l == &s.msa { // a server's patience is the same in every phase (RFC 5321 §4.5.3.2.7)
		end = s.waiting.began + s.e.timeout(event.PhaseIdle)
		if s.waiting.fed > 0 {
			end = min(end, s.waiting.began+s.waiting.fed.Duration()+feedWait)
		}
	} else if s.mx.reply.Junk() {
		end = min(end, now+junkWait)
	}
	s.waiting.end = end
	if by, due := s.looksBy(phase, now); due && l != &s.msa {
		end = min(end, by)
	}
	const slice = time.Second
	if left := l.armed.left(s.at(now)); left < slice/2 || left > min(2*slice, end-now) {
		l.arm(s.at(now + min(2*slice, max(end-now, 0))))
	}
	return now
}

// waitOn is called when a slice of a wait is over: it looks around and begins the next.
func (s *session) waitOn(l *leg, phase event.Phase) error {
	now := s.now()
	if now >= s.waiting.end {
		return errTimeout
	}
	hungUp := s.marks.has(markHungUp)
	if err := s.lookAround(l, phase); err != nil {
		return err
	}
	if s.talk.orphan {
		s.waiting.end = min(s.waiting.end, now+orphanWait)
	}
	slice := longSlice // one look soon, then few: ten thousand sessions may be waiting
	if l != &s.msa {
		slice = min(slice, s.overdue(phase, now-s.waiting.began))
	}
	slice += deadlineAt(s.at(now + slice)).untilOthers()
	l.arm(s.at(now + min(s.lookIn(slice), s.waiting.end-now)))
	switch {
	case l == &s.msa:
	case s.talk.watched:
		if !hungUp && s.marks.has(markHungUp) { // since it was looked at, perhaps in front of the deadline that was set then
			endWait(l.base)
		}
	case s.talk.openAt >= now: // it has just been seen to be there
		s.watchMSA(phase)
	}
	return nil
}

// longSlice bounds how long a hang-up of an MX that is not being read can go unseen; that of an MSA ends the slice.
const longSlice = time.Minute

// errTimeout is the phase's time running out; await's callers turn it into a failure.
var errTimeout = errors.New("no answer in time")

// lookAround is the slow path of a wait: hand over what there is to see, hold no buffers, look for a hang-up of the other leg.
func (s *session) lookAround(waiting *leg, phase event.Phase) error {
	s.log.handOver()
	s.mx.reply.Park()
	s.mail.park()
	s.mx.keepAlive()
	if waiting == &s.msa {
		if s.mustEnd() || phase == event.PhaseIdle && (s.stops() || s.idlesTooLong()) && !s.mail.underWay() {
			return s.ends(phase)
		}
		s.mx.park()
		switch {
		case !s.mx.open():
		case phase == event.PhaseBody && s.mail.content.isHeld():
			s.loseHeldMX()
		case phase == event.PhaseBody && s.mx.pending():
			return s.saidEarly()
		case phase == event.PhaseIdle && s.mx.hungUp():
			s.loseIdleMX()
		}
		return nil
	}
	if s.mustEnd() {
		return s.ends(phase)
	}
	if phase == event.PhaseBanner && s.msa.pending() {
		if err := s.peekForeign(); err != nil {
			return err
		}
	}
	s.msa.park()
	switch {
	case s.talk.orphan || s.stillThere() || !s.msaGone():
	case phase == event.PhaseDot: // only its reply counts now, whether there is somebody to tell or not
		s.talk.orphan = true
		s.log.note("MSA lost behind its dot")
	default:
		return &failure{trouble: msaLost, phase: phase}
	}
	return nil
}

// peekForeign looks at what an MSA sends before it has seen the banner: a client of another protocol would wait for ever.
func (s *session) peekForeign() error {
	if s.msa.in.Empty() {
		s.msa.arm(time.Now().Add(time.Millisecond))
		_ = s.msa.in.Fill() // its end is seen as a hang-up
	}
	return s.checkForeign()
}

// loseIdleMX frees the MX leg when the MX has hung up between transactions. A last 421 of its is kept for the next command.
func (s *session) loseIdleMX() {
	s.hearOut()
	s.log.note("MX closed the idle connection")
	s.tellGoodbye()
	s.log.endTransaction(event.OutcomeDeferred, event.ByMX, "the MX closed the connection")
	s.endMail()
	if s.mx.ehloRefused && s.mx.stage == stageBanner {
		s.again.helo = heloNext
	}
	s.closeMX()
}

// hearOut reads what an MX has said unasked. Of that a 421 alone is kept.
func (s *session) hearOut() {
	s.mx.arm(time.Now().Add(10 * time.Millisecond))
	s.mx.reply.Reset()
	for {
		ok, err := s.mx.in.Reply(&s.mx.reply)
		if ok {
			s.log.reply(event.MarkFromMX, &s.mx.reply, 0, 0)
			if s.mx.reply.Code != 421 {
				s.mx.reply.Reset() // nobody asked
			}
			break
		}
		if err == nil {
			err = s.mx.in.Fill()
		}
		if err != nil {
			s.mx.reply.Reset()
			break
		}
	}
}

func (s *session) closeMX() {
	if s.mx.open() {
		s.leave(&s.mx)
		s.mx.notesWire()
		s.log.octets(&s.mx)
	}
	s.mx.close()
	s.mx.stage, s.mx.ehloSaid, s.mx.ehloRefused, s.mx.transaction = stageNone, false, false, false
}

// finish ends the session after converse: tells the MSA what there is to tell, closes both legs, hands over the last record.
func (s *session) finish(err error) {
	var f *failure
	if err != nil && !errors.As(err, &f) {
		f = &failure{trouble: broken, cause: err}
	}
	if f != nil && (f.trouble == broken || f.trouble == mxGarbled) {
		s.mx.mute = true // nobody knows what it would take a QUIT for
	}
	s.closeMX() // never a dot: whatever was not complete stays so (I4)
	s.drop()
	if f != nil {
		s.leftBefore(f)
		s.noteFailure(f)
		s.farewell(f)
		s.log.endTransaction(f.outcome(), f.side(), f.Error())
	} else {
		s.log.endTransaction(event.OutcomeReset, event.ByMSA, "")
	}
	s.endsWork()
	end := event.End{Duration: s.log.over()}
	s.part(f)
	switch {
	case s.talk.refused && (f == nil || f.trouble == msaLost || f.trouble == msaSilent):
		end.Phase, end.Reason = event.PhaseBanner, troubleNames[mxRefused]
	case f == nil:
		end.Phase, end.Reason = event.PhaseQuit, EndQuit
	default:
		end.Phase, end.Reason = f.phase, troubleNames[f.trouble]
		if f.cause != nil {
			end.Cause = f.cause.Error()
		}
	}
	s.log.end(s, end)
}

// part closes the MSA's connection: with a RST where that is what its MX would have given it.
func (s *session) part(f *failure) {
	if f == nil {
		s.msa.sayEnd()
	}
	if f == nil || f.parting == partInWords || f.parting == partInTheMiddle {
		if f != nil && f.told {
			s.msa.closeGently(lingerTime)
		}
		s.msa.close()
		return
	}
	s.log.parting = f.parting
	s.log.notef("no greeting for the MSA, its connection is %s: %s", partings[f.parting], f)
	if f.parting == partByReset {
		s.msa.reset()
	} else {
		s.msa.close()
	}
}

// farewell tells the MSA why the session ends, in time for it to be read.
func (s *session) farewell(f *failure) {
	reply, ok := f.answer(s.info.Destination, s.e.Hostname)
	if !ok {
		return
	}
	if s.mail.state == mailComing && f.drains() && !s.drainBody() {
		return
	}
	by := f.author()
	s.toMSA(&reply, by)
	if s.flushMSA(f.phase) != nil {
		return
	}
	f.told = true
	sl := s.talk.awaited()
	if sl == nil && s.mail.state < mailComing {
		return
	}
	if r := s.log.lastWord(sl, &reply, by); r != nil && !s.unheard() {
		r.Told = uint16(reply.Code) //nolint:gosec // a code has three digits
	}
}

// lingerTime is how long an MSA may take to read the reply that ends its session: that is over by then, on record.
const lingerTime = 5 * time.Second

// survivePanic keeps a defect in one session from becoming everybody's (I4: the MX is dropped without a dot).
func (s *session) survivePanic() {
	p := recover()
	if p == nil {
		return
	}
	s.e.logger().Error("session panicked", "session", s.info.ID.String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	defer func() {
		if recover() != nil { // what broke cannot even be ended: cut the legs as they are
			s.mx.close()
			if s.held != nil {
				s.held.close()
			}
			s.msa.close()
		}
	}()
	if s.talk.watched { // it was in that wait that something broke
		s.unwatchMSA(&s.mx.leg)
	}
	phase := event.PhaseIdle
	if s.mail.state == mailDotted {
		phase = event.PhaseDot
	}
	s.finish(&failure{trouble: broken, phase: phase, cause: fmt.Errorf("panic: %v", p)})
}
