package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
	"kanmon/internal/view/viewtest"
	"kanmon/internal/view/web"
	"kanmon/test/story"
)

// A storied site is a page with two weeks of stories behind it, as it was when they ended. It is served by this process, which says what time it is.
type storied struct {
	*site
	ledger *story.Ledger
	store  history.Store
}

// A past is the folder of their history, and the right answers.
type past struct {
	dir    string
	ledger *story.Ledger
}

// told makes it, once for all tests.
var told = sync.OnceValues(func() (p past, err error) {
	p.dir = filepath.Join(scratch, "history")
	var lines []history.Line
	p.ledger, err = story.Tell(story.Options{Seed: 7, PerDay: 200}, func(_ string, line []byte) error {
		raw := slices.Clone(line[:len(line)-1])
		e, err := event.ParseEntry(raw)
		lines = append(lines, history.Line{Raw: raw, Entry: e})
		return err
	})
	if err != nil {
		return p, err
	}
	store, err := days.Open(p.dir)
	if err != nil {
		return p, err
	}
	for some := range slices.Chunk(lines, 5000) {
		if err := store.Add(context.Background(), some, "stories", history.Mark{File: "stories", At: some[len(some)-1].Entry.At}); err != nil {
			return p, errors.Join(err, store.Close())
		}
	}
	return p, store.Close()
})

// serveStories has the page.
func serveStories(t *testing.T) *storied {
	t.Helper()
	p, err := told()
	if err != nil {
		t.Fatal(err)
	}
	store, err := days.Read(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := classify.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	list, err := usersFile()
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, list, 0o600); err != nil {
		t.Fatal(err)
	}
	kanmon, began := viewtest.Start(t), time.Now()
	server, err := web.New(web.Options{
		Gateway: story.Tokyo, Admin: admin.NewClient(kanmon.Socket), History: store, Rules: rules, Users: web.OpenUsers(users), May: web.Act,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return p.ledger.To.Add(time.Since(began)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Close(end) // whoever is still there is cut
		if err := errors.Join(<-served, store.Close()); err != nil {
			t.Error(err)
		}
	})
	return &storied{&site{t, kanmon, "http://" + l.Addr().String()}, p.ledger, store}
}

// story gives the one with a name.
func (s *storied) story(name string) *story.Story {
	s.t.Helper()
	one := s.ledger.Story(name)
	if one == nil {
		s.t.Fatalf("there is no story %q", name)
	}
	return one
}

// A walker is a person on a journey, whose clicks and fields are counted.
type walker struct {
	*window
	acts int
}

// goTo shows a page as by a link that somebody was sent, from where the journey is counted.
func (w *walker) goTo(path string) {
	w.t.Helper()
	w.window.goTo(path)
	w.quiet(path)
	w.acts = 0
}

// click follows a link or presses a button, and waits for the page behind it.
func (w *walker) click(selector string) {
	w.t.Helper()
	w.acts++
	if _, err := chromedp.RunResponse(w.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		w.t.Fatalf("%s: %v", selector, err)
	}
	w.do(chromedp.WaitReady("main h1"))
	w.quiet(selector)
}

// paste puts a text into a field.
func (w *walker) paste(selector, text string) {
	w.t.Helper()
	w.acts++
	w.do(chromedp.SetValue(chromedp.CSS(selector), strings.ReplaceAll(text, "\r\n", "\n"))) // as a field has it
}

// within fails if it took the person more clicks and fields than it should, since it was asked last.
func (w *walker) within(most int) {
	w.t.Helper()
	if w.acts > most {
		w.t.Errorf("it took %d clicks and fields, want %d at most", w.acts, most)
	}
	w.acts = 0
}

// sees fails unless all can be read on the page.
func (w *walker) sees(texts ...string) {
	w.t.Helper()
	all := strings.Join(strings.Fields(get(w.window, chromedp.Text("main"))), " ")
	for _, text := range texts {
		if !strings.Contains(all, text) {
			w.t.Errorf("nobody sees %q in\n%s", text, all)
		}
	}
}

// person is somebody with a role, who is logged in.
func (s *storied) person(t *testing.T, role string) *walker {
	t.Helper()
	of := *s.site
	of.t = t
	return &walker{window: of.open(role)}
}
