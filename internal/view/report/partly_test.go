package report

import (
	"testing"
	"time"

	"kanmon/internal/view/history/historytest"
)

// A mail that a part of its recipients has waits for as long as it does for the rest: not where that was refused, and no longer than MSAs try.
func TestAMailOfWhichAPartWasRefusedDoesNotWait(t *testing.T) {
	greylisted := historytest.Meaning(historytest.Reply(450, "4.2.0 come again", 0), "greylisted", "recipient", "rule")
	unknown := historytest.Meaning(historytest.Reply(550, "5.1.1 no such user", 0), "recipient_invalid", "recipient", "rule")
	for name, c := range map[string]struct {
		rest m
		now  time.Duration // behind the first attempt
		want Waits
	}{
		"the rest was refused": {unknown, 2 * time.Hour, Waits{Refused: 1}},
		"the rest waits":       {greylisted, 2 * time.Hour, Waits{Waiting: 1}},
		"nobody came again":    {greylisted, 6 * 24 * time.Hour, Waits{GivenUp: 1}},
	} {
		r := newRig(t)
		first := answered(identified(mail("acme", 30, "a@y.example", "b@y.example"), "list@acme.example"), 450, "4.2.0 come again", "greylisted")
		then := identified(mail("acme", 31, "a@y.example", "b@y.example"), "list@acme.example")
		then.Refused = map[string]m{"b@y.example": c.rest}
		r.add(r.Feed.Attempt(first), r.Feed.Attempt(then))
		o := month
		o.Now = first.At.Add(c.now)
		if got := r.make(o).Waits; got.Waiting != c.want.Waiting || got.GivenUp != c.want.GivenUp || got.Refused != c.want.Refused {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
