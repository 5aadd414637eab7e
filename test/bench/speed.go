package main

import (
	"context"
	"fmt"
	"os"

	"kanmon/test/bench/load"
)

// A cell is one load of the table of speeds, with what kanmon is to reach there.
type cell struct {
	name      string
	tls       bool
	sessions  int
	messages  int // of one session; 0: many
	size      int
	records   bool    // also measure kanmon without records
	toHAProxy float64 // target: rate relative to HAProxy
}

const (
	small = 4 << 10
	large = 1 << 20
)

var cells = []cell{
	{"plain 10 : 1 : 4 KB", false, 10, 1, small, true, 0.85},
	{"plain 100 : 1 : 4 KB", false, 100, 1, small, false, 0.85},
	{"plain 1 : many : 4 KB", false, 1, 0, small, true, 0.85},
	{"plain 10 : 1 : 1 MB", false, 10, 1, large, false, 0.95},
	{"TLS 10 : 1 : 4 KB", true, 10, 1, small, true, 1},
	{"TLS 100 : 1 : 4 KB", true, 100, 1, small, false, 1},
	{"TLS 10 : many : 4 KB", true, 10, 0, small, false, 1},
	{"TLS 100 : many : 4 KB", true, 100, 0, small, true, 1},
	{"TLS 10 : many : 1 MB", true, 10, 0, large, false, 0.85},
}

// toCopy is the target of every cell relative to the byte copier, toQuiet that relative to kanmon without records.
const (
	toCopy  = 1.05
	toQuiet = 0.95
)

// A cellResult is what the contenders reached in a cell, in each round.
type cellResult struct {
	cell
	rounds []round
}

// A round has a sample of each contender that took part, by name.
type round map[string]*sample

func (r *rig) measureSpeed(ctx context.Context) ([]cellResult, error) {
	contenders := r.chosen()
	launched := contenders
	for _, c := range contenders {
		if c.name == kanmon {
			launched = append(launched[:len(launched):len(launched)], r.named(quiet))
		}
	}
	var out []cellResult
	err := r.withProxies(launched, copyBufferSpeed, func() error {
		for _, cell := range cells {
			entrants := contenders
			if cell.records {
				entrants = launched
			}
			rounds, err := r.rounds(ctx, entrants, r.spec(cell))
			if err != nil {
				return fmt.Errorf("%s: %w", cell.name, err)
			}
			out = append(out, cellResult{cell, rounds})
			fmt.Fprintf(os.Stderr, "bench: %s\n", cell.name)
		}
		return nil
	})
	return out, err
}

func (r *rig) spec(c cell) load.Spec {
	return load.Spec{
		Target: target(mxPlain, mxTLS, c.tls), TLS: c.tls,
		Sessions: c.sessions, Messages: c.messages, Size: c.size,
		Warmup: r.conf.warmup, Window: r.conf.window,
	}
}

// rounds lets the contenders take turns.
func (r *rig) rounds(ctx context.Context, contenders []*contender, spec load.Spec) ([]round, error) {
	var rounds []round
	for range r.conf.rounds {
		one := make(round)
		for _, c := range contenders {
			s, err := r.measure(ctx, c, spec)
			if err != nil {
				return nil, err
			}
			one[c.name] = s
		}
		rounds = append(rounds, one)
	}
	return rounds, nil
}
