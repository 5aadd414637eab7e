package notify

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A rig is a notifier in virtual time, with one channel that a test is the receiver of.
type rig struct {
	t      *testing.T
	n      *Notifier
	past   *past
	folder string
	line   uint64
	silent bool // the gateway's heart does not beat
	host   Host
	held   atomic.Bool // history keeps nothing
	stop   context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	got    []Event
	last   Event // that was told
	tries  []time.Time
	answer func(try int) error // nil: it takes all
}

// inTime runs a test in virtual time, from a moment when nothing is due.
func inTime(t *testing.T, test func(*rig)) {
	t.Helper()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, folder: folder, past: &past{}}
		r.begin()
		defer func() { r.end() }()
		test(r)
	})
}

const oneHook = `
[notify]
zone = "UTC"
digest = "off"
page_url = "https://page.example"
[[notify_webhook]]
name = "hook"
url = "https://hook.example"
format = "slack"
`

func (r *rig) begin() { r.beginWith(oneHook) }

func (r *rig) beginWith(doc string) {
	r.t.Helper()
	cfg, err := config.Parse("kanmon.toml", []byte(doc))
	if err != nil {
		r.t.Fatal(err)
	}
	if r.n, err = Open(cfg, Options{Folder: r.folder, History: r.past, Host: r.host, Notes: filepath.Join(r.folder, "notes.db"), Held: r.held.Load, Log: slog.New(slog.DiscardHandler)}); err != nil {
		r.t.Fatal(err)
	}
	for _, c := range r.n.channels {
		c.send = r.take
	}
	ctx, stop := context.WithCancel(r.t.Context())
	r.stop, r.done = stop, make(chan struct{})
	go func() {
		defer close(r.done)
		r.n.Run(ctx)
	}()
}

// end stops the notifier, as a kill would as far as the disk goes: what is not in its file is forgotten.
func (r *rig) end() {
	r.stop()
	<-r.done
	if err := r.n.Close(); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) again() {
	r.end()
	r.begin()
}

func (r *rig) take(_ context.Context, e *Event) (string, error) {
	r.mu.Lock()
	r.tries = append(r.tries, time.Now())
	answer, try := r.answer, len(r.tries)
	r.mu.Unlock()
	if answer != nil {
		if err := answer(try); err != nil {
			return "", err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, *e)
	return "taken", nil
}

// hear has the notifier hear a line that is of now, but for what the test has said.
func (r *rig) hear(entries ...event.Entry) {
	r.t.Helper()
	var lines []history.Line
	for i := range entries {
		e := &entries[i]
		if e.At.IsZero() {
			e.At = time.Now()
		}
		if e.Gateway == "" {
			e.Gateway, e.Run = "gw1", "run1"
		}
		if e.Line == 0 {
			r.line++
			e.Line = r.line
		}
		lines = append(lines, history.Line{Entry: e})
	}
	r.n.Hear(r.t.Context(), lines)
}

// counted gives how often something has come of a notification, since the process began.
func (r *rig) counted(result string) int {
	return int(testutil.ToFloat64(r.n.ended.WithLabelValues("hook", result)))
}

// pass lets time pass, in which the gateway's heart beats.
func (r *rig) pass(in time.Duration) {
	r.t.Helper()
	const beat = 2 * time.Minute
	for ; in >= beat; in -= beat {
		time.Sleep(beat)
		if !r.silent {
			r.hear(event.Entry{Type: "heartbeat"})
		}
	}
	time.Sleep(in)
	synctest.Wait()
}

// told lets time pass, and gives what has been told meanwhile.
func (r *rig) told(in time.Duration) []string {
	r.t.Helper()
	r.pass(in)
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for i := range r.got {
		e := &r.got[i]
		text := string(e.Type)
		r.last = *e
		if e.Data.More > 0 {
			text += fmt.Sprintf(" +%d", e.Data.More)
		}
		list = append(list, text)
	}
	r.got = nil
	return list
}

func (r *rig) wants(in time.Duration, want ...string) {
	r.t.Helper()
	if got := r.told(in); fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("told %v, want %v", got, want)
	}
}

// past is a history that has what a test says.
type past struct {
	history.Store // what no test asks for

	mu       sync.Mutex
	attempts []history.Attempt
	lines    []event.Entry
	events   []event.Entry
	counts   func(history.CountsOf) []history.Count
	shapes   func(history.Filter) []history.Shape
	status   history.Status
	waiting  []history.Waiting
}

func (p *past) Waiting(context.Context, history.Filter, time.Time) ([]history.Waiting, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting, nil
}

// is has a test say what history has.
func (p *past) is(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *past) Attempts(context.Context, history.Filter, history.Page) ([]history.Attempt, history.Next, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attempts, "", nil
}

func (p *past) Session(_ context.Context, id event.ID) (list []event.Entry, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.lines {
		if p.lines[i].Session == id {
			list = append(list, p.lines[i])
		}
	}
	if list == nil {
		err = history.ErrGone
	}
	return list, err
}

func (p *past) Counts(_ context.Context, of history.CountsOf) ([]history.Count, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts == nil {
		return nil, nil
	}
	return p.counts(of), nil
}

func (p *past) Shapes(_ context.Context, of history.Filter, _ history.Page) ([]history.Shape, history.Next, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shapes == nil {
		return nil, "", nil
	}
	return p.shapes(of), "", nil
}

func (p *past) Events(context.Context, history.EventsOf, history.Page) ([]event.Entry, history.Next, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events, "", nil
}

func (p *past) Status(context.Context) (history.Status, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status, nil
}
