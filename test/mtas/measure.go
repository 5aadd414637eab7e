package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kanmon/test/netlab"
)

const (
	// limit is how long a mail may take. What comes later belongs to an MSA's next attempt, or to a person's patience.
	limit = 90 * time.Second
	// turn is how long the next submission waits for the arrival of the mail before, so that a program's work on one is not in the time
	// of the next.
	turn = 1500 * time.Millisecond
)

// A sample is what became of one mail.
type sample struct {
	took   time.Duration // 0: it did not arrive
	copies int
	tried  bool   // the dead address was tried
	failed string // how the submission failed
}

// measure builds a world, submits one mail to each target and waits for all of them.
func measure(ctx context.Context, p program, m mode, logs string) (samples map[string][]sample, err error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("no time left: %w", ctx.Err())
	}
	lab, err := netlab.New(p.name + "-" + m.name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	w, err := newWorld(lab, m)
	if err != nil {
		return nil, err
	}
	machine, err := newMachine(w.MSAs[0], p)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, lab.Logs(20))
	}
	ctx, cancel := context.WithCancel(ctx)
	begun, refused := w.submitAll(ctx, machine)
	samples = w.await(ctx, begun, refused)
	cancel() // what still runs has failed
	tried, err := w.tried()
	for name := range samples {
		for i := range samples[name] {
			samples[name][i].tried = tried[fmt.Sprintf("%s%d", name, i+1)] > 0
		}
	}
	if logs != "" {
		err = errors.Join(err, w.writeLogs(filepath.Join(logs, strings.ReplaceAll(p.name, "/", "-")+"-"+m.name+".log"), samples))
	}
	return samples, err
}

// submitAll begins the submissions, one after another, and gives when each began and, once it is known, how it failed.
func (w *world) submitAll(ctx context.Context, m *machine) (begun map[string]time.Time, refused *failures) {
	begun, refused = map[string]time.Time{}, &failures{of: map[string]error{}}
	for _, t := range w.targets {
		if t.kase.layout == twoMXs && !m.program.finds {
			continue
		}
		begun[t.token()] = time.Now()
		go func() {
			if err := m.submit(ctx, t); err != nil && ctx.Err() == nil {
				refused.add(t.token(), err)
			}
		}()
		for turned := time.Now(); len(w.arrivalsOf(t)) == 0 && refused.get(t.token()) == nil && time.Since(turned) < turn; {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return begun, refused
}

// failures are the errors of submissions. A program that delivers while it is run says so when it has given up.
type failures struct {
	mu sync.Mutex
	of map[string]error
}

func (f *failures) add(token string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of[token] = err
}

func (f *failures) get(token string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of[token]
}

// await waits until each mail has arrived, has failed or has had its time, and a moment more for copies.
func (w *world) await(ctx context.Context, begun map[string]time.Time, refused *failures) map[string][]sample {
	pending := func(t target) bool {
		begin, submitted := begun[t.token()]
		return submitted && len(w.arrivalsOf(t)) == 0 && refused.get(t.token()) == nil && time.Since(begin) < limit
	}
	for slices.ContainsFunc(w.targets, pending) && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(time.Second)
	samples := map[string][]sample{}
	for _, t := range w.targets {
		begin, submitted := begun[t.token()]
		if !submitted {
			continue
		}
		var s sample
		if err := refused.get(t.token()); err != nil {
			s.failed = err.Error()
		}
		if arrivals := w.arrivalsOf(t); len(arrivals) > 0 {
			s.took, s.copies = arrivals[0].Sub(begin), len(arrivals)
		}
		samples[t.kase.name] = append(samples[t.kase.name], s)
	}
	return samples
}

// writeLogs writes all that is known of a world to a file.
func (w *world) writeLogs(file string, samples map[string][]sample) error {
	var text strings.Builder
	for _, t := range w.targets {
		if of := samples[t.kase.name]; len(of) >= t.sample {
			fmt.Fprintf(&text, "%s (dead %s): %+v\n", t.token(), t.deadAddr(), of[t.sample-1])
		}
	}
	text.WriteString(w.Lab.Logs(2000))
	return os.WriteFile(file, []byte(text.String()), 0o644)
}
