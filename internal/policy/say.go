package policy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// What there is to be said to kanmon's log goes by way of a queue: one that is stuck holds up no mail, no order of a person and no stop.

// A teller is that queue.
type teller struct {
	log     *slog.Logger
	queue   chan message
	dropped atomic.Int64
	done    chan struct{}
}

type message struct {
	level slog.Level
	text  string
	args  []any
}

// Bounds of what waits for the log.
const (
	maxSayings = 256
	lastWords  = time.Second // that a stop waits for the log
)

func newTeller(log *slog.Logger) *teller {
	return &teller{log: log, queue: make(chan message, maxSayings), done: make(chan struct{})}
}

// tell has something said, or counts it where too much waits.
func (p *Policy) tell(level slog.Level, text string, args ...any) {
	select {
	case p.teller.queue <- message{level, text, args}:
	default:
		p.teller.dropped.Add(1)
	}
}

// run says it all until the end, and then what is left.
func (t *teller) run(ctx context.Context) {
	defer close(t.done)
	for {
		select {
		case s := <-t.queue:
			t.say(s)
		case <-ctx.Done():
			for len(t.queue) > 0 {
				t.say(<-t.queue)
			}
			return
		}
	}
}

func (t *teller) say(s message) {
	if n := t.dropped.Swap(0); n > 0 {
		t.log.Warn("lines of this log about senders were left out: it did not take them", "lines", n)
	}
	t.log.Log(context.Background(), s.level, s.text, s.args...)
}

// wait is for a log that takes its last lines.
func (t *teller) wait() {
	select {
	case <-t.done:
	case <-time.After(lastWords):
	}
}
