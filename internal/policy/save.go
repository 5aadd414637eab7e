package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/store"
)

// A State is what survives a restart, beside the audit.
type State struct {
	Limits      limit.Snapshot
	Containment contain.Snapshot
	Given       []Given
	Marks       []Mark // by hand
}

// Given is an amount of a limit that an operator has set.
type Given struct {
	contain.Subject
	Limit  string
	Amount int64
}

// A Part is what a State has to say otherwise: of each subject that it names all that there is to say.
type Part struct {
	Senders  contain.Changes
	Debts    []limit.Debt // that owe nothing are over
	Given    []Given      // of amount 0: as configured
	Marks    []Mark
	Unmarked []contain.Subject
}

// A Store keeps the state and the audit. It is safe for concurrent use. What it is asked for ends with the context, or soon after.
type Store interface {
	Load() (s State, found bool, err error)
	Misread(err error) error // says of an error in what Load has returned whose it is
	// Keep adds to the audit, and keeps a part of the state: all of it or nothing.
	Keep(ctx context.Context, changes []Change, part *Part) error
	Changes(ctx context.Context, s contain.Subject, ip netip.Addr, most int) ([]Change, error) // the newest last; of all if neither is named
	Close() error
}

// How old what is kept can be after a kill. What people do is kept at once.
const (
	saveEvery  = 30 * time.Second
	saveSlowly = 5 * time.Minute // where nothing changes, how much time has passed
)

// How long the store may take. Whoever waits for an order has ten seconds (package admin), and is shown the audit behind it.
const (
	keepTime  = 6 * time.Second
	readTime  = 2 * time.Second
	closeTime = 7 * time.Second // in all
)

// What has changed is written a batch at a time, and between two batches people's orders have their turn, and the processor others.
const (
	saveBatch = 256 // rows of senders, and of debts, in one transaction
	copyBatch = 64  // senders that are copied while sessions wait
	restTimes = 19  // how many times as long as a batch takes is waited behind it: a twentieth of a core
	spread    = saveEvery * 4 / 5
)

const maxPending = 1024 // changes of the audit that wait

// loop lets time pass where nothing is asked, and keeps what is to be kept.
func (p *Policy) loop(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	next.Stop()
	failed, at, until := false, round{}, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-p.pending:
			p.keepPending(ctx, c)
			continue
		case <-tick.C:
			if p.detector.Tick(); p.store == nil {
				continue
			}
			p.keepPending(ctx)
			at, until = round{}, time.Now().Add(spread)
		case <-next.C:
		}
		begun := time.Now()
		left, err := p.saveSome(ctx, &at)
		switch {
		case ctx.Err() != nil: // what is left, Close keeps
			return
		case err != nil && !failed:
			p.tell(slog.LevelError, "limits and containment not saved; they go on in memory", "error", err)
			fallthrough
		case err != nil:
			failed = true
			next.Stop() // until the next tick
			continue
		}
		if failed = false; left > 0 {
			next.Reset(rest(time.Since(begun), time.Until(until), left))
		}
	}
}

// rest is how long is waited behind a batch: what is left is spread over the time that there is, and no faster than need be.
func rest(took, remaining time.Duration, left int) time.Duration {
	batches := time.Duration(left/saveBatch + 1)
	return max(0, min(restTimes*took, remaining/batches))
}

// A round goes through all that may have changed.
type round struct {
	debts int  // parts of the limiter's counters that it has looked at
	whole bool // it notes how much time has passed, be it that nothing has changed
}

// keepPending keeps what sessions have led to, all that waits together. What cannot be kept waits on, as long as it is not too much.
func (p *Policy) keepPending(ctx context.Context, more ...due) {
	p.unkept = append(p.unkept, more...)
	for len(p.pending) > 0 {
		p.unkept = append(p.unkept, <-p.pending)
	}
	if p.store == nil || len(p.unkept) == 0 {
		p.unkept = nil
		return
	}
	err := p.keep(ctx, p.unkept)
	if err == nil {
		p.unkept = nil
		return
	}
	for i := range p.unkept {
		p.tellUnkept(&p.unkept[i])
	}
	if over := len(p.unkept) - maxPending; over > 0 && ctx.Err() == nil {
		p.unkept = slices.Delete(p.unkept, 0, over)
		p.tell(slog.LevelError, "audit not written: too many changes could not be kept", "changes", over, "error", err)
	}
}

// keep has the store keep changes, and how what they are about stands.
func (p *Policy) keep(ctx context.Context, changes []due) error {
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	return patiently(ctx, func() error { return p.keepOnce(ctx, changes) })
}

// patiently does it again for as long as another process has the file.
func patiently(ctx context.Context, do func() error) error {
	for {
		if err := do(); !errors.Is(err, store.ErrBusy) || ctx.Err() != nil {
			return err
		}
	}
}

// saveSome keeps some of what has changed since it was last kept, and returns of how much there is more, about.
func (p *Policy) saveSome(ctx context.Context, at *round) (left int, err error) {
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	from := at.debts
	err = patiently(ctx, func() error {
		return p.write(ctx, nil, func(part *Part) (anything bool) {
			at.debts = from // where it is tried again
			for len(part.Senders.Subjects)+len(part.Senders.Gone) < saveBatch {
				if left = p.detector.Changed(&part.Senders, copyBatch); left == 0 {
					break
				}
			}
			for at.debts < limit.Parts && len(part.Debts) < saveBatch {
				var more bool
				if part.Debts, more = p.limiter.Changed(part.Debts, at.debts, saveBatch); !more {
					at.debts++
				}
			}
			left += limit.Parts - at.debts
			now := p.clock()
			if part.Senders.Empty() && len(part.Debts) == 0 && !at.whole && now.Sub(p.saved).Abs() < saveSlowly {
				return false
			}
			p.saved = now
			return true
		})
	})
	return left, err
}

// saveAll keeps all that has changed.
func (p *Policy) saveAll(ctx context.Context) error {
	at := round{whole: true}
	for {
		if left, err := p.saveSome(ctx, &at); left == 0 || err != nil {
			return err
		}
	}
}

// write has the store keep changes, and the part of the state that is gathered, if there is anything in it. Nobody else
// writes how anything stands between the reading and the writing: what was written last was read last.
func (p *Policy) write(ctx context.Context, all []due, gather func(*Part) (anything bool)) error {
	select {
	case p.keeping <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("others are being written: %w", ctx.Err())
	}
	defer func() { <-p.keeping }()
	var part Part
	if !gather(&part) && len(all) == 0 {
		return nil
	}
	changes := make([]Change, len(all))
	for i := range all {
		changes[i] = all[i].Change
	}
	p.detector.Changed(&part.Senders, 0) // as of when all of it is, whatever it is about
	err := p.store.Keep(ctx, changes, &part)
	if err != nil {
		p.unsaved.Add(1)
		p.detector.PutBack(&part.Senders)
		p.limiter.PutBack(part.Debts)
		return err
	}
	p.tellKept(all) // in the order in which they were kept
	return nil
}

// load takes over what the last process has kept, but for the debts of limits and the habits of accounts, which it gives.
func (p *Policy) load(set *Settings) (debts limit.Snapshot, senders []contain.Saved, err error) {
	if p.store == nil {
		return debts, nil, nil
	}
	s, found, err := p.store.Load()
	if err != nil {
		return debts, nil, fmt.Errorf("read limits and containment: %w", err)
	}
	if !found {
		return debts, nil, nil
	}
	renamed := set.rename(&s)
	switch err := p.detector.Restore(s.Containment); {
	case errors.Is(err, contain.ErrFull):
		p.log.Error("some senders are forgotten: there is no room for all", "error", err)
	case err != nil:
		return debts, nil, p.store.Misread(fmt.Errorf("containment: %w", err))
	}
	for _, g := range s.Given {
		p.give(override{g.Subject, g.Limit}, g.Amount)
	}
	marked := marks{}
	for _, m := range s.Marks {
		marked[m.Subject] = m
	}
	p.marked.Store(&marked)
	return s.Limits, s.Containment.Subjects, p.keepNames(renamed)
}

// owe takes over what the limits of the last process were owed.
func (p *Policy) owe(debts limit.Snapshot) error {
	if debts.Version == 0 {
		return nil
	}
	set := p.settings.Load()
	limits := []*limit.Limit{set.slow}
	for _, l := range set.Limits {
		limits = append(limits, l.Limit)
	}
	_, err := p.limiter.Restore(debts, limits)
	return err
}
