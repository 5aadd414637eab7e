package inspect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
)

// A Scanner is what one is made of.
type Scanner struct {
	Name    string
	Engines []Engine      // where it can be asked: another one, if the first one fails early
	AtOnce  int           // messages that it is given at the same time, at least 1
	Largest int64         // octets; larger messages are not put to it. 0: all are
	Within  time.Duration // it must say something; as long again a scan may go on that nobody waits for
}

// waitForPlace is how long a message waits for one of a scanner's places.
const waitForPlace = 5 * time.Second

// pingEvery is how often an upstream that is away is asked whether it is there again, and pingTime how long that may take.
const (
	pingEvery = time.Second
	pingTime  = time.Second
)

// A scanner is a Scanner at work.
type scanner struct {
	Scanner
	room      *Room
	places    *places
	upstreams []*upstream
	turn      atomic.Uint32 // of the upstreams
	abandoned atomic.Int32  // scans that nobody waits for

	mu   sync.Mutex
	took [shown]time.Duration // of the last scans with a verdict
	n    int                  // of them all
}

// shown is how many of the last scans the times that are shown are of.
const shown = 256

type upstream struct {
	Engine
	breaker breaker
}

func newScanner(r *Room, s Scanner) *scanner {
	all := &scanner{Scanner: s, room: r, places: newPlaces(s.AtOnce)}
	for _, e := range s.Engines {
		all.upstreams = append(all.upstreams, &upstream{Engine: e, breaker: breaker{within: s.Within, now: r.now}})
	}
	return all
}

// ask puts a message to the scanner, and waits.
func (s *scanner) ask(ctx context.Context, m *Mail) event.Scan {
	began := s.room.now()
	said := s.askOnce(ctx, m)
	said.Scanner, said.Took = s.Name, event.Micros(s.room.now().Sub(began).Microseconds())
	return said
}

// takes reports whether a message is not too large for it.
func (s *scanner) takes(m *Mail) bool { return s.Largest == 0 || m.Octets <= s.Largest }

func (s *scanner) askOnce(ctx context.Context, m *Mail) event.Scan {
	if !s.takes(m) {
		return skipped(event.LackTooLarge, "%d octets: it is given %d at most", m.Octets, s.Largest)
	}
	up, try, why := s.choose(nil)
	if up == nil {
		return skipped(event.LackUnavailable, "%s", why)
	}
	if err := s.places.take(ctx, m.Tenant, waitForPlace); err != nil {
		if try {
			up.breaker.untried()
		}
		switch {
		case errors.Is(err, errAway):
			return skipped(event.LackUnavailable, "%v", err)
		case errors.Is(err, errBusy), errors.Is(err, errMany):
			return skipped(event.LackBusy, "%v", err)
		}
		return skipped(event.LackBusy, "no place before the time was over: %v", err)
	}
	return s.wait(ctx, m, up, try)
}

// choose gives the upstream that is asked next, other than one. Without one it says why.
func (s *scanner) choose(other *upstream) (up *upstream, try bool, why string) {
	from := int(s.turn.Add(1))
	for i := range s.upstreams {
		up = s.upstreams[(from+i)%len(s.upstreams)]
		if up == other {
			continue
		}
		var ok bool
		if ok, try, why = up.breaker.may(); ok {
			return up, try, ""
		}
	}
	return nil, false, why
}

// A scan under way.
type scan struct {
	left   atomic.Bool // whoever waited waits no more; or the scan has ended, whichever is first
	result chan event.Scan
}

// wait has the message scanned, with a place taken, and waits for the verdict.
func (s *scanner) wait(ctx context.Context, m *Mail, up *upstream, try bool) event.Scan {
	// The scan may go on when nobody waits for it: it ends with the room, or when its time is over twice.
	work, cancel := context.WithTimeout(s.room.ctx, 2*s.Within)
	going := &scan{result: make(chan event.Scan, 1)}
	s.room.ended.Go(func() {
		defer cancel()
		defer s.places.give(m.Tenant)
		s.end(going, m, s.scan(work, m, up, try))
	})
	timer := time.NewTimer(s.Within)
	defer timer.Stop()
	var late event.Scan
	select {
	case said := <-going.result:
		return said
	case <-timer.C:
		late = Failed(event.LackUnavailable, "nothing said within %v", s.Within)
	case <-ctx.Done():
		late = Failed(event.LackUnavailable, "nothing said in time: %v", ctx.Err())
		if errors.Is(ctx.Err(), context.Canceled) && !up.Lingers() {
			cancel() // the program gives it up when its client hangs up
		}
	}
	s.abandoned.Add(1)
	if going.left.Swap(true) { // it has ended meanwhile
		s.abandoned.Add(-1)
		return <-going.result
	}
	return late
}

// end tells whoever waits, or else whom late verdicts are told.
func (s *scanner) end(going *scan, m *Mail, said event.Scan) {
	if !going.left.Swap(true) {
		going.result <- said
		return
	}
	s.abandoned.Add(-1)
	if said.State == event.Scanned && s.room.s.Late != nil {
		said.Scanner = s.Name
		s.room.s.Late(*m, said)
	}
}

// scan asks an upstream, and another one if that has failed early.
func (s *scanner) scan(ctx context.Context, m *Mail, up *upstream, try bool) event.Scan {
	began := s.room.now()
	for tries := 1; ; tries++ {
		said := s.scanBy(ctx, m, up, try, s.Within-s.room.now().Sub(began))
		again := said.Lack == event.LackBusy || said.Lack == event.LackUnavailable
		if !again || tries == 2 || ctx.Err() != nil || s.room.now().Sub(began) >= s.Within/2 {
			return said
		}
		next, nextTry, _ := s.choose(up)
		if next == nil {
			return said
		}
		up, try = next, nextTry
	}
}

// scanBy asks one upstream. That nothing is said in time counts against it at that moment, not when the scan ends.
func (s *scanner) scanBy(ctx context.Context, m *Mail, up *upstream, try bool, within time.Duration) event.Scan {
	began, counted := s.room.now(), make(chan struct{})
	over := time.AfterFunc(within, func() {
		defer close(counted)
		s.heard(up, m.Tenant, Failed(event.LackUnavailable, "nothing said within %v", s.Within), within, try)
	})
	said := safely(ctx, up, m)
	switch {
	case !over.Stop():
		<-counted
	case ctx.Err() == nil:
		s.heard(up, m.Tenant, said, s.room.now().Sub(began), try)
	case try: // given up by whoever waited
		up.breaker.untried()
	}
	return said
}

// safely asks an upstream. What a scanner sends must not end kanmon, whatever library reads it.
func safely(ctx context.Context, up *upstream, m *Mail) (said event.Scan) {
	defer func() {
		if p := recover(); p != nil {
			said = Failed(event.LackUnavailable, "what it said cannot be read: %v", p)
		}
	}()
	return up.Scan(ctx, m)
}

// heard keeps what a scan tells of its upstream.
func (s *scanner) heard(up *upstream, tenant string, said event.Scan, took time.Duration, try bool) {
	if said.State == event.Scanned {
		s.mu.Lock()
		s.took[s.n%shown] = took
		s.n++
		s.mu.Unlock()
	}
	s.settle(up, up.breaker.heard(tenant, said, took, try))
}

// settle does what a doubt in an upstream asks for.
func (s *scanner) settle(up *upstream, d doubt) {
	switch d {
	case pingOnce:
		s.room.ended.Go(func() { s.settle(up, up.breaker.answered(s.pingOnce(up))) })
	case gone:
		if !s.isThere() {
			s.places.sendAway()
		}
		s.room.ended.Go(func() { s.ping(up) })
	}
}

// isThere reports whether one of the upstreams is not away.
func (s *scanner) isThere() bool {
	for _, up := range s.upstreams {
		if !up.breaker.isAway() {
			return true
		}
	}
	return false
}

// ping asks an upstream again and again until it is there.
func (s *scanner) ping(up *upstream) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.room.ctx.Done():
			return
		}
		if !up.breaker.pinged(s.pingOnce(up)) {
			return
		}
	}
}

func (s *scanner) pingOnce(up *upstream) (err error) {
	ctx, cancel := context.WithTimeout(s.room.ctx, pingTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("what it said cannot be read: %v", p)
		}
	}()
	return up.Ping(ctx)
}
