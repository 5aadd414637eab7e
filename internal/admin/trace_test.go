package admin

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fakeTrace says how it has been asked for, once, and then waits.
type fakeTrace struct {
	said   string
	closed *atomic.Int32
}

var tracesClosed atomic.Int32

// Trace has one for whoever names no tenant that there is not.
func (fakeProcess) Trace(q SessionQuery) (Tracing, error) {
	if q.Tenant == "beta" {
		return nil, errors.New("no such tenant: \"beta\"")
	}
	return &fakeTrace{"a line about " + q.Provider + "\n", &tracesClosed}, nil
}

// Top says whom it was asked for.
func (fakeProcess) Top(q SessionQuery) (Top, error) {
	return Top{Tenants: []TopGroup{{Name: q.Tenant, Sessions: q.Most}}, Flow: Flow{Mails: 3}}, nil
}

func (f *fakeTrace) Next(ctx context.Context) ([]byte, error) {
	if said := f.said; said != "" {
		f.said = ""
		return []byte(said), nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (f *fakeTrace) Close() { f.closed.Add(1) }

// A trace comes line by line as it is said, outlives what other answers may take, and ends with the connection.
func TestATraceEndsWithItsConnection(t *testing.T) {
	path, log := serve(t, &fakeIPs{}, nil)
	before := tracesClosed.Load()
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan string, 1)
	ended := make(chan error, 1)
	go func() { ended <- NewClient(path).Trace(ctx, SessionQuery{Provider: "docomo"}, sayTo(heard)) }()
	if line := <-heard; line != "a line about docomo\n" {
		t.Errorf("heard %q", line)
	}
	if tracesClosed.Load() != before {
		t.Error("closed while it is read")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	for end := time.Now().Add(patience); tracesClosed.Load() == before && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if tracesClosed.Load() != before+1 {
		t.Error("it goes on behind its connection")
	}
	if said := log.String(); !strings.Contains(said, "traced by the operator") || !strings.Contains(said, "provider=docomo") {
		t.Errorf("the log says %s", said)
	}
}

type sayTo chan string

func (s sayTo) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}

// What is no question gets an answer that says so, and no trace.
func TestWrongQuestionsOfATraceAreRefused(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	for want, q := range map[string]SessionQuery{
		`"held" is nothing that a trace can be asked by: want one of ["session" "tenant"`: {Held: time.Minute},
		`"state" is nothing that a trace can be asked by`:                                 {State: "mx"},
		`no such tenant: "beta"`: {Tenant: "beta"},
	} {
		var out bytes.Buffer
		if err := NewClient(path).Trace(t.Context(), q, &out); err == nil || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("%+v: %v, %q, want %q", q, err, out.String(), want)
		}
	}
}
