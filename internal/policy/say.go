package policy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/who/share"
)

// What there is to be said to kanmon's log goes by way of a queue: one that is stuck holds up no mail, no order of a person and no stop.

// A teller is that queue.
type teller struct {
	log     *slog.Logger
	queue   chan slog.Record
	dropped atomic.Int64
	done    chan struct{}
}

// Bounds of what waits for the log.
const (
	maxSayings = 256
	lastWords  = time.Second // that a stop waits for the log
)

func newTeller(log *slog.Logger) *teller {
	return &teller{log: log, queue: make(chan slog.Record, maxSayings), done: make(chan struct{})}
}

// tell has something said, or counts it where too much waits.
func (p *Policy) tell(level slog.Level, text string, args ...any) {
	t := p.teller
	if !t.log.Enabled(context.Background(), level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, text, 0)
	r.Add(args...)
	select {
	case t.queue <- r:
	default:
		t.dropped.Add(1)
	}
}

// tellContained tells the log of a change that evidence, quiet or an end of time has made; what people and limits do is told as theirs.
// Somebody with any number of accounts gets no more lines than share.Lines has.
func (p *Policy) tellContained(n contain.Decision) {
	if n.From == n.To || n.Reading.Signal == contain.Hand && n.By != contain.ByTime {
		return
	}
	p.changed(n)
	if set := p.settings.Load(); set != nil {
		p.lines.Grow(len(set.Tenants))
	}
	lines, known := p.lines.Get(n.Subject.Tenant)
	if !known {
		lines = &share.Lines{}
		p.lines.Put(n.Subject.Tenant, lines, "")
	}
	left, tell := lines.Tell(n.At)
	if !tell {
		return
	}
	level := slog.LevelInfo
	if n.To > n.From {
		level = slog.LevelWarn
	}
	p.tell(level, "containment changed", "tenant", n.Subject.Tenant, "account", n.Subject.Account, "from", n.From.String(), "to", n.To.String(),
		"in_force", n.Enforced.String(), "by", n.By, "why", n.Why, "left_out", left)
}

// run says it all until the end, and then what is left.
func (t *teller) run(ctx context.Context) {
	defer close(t.done)
	for {
		select {
		case r := <-t.queue:
			t.say(r)
		case <-ctx.Done():
			for len(t.queue) > 0 {
				t.say(<-t.queue)
			}
			return
		}
	}
}

func (t *teller) say(r slog.Record) {
	if n := t.dropped.Swap(0); n > 0 {
		t.log.Warn("lines about senders not logged: the log did not take them", "lines", n)
	}
	_ = t.log.Handler().Handle(context.Background(), r) // as slog does
}

// wait is for a log that takes its last lines.
func (t *teller) wait() {
	select {
	case <-t.done:
	case <-time.After(lastWords):
	}
}
