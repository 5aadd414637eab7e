package policy

import (
	"context"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
)

// What is kept of an order is how its subject stands when it is written, not when it was given. Several people, and limits that block, may
// speak of one subject, and whoever waits for the file longest writes last: a row with what he saw when he began would undo, at the next
// restart, what somebody else has heard to be done.

// A due change is to be written, with the order that says how its subject stands then.
type due struct {
	Change
	order func(*Part) // adds it; nil: it is kept elsewhere
	told  telling
}

// telling is what the world has heard of a change.
type telling uint8

const (
	untold telling = iota
	toldUnkept
	toldKept
)

// tellKept tells of changes that the store has, and tellUnkept of one that it could not take.
func (p *Policy) tellKept(all []due) {
	for i := range all {
		if all[i].told != toldKept {
			all[i].told = toldKept
			p.ordered(all[i].Change, false)
		}
	}
}

func (p *Policy) tellUnkept(c *due) {
	if c.told == untold {
		c.told = toldUnkept
		p.ordered(c.Change, true)
	}
}

// keepOnce has the store keep changes, if no other process has the file.
func (p *Policy) keepOnce(ctx context.Context, all []due) error {
	return p.write(ctx, all, func(part *Part) bool {
		for i := range all {
			if all[i].order != nil {
				all[i].order(part)
			}
		}
		return true
	})
}

// senderNow tells how a sender stands, and what it owes of limits that block: a person who lets it go has that forgotten.
func (p *Policy) senderNow(s contain.Subject) func(*Part) {
	s = p.detector.Explain(s).Subject // as it is kept: fit to be shown
	return func(part *Part) {
		p.detector.ChangedOf(&part.Senders, s)
		p.blocking(s, func(w limit.Want) { part.Debts = p.limiter.ChangedOf(part.Debts, w) })
	}
}

// amountNow tells which amount of a limit a person has set.
func (p *Policy) amountNow(of override) func(*Part) {
	return func(part *Part) {
		part.Given = append(part.Given, Given{of.Subject, of.limit, (*p.given.Load())[of]})
	}
}

// markNow tells what a person has said that a subject is.
func (p *Policy) markNow(s contain.Subject) func(*Part) {
	return func(part *Part) {
		if m, found := (*p.marked.Load())[s]; found {
			part.Marks = append(part.Marks, m)
		} else {
			part.Unmarked = append(part.Unmarked, s)
		}
	}
}
