package policy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/policy/contain"
	file "kanmon/internal/store"
)

// firstFails is a Store whose first order comes to nothing, when it is let go.
type firstFails struct {
	memory
	with         error
	failed       atomic.Bool
	asked, letGo chan struct{}
}

func newFirstFails(with error) *firstFails {
	return &firstFails{with: with, asked: make(chan struct{}), letGo: make(chan struct{})}
}

func (s *firstFails) Keep(ctx context.Context, changes []Change, part *Part) error {
	if s.failed.CompareAndSwap(false, true) {
		close(s.asked)
		<-s.letGo
		return s.with
	}
	return s.memory.Keep(ctx, changes, part)
}

// standsAs tells how bob stands in all that people can order.
func (r *rig) standsAs() string {
	kind, own := r.MarkOf(bob)
	return fmt.Sprintf("%s, %d, %s %t", r.stateText(bob), r.Usages(bob)[0].Rule.Amount, kind.Kind, own)
}

// afterKill tells how bob stands in the process behind one that is killed now.
func (r *rig) afterKill(store *firstFails) string {
	r.t.Helper()
	state, _, err := store.Load()
	if err != nil {
		r.t.Fatal(err)
	}
	next, err := New(Options{Settings: blocking(), Store: &memory{state: &state}})
	if err != nil {
		r.t.Fatal(err)
	}
	defer next.Close()
	return rigOf(r.t, next).standsAs()
}

// law: I21
//
// Two speak of one subject while another process has the file: a limit and a person, or two people. What was said last, and heard to be done,
// is what a restart knows, whoever came to write last.
func TestTheLastWordIsKept(t *testing.T) {
	list := contain.List
	overrun := func(r *rig) error {
		v, _ := r.enter("10.0.1.1", mx)
		defer v.Close()
		v.send(bob.Account, many(2), nil)
		return nil
	}
	block := func(r *rig) error { return r.Block(bob, time.Time{}, "alice", "stolen") }
	unblock := func(r *rig) error { return r.Unblock(bob, "carol", "a mistake") }
	exempt := func(r *rig) error { return r.Exempt(bob, time.Time{}, "carol", "newsletter") }
	amount := func(n int64) func(*rig) error {
		return func(r *rig) error { return r.SetLimit(bob, "rcpts", n, "alice", "asked") }
	}
	kind := func(k *contain.Kind) func(*rig) error {
		return func(r *rig) error { return r.SetKind(bob, k, "alice", "told") }
	}
	for name, c := range map[string]struct{ first, then func(*rig) error }{
		"a limit blocks, a person unblocks":    {overrun, unblock},
		"one blocks, another unblocks":         {block, unblock},
		"one sets an amount, another one more": {amount(5), amount(7)},
		"one sets an amount, another none":     {amount(5), amount(0)},
		"one marks it, another takes it back":  {kind(&list), kind(nil)},
		"one blocks, another exempts":          {block, exempt},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFirstFails(file.ErrBusy)
				p, err := New(Options{Settings: blocking(), Store: store})
				if err != nil {
					t.Fatal(err)
				}
				r := rigOf(t, p)
				done := make(chan error, 2)
				go func() { done <- c.first(r) }()
				<-store.asked // it has what it wants to write, and the file is locked
				go func() { done <- c.then(r) }()
				synctest.Wait()
				close(store.letGo)
				if err := errors.Join(<-done, <-done); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if now, later := r.standsAs(), r.afterKill(store); now != later {
					t.Errorf("now: %s; after a restart: %s", now, later)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// An order that could not be written, of whatever kind, is kept with its line of the audit, as soon as that can be.
func TestAnOrderIsKeptWithItsLine(t *testing.T) {
	list := contain.List
	for name, order := range map[string]func(*rig) error{
		"block":  func(r *rig) error { return r.Block(bob, time.Time{}, "alice", "stolen") },
		"amount": func(r *rig) error { return r.SetLimit(bob, "rcpts", 5, "alice", "asked") },
		"kind":   func(r *rig) error { return r.SetKind(bob, &list, "alice", "told") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFirstFails(errors.New("disk I/O error"))
				close(store.letGo)
				p, err := New(Options{Settings: blocking(), Store: store})
				if err != nil {
					t.Fatal(err)
				}
				r := rigOf(t, p)
				if err := order(r); !errors.Is(err, store.with) {
					t.Errorf("told: %v", err)
				}
				synctest.Wait()
				if now, later := r.standsAs(), r.afterKill(store); now != later || len(store.changes) != 1 {
					t.Errorf("now: %s; after a restart: %s; %d lines of the audit", now, later, len(store.changes))
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Whoever was let go, and has made room for others before that could be written, is not blocked again by what the file has of him.
func TestAForgottenSenderIsNotBlockedAgain(t *testing.T) {
	store := &memory{}
	r := newRig(t, blocking(), store)
	blocked := contain.Saved{Subject: bob, Level: contain.Normal, Block: &contain.SavedHand{ByHand: contain.ByHand{By: "limit rcpts", Rule: true}}}
	if err := saved(store, State{Containment: contain.Snapshot{Version: contain.SnapshotVersion, Subjects: []contain.Saved{blocked}}}); err != nil {
		t.Fatal(err)
	}
	if err := r.keep(t.Context(), []due{{Change: Change{Subject: bob, Did: "unblock"}, order: r.senderNow(bob)}}); err != nil {
		t.Fatal(err)
	}
	if s, _, _ := store.Load(); len(s.Containment.Subjects) != 0 {
		t.Errorf("%+v", s.Containment.Subjects)
	}
}
