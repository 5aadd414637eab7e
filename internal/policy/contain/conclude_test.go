package contain

import (
	"testing"

	"kanmon/internal/event"
)

// A class that nobody has thought about would be no evidence without a word.
func TestEveryClassHasAConclusion(t *testing.T) {
	for c := range event.ClassCount {
		if conclusions[c].rcpt == 0 || conclusions[c].data == 0 {
			t.Errorf("class %d, %q: conclude.go does not say what it is evidence of", c, c)
		}
	}
}
