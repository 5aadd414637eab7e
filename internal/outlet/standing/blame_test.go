package standing

import (
	"testing"

	"kanmon/internal/event"
)

// What nobody has thought about would be nothing without a word.
func TestEveryWordOfAVerdictHasARow(t *testing.T) {
	for c := range event.ClassCount {
		if burdens[c] == 0 {
			t.Errorf("class %d, %q: observe.go does not say what it weighs", c, c)
		}
	}
	for s := range event.ScopeCount {
		if blames[s] == 0 {
			t.Errorf("scope %d, %q: observe.go does not say whom it is about", s, s)
		}
	}
	for w := range event.WeightCount {
		if !worths[w].known {
			t.Errorf("weight %d, %q: observe.go does not say what it is worth", w, w)
		}
	}
}

// A weight in the file that this release has no word for is unknown, and the rest of the row holds.
func TestAWeightOfAnotherReleaseIsUnknown(t *testing.T) {
	for text, want := range map[string]event.Weight{"strong": event.WeightStrong, "": event.WeightUnknown, "unknown": event.WeightUnknown, "gold": event.WeightUnknown} {
		if got := event.WeightOf(text); got != want {
			t.Errorf("weight %q: %v, want %v", text, got, want)
		}
	}
}
