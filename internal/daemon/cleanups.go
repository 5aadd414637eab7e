package daemon

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// A cleanup undoes a step of Start.
type cleanup struct {
	name string
	run  func(context.Context) error
}

// onStop notes what undoes a step, for Stop and for a Start that fails later.
func (d *Daemon) onStop(name string, run func(context.Context) error) {
	d.cleanups = append(d.cleanups, cleanup{name, run})
}

// undo runs the cleanups, last in first out. They get some time even where the caller's is over, and no more than that even where what
// they wait for hangs: a disk, or a database that another process has locked.
func (d *Daemon) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*flushTimeout)
	defer cancel()
	var errs []error
	for i := len(d.cleanups) - 1; i >= 0; i-- {
		c := d.cleanups[i]
		if err := c.within(ctx); err != nil {
			d.givenUp = d.givenUp || errors.Is(err, errGivenUp)
			errs = append(errs, fmt.Errorf("end %s: %w", c.name, err))
		}
	}
	d.cleanups = nil
	debug.SetMemoryLimit(d.memory)
	return errors.Join(errs...)
}

// within runs the cleanup until ctx ends, or for a moment if that has ended: then what it has not done is left undone.
func (c *cleanup) within(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- c.run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(cleanupMoment):
		return fmt.Errorf("%w: %w", errGivenUp, ctx.Err())
	}
}

// errGivenUp is what a cleanup returns that goes on behind the stop.
var errGivenUp = errors.New("given up")

// cleanupMoment is what a cleanup gets behind one that has taken all the time there was.
const cleanupMoment = time.Second
