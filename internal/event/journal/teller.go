package journal

import (
	"log/slog"
	"sync/atomic"
)

// A teller writes to kanmon's own log without waiting for it.
type teller struct {
	log  *slog.Logger
	busy atomic.Bool
}

// tell is false where the log has not taken yet what was told before: then this is not told.
func (t *teller) tell(line func(*slog.Logger)) bool {
	if !t.busy.CompareAndSwap(false, true) {
		return false
	}
	go func() {
		defer t.busy.Store(false)
		line(t.log)
	}()
	return true
}
