package notify

import (
	"context"
	"time"

	"kanmon/internal/config"
)

const testEvent config.NotifyEvent = "test"

// A Tried is what has come of a test.
type Tried struct {
	Channel string
	Kind    string
	Target  string
	Took    time.Duration
	Answer  string
	Err     error
}

// Test sends a test to each channel, or to one, and says what comes back. It needs no state, and leaves none.
func Test(ctx context.Context, cfg *config.Config, only string, tried func(Tried)) error {
	channels, err := channelsOf(cfg)
	if err != nil {
		return err
	}
	for _, c := range channels {
		if only != "" && only != c.name {
			continue
		}
		e := newEvent(testEvent, time.Now(), Data{Gateway: cfg.Journal.Gateway})
		e.ID = newID()
		began := time.Now()
		answer, err := c.send(ctx, &e)
		tried(Tried{c.name, c.kind, c.target, time.Since(began), answer, err})
	}
	return ctx.Err()
}
