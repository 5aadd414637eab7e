//go:build !race

package event_test

import (
	"testing"

	"kanmon/internal/event"
)

// Telling a message of one recipient to three subscribers allocates nothing.
func TestTellingAllocatesNothing(t *testing.T) {
	var s event.Stream
	n := 0
	for range 3 {
		s.Subscribe("count", func(f *event.Facts) { n += f.Results[event.FateDelivered] })
	}
	if allocs := testing.AllocsPerRun(200, func() { s.Record(ofRecipients(250)) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
