package session

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/event"
)

// errNoTime says that a connection was not tried: the MSA would not wait for it. That says nothing of the MX.
var errNoTime = errors.New("no time left for another connection")

// dial connects, behind a wait where there is no room at the MX's provider now.
func (s *session) dial() error {
	for waited := false; ; waited = true {
		err := s.dialOnce()
		full := noRoom(err)
		if full == nil {
			return err
		}
		step := s.stepOfDial()
		spare := s.again.trying || s.again.rather // in place of another, whose refusal stands, or that does as well
		if spare || !s.awaitRoom(step, full, waited) {
			switch {
			case step == event.StepConnect: // it waits again with its mail
			case spare:
				s.noteRoom(step, full, "passed_over")
			default:
				s.noteRoom(step, full, "deferred")
			}
			return err
		}
	}
}

// dialOnce connects in a goroutine of its own: it needs a deep stack for a short time, and the MSA may hang up meanwhile.
func (s *session) dialOnce() error {
	begun := s.now()
	if s.budget.left(begun) < leastAttempt {
		return &failure{trouble: mxUnreachable, phase: event.PhaseDial, cause: errNoTime}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.patience(event.PhaseDial, begun))
	defer cancel()
	req := s.dialRequest()
	req.Leaving = new(Leaving)
	s.dials(begun)
	var out Outbound
	err := s.aside(event.PhaseDial, func() {
		s.mx.info.SendingIP, s.mx.info.Way = req.Leaving.Whence()
		s.showsLeg()
	}, cancel, func() (err error) {
		out, err = s.way.Dial(ctx, req)
		return err
	})
	s.noted(s.stepOfDial(), out.Notes)
	s.mx.info.Phases[event.PhaseDial] = event.MicrosOf(s.now() - begun)
	s.mx.info.SendingIP, s.mx.info.Way = out.SendingIP, out.Way // also of a dial that failed
	s.showsLeg()
	var f *failure
	if errors.As(err, &f) {
		if out.Conn != nil {
			s.connected(&out)
			s.mx.close()
		}
		return f
	}
	if err != nil {
		return &failure{trouble: dialTrouble(err), phase: event.PhaseDial, cause: err}
	}
	s.connected(&out)
	s.mx.notesSYNs()
	s.watchCuts()
	s.mx.info.HeloMX = out.Name
	s.mx.stage = stageDialled
	s.log.notef("connected to %s from %s", s.info.Destination, s.mx.info.Local)
	return nil
}

// connected makes a connection that of the leg.
func (s *session) connected(out *Outbound) {
	s.mx.leg, s.mx.manners, s.mx.probed = newLeg(out.Conn), manners{}, false
	s.mx.closed = out.Closed
	s.mx.info.Local = addrPort(out.Conn.LocalAddr())
}

// dials begins a connection's place in the record. One of the same leg before it has its own: TLS has failed there, or EHLO.
func (s *session) dials(now time.Duration) {
	s.log.leaves(&s.mx.info)
	s.log.dials++
	s.mx.info = event.Leg{Number: s.log.dials, At: event.HundredthsOf(now), MX: s.mx.info.MX}
}

// dialTrouble tells what kept a dial from connecting.
func dialTrouble(err error) trouble {
	switch {
	case errors.Is(err, ErrSuspended):
		return ipsSuspended
	case errors.Is(err, ErrNotOnHost):
		return ipsMissing
	case errors.Is(err, ErrPortsExhausted):
		return portsExhausted
	case noRoom(err) != nil:
		return noRoomThere
	default:
		return mxUnreachable
	}
}

func (s *session) dialRequest() DialRequest {
	req := DialRequest{
		Rescue: s.again.trying, Avoid: s.again.tried(), Sender: s.mail.sender, SenderKnown: s.mail.senderKnown,
		Further: s.mx.way&wayAgain != 0 || s.again.helo == heloNeeded, Beside: s.isBeside(),
	}
	if req.Rescue && req.Beside && !slices.Contains(req.Avoid, s.held.info.SendingIP) {
		req.Avoid = slices.Concat(req.Avoid, []netip.Addr{s.held.info.SendingIP}) // the mail is there already
	}
	if s.trust.isRedialling() {
		req.From, req.Further = s.trust.from, true
	}
	if s.gate != nil {
		req.Owner, req.Pool, req.Suspicion = s.gate.owner, s.gate.pool, s.gate.suspicion
	}
	if s.mail.recipientKnown {
		req.Recipient = s.mail.recipient
	}
	return req
}

// aside runs a step that blocks in a goroutine of its own and watches the MSA meanwhile: a lost MSA cancels the step.
// It returns only when the step has ended. Look is called before each look around; nil: there is nothing to look at.
func (s *session) aside(phase event.Phase, look, cancel func(), step func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- &failure{trouble: broken, phase: phase, cause: fmt.Errorf("panic: %v", p)}
			}
		}()
		done <- step()
	}()
	s.shown.waits(s.log.on, phase, s.now())
	begun, ofMX := time.Now(), phase == event.PhaseDial || s.mx.stage == stageHello // else the MSA's handshake
	s.waiting.told, s.waiting.settled = 0, false
	tick := time.NewTimer(s.lookIn(watchEvery))
	defer tick.Stop()
	var lost *failure
	for {
		select {
		case err := <-done:
			if lost != nil {
				return lost
			}
			return err
		case <-tick.C:
			if look != nil {
				look()
			}
			s.log.handOver()
			s.msa.park()
			if ofMX {
				_ = s.overdue(phase, time.Since(begun)) // there is a look soon
			}
			switch {
			case lost != nil:
			case s.msaGone():
				lost = &failure{trouble: msaLost, phase: phase}
				cancel()
			case s.mustEnd():
				lost = s.ends(phase)
				cancel()
			}
			tick.Reset(s.lookIn(watchEvery))
		}
	}
}

// watchEvery bounds how long a lost MSA keeps a dial going (S0: ≤ 1 s).
const watchEvery = 500 * time.Millisecond
