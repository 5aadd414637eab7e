package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/admin"
)

// Who logs in comes to where he wanted to go, with a cookie that no script reads and no other site sends; who logs out is out.
func TestWhoLogsInComesToWhereHeWantedToGo(t *testing.T) {
	g := newRig(t)
	b := g.as(Nobody)
	if to := b.get("/sessions?held=1m").header.Get("Location"); to != "/login?to=%2Fsessions%3Fheld%3D1m" {
		t.Errorf("it leads to %q", to)
	}
	b.get("/login?to=/sessions?held=1m").want(t, 200, `value="/sessions?held=1m"`)
	in := b.post("/login", "name", "look", "password", password, "to", "/sessions?held=1m").want(t, 303)
	if to := in.header.Get("Location"); to != "/sessions?held=1m" {
		t.Errorf("it leads to %q", to)
	}
	if cookie := in.header.Get("Set-Cookie"); !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") || !strings.Contains(cookie, "Path=/") {
		t.Errorf("the cookie is %q", cookie)
	}
	b.get("/").want(t, 200, "Log out")
	b.post("/logout").want(t, 303)
	if to := b.get("/").header.Get("Location"); to != "/login" {
		t.Errorf("who is out is led to %q", to)
	}
	for _, elsewhere := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "evil", "/\n/evil.example"} {
		if got := local(elsewhere); got != "/" {
			t.Errorf("%q leads to %q", elsewhere, got)
		}
	}
}

// A login ends when nothing was asked for, and after a time whatever was; what a page asks by itself is no use of it.
func TestALoginEnds(t *testing.T) {
	var l logins
	l.begin(time.Hour, 12*time.Hour)
	at := time.Now()
	alice := User{Name: "alice", hash: "x"}
	token := l.add(alice, at)
	for range 11 {
		at = at.Add(time.Hour)
		if _, is := l.find(token, at, true); !is {
			t.Fatalf("one who uses it is out at %s", at)
		}
	}
	if _, is := l.find(token, at.Add(61*time.Minute), true); is {
		t.Error("it lasts beyond its time")
	}
	token = l.add(alice, at)
	if _, is := l.find(token, at.Add(30*time.Minute), false); !is {
		t.Error("it has ended too soon")
	}
	if _, is := l.find(token, at.Add(61*time.Minute), true); is {
		t.Error("a page that asks by itself keeps it")
	}
	for range maxLoginsEach + 5 {
		l.add(alice, at)
	}
	if len(l.open) != maxLoginsEach {
		t.Errorf("one has %d logins, want %d", len(l.open), maxLoginsEach)
	}
}

// Whoever has another password, or is no user any more, is out at once; another role holds from the next page on.
func TestAChangeOfAUserHoldsAtOnce(t *testing.T) {
	g := newRig(t)
	b := g.as(Act)
	b.get("/").want(t, 200, "(act)")
	if err := g.server.Users.Set("act", Look, ""); err != nil {
		t.Fatal(err)
	}
	b.get("/").want(t, 200, "(look)")
	if err := g.server.Users.Set("act", Look, "quite another one"); err != nil {
		t.Fatal(err)
	}
	b.get("/").want(t, 303)
	b = g.as(Search)
	if err := g.server.Users.Remove("search"); err != nil {
		t.Fatal(err)
	}
	b.get("/").want(t, 303)
}

// Two gateways that are reached at one host have cookies of their own, and so has each by TLS.
func TestGatewaysHaveCookiesOfTheirOwn(t *testing.T) {
	one, other := newRig(t, func(o *Options) { o.Gateway = "gw1" }), newRig(t, func(o *Options) { o.Gateway = "gw2" })
	b := one.as(Look)
	there := &browser{other, b.http} // which is one browser: both are at 127.0.0.1
	user, err := other.server.Users.Find("look")
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(other.url)
	if err != nil {
		t.Fatal(err)
	}
	b.http.Jar.SetCookies(at, []*http.Cookie{other.server.cookie(other.server.logins.add(user, time.Now()))})
	b.get("/").want(t, 200)
	there.get("/").want(t, 200)
	b.post("/logout").want(t, 303)
	there.get("/").want(t, 200)
	if plain, secure := cookieNamed("gw1", false), cookieNamed("gw1", true); secure != "__Host-"+plain {
		t.Errorf("%q and %q", plain, secure)
	}
}

// Who is logged out hears nothing more of what he was hearing, whoever did it.
func TestStreamsEndWithTheLogin(t *testing.T) {
	for path, end := range map[string]func(*rig) error{
		"/live":                          func(g *rig) error { return g.server.Users.Remove("search") },
		"/sessions/" + held64 + "/trace": func(g *rig) error { return g.server.Users.Set("search", Look, "") },
	} {
		g := newRig(t)
		withSessions(g)
		b := g.as(Search)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := end(g); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil { // until it ends
			t.Errorf("%s: %v", path, err)
		}
		_ = resp.Body.Close()
	}
}

// A page that asks by itself for what happens now keeps nobody logged in.
func TestTheStreamOfChangesKeepsNobodyLoggedIn(t *testing.T) {
	at := time.Now()
	var now atomic.Pointer[time.Time]
	now.Store(&at)
	g := newRig(t, func(o *Options) { o.Now = func() time.Time { return *now.Load() }; o.Live = time.Hour })
	b := g.as(Look)
	later := at.Add(DefaultIdle - time.Minute)
	now.Store(&later)
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/live", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	_ = resp.Body.Close()
	last := at.Add(DefaultIdle + time.Minute)
	now.Store(&last)
	b.get("/").want(t, 303)
}

// A proxy says who it is and of which groups, on the socket and from its own user alone.
func TestOnlyTheProxySaysWhoItIs(t *testing.T) {
	for name, c := range map[string]struct {
		uid    int
		unix   bool
		groups string
		file   bool // the role is of the file of users
		status int
		want   string
	}{
		"by a group":                 {os.Getuid(), true, "helpdesk, ops", false, 200, "(act)"},
		"by no group of ours":        {os.Getuid(), true, "sales", false, 403, "yours is “nobody”"},
		"by the file":                {os.Getuid(), true, "", true, 200, "(look)"},
		"from another user":          {os.Getuid() + 1, true, "ops", false, 401, "Nobody has said who you are"},
		"by an address of this host": {os.Getuid(), false, "ops", false, 401, "Nobody has said who you are"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(o *Options) {
				o.Proxy = &Proxy{User: "X-Remote-User", Groups: "X-Remote-Groups", Roles: map[string]Role{"ops": Act, "helpdesk": Search}, UID: uint32(c.uid)} //nolint:gosec // a user's number
				if c.file {
					o.Proxy.Groups = ""
				}
			})
			b := g.as(Nobody)
			if c.unix {
				b.through(serveSocket(t, g))
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Remote-User", "look")
			req.Header.Set("X-Remote-Groups", c.groups)
			b.do(req).want(t, c.status, c.want)
			if !c.unix {
				return
			}
			req.Header.Del("X-Remote-User")
			b.do(req).want(t, 401)
		})
	}
}

// through has a browser speak to a socket.
func (b *browser) through(path string) {
	b.http.Transport.(*http.Transport).Dial = func(string, string) (net.Conn, error) { return net.Dial("unix", path) } //nolint:noctx,staticcheck // a test's
}

func serveSocket(t *testing.T, g *rig) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.sock")
	l, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.server.Serve(l) }()
	t.Cleanup(func() {
		_ = g.server.http.Close()
		<-served
	})
	return path
}

// The file of users says where it is wrong; nobody can log in by a wrong one.
func TestAWrongFileOfUsersSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"alice:act\n": ":1: want name:role:hash", "# people\nalice:root:x\n": ":2: want name:role:hash", "alice:act:$2y$10$abc\n": "none of argon2id",
		"alice:act:" + passwordsHash() + "\nalice:look:" + passwordsHash() + "\n": "alice is there twice",
	} {
		path := filepath.Join(t.TempDir(), "users")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		u := OpenUsers(path)
		if _, err := u.List(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if _, is := u.Check("alice", password); is {
			t.Errorf("%q: one logs in", text)
		}
	}
}
