package policy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
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

// An Order is what a State has to say otherwise of a subject since it was saved: one of its parts.
type Order struct {
	Sender   *contain.Saved   `json:"sender,omitempty"`
	Given    *Given           `json:"given,omitempty"` // of amount 0: as configured
	Mark     *Mark            `json:"mark,omitempty"`
	Unmarked *contain.Subject `json:"unmarked,omitempty"`
}

// A Store keeps the state and the audit. It is safe for concurrent use. What it is asked for ends with the context, or soon after.
type Store interface {
	// Load gives the state with all orders since.
	Load() (s State, found bool, err error)
	// Save keeps a state that comes in pieces, in place of the last one and of the orders that were kept before it began. Orders are kept meanwhile.
	Save(ctx context.Context, pieces iter.Seq[State]) error
	// Keep adds to the audit, and keeps the orders: all of it or nothing.
	Keep(ctx context.Context, changes []Change, orders []Order) error
	Changes(ctx context.Context, s contain.Subject, ip netip.Addr, most int) ([]Change, error) // the newest last; of all if neither is named
	Close() error
}

// How old what is kept can be after a crash: decisions, and counts and history. What people do is kept at once.
const (
	saveEvery  = 30 * time.Second
	saveSlowly = 5 * time.Minute
)

// How long the store may take. Whoever waits for an order has ten seconds (package admin), and is shown the audit behind it.
const (
	keepTime  = 6 * time.Second
	readTime  = 2 * time.Second
	saveTime  = time.Minute
	closeTime = 7 * time.Second // in all
)

const (
	pieceOf    = 1000 // senders, or debts of limits, that are saved together
	maxPending = 1024 // changes of the audit that wait
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
			p.keepPending(ctx, c)
			continue
		case <-tick.C:
		}
		if p.detector.Tick(); p.store == nil {
			continue
		}
		p.keepPending(ctx)
		// Baselines are large and change slowly; a decision is kept soon.
		decided := p.detector.Decisions(seen)
		if len(decided) == 0 && p.clock().Sub(last).Abs() < saveSlowly {
			continue
		}
		saving, cancel := context.WithTimeout(ctx, saveTime)
		err := p.save(saving)
		cancel()
		if err != nil {
			if !failed {
				p.tell(slog.LevelError, "limits and containment not saved; they go on in memory", "error", err)
			}
			failed = true
			continue // what was decided is still to be kept, and soon
		}
		if last, failed = p.clock(), false; len(decided) > 0 {
			seen = decided[len(decided)-1].Seq
		}
	}
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
		if err := do(); !errors.Is(err, ErrBusy) || ctx.Err() != nil {
			return err
		}
	}
}

// save saves all there is. Sessions go on meanwhile, and so do orders.
func (p *Policy) save(ctx context.Context) error { return p.store.Save(ctx, p.pieces()) }

// pieces gives all there is to be saved.
func (p *Policy) pieces() iter.Seq[State] {
	return func(yield func(State) bool) {
		first := State{Containment: contain.Snapshot{Version: contain.SnapshotVersion, At: p.clock().Round(0)}}
		for key, amount := range *p.given.Load() {
			first.Given = append(first.Given, Given{key.Subject, key.limit, amount})
		}
		for _, m := range *p.marked.Load() {
			first.Marks = append(first.Marks, m)
		}
		owed := p.limiter.Snapshot()
		all := owed.Debts
		owed.Debts = nil
		if first.Limits = owed; !yield(first) {
			return
		}
		for debts := range slices.Chunk(all, pieceOf) {
			owed.Debts = debts
			if !yield(State{Limits: owed, Containment: first.Containment}) {
				return
			}
		}
		owed.Debts = nil
		for s := range p.detector.Snapshots(pieceOf) {
			if !yield(State{Limits: owed, Containment: s}) {
				return
			}
		}
	}
}

// add adds a piece of the same state.
func (s *State) add(piece State) {
	if s.Containment.Version == 0 {
		*s = piece
		return
	}
	s.Limits.Debts = append(s.Limits.Debts, piece.Limits.Debts...)
	s.Containment.Subjects = append(s.Containment.Subjects, piece.Containment.Subjects...)
	s.Given, s.Marks = append(s.Given, piece.Given...), append(s.Marks, piece.Marks...)
}

// follow brings a state up to date with the orders behind it, in their order.
func (s *State) follow(orders []Order) {
	if len(orders) == 0 {
		return
	}
	if s.Containment.Version == 0 {
		s.Containment = contain.Snapshot{Version: contain.SnapshotVersion, At: time.Now().Round(0)}
	}
	at := make(map[contain.Subject]int, len(s.Containment.Subjects))
	for i := range s.Containment.Subjects {
		at[s.Containment.Subjects[i].Subject] = i
	}
	for _, o := range orders {
		if o.Sender != nil {
			i, known := at[o.Sender.Subject]
			if !known {
				i = len(s.Containment.Subjects)
				at[o.Sender.Subject] = i
				s.Containment.Subjects = append(s.Containment.Subjects, contain.Saved{})
			}
			s.Containment.Subjects[i] = *o.Sender
		}
		if g := o.Given; g != nil {
			s.Given = slices.DeleteFunc(s.Given, func(old Given) bool { return old.Subject == g.Subject && old.Limit == g.Limit })
			if g.Amount != 0 {
				s.Given = append(s.Given, *g)
			}
		}
		for _, of := range []*contain.Subject{o.Unmarked, markedSubject(o.Mark)} {
			if of != nil {
				s.Marks = slices.DeleteFunc(s.Marks, func(old Mark) bool { return old.Subject == *of })
			}
		}
		if o.Mark != nil {
			s.Marks = append(s.Marks, *o.Mark)
		}
	}
}

func markedSubject(m *Mark) *contain.Subject {
	if m == nil {
		return nil
	}
	return &m.Subject
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
