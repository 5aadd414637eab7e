package event_test

import (
	"strings"
	"testing"

	"kanmon/internal/event"
)

// What a stranger has written neither moves a cursor nor reorders a line, and is never longer than asked for.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"550 5.1.1 no such user": "550 5.1.1 no such user",
		"two\r\nlines\tof it":    "two  lines of it",
		"\x1b[2Jgone\x00":        "?[2Jgone?",
		"\u202elisted":           "?listed",
		"\xff\xfe日本":             "??日本",
		"日本語日本語日本語日本語":           "日本語日本語日本",
	} {
		if got := event.Printable(text, 24); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for n := range 40 {
		if got := event.Printable(strings.Repeat("語\xff\n", 20), n); len(got) > n {
			t.Errorf("%d octets, want %d at most: %q", len(got), n, got)
		}
	}
}
