package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kanmon/internal/admin"
)

// What "kanmon top" shows of one session: all that is known of it, and what is said in it while it happens.

// A traced is what a trace has brought; over says that there is no more.
type traced struct {
	of   *tracing
	text []byte
	over error
}

// A tracing is a trace that is on the screen.
type tracing struct {
	end   context.CancelFunc
	lines chan traced
	kept  []string
	over  error
}

// mostTraced is how many lines of a trace are kept for the screen.
const mostTraced = 500

// chosenSession is the one that the mark stands at; nil: there is none.
func (m *topModel) chosenSession() *admin.Session {
	rows := heldSessions(&m.now, m.filter, m.order)
	for _, s := range rows {
		if s.Session == m.chosen {
			return s
		}
	}
	return nil
}

// choose moves the mark.
func (m *topModel) choose(by int) {
	rows := heldSessions(&m.now, m.filter, m.order)
	if len(rows) == 0 {
		m.chosen = ""
		return
	}
	at := slices.IndexFunc(rows, func(s *admin.Session) bool { return s.Session == m.chosen })
	if at >= 0 || by < 0 {
		at += by
	} else {
		at = 0
	}
	m.chosen = rows[min(max(at, 0), len(rows)-1)].Session
}

// open shows the chosen session, or the first.
func (m *topModel) open() {
	if m.chosenSession() == nil {
		m.choose(1)
	}
	if s := m.chosenSession(); s != nil {
		shown := *s
		m.shown = &shown
	}
}

// closeSession goes back to all of them.
func (m *topModel) closeSession() {
	m.shown = nil
	if m.trace != nil {
		m.trace.end()
		m.trace = nil
	}
}

// beginTrace has what is said in the shown session appear.
func (m *topModel) beginTrace() tea.Cmd {
	if m.shown == nil {
		m.open()
	}
	if m.shown == nil || m.trace != nil || m.follow == nil {
		return nil
	}
	ctx, end := context.WithCancel(context.Background())
	t := &tracing{end: end, lines: make(chan traced, 16)}
	m.trace = t
	session := m.shown.Session
	follow := m.follow
	go func() {
		defer close(t.lines)
		err := follow(ctx, session, traceWriter{ctx, t})
		select {
		case t.lines <- traced{of: t, over: err}:
		case <-ctx.Done():
		}
	}()
	return t.next()
}

// next waits for what comes.
func (t *tracing) next() tea.Cmd {
	return func() tea.Msg {
		if got, more := <-t.lines; more {
			return got
		}
		return nil
	}
}

// heard takes what a trace has brought.
func (m *topModel) heard(got traced) tea.Cmd {
	if m.trace != got.of {
		return nil
	}
	t := m.trace
	if t.over = got.over; got.text == nil {
		return nil
	}
	for line := range bytes.Lines(got.text) {
		t.kept = append(t.kept, printable(strings.TrimRight(string(line), "\n")))
	}
	t.kept = t.kept[max(0, len(t.kept)-mostTraced):]
	return t.next()
}

// A traceWriter hands lines to the screen.
type traceWriter struct {
	ctx context.Context // of the trace: it lives as long as one copy
	to  *tracing
}

func (w traceWriter) Write(p []byte) (int, error) {
	select {
	case w.to.lines <- traced{of: w.to, text: bytes.Clone(p)}:
		return len(p), nil
	case <-w.ctx.Done():
		return 0, w.ctx.Err()
	}
}

// drawSession draws one session, and below it its trace.
func (m *topModel) drawSession(s *screen) string {
	if now := m.chosenSession(); now != nil && now.Session == m.shown.Session {
		*m.shown = *now
	}
	is, over := m.shown, m.err == nil && !slices.ContainsFunc(m.now.Sessions.Sessions, func(o admin.Session) bool { return o.Session == m.shown.Session })
	title := "SESSION " + printable(is.Session)
	if over {
		title += "  (over, or not held any more: this was the last)"
	}
	s.title(title)
	row := func(what, text string) { s.line("  " + pad(what, 12, false) + text) }
	row("since", when(is.Start))
	row("waits", fmt.Sprintf("%s for %s", span(lasts(is)), waiting(is)))
	row("tenant", shownName(is.Tenant))
	row("account", shownName(is.Account))
	row("provider", shownName(is.Provider))
	row("sending IP", fmt.Sprintf("%s, pool %s", shownIP(is), shownName(is.Pool)))
	row("MX, MSA", fmt.Sprintf("%s, %s", is.MX, is.Source))
	s.line("")
	if m.trace == nil {
		s.line("t: what is said from now on")
		return strings.Join(s.lines, "\n")
	}
	s.title("TRACE from now on")
	room := max(1, s.room())
	if m.trace.over != nil {
		room--
	}
	for _, line := range m.trace.kept[max(0, len(m.trace.kept)-room):] {
		s.line(line)
	}
	switch {
	case m.trace.over != nil:
		s.line("the trace has ended: " + printable(m.trace.over.Error()))
	case len(m.trace.kept) == 0:
		s.line("nothing has been said yet")
	}
	return strings.Join(s.lines[:min(len(s.lines), s.height)], "\n")
}
