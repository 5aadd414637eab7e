package policy

import (
	"context"
	"fmt"

	"kanmon/internal/contain"
)

// What is kept of an order is how its subject stands when it is written, not when it was given. Several people, and limits that block, may
// speak of one subject, and whoever waits for the file longest writes last: a row with what he saw when he began would undo, at the next
// restart, what somebody else has heard to be done.

// A due change is to be written, with the order that says how its subject stands then.
type due struct {
	Change
	order func() Order // nil: it is kept elsewhere
}

// keepOnce has the store keep changes, if no other process has the file. Nobody else writes how anything stands between the reading and the
// writing: what was written last was read last.
func (p *Policy) keepOnce(ctx context.Context, all []due) error {
	select {
	case p.keeping <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("others are being written: %w", ctx.Err())
	}
	defer func() { <-p.keeping }()
	changes, orders := make([]Change, len(all)), make([]Order, 0, len(all))
	for i := range all {
		if changes[i] = all[i].Change; all[i].order != nil {
			orders = append(orders, all[i].order())
		}
	}
	return p.store.Keep(ctx, changes, orders)
}

// senderNow tells how a sender stands.
func (p *Policy) senderNow(s contain.Subject) func() Order {
	s = p.detector.Explain(s).Subject // as it is kept: fit to be shown
	return func() Order {
		saved, known := p.detector.SavedOf(s)
		if !known { // it has made room since: nothing stands against it, whatever the file says
			saved = contain.Saved{Subject: s}
		}
		return Order{Sender: &saved}
	}
}

// amountNow tells which amount of a limit a person has set.
func (p *Policy) amountNow(of override) func() Order {
	return func() Order { return Order{Given: &Given{of.Subject, of.limit, (*p.given.Load())[of]}} }
}

// markNow tells what a person has said that a subject is.
func (p *Policy) markNow(s contain.Subject) func() Order {
	return func() Order {
		if m, found := (*p.marked.Load())[s]; found {
			return Order{Mark: &m}
		}
		return Order{Unmarked: &s}
	}
}
