package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"
)

// schedule is when what could not be sent is tried again, behind the last try: Standard Webhooks has it, but for what lies behind a day, when an
// event helps nobody any more. What cannot be sent then is given up.
var schedule = [...]time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour}

// mostWaiting bounds what waits for one channel. Beyond it the oldest is dropped, and counted.
const mostWaiting = 1000

// later is when a try that failed is followed by the next one; 0: by none. A fifth of it is drawn: what has failed together does not come again
// together.
func later(tries int, wanted time.Duration) time.Duration {
	if tries > len(schedule) {
		return 0
	}
	wait := schedule[tries-1]
	jitter := time.Duration(rand.Int64N(int64(wait)/5 + 1)) //nolint:gosec // it guards nothing
	return max(wait+jitter, min(wanted, schedule[len(schedule)-1]))
}

// What becomes of a notification, as it is counted.
const (
	sent    = "sent"
	failed  = "failed"   // it is tried again
	givenUp = "given_up" // it is not
	dropped = "dropped"  // more waited than is kept
	gone    = "gone"     // the receiver wants no more
)

var results = [...]string{sent, failed, givenUp, dropped, gone}

// A waiting is an event that is to be sent to a channel.
type waiting struct {
	Event
	tries int
	due   time.Time
}

// putOut has each channel that wants an event send it.
func (b *batch) putOut(e *Event) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := b.tx.ExecContext(b.ctx, "UPDATE notify_events SET ready = 1, event = ? WHERE id = ?", string(text), e.ID); err != nil {
		return err
	}
	for _, c := range b.n.channels {
		if c.gone.Load() || !c.wants(e.Type) {
			continue
		}
		if _, err := b.tx.ExecContext(b.ctx, "INSERT OR IGNORE INTO notify_outbox (id, channel, tries, due) VALUES (?, ?, 0, ?)", e.ID, c.name, b.now.UnixMilli()); err != nil {
			return err
		}
		b.wakes = append(b.wakes, c.awake)
	}
	return nil
}

// bound drops the oldest of what waits for a channel, as far as it is too much.
func (b *batch) bound() error {
	for _, c := range b.n.channels {
		if err := b.boundOf(c); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) boundOf(c *channel) error {
	done, err := b.tx.ExecContext(b.ctx, `DELETE FROM notify_outbox WHERE channel = ?1 AND id IN
		(SELECT id FROM notify_outbox WHERE channel = ?1 ORDER BY number DESC LIMIT -1 OFFSET ?2)`, c.name, mostWaiting)
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err != nil || n == 0 {
		return err
	}
	for range n {
		b.n.count(c.name, dropped)
	}
	b.n.log.Warn("notifications were dropped: more wait for a channel than are kept", "channel", c.name, "dropped", n)
	_, err = b.tx.ExecContext(b.ctx, "UPDATE notify_channels SET dropped = dropped + ? WHERE name = ?", n, c.name)
	return err
}

// sweep removes events that wait for nobody.
func (b *batch) sweep() error {
	_, err := b.tx.ExecContext(b.ctx, "DELETE FROM notify_events WHERE ready = 1 AND NOT EXISTS (SELECT 1 FROM notify_outbox o WHERE o.id = notify_events.id)")
	return err
}

// targets notes where channels lead. One that was gone, and leads elsewhere now, is there again; what waits for one that is no more is removed.
func (b *batch) targets() error {
	names := map[string]bool{}
	for _, c := range b.n.channels {
		names[c.name] = true
		var target string
		var at int64
		err := b.tx.QueryRowContext(b.ctx, "SELECT target, gone FROM notify_channels WHERE name = ?", c.name).Scan(&target, &at)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil && target == c.target {
			c.gone.Store(at > 0)
			continue
		}
		if _, err := b.tx.ExecContext(b.ctx, "INSERT OR REPLACE INTO notify_channels (name, target, gone, dropped) VALUES (?, ?, 0, 0)", c.name, c.target); err != nil {
			return err
		}
	}
	rows, err := b.tx.QueryContext(b.ctx, "SELECT DISTINCT channel FROM notify_outbox UNION SELECT name FROM notify_channels")
	if err != nil {
		return err
	}
	known, err := texts(rows)
	if err != nil {
		return err
	}
	for _, name := range known {
		if names[name] {
			continue
		}
		if _, err := b.tx.ExecContext(b.ctx, "DELETE FROM notify_outbox WHERE channel = ?", name); err != nil {
			return err
		}
		if _, err := b.tx.ExecContext(b.ctx, "DELETE FROM notify_channels WHERE name = ?", name); err != nil {
			return err
		}
	}
	return b.sweep()
}

// first is what is due first for a channel; nil: nothing waits.
func (n *Notifier) first(ctx context.Context, c *channel) (*waiting, error) {
	var text string
	var due int64
	w := &waiting{}
	row := n.file.QueryRowContext(ctx, `SELECT o.id, o.tries, o.due, e.event FROM notify_outbox o JOIN notify_events e ON e.id = o.id
		WHERE o.channel = ? ORDER BY o.due, o.number LIMIT 1`, c.name)
	err := row.Scan(&w.ID, &w.tries, &due, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &w.Event); err != nil {
		return nil, n.file.Misread(err)
	}
	w.due = timeOf(due)
	return w, nil
}

// serve sends what waits for a channel, one at a time, until it is stopped.
func (n *Notifier) serve(ctx context.Context, c *channel) {
	for ctx.Err() == nil {
		next := keepEvery
		w, err := n.first(ctx, c)
		switch {
		case err != nil && ctx.Err() == nil:
			n.log.Error("notifications wait", "channel", c.name, "error", err)
		case w != nil && !time.Now().Before(w.due):
			n.try(ctx, c, w)
			continue
		case w != nil:
			next = time.Until(w.due)
		default:
			next = time.Hour
		}
		select {
		case <-ctx.Done():
		case <-c.awake:
		case <-time.After(next):
		}
	}
}

// try sends an event, and notes what has come of it.
func (n *Notifier) try(ctx context.Context, c *channel, w *waiting) {
	answer, err := c.send(ctx, &w.Event)
	if ctx.Err() != nil && err != nil {
		return // it is sent again by whoever comes next
	}
	w.tries++
	result, wait := sent, time.Duration(0)
	var refused *refusedError
	switch {
	case err == nil:
	case errors.As(err, &refused) && refused.gone:
		result = gone
		c.gone.Store(true)
		n.log.Error("a webhook wants no more notifications, and gets none until its url is another", "channel", c.name, "error", err)
	default:
		if refused != nil {
			wait = refused.after
		}
		result = failed
		if wait = later(w.tries, wait); wait == 0 {
			result = givenUp
		}
		n.log.Warn("a notification was not sent", "channel", c.name, "type", w.Type, "id", w.ID, "tries", w.tries, "again_in", wait.Round(time.Second), "error", err)
	}
	if err == nil {
		n.log.Debug("a notification was sent", "channel", c.name, "type", w.Type, "id", w.ID, "answer", answer)
	}
	n.count(c.name, result)
	for { // it is not sent again for want of a disk
		err := n.noted(ctx, c, w, result, wait)
		if err == nil || ctx.Err() != nil {
			return
		}
		n.log.Error("what has come of a notification could not be noted", "channel", c.name, "id", w.ID, "error", err)
		pause(ctx, keepEvery)
	}
}

func (n *Notifier) noted(ctx context.Context, c *channel, w *waiting, result string, wait time.Duration) error {
	return n.within(ctx, func(b *batch) (err error) {
		switch result {
		case failed:
			_, err = b.tx.ExecContext(b.ctx, "UPDATE notify_outbox SET tries = ?, due = ? WHERE channel = ? AND id = ?", w.tries, b.now.Add(wait).UnixMilli(), c.name, w.ID)
			return err
		case gone:
			if _, err = b.tx.ExecContext(b.ctx, "UPDATE notify_channels SET gone = ? WHERE name = ?", b.now.UnixMilli(), c.name); err == nil {
				_, err = b.tx.ExecContext(b.ctx, "DELETE FROM notify_outbox WHERE channel = ?", c.name)
			}
		default:
			_, err = b.tx.ExecContext(b.ctx, "DELETE FROM notify_outbox WHERE channel = ? AND id = ?", c.name, w.ID)
		}
		return errors.Join(err, b.sweep())
	})
}

// pause waits, or is stopped.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
