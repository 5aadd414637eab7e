package smtptest

import (
	"testing"
	"time"
)

// WaitUntil waits, for ten seconds at most, until what happens in the background is done.
func WaitUntil(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
