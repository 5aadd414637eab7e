package web

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/view/notes"
	"kanmon/internal/view/viewtest"
)

// A rig is a server with a kanmon behind it, and users of each role with the role's name and the password below.
type rig struct {
	t      *testing.T
	kanmon *viewtest.Kanmon
	server *Server
	url    string
	log    *strings.Builder
}

const password = "long enough to be one"

var passwordsHash = sync.OnceValue(func() string { return hashOf(password) }) // it takes its time

// newRig starts it. The options may be changed before.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	k := viewtest.Start(t)
	dir := t.TempDir()
	users := OpenUsers(filepath.Join(dir, "web-users"))
	if err := users.change(func([]User) (all []User) {
		for _, role := range []Role{Look, Search, Act} {
			all = append(all, User{role.String(), role, passwordsHash()})
		}
		return all
	}); err != nil {
		t.Fatal(err)
	}
	book, err := notes.Open(filepath.Join(dir, "notes.db"))
	if err != nil {
		t.Fatal(err)
	}
	log := &strings.Builder{}
	o := Options{Gateway: "gw1", Admin: admin.NewClient(k.Socket), Notes: book, Users: users, May: Act, Live: 1, Log: slog.New(slog.NewTextHandler(log, nil))}
	for _, c := range change {
		c(&o)
	}
	server, err := New(o)
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
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = server.Close(ctx) // whoever is still there is cut
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := book.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{t, k, server, "http://" + l.Addr().String(), log}
}

// A browser is one person's.
type browser struct {
	*rig
	http *http.Client
}

// as gives a browser of a person with a role, who is logged in; of Nobody nobody is.
func (g *rig) as(role Role) *browser {
	g.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	transport := &http.Transport{}
	g.t.Cleanup(transport.CloseIdleConnections)
	b := &browser{g, &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if role == Nobody {
		return b
	}
	user, err := g.server.Users.Find(role.String())
	if err != nil {
		g.t.Fatal(err)
	}
	at, err := url.Parse(g.url)
	if err != nil {
		g.t.Fatal(err)
	}
	jar.SetCookies(at, []*http.Cookie{g.server.cookie(g.server.logins.add(user, g.server.Now()))}) // a password takes its time
	return b
}

// An answer is what a browser got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(req *http.Request) answer {
	b.t.Helper()
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// post sends a form, as a page of this server does.
func (b *browser) post(path string, values ...string) answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(values); i += 2 {
		form.Add(values[i], values[i+1])
	}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", b.url)
	return b.do(req)
}

// want fails unless an answer has a status and all texts.
func (a answer) want(t *testing.T, status int, texts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("there is no %q in\n%s", text, a.body)
		}
	}
	return a
}
