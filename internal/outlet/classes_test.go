package outlet

import (
	"testing"

	"kanmon/internal/event"
)

// A class that nobody has thought about would be passed on as it is, without a word.
func TestEveryClassHasAStake(t *testing.T) {
	for c := range event.ClassCount {
		if classes[c].stake == 0 || classes[c].putOff == 0 {
			t.Errorf("class %d, %q: classes.go does not say what it is to the way out", c, c)
		}
	}
}
