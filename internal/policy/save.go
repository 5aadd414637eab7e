package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kanmon/internal/contain"
	"kanmon/internal/limit"
)

// A State is what survives a restart, beside the audit.
type State struct {
	Limits      limit.Snapshot   `json:"limits"`
	Containment contain.Snapshot `json:"containment"`
	Given       []Given          `json:"given"`
	Marks       []Mark           `json:"marks,omitempty"` // by hand
}

// Given is an amount of a limit that an operator has set.
type Given struct {
	contain.Subject
	Limit  string `json:"limit"`
	Amount int64  `json:"amount"`
}

// A Store keeps the state and the audit. It is used by one goroutine at a time.
type Store interface {
	Load() (s State, found bool, err error)
	Save(State) error
	Append(Change) error
	Changes(s contain.Subject, most int) ([]Change, error) // the newest last; of every subject if the tenant is ""
	Close() error
}

// How old what is kept can be after a crash: decisions, and counts and history. What people do is kept at once.
const (
	saveEvery  = 30 * time.Second
	saveSlowly = 5 * time.Minute
)

// loop lets time pass where nothing is asked, and keeps what is to be kept.
func (p *Policy) loop(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	failed, last, seen := false, p.clock(), uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-p.pending:
			if p.store == nil {
				continue
			}
			if err := p.write(p.alsoPending(c)...); err != nil {
				p.log.Error("audit not written", "error", err)
			}
			continue
		case <-tick.C:
		}
		if p.detector.Tick(); p.store == nil {
			continue
		}
		// Baselines are large and change slowly; a decision is kept soon.
		decided := p.detector.Decisions(seen)
		if len(decided) == 0 && p.clock().Sub(last).Abs() < saveSlowly {
			continue
		}
		if err := p.save(); err != nil {
			if !failed {
				p.log.Error("limits and containment not saved; they go on in memory", "error", err)
			}
			failed = true
			continue // what was decided is still to be kept, and soon
		}
		if last, failed = p.clock(), false; len(decided) > 0 {
			seen = decided[len(decided)-1].Seq
		}
	}
}

// alsoPending gives a change with those that wait behind it: the state is large, and is written once for all of them.
func (p *Policy) alsoPending(c Change) []Change {
	all := []Change{c}
	for len(all) < cap(p.pending) {
		select {
		case c := <-p.pending:
			all = append(all, c)
		default:
			return all
		}
	}
	return all
}

func (p *Policy) save() error {
	p.disk.Lock()
	defer p.disk.Unlock()
	s := State{Limits: p.limiter.Snapshot(), Containment: p.detector.Snapshot()}
	for key, amount := range *p.given.Load() {
		s.Given = append(s.Given, Given{key.Subject, key.limit, amount})
	}
	for _, m := range *p.marked.Load() {
		s.Marks = append(s.Marks, m)
	}
	return p.store.Save(s)
}

// write adds to the audit and keeps what was changed. The one is tried where the other fails.
func (p *Policy) write(changes ...Change) error {
	var errs []error
	for _, c := range changes {
		errs = append(errs, p.append(c))
	}
	return errors.Join(append(errs, p.save())...)
}

func (p *Policy) append(c Change) error {
	p.disk.Lock()
	defer p.disk.Unlock()
	return p.store.Append(c)
}

// load takes over what the last process has kept, but for the debts of limits, which it gives.
func (p *Policy) load(set *Settings) (limit.Snapshot, error) {
	if p.store == nil {
		return limit.Snapshot{}, nil
	}
	s, found, err := p.store.Load()
	if err != nil {
		return limit.Snapshot{}, fmt.Errorf("read limits and containment: %w", err)
	}
	if !found {
		return limit.Snapshot{}, nil
	}
	set.rename(&s)
	switch err := p.detector.Restore(s.Containment); {
	case errors.Is(err, contain.ErrFull):
		p.log.Error("some senders are forgotten: there is no room for all", "error", err)
	case err != nil:
		return limit.Snapshot{}, fmt.Errorf("containment: %w", err)
	}
	for _, g := range s.Given {
		p.give(override{g.Subject, g.Limit}, g.Amount)
	}
	marked := marks{}
	for _, m := range s.Marks {
		marked[m.Subject] = m
	}
	p.marked.Store(&marked)
	return s.Limits, nil
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
