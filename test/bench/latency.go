package main

import (
	"context"
	"fmt"
	"time"

	"kanmon/test/bench/load"
)

// What kanmon may add to a message, and how soon the MX's final reply must have reached the source.
const (
	addedP50 = 300 * time.Microsecond
	addedP99 = time.Millisecond
	replyP99 = time.Millisecond
)

// pace is the time between two messages of a session: the machine must be far from busy, or queues are measured instead of proxies.
const pace = 20 * time.Millisecond

const latencySessions = 10

// A latencyResult is one way of loading the contenders lightly.
type latencyResult struct {
	name   string
	tls    bool
	rounds []round
}

func (r *rig) measureLatency(ctx context.Context) ([]latencyResult, error) {
	contenders := r.chosen()
	var out []latencyResult
	err := r.withProxies(contenders, copyBufferSpeed, func() error {
		for _, l := range []latencyResult{{name: "plain"}, {name: "TLS", tls: true}} {
			rounds, err := r.rounds(ctx, contenders, load.Spec{
				Target: target(mxPlain, mxTLS, l.tls), TLS: l.tls,
				Sessions: latencySessions, Size: small, Pace: pace,
				Warmup: r.conf.warmup, Window: r.conf.window,
			})
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			l.rounds = rounds
			out = append(out, l)
		}
		return nil
	})
	return out, err
}
