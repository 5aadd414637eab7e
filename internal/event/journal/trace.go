package journal

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
)

// A Trace is the session log of some sessions, for somebody who reads it while it happens. It is of what is formatted anyway, so nobody is
// shown in it whom the journal hides; and whoever reads too slowly loses lines, and is told how many.
type Trace struct {
	of     *traces
	tenant string
	wants  func(*event.Record) bool
	wake   chan struct{} // holds a token when there is something to read

	mu   sync.Mutex
	text []byte
	lost uint64 // lines, behind the text
}

// MostTraces is how many there may be at once: each line is looked at for each of them.
const MostTraces = 8

// maxTraced is how many octets wait for the reader of a trace.
const maxTraced = 256 << 10

// ErrTraces is returned where there are too many traces.
var ErrTraces = errors.New("there are " + strconv.Itoa(MostTraces) + " traces already, and no more at once")

// Trace begins one of the sessions whose records are wanted: of one tenant, or with "" of all. The function is called while records are
// formatted; it must be quick, and keep nothing.
func (f *Files) Trace(tenant string, wants func(*event.Record) bool) (*Trace, error) {
	t := &Trace{of: &f.traces, tenant: tenant, wants: wants, wake: make(chan struct{}, 1)}
	return t, f.traces.add(t)
}

// Traced reports whether there is a trace.
func (f *Files) Traced() bool { return f.traces.some.Load() }

// Next waits for lines and gives them, until ctx ends.
func (t *Trace) Next(ctx context.Context) ([]byte, error) {
	for {
		if text := t.take(); len(text) > 0 {
			return text, nil
		}
		select {
		case <-t.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the trace.
func (t *Trace) Close() { t.of.remove(t) }

func (t *Trace) take() (text []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text, t.text = t.text, nil
	if t.lost > 0 {
		text = time.Now().AppendFormat(text, timeFormat)
		text = strconv.AppendUint(append(append(text, noSession...), "trace left out "...), t.lost, 10)
		text = append(text, " lines here: they came faster than they were read\n"...)
		t.lost = 0
	}
	return text
}

func (t *Trace) put(lines []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost > 0 || len(t.text)+len(lines) > maxTraced {
		t.lost += uint64(bytes.Count(lines, newline)) //nolint:gosec // it is no negative number
	} else {
		t.text = append(t.text, lines...)
	}
	signal(t.wake)
}

// traces are those of a process.
type traces struct {
	some atomic.Bool

	mu  sync.Mutex
	all []*Trace
}

func (x *traces) add(t *Trace) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.all) >= MostTraces {
		return ErrTraces
	}
	x.all = append(x.all, t)
	x.some.Store(true)
	return nil
}

func (x *traces) remove(t *Trace) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all = slices.DeleteFunc(x.all, func(other *Trace) bool { return other == t })
	x.some.Store(len(x.all) > 0)
}

// tell gives a record's lines to those who want them.
func (x *traces) tell(f *formatter, r *event.Record) {
	if !x.some.Load() || len(r.Lines) == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	var lines []byte
	for _, t := range x.all {
		if t.tenant != "" && t.tenant != r.Tenant || !t.wants(r) {
			continue
		}
		if lines == nil {
			lines = f.sessionLog(r)
		}
		t.put(lines)
	}
}

// skip tells of records that were lost before they could be formatted.
func (x *traces) skip(missed losses) {
	if !x.some.Load() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, t := range x.all {
		for _, o := range missed.owners() {
			if t.tenant == "" || t.tenant == o.tenant {
				t.put(sessionLogSheet.gap(nil, time.Now(), o, missed[o]))
			}
		}
	}
}
