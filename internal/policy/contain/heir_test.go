package contain

import (
	"encoding/json"
	"testing"
	"time"

	"kanmon/internal/event"
)

// Of two processes the stricter level holds. Orders that were given at the one before, behind the takeover, hold; what was lifted here is not
// blocked again by a row from before.
func TestTheStricterLevelOfTwoProcessesHolds(t *testing.T) {
	before := newRig(t, enforced())
	_ = before.Block(bob, time.Time{}, "carol", "phishing")
	before.send(account(1), 10, 3, event.RecipientInvalid)
	after := before.restart(0)
	read := after.at
	if err := after.Unblock(bob, "carol"); err != nil {
		t.Fatal(err)
	}
	before.pass(time.Second)
	after.pass(time.Second)
	worst(before)
	_ = before.Block(account(2), time.Time{}, "dave", "stolen")
	_ = after.Exempt(account(3), time.Time{}, "carol", "known")
	var c Changes
	before.Changed(&c, 1000)
	before.ChangedOf(&c, bob)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var heard Changes
	if err := json.Unmarshal(text, &heard); err != nil {
		t.Fatal(err)
	}
	heard.Subjects = append(heard.Subjects, Saved{Subject: Subject{"acme", "x"}, Level: 99})
	for range 2 {
		after.Learn(&heard, read)
	}
	for _, v := range c.Subjects {
		if got := after.level(v.Subject); got < v.Level && v.Subject != bob {
			t.Errorf("%v is at %v, the process before has it at %v", v.Subject, got, v.Level)
		}
	}
	if x := after.Explain(bob); x.Block != nil {
		t.Error("what was lifted here is blocked again")
	}
	if x := after.Explain(account(2)); x.Block == nil || x.Block.By != "dave" {
		t.Errorf("the order of the process before is lost: %+v", x.Block)
	}
	if x := after.Explain(account(3)); x.Exempt == nil {
		t.Error("the order that was given here is lost")
	}
}
