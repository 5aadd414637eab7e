package outlet

import (
	"sync/atomic"
	"time"
)

// A handClock is turned by a test. What runs in the background may read it meanwhile.
type handClock struct{ at atomic.Int64 }

func newHandClock() *handClock {
	c := &handClock{}
	c.at.Store(time.Now().UnixNano())
	return c
}

func (c *handClock) now() time.Time { return time.Unix(0, c.at.Load()) }

func (c *handClock) turn(d time.Duration) { c.at.Add(int64(d)) }
