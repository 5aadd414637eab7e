package policy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// refusing is a Store that takes nothing while it is told to.
type refusing struct {
	memory
	refuse bool
}

func (s *refusing) Keep(ctx context.Context, changes []Change, part *Part) error {
	if s.refuse {
		return errors.New("no space left")
	}
	return s.memory.Keep(ctx, changes, part)
}

// An order is told when the store has it. What it could not take is told as that, whoever has ordered it, and again when it is kept.
func TestAnOrderIsToldWhenItIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &refusing{}
		var told []string
		p, err := New(Options{Settings: blocking(), Store: store, Ordered: func(c Change, unkept bool) {
			store.mu.Lock()
			kept := slices.ContainsFunc(store.changes, func(k Change) bool { return k.Did == c.Did && k.Subject == c.Subject && k.IP == c.IP })
			store.mu.Unlock()
			told = append(told, fmt.Sprint(c.Did, " ", c.Subject, " ", unkept, " ", kept))
		}})
		if err != nil {
			t.Fatal(err)
		}
		wants := func(when string, want ...string) {
			t.Helper()
			if synctest.Wait(); !slices.Equal(told, want) {
				t.Errorf("%s: told %q, want %q", when, told, want)
			}
			told = nil
		}
		order := func() error { return p.Block(bob, time.Time{}, "alice", "") }
		over := func(account string) {
			v, _ := rigOf(t, p).enter("10.0.1.1", mx)
			v.send(account, many(2), nil)
			v.Close()
		}
		if err := order(); err != nil {
			t.Fatal(err)
		}
		wants("a person's", "block acme/bob@acme.example false true")
		over("eve@acme.example")
		wants("a limit's", "block acme/eve@acme.example false true")

		store.refuse = true
		if p.Unblock(bob, "alice", "") == nil {
			t.Error("it is said to be kept")
		}
		wants("a person's, that is not kept", "unblock acme/bob@acme.example true false")
		over("dan@acme.example")
		wants("a limit's, that is not kept", "block acme/dan@acme.example true false")
		if p.AuditOrder(Change{IP: netip.MustParseAddr("203.0.113.10"), Did: "suspend"}) == nil {
			t.Error("the audit is said to be kept")
		}
		wants("an IP's, that its own store has", "suspend  false false")

		store.refuse = false
		over("fay@acme.example")
		wants("when they are kept", "unblock acme/bob@acme.example false true", "block acme/dan@acme.example false true", "block acme/fay@acme.example false true")
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Where there is no store an order is told at once.
func TestAnOrderThatNothingKeepsIsTold(t *testing.T) {
	told := 0
	p, err := New(Options{Settings: blocking(), Ordered: func(c Change, unkept bool) {
		if told++; unkept {
			t.Errorf("%+v is told as not kept", c)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	v, _ := rigOf(t, p).enter("10.0.1.1", mx)
	v.send("eve@acme.example", many(2), nil)
	v.Close()
	if err := errors.Join(p.Block(bob, time.Time{}, "alice", ""), p.Close()); err != nil || told != 2 {
		t.Errorf("told of %d orders, %v", told, err)
	}
}
