package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// Who guesses waits longer each time, and nobody else: not others from there, not the same person from where he has been right.
func TestWhoGuessesWaitsAlone(t *testing.T) {
	var tr tries
	at := time.Now()
	if wait := tr.begin("192.0.2.7", "alice", at); wait > 0 {
		t.Fatalf("the first waits for %s", wait)
	}
	tr.right("192.0.2.7", "alice")
	for range freePair {
		if wait := tr.begin("198.51.100.1", "alice", at); wait > 0 {
			t.Fatalf("a first mistake costs %s", wait)
		}
	}
	first := tr.begin("198.51.100.1", "alice", at)
	if wait := tr.begin("198.51.100.1", "alice", at.Add(first)); wait > 0 {
		t.Errorf("behind the wait there is another of %s", wait)
	}
	if second := tr.begin("198.51.100.1", "alice", at.Add(first)); first <= 0 || second <= first || second > longestWait {
		t.Errorf("waits of %s, then %s", first, second)
	}
	if wait := tr.begin("198.51.100.1", "bob", at); wait > 0 {
		t.Errorf("another from there waits for %s", wait)
	}
	for i := range freeName { // from everywhere
		tr.begin(net.IPv4(203, 0, 113, byte(i)).String(), "alice", at)
	}
	if wait := tr.begin("203.0.113.250", "alice", at); wait <= 0 {
		t.Error("a name that is guessed from everywhere is open to the next one")
	}
	if wait := tr.begin("192.0.2.7", "alice", at); wait > 0 {
		t.Errorf("alice herself waits for %s", wait)
	}
	for i := range 3 * freeAddress {
		tr.begin("2001:db8::1", "u"+strconv.Itoa(i), at)
		tr.begin("127.0.0.1", "u"+strconv.Itoa(i), at)
	}
	if wait := tr.begin("2001:db8::2", "v", at); wait <= 0 {
		t.Error("a network of one person guesses names")
	}
	if wait := tr.begin("127.0.0.1", "v", at); wait > 0 {
		t.Errorf("another who comes by ssh waits for %s", wait)
	}
	if wait := tr.begin("2001:db8::2", "v", at.Add(2*time.Hour)); wait > 0 {
		t.Errorf("two hours later it still waits for %s", wait)
	}
}

// Passwords that are tried at once are as many as those that are tried one after the other: each counts before it is looked at.
func TestManyGuessesAtOnceAreAsManyAsOneByOne(t *testing.T) {
	g := newRig(t)
	var looked, waited atomic.Int64
	var all sync.WaitGroup
	for range 3 * freePair {
		b := g.as(Nobody)
		all.Go(func() {
			switch got := b.post("/login", "name", "act", "password", "a wrong one, really"); got.status {
			case http.StatusUnauthorized:
				looked.Add(1)
			case http.StatusTooManyRequests:
				waited.Add(1)
			default:
				t.Errorf("status %d", got.status)
			}
		})
	}
	all.Wait()
	if looked.Load() != freePair || waited.Load() != 2*freePair {
		t.Errorf("%d were looked at and %d had to wait, want %d looked at", looked.Load(), waited.Load(), freePair)
	}
}

// Who is right costs others nothing: not those from the same address, and not the same name.
func TestWhoIsRightIsNoGuess(t *testing.T) {
	var tr tries
	at := time.Now()
	for i := range 3 * freeName {
		if wait := tr.begin("192.0.2.7", "alice", at); wait > 0 {
			t.Fatalf("login %d waits for %s", i, wait)
		}
		tr.right("192.0.2.7", "alice")
	}
	if wait := tr.begin("192.0.2.8", "alice", at); wait > 0 {
		t.Errorf("alice waits for %s elsewhere", wait)
	}
}

// The login itself says how long one waits, and does not look at the password.
func TestTheLoginSaysHowLongOneWaits(t *testing.T) {
	g := newRig(t)
	for range freePair {
		g.server.tries.begin("127.0.0.1", "act", g.server.Now())
	}
	got := g.as(Nobody).post("/login", "name", "act", "password", password).want(t, 429, "Too many wrong passwords")
	if got.header.Get("Retry-After") == "" {
		t.Error("it does not say when")
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
