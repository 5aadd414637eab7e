package find

import (
	"strings"
	"testing"
)

// Text is folded so that no line is longer than asked for, nothing is lost, and no line begins with what must not.
func TestTextIsFolded(t *testing.T) {
	for _, text := range []string{
		"The receiver's mail server refused it for good, and it is not sent again.",
		"配送できませんでした。2026-07-01 09:30:01 +09:00 に受信側のメールサーバーが受け取りを拒否したため、再送は行われません。",
		"one\ntwo and three", "",
	} {
		for width := 12; width < 90; width++ {
			folded := Fold(text, width)
			for i, line := range strings.Split(folded, "\n") {
				if Width(line) > width+2 && strings.ContainsAny(strings.TrimSpace(line), " ") {
					t.Errorf("%q is %d columns wide, more than %d", line, Width(line), width)
				}
				if r := []rune(line); i > 0 && len(r) > 0 && strings.ContainsRune(noBegin, r[0]) {
					t.Errorf("%q begins with a mark that must not", line)
				}
			}
			strip := strings.NewReplacer(" ", "", "\n", "")
			if strip.Replace(folded) != strip.Replace(text) {
				t.Errorf("%q has become %q", text, folded)
			}
		}
	}
}

// No cell is a formula, whatever it begins with.
func TestNoCellIsAFormula(t *testing.T) {
	for _, text := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", " =1", "\u00a0@x"} {
		if got := Cell(text); got != "'"+text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	for _, text := range []string{"", "a=b", "550 5.1.1 no", "'=1"} {
		if got := Cell(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}
