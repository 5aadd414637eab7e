package outlet

import (
	"strconv"
	"testing"

	"kanmon/internal/event"
)

// Ten thousand sessions that leave alike have one way on record, and none has another one's.
func TestSessionsThatLeaveAlikeShareTheirWay(t *testing.T) {
	var known knownWays
	first := known.of(&event.Way{Tenant: "a", Pool: "default"})
	if again := known.of(&event.Way{Tenant: "a", Pool: "default"}); again != first {
		t.Error("two sessions that leave alike have two ways")
	}
	for i := range 10_000 { // more than there is room for
		want := event.Way{Tenant: strconv.Itoa(i), Pool: "default", Route: "route", Provider: "provider"}
		if got := known.of(&want); *got != want || got == &want {
			t.Fatalf("%+v for %+v", *got, want)
		}
	}
	if got := known.of(&event.Way{Tenant: "a", Pool: "default"}); *got != *first {
		t.Errorf("%+v", *got)
	}
}
