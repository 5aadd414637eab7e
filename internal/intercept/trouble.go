package intercept

import (
	"log/slog"
	"net/netip"
	"time"
)

// The pause after a failed accept, and how long none must have failed for the trouble to be over.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = time.Second
	calm          = 5 * time.Second
)

// trouble paces accepting while it fails: out of file descriptors (EMFILE, ENFILE) or of memory (ENOBUFS, ENOMEM). The
// connections wait in the kernel's queue, and accept would fail again at once, forever. An episode is logged once: it
// ends with the first connection accepted in a calm, for at the limit of descriptors accepting succeeds and fails by turns.
type trouble struct {
	log     *slog.Logger
	addr    netip.AddrPort
	wait    time.Duration
	since   time.Time // zero: no episode
	last    time.Time
	pauses  int
	passing bool // a connection was accepted since the last failure
}

// pause notes a failure and gives the time to wait before accepting again.
func (t *trouble) pause(err error) time.Duration {
	t.last = time.Now()
	if t.since.IsZero() {
		t.since = t.last
		t.log.Error("accepting paused", "listener", t.addr, "error", err)
	}
	if t.passing {
		t.wait = 0
	}
	t.passing = false
	t.pauses++
	t.wait = min(max(2*t.wait, shortestPause), longestPause)
	return t.wait
}

// over notes that a connection was accepted.
func (t *trouble) over() {
	if t.since.IsZero() {
		return
	}
	t.passing = true
	if time.Since(t.last) < calm {
		return
	}
	t.log.Info("accepting again", "listener", t.addr, "paused", t.last.Sub(t.since), "pauses", t.pauses)
	*t = trouble{log: t.log, addr: t.addr}
}
