package journal

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// A teller writes to kanmon's own log without waiting for it.
type teller struct {
	log  *slog.Logger
	busy atomic.Bool
}

// tell is false where the log has not taken yet what was told before: then this is not told.
func (t *teller) tell(level slog.Level, message string, args ...any) bool {
	if !t.busy.CompareAndSwap(false, true) {
		return false
	}
	go func() {
		defer t.busy.Store(false)
		t.log.Log(context.Background(), level, message, args...)
	}()
	return true
}
