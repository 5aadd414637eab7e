package journal

import (
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
)

// What was done about refusals and what was decided about senders stand in one order, that of time: a refusal where something was done about it,
// which may be long behind its coming.
func TestRefusalsAndDecisionsStandInOrderOfTime(t *testing.T) {
	r := newRecord()
	for _, at := range []time.Duration{2 * time.Second, 3 * time.Second, 7 * time.Second} {
		r.Actions = append(r.Actions, event.Action{At: time.Second, Done: at, Code: 550, Did: event.AlsoRefused})
	}
	for _, at := range []time.Duration{time.Second, 5 * time.Second, 6 * time.Second, 8 * time.Second} {
		r.Decisions = append(r.Decisions, event.Decided{At: at, Note: event.Note{Did: "deferred", Rule: "limit"}})
	}
	var got strings.Builder
	for e, err := range event.NewReader(strings.NewReader(string(jsonOf(AddressesClear, r)))).All() {
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(e.Type[:1] + e.At.Sub(start).Round(time.Second).String() + " ")
		if e.Type == "refusal" && e.Time.Sub(start).Round(time.Second) != time.Second {
			t.Errorf("a refusal of the first second came at %s", e.Time)
		}
	}
	if want := "d1s r2s r3s d5s d6s r7s d8s "; got.String() != want {
		t.Errorf("order %q, want %q", got.String(), want)
	}
}
