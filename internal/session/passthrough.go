package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
)

// passThrough relays octets both ways and looks at nothing: for MSAs that insist on their own TLS with a destination.
// Only the connection is recorded, and the gate has been asked about no more than that. It lasts until both sides have closed, one was
// reset, or nothing moved for long.
func (s *session) passThrough() error {
	s.mx.info.MX.State, s.info.MSA = event.TLSPassthrough, &event.TLS{State: event.TLSPassthrough}
	if err := s.openMX(stageDialled); err != nil {
		return s.ungreeted(err)
	}
	s.mx.keepAlive()
	s.log.spends(event.SpentPassing)
	if s.mustEnd() { // from here on nobody can have it end
		return s.ends(event.PhaseDial)
	}
	s.log.note("passed through")
	s.log.handOver()
	flow := new(flow)
	flow.moved()
	var wg sync.WaitGroup
	var back error
	wg.Go(func() { back = s.pumpSafely(&s.msa, &s.mx.leg, flow) })
	forth := s.pumpSafely(&s.mx.leg, &s.msa, flow)
	wg.Wait()
	var f *failure
	if err := errors.Join(forth, back); errors.As(err, &f) {
		return f
	} else if err != nil {
		return &failure{trouble: passedThrough, phase: event.PhaseBody, cause: err}
	}
	return nil
}

// flow is what the two directions of a stream know of each other: one may be silent, lawfully, while the other is busy.
type flow struct {
	last   atomic.Int64 // when something moved, Unix nanoseconds
	broken atomic.Bool
}

func (f *flow) moved()               { f.last.Store(time.Now().UnixNano()) }
func (f *flow) still() time.Duration { return time.Duration(time.Now().UnixNano() - f.last.Load()) }

// pumpSafely ends both directions where one panics: the other must not wait for ever, nor the process die.
func (s *session) pumpSafely(to, from *leg, flow *flow) (err error) {
	defer func() {
		if p := recover(); p != nil {
			flow.broken.Store(true)
			breakOff(to.base)
			breakOff(from.base)
			s.e.logger().Error("session panicked", "session", s.info.ID.String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = &failure{trouble: broken, phase: event.PhaseBody, cause: fmt.Errorf("panic: %v", p)}
		}
	}()
	return s.pump(to, from, flow)
}

// pump copies from one leg to the other until the end of the stream and passes that on. An error ends both directions.
func (s *session) pump(to, from *leg, flow *flow) error {
	idle := s.e.timeout(event.PhaseDot) // the longest silence that is lawful in SMTP
	for {
		_ = from.base.SetReadDeadline(time.Now().Add(idle - flow.still()))
		if flow.broken.Load() { // after the deadline was set: breakOff's must not be lost
			return nil // the other direction has the reason
		}
		err := from.in.Fill()
		if err == nil {
			p := from.in.Buffered()
			err = to.write(p, idle) // a peer that does not read for long is nobody's business but the two peers'
			from.in.Discard(len(p))
			flow.moved()
		} else if errors.Is(err, os.ErrDeadlineExceeded) && flow.still() < idle && !s.e.Live.cutting() {
			time.Sleep(pokeEvery) // woken by a drain, or while the other direction was busy
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && s.e.Live.cutting() {
			err = &failure{trouble: cut, phase: event.PhaseBody, parting: partInTheMiddle}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			if c, ok := to.base.(interface{ CloseWrite() error }); ok {
				_ = c.CloseWrite()
			}
			return nil
		default:
			flow.broken.Store(true)
			breakOff(to.base)
			breakOff(from.base)
			return err
		}
	}
}

// breakOff makes the end of a broken stream look broken on this side, too, and ends all waits on it.
func breakOff(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.SetDeadline(time.Unix(1, 0))
}
