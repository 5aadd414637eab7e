package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"kanmon/test/bench/load"
	"kanmon/test/bench/mx"
	"kanmon/test/netlab"
)

// A sample is one measured window.
type sample struct {
	load.Result
	proxy, source, mx netlab.CPUTime // used inside the window
	others            float64        // share of the machine that other programs took
}

func (s *sample) rate() float64 { return float64(s.Counted) / s.Window.Seconds() }

// perMessage is a CPU time per message, in microseconds.
func (s *sample) perMessage(t time.Duration) float64 {
	if s.Counted == 0 {
		return 0
	}
	return float64(t.Microseconds()) / float64(s.Counted)
}

// maxOthers is the share of the machine above which a window does not count.
const maxOthers = 0.08

// measure makes a load through a contender, again if other programs disturbed it and there is time left for it.
func (r *rig) measure(ctx context.Context, c *contender, spec load.Spec) (*sample, error) {
	spec.From = sources(c.network)
	spec.TLS = spec.TLS && c.ownTLS
	for {
		began := time.Now()
		s, err := r.window(ctx, c, spec)
		if err != nil {
			return nil, fmt.Errorf("%s, %d sessions to %v: %w", c.name, spec.Sessions, spec.Target, err)
		}
		if err := c.emptyJournal(); err != nil {
			return nil, err
		}
		if s.others <= maxOthers || r.spare <= 0 {
			return s, nil
		}
		r.spare -= time.Since(began)
		r.repeated++
	}
}

// clocks are the CPU clocks at one moment.
type clocks struct {
	proxy, source, mx, ours netlab.CPUTime
	busy                    time.Duration
	at                      time.Time
}

func (r *rig) window(ctx context.Context, c *contender, spec load.Spec) (*sample, error) {
	before, err := r.world.sink.stats()
	if err != nil {
		return nil, err
	}
	source, err := netlab.StartRole(r.world.source, "source", spec)
	if err != nil {
		return nil, err
	}
	defer source.Stop()
	defer context.AfterFunc(ctx, source.Kill)()

	var marks []clocks
	var result *load.Result
	for result == nil {
		var event sourceEvent
		if err := source.Answers.Decode(&event); err != nil {
			return nil, errors.Join(ctx.Err(), fmt.Errorf("hear from the source: %w", err))
		}
		if event.Failed != "" {
			return nil, errors.Join(ctx.Err(), errors.New(event.Failed))
		}
		if result = event.Result; result == nil {
			mark, err := r.readClocks(c, source)
			if err != nil {
				return nil, err
			}
			marks = append(marks, mark)
		}
	}
	after, err := r.world.sink.stats()
	if err != nil {
		return nil, err
	}
	if err := tallies(before, after, result, spec.Size); err != nil {
		return nil, err
	}
	if len(marks) != 2 {
		return nil, errors.New("the source did not say when its window opened and closed")
	}
	return newSample(*result, marks[0], marks[1]), nil
}

// tallies compares what the source and the MX have counted. A session that failed may have left a message whose reply got lost.
func tallies(before, after mx.Stats, result *load.Result, size int) error {
	took, octets := after.Messages-before.Messages, after.Octets-before.Octets
	acked := int64(result.Acked)
	switch {
	case after.Wrong != before.Wrong || octets != took*int64(size):
		return fmt.Errorf("the MX got %d octets in %d messages of %d: octets lost or added", octets, took, size)
	case took < acked || took > acked+int64(result.Failed):
		return fmt.Errorf("the MX got %d messages, the source saw %d acknowledged, %d sessions failed", took, acked, result.Failed)
	}
	return nil
}

func newSample(result load.Result, open, closed clocks) *sample {
	ours := closed.ours.Minus(open.ours).All()
	capacity := closed.at.Sub(open.at) * time.Duration(runtime.NumCPU())
	return &sample{
		Result: result,
		proxy:  closed.proxy.Minus(open.proxy),
		source: closed.source.Minus(open.source),
		mx:     closed.mx.Minus(open.mx),
		others: max(0, float64(closed.busy-open.busy-ours)/float64(capacity)),
	}
}

func (r *rig) readClocks(c *contender, source *netlab.Child) (clocks, error) {
	m := clocks{at: time.Now()}
	var errs []error
	read := func(pid int) netlab.CPUTime {
		if pid == 0 {
			return netlab.CPUTime{}
		}
		t, err := netlab.CPUOf(pid)
		errs = append(errs, err)
		m.ours = m.ours.Plus(t)
		return t
	}
	m.source, m.mx = read(source.PID()), read(r.world.sink.PID())
	read(os.Getpid())
	for _, other := range r.all {
		if t := read(other.pid); other == c {
			m.proxy = t
		}
	}
	for _, child := range r.world.aside() {
		read(child.PID())
	}
	var err error
	m.busy, err = netlab.MachineBusy()
	return m, errors.Join(append(errs, err)...)
}
