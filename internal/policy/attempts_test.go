package policy

import (
	"testing"
	"time"

	"kanmon/internal/policy/limit"
)

// What bounds attempts begins anew with each process: no row is written that the next would not read, neither as it is counted nor with an order.
func TestAttemptsAreNotKept(t *testing.T) {
	store, l := &memory{}, rule("hour", limit.PerAccount, 100)
	l.Action = limit.Block
	p, err := New(Options{Settings: settingsWith(l), Store: store})
	if err != nil {
		t.Fatal(err)
	}
	r := rigOf(t, p)
	v, _ := r.enter("10.0.1.1", mx)
	v.send(bob.Account, rcpt, nil)
	v.Close()
	if r.used(bob, "hour") != 1 {
		t.Fatal("nothing was counted")
	}
	if err := p.Block(bob, time.Time{}, "alice", ""); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	s, _, err := store.Load()
	if err != nil || len(s.Limits.Debts) != 1 || s.Limits.Debts[0].Limit != "hour" {
		t.Errorf("kept: %+v, %v", s.Limits.Debts, err)
	}
}
