package session_test

import (
	"slices"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
)

// Sessions that begin in the same microsecond, or behind a step of the clock backwards, have IDs that are all different and in the order
// in which they were given.
func TestEverySessionHasAnIDOfItsOwn(t *testing.T) {
	var live session.Live
	now := time.Now()
	var ids []event.ID
	for range 10_000 {
		ids = append(ids, session.NewID(&live, now))
	}
	for range 10_000 {
		ids = append(ids, session.NewID(&live, now.Add(-time.Hour)))
	}
	if !slices.IsSorted(ids) {
		t.Error("the IDs are not in order")
	}
	if all := len(slices.Compact(ids)); all != 20_000 {
		t.Errorf("20,000 sessions have %d IDs", all)
	}
	if later := session.NewID(&live, now.Add(time.Second)); later <= ids[len(ids)-1] || later < event.ID(now.Add(time.Second).UnixMicro())<<12 {
		t.Error("an ID of a second later is not of its time")
	}
}
