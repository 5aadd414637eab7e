package notify

import (
	"context"
	"errors"
	"maps"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/store"
	"kanmon/internal/view/history"
)

// saveEvery is how often it is kept how far has been heard, where nothing has happened meanwhile. What is heard again behind a kill has had
// nothing in it to tell.
const saveEvery = 30 * time.Second

// Hear takes lines, in order, before history keeps them. A disk that takes nothing is waited for, as history waits for it: nothing is forgotten
// meanwhile. A file that is damaged is not.
func (n *Notifier) Hear(ctx context.Context, lines []history.Line) {
	n.ordered.Lock()
	defer n.ordered.Unlock()
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := n.hear(ctx, lines)
		if err == nil || ctx.Err() != nil {
			return
		}
		n.log.Error("notifications cannot be kept", "error", err, "again_in", wait)
		if errors.Is(err, store.ErrDamaged) {
			return
		}
		pause(ctx, wait)
	}
}

const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

func (n *Notifier) hear(ctx context.Context, lines []history.Line) error {
	var found []happening
	before := n.clone()
	heard, gateways, step := map[run]uint64{}, map[string]*event.Entry{}, false
	for i := range lines {
		e := lines[i].Entry
		of := run{e.Gateway, e.Run}
		last, again := heard[of]
		if !again {
			last = n.heard[of]
		}
		if e.Line <= last {
			continue
		}
		heard[of] = e.Line
		gateways[e.Gateway], step = e, step || e.Type == "gateway"
		found = n.happenings(found, e)
	}
	if len(heard) == 0 {
		return nil
	}
	maps.Copy(n.unsaved, heard)
	maps.Copy(n.lines, gateways)
	if len(found) > 0 || step || time.Since(n.saved) >= saveEvery {
		if err := n.within(ctx, func(b *batch) error { return b.heard(found) }); err != nil {
			n.ear = before
			return err // and n.heard says that the lines are not heard yet
		}
		n.saved = time.Now()
		n.wake(n.keeper)
		clear(n.unsaved)
		clear(n.lines)
	}
	maps.Copy(n.heard, heard)
	return nil
}

// heard keeps what was found, and how far it was heard.
func (b *batch) heard(found []happening) error {
	for _, h := range found {
		if err := b.happened(h); err != nil {
			return err
		}
	}
	for of, line := range b.n.unsaved {
		if _, err := b.tx.ExecContext(b.ctx, "INSERT OR REPLACE INTO notify_heard (gateway, run, line, at) VALUES (?, ?, ?, ?)", of.gateway, of.name, int64(line), b.now.UnixMilli()); err != nil { //nolint:gosec // no run has so many
			return err
		}
	}
	for name, e := range b.n.lines {
		if err := b.alive(name, e); err != nil {
			return err
		}
	}
	return nil
}
