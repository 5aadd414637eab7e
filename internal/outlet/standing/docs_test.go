package standing

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// What docs/why/standing.md says of the defaults is what they are.
func TestDocsSayTheDefaults(t *testing.T) {
	text, err := os.ReadFile("../../../docs/why/standing.md")
	if err != nil {
		t.Fatal(err)
	}
	p := DefaultNumbers()
	percent := func(share float64) string { return fmt.Sprintf("%v %%", share*100) }
	span := func(d time.Duration) string {
		if d < 2*time.Hour && d%time.Hour != 0 {
			return fmt.Sprintf("%v min", d.Minutes())
		}
		return fmt.Sprintf("%v h", d.Hours())
	}
	trigger := func(t Trigger) string { return fmt.Sprintf("%d within %s", t.Replies, span(t.Within)) }
	for _, want := range []string{
		fmt.Sprintf("| %d reply within %s | suspends the IP at this provider, at first for %s |", p.Listed.Replies, span(p.Listed.Within), span(p.ListedFirst)),
		fmt.Sprintf("at least **%d tenants and %d destinations** within %s; at least %s of the provider's replies",
			p.Refused.Tenants, p.Refused.Destinations, span(p.Refused.Within), percent(p.RefusedPart)),
		fmt.Sprintf("(never below %s) for %s.", percent(p.ThrottleFloor), span(p.ThrottleHold)),
		fmt.Sprintf("to %s at this provider for %s |", percent(p.NeighbourShare), span(p.NeighbourHold)),
		"| first suspension for a listing | " + span(p.ListedFirst) + " |",
		"| first suspension for doubts | " + span(p.RefusedFirst) + " |",
		"| part of refusals that doubts need | " + percent(p.RefusedPart) + " |",
		"| twice the last suspension, at most " + span(p.Longest) + " |",
		"| a suspension is a first one again after | " + span(p.Forget) + " active |",
		fmt.Sprintf("| suspension by hand | at most %v days |", p.HandLongest.Hours()/24),
		"| replies that slow down | " + trigger(p.Throttled) + " |",
		"| hold of a slowed share | " + span(p.ThrottleHold) + ", doubling to " + span(p.Longest) + " |",
		"| between two cuts | " + span(p.ThrottleSettle) + " |",
		"| shares on the way back | " + percent(p.Restore[0]) + ", " + percent(p.Restore[1]) + ", all |",
		fmt.Sprintf("| %s (or the hold it had) and %d accepted messages |", span(p.RestoreHold), p.RestoreSuccesses),
		"| without any refusal, a step without accepted messages | " + span(p.RestoreQuiet) + " |",
		"min from there; " + span(p.ProbeTime) + " in all |",
		"| after a probe that ended without a result | " + span(p.ProbeRetry) + " |",
		fmt.Sprintf("with the last %d replies of each", maxSeen), "at most 10,000 standings",
		"at most once in " + span(checkAgain), "no answer about a listing for " + span(listingKept),
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("not there: %s", want)
		}
	}
	if DefaultMaxKeys != 10_000 {
		t.Error("the page says another number of keys")
	}
}
