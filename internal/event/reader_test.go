package event_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
)

// A line that a killed kanmon left, or that is no record, is told with its place, and what follows is read.
func TestReaderGoesOnBehindATornLine(t *testing.T) {
	text := `{"type":"session","session":"17f3a9c2b4d5e6f0","delivered":2,"end_reason":"quit","gateway":"gw1","line":7}
{"type":"transac
{"records":3}
{"type":"dropped","records":3,"tenant":"acme"}
{"type":"transaction","session":"17f3a9c2b4d5e6f0","body_ms":1.5,"recipients":[{"address":"b@c.example","reply":{"code":250,"took_ms":2.25}}],"new_member":{"a":[1]}}`
	var got []string
	var torn []int
	for e, err := range event.NewReader(strings.NewReader(text)).All() {
		var bad *event.LineError
		switch {
		case errors.As(err, &bad):
			torn = append(torn, bad.Number)
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, e.Type)
		}
		if err == nil && e.Type == "transaction" && (e.Body.Duration() != 1500*time.Microsecond || e.Recipients[0].Reply.Took.Duration() != 2250*time.Microsecond) {
			t.Errorf("times: %v, %v", e.Body, e.Recipients[0].Reply.Took)
		}
		if err == nil && e.Type == "session" && (e.Session != 0x17f3a9c2b4d5e6f0 || e.Delivered != 2 || e.Gateway != "gw1" || e.Line != 7) {
			t.Errorf("%+v", e)
		}
	}
	if strings.Join(got, " ") != "session dropped transaction" || len(torn) != 2 || torn[0] != 2 || torn[1] != 3 {
		t.Errorf("entries %v, torn %v", got, torn)
	}
}

// What cannot be read ends reading with its own error.
func TestReaderTellsAFailureToRead(t *testing.T) {
	broken := errors.New("disk on fire")
	var last error
	for _, last = range event.NewReader(io.MultiReader(strings.NewReader(`{"type":"session"}`+"\n"), failing{broken})).All() {
	}
	if !errors.Is(last, broken) {
		t.Errorf("%v", last)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
