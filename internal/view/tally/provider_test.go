package tally

import (
	"testing"
	"time"

	"kanmon/internal/view/history"
)

// What was deferred by no reply of a provider's is told apart from what the provider has deferred.
func TestWhatAProviderHasNotSaid(t *testing.T) {
	at := noon.Add(-30 * time.Minute)
	store := &canned{status: history.Status{Last: noon}, counts: []history.Count{
		{Begin: at, Outcome: "deferred", Attempts: 7}, {Begin: at, Outcome: "deferred", Class: "greylisted", Attempts: 3}, {Begin: at, Outcome: "delivered", Attempts: 9},
	}}
	p, err := OfProvider(t.Context(), store, "docomo", noon.Add(-time.Hour), noon)
	if err != nil {
		t.Fatal(err)
	}
	if p.Over.Sum.Deferred != 10 || p.Unsaid != 7 {
		t.Errorf("%d deferred, %d of them unsaid, want 10 and 7", p.Over.Sum.Deferred, p.Unsaid)
	}
}
