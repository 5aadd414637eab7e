package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

// A timeline turns a clock that may be set into one that goes forward only. With time.Now it never has to: its monotonic
// reading does not know of the wall clock.
type timeline struct {
	clock func() time.Time
	now   atomic.Pointer[stretch]
	mu    sync.Mutex // of whoever begins a new stretch
}

// A stretch is a time in which nobody has set the clock.
type stretch struct {
	base  time.Time
	start int64        // what the timeline showed at base
	last  atomic.Int64 // ns after base that have been seen
}

const (
	// begin leaves the zero of a timeline in the past for everything, share windows included.
	begin = 4 * int64(shareWindow)
	// slack is what readings of several goroutines may be out of order; last is kept only as exactly as lastEvery.
	slack     = int64(time.Second)
	lastEvery = int64(time.Millisecond)
)

func newTimeline(clock func() time.Time) *timeline {
	if clock == nil {
		clock = time.Now
	}
	t := &timeline{clock: clock}
	t.now.Store(&stretch{base: clock(), start: begin})
	return t
}

// read returns the time in ns. If the clock is set back, time goes on from where it was; if it leaps by more than Longest, or
// nothing was read for so long, by Longest, in which every counter has become free anyway.
func (t *timeline) read() int64 {
	s := t.now.Load()
	after := int64(t.clock().Sub(s.base))
	last := s.last.Load()
	if after < last-slack || after > last+longest {
		return t.restart()
	}
	if after > last+lastEvery {
		s.last.CompareAndSwap(last, after)
	}
	return s.start + max(after, last)
}

func (t *timeline) restart() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.now.Load()
	base := t.clock()
	after, last := int64(base.Sub(s.base)), s.last.Load()
	switch {
	case after > last+longest:
		last += longest
	case after >= last-slack: // somebody else was here before
		return s.start + max(after, last)
	}
	t.now.Store(&stretch{base: base, start: s.start + last})
	return s.start + last
}
