package explain

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Millisecond: "0s", time.Second: "1s", 70 * time.Second: "1m10s", 10 * time.Minute: "10m", time.Hour: "1h",
		90 * time.Minute: "1h30m", time.Hour + 20*time.Second: "1h", 25*time.Hour + 10*time.Minute: "25h10m", 10 * time.Hour: "10h",
	} {
		if got := Span(d); got != want {
			t.Errorf("%d ns: %s, want %s", d, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0 %", 0.1: "10 %", 0.05: "5 %", 0.0123: "1.2 %", 0.176: "18 %", 1: "100 %"} {
		if got := Percent(share); got != want {
			t.Errorf("%v: %s, want %s", share, got, want)
		}
	}
}

func TestShellWord(t *testing.T) {
	for name, want := range map[string]string{"bob@acme.example": "bob@acme.example", "<>": "'<>'", "o'hara@x": `'o'\''hara@x'`, "": "''", "a b": "'a b'"} {
		if got := ShellWord(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
