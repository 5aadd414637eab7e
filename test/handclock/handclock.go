// Package handclock is a clock that a test turns.
package handclock

import (
	"sync"
	"time"
)

// A Clock shows the time that a test has set, and no other. What runs in the background may read it meanwhile.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// At gives a clock that shows a time. One without a monotonic reading, as time.Date gives it, lets jumps be seen, as after a restart.
func At(t time.Time) *Clock { return &Clock{at: t} }

// Now is what a clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Pass turns the clock: by less than nothing, too.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
