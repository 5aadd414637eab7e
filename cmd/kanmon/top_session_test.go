package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"kanmon/internal/admin"
)

// A topRig is the screen of a top, and its keys.
type topRig struct {
	*topModel
	t *testing.T
}

func newTopRig(t *testing.T, now admin.Top) *topRig {
	t.Helper()
	return &topRig{&topModel{look: func() (admin.Top, error) { return now, nil }, every: time.Hour, now: now, width: 80, height: 24}, t}
}

func (r *topRig) press(keys ...string) (cmd tea.Cmd) {
	codes := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "backspace": tea.KeyBackspace}
	for _, k := range keys {
		key := tea.Key{Text: k, Code: []rune(k)[0]}
		if code, is := codes[k]; is {
			key = tea.Key{Code: code}
		}
		_, cmd = r.Update(tea.KeyPressMsg(key))
	}
	return cmd
}

func (r *topRig) shows(want ...string) {
	r.t.Helper()
	content := r.View().Content
	for _, text := range want {
		if !strings.Contains(content, text) || strings.Count(content, "\n") != 23 {
			r.t.Errorf("no %q on %d lines:\n%s", text, strings.Count(content, "\n")+1, content)
		}
	}
}

func twoHeld() admin.Top {
	c := newCustomers()
	now, _ := c.Top(admin.SessionQuery{Most: 50})
	return now
}

// The mark goes along the held sessions and stays at its session; Enter shows all that is known of it, also when it is over.
func TestTopShowsASession(t *testing.T) {
	r := newTopRig(t, twoHeld())
	r.press("down")
	r.shows("> 4m12s")
	r.press("down")
	r.shows(">   12s")
	r.press("down", "down", "up")
	r.shows("> 4m12s")
	r.press("enter")
	r.shows("SESSION 64d9a07b2e1c8f35", "account     news@acme.example", "192.0.2.25:25", "t: what is said from now on", "esc back")
	r.now.Sessions.Sessions = nil
	r.shows("over, or not held any more", "news@acme.example")
	r.press("esc")
	r.shows("HELD")
	r.press("enter", "down", "up") // there is none to choose
	r.shows("HELD")
	r.now = twoHeld()
	r.press("enter")
	r.shows("SESSION 64d9a07b2e1c8f35")
}

// What is said in a session appears while it is shown; its end, and who ends it, are seen.
func TestTopTracesASession(t *testing.T) {
	r := newTopRig(t, twoHeld())
	more, ended := make(chan string), make(chan struct{})
	r.follow = func(ctx context.Context, session string, to io.Writer) error {
		defer close(ended)
		for {
			select {
			case text, open := <-more:
				if !open {
					return errors.New("kanmon has ended the trace\x1b[2J")
				}
				if _, err := fmt.Fprintf(to, "%s %s\n", session, text); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	wait := r.press("enter", "t")
	r.shows("TRACE", "nothing has been said yet")
	hear := func() {
		_, wait = r.Update(wait())
	}
	more <- "-> RCPT TO:<bob@docomo.example>\x1b[31m"
	hear()
	r.shows("64d9a07b2e1c8f35 -> RCPT TO:<bob@docomo.example>?[31m")
	for i := range 40 {
		more <- fmt.Sprint("line ", i)
		hear()
	}
	r.shows("line 39")
	close(more)
	hear()
	<-ended
	r.shows("the trace has ended: kanmon has ended the trace?[2J")
	r.press("esc")
	r.shows("HELD")

	more, ended = make(chan string), make(chan struct{})
	r.press("t") // of the chosen one, without Enter
	r.shows("SESSION 64d9a07b2e1c8f35")
	r.press("esc")
	<-ended
	late := r.heard(traced{of: &tracing{}, text: []byte("of a trace that is gone")})
	if late != nil || r.trace != nil {
		t.Error("a trace that is gone is heard")
	}
}

// Rows are sorted by what is held, by how many, and by name; the picture says by which.
func TestTopSorts(t *testing.T) {
	now := twoHeld()
	now.Providers = []admin.TopGroup{{Name: "yahoo", Sessions: 2, Held: 2}, {Name: "docomo", Sessions: 90, Held: 1}, {Name: "au", Sessions: 5}}
	now.Refusals = []admin.TopRefusal{{Provider: "yahoo", Count: 2}, {Provider: "docomo", Count: 90}, {Provider: "au", Count: 5}}
	r := newTopRig(t, now)
	for _, want := range []struct{ by, first, last string }{{"held", "yahoo", "au"}, {"how many", "docomo", "yahoo"}, {"name", "au", "yahoo"}} {
		r.shows("s by " + want.by)
		for name, p := range map[string]*pane{"providers": groupPane("", now.Providers, r.topModel.shows), "refusals": refusalPane(&now, r.topModel.shows)} {
			at := map[string]int{"providers": 0, "refusals": 1}[name]
			if first, last := p.rows[0][at], p.rows[2][at]; first != want.first || last != want.last {
				t.Errorf("%s by %s: %s … %s", name, want.by, first, last)
			}
		}
		r.press("s")
	}
	r.shows("s by held", "LOG", "order acme news@acme.example: block, was normal, by alice: spam")
}

// However many are held, the chosen one is on the screen.
func TestTheChosenSessionIsOnTheScreen(t *testing.T) {
	r := newTopRig(t, *busy())
	for range 45 {
		r.press("j")
	}
	r.shows("64d9a07b2e1c002c")
	for range 100 {
		r.press("j")
	}
	r.shows("64d9a07b2e1c003b")
}
