package session

import "testing"

// What a refusal is softened to says of the same thing that it is temporary, and what is temporary stays as it is.
//
// law: I10
func TestTemporaryOfTheSameThing(t *testing.T) {
	for code, want := range map[int]int{550: 450, 553: 450, 552: 452, 551: 451, 554: 451, 521: 451, 450: 450, 452: 452, 421: 421} {
		if got := Temporary(code); got != want {
			t.Errorf("%d is softened to %d, want %d", code, got, want)
		}
	}
}
