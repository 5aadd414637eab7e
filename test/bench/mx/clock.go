package mx

import (
	"bytes"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A Clock tells the machine's monotonic time, which is the same in all processes, at the price of time.Now.
type Clock struct {
	start time.Time
	base  time.Duration
}

// NewClock sets a clock, to the microsecond.
func NewClock() Clock {
	var clock Clock
	best := time.Hour
	// A thread can be put aside between two readings, so the closest of a few pairs is taken.
	for range 50 {
		var ts unix.Timespec
		before := time.Now()
		// The call fails only for clocks that the kernel does not have; it has this one since 2.6.
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
		if took := time.Since(before); took < best {
			best = took
			clock = Clock{start: before, base: time.Duration(ts.Nano()) - took/2}
		}
	}
	return clock
}

// Now is the time since the machine was started.
func (c Clock) Now() time.Duration { return c.base + time.Since(c.start) }

// stampMark stands before the time in the reply to a dot.
const stampMark = " at="

// appendStamp writes the final reply: its text carries the time at which it was made.
func appendStamp(out []byte, now time.Duration) []byte {
	out = append(out, "250 2.0.0 queued"+stampMark...)
	out = strconv.AppendInt(out, int64(now), 10)
	return append(out, "\r\n"...)
}

// Stamp reads the time out of a final reply: when the MX made it, on the machine's monotonic clock. It is 0 if the line has none.
func Stamp(line []byte) time.Duration {
	i := bytes.LastIndex(line, []byte(stampMark))
	if i < 0 {
		return 0
	}
	n, err := strconv.ParseInt(string(bytes.TrimRight(line[i+len(stampMark):], "\r\n")), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n)
}
