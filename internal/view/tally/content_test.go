package tally

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// judgements is a history of what was judged behind, and of the attempts that it was about.
type judgements struct {
	history.Store
	lines    []event.Entry
	attempts map[event.ID]history.Attempt
}

func (j *judgements) Events(_ context.Context, of history.EventsOf, _ history.Page) ([]event.Entry, history.Next, error) {
	if len(of.Types) != 1 || of.Types[0] != "judged" {
		return nil, "", fmt.Errorf("asked for %v", of.Types)
	}
	return j.lines, "", nil
}

func (j *judgements) Attempts(_ context.Context, of history.Filter, _ history.Page) ([]history.Attempt, history.Next, error) {
	if a, found := j.attempts[of.Session]; found {
		return []history.Attempt{{Number: a.Number + 1}, a}, "", nil
	}
	return nil, "", nil
}

func TestWhatScannersSaidStandsAgainstWhatMXsDid(t *testing.T) {
	j := &judgements{attempts: map[event.ID]history.Attempt{}}
	add := func(verdict, action string, took int, outcome, class string) {
		id := event.ID(len(j.lines) + 1)
		e, err := event.ParseEntry(fmt.Appendf(nil, `{"type":"judged","session":%q,"number":2,"content":{"lane":"behind","verdict":%q,"scans":[`+
			`{"scanner":"rspamd","state":"scanned","action":%q,"took_ms":%d},{"scanner":"clamd","state":"failed","lack":"busy"}]}}`, id, verdict, action, took))
		if err != nil {
			t.Fatal(err)
		}
		j.lines = append(j.lines, *e)
		if outcome != "" {
			a := history.Attempt{Number: 2, Outcome: outcome}
			a.Reply.Class = class
			j.attempts[id] = a
		}
	}
	for range 9 {
		add("accept", "no action", 10, "delivered", "")
	}
	add("refuse", "reject", 400, "delivered", "")
	add("refuse", "reject", 10, "refused", "content_rejected")
	add("refuse", "reject", 10, "refused", "recipient_invalid")
	add("accept", "greylist", 10, "", "")
	got, err := OfContent(t.Context(), j, time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := &Content{
		Judged: 13,
		Scanners: []ScannerSums{
			{Scanner: "clamd", Scans: 13, Unheard: 13},
			{Scanner: "rspamd", Scans: 13, Clean: 10, Bad: 3, P50: 10 * time.Millisecond, P95: 400 * time.Millisecond},
		},
		Against: []Against{{Verdict: "accept", Taken: 9, Other: 1}, {Verdict: "refuse", Taken: 1, Refused: 1, Other: 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
