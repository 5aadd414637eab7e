package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"kanmon/internal/smtp/smtptest"
	"kanmon/internal/view/viewtest"
)

// A pageRig is a folder with a configuration of a page.
type pageRig struct {
	t    *testing.T
	dir  string
	conf string
}

func newPageRig(t *testing.T, web string) *pageRig {
	t.Helper()
	g := &pageRig{t: t, dir: t.TempDir()}
	g.conf = filepath.Join(g.dir, "kanmon.toml")
	k := viewtest.Start(t)
	text := strings.NewReplacer("DIR", g.dir).Replace(fmt.Sprintf("[admin]\nsocket = %q\n[web]\nusers = 'DIR/users'\ndirectory = 'DIR/view'\n%s", k.Socket, web))
	if err := os.WriteFile(g.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// do runs a command with a line of standard input.
func (g *pageRig) do(stdin string, args ...string) (code int, out string) {
	var both bytes.Buffer
	code = run(append(args, "--config", g.conf), &console{stdin: strings.NewReader(stdin), stdout: &both, stderr: &both})
	return code, both.String()
}

// serve runs the page until the test ends, and gives what it has logged by then.
func (g *pageRig) serve(command string) *safeBuffer {
	g.t.Helper()
	log := &safeBuffer{}
	stop, end := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- run([]string{command, "--config", g.conf}, &console{stdout: log, stderr: log, watch: func() *signals { return &signals{stop: stop, kill: stop} }})
	}()
	g.t.Cleanup(func() {
		end()
		if code := <-ended; code != 0 {
			g.t.Errorf("it ends with %d: %s", code, log)
		}
	})
	return log
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A browser logs in and out: the page is where the configuration says, with the users that the commands have written.
func TestPageIsServed(t *testing.T) {
	for name, c := range map[string]struct{ command, scheme, more, cookie string }{
		"plain, on this host":      {"web", "http", "", "kanmon-"},
		"with the history":         {"view", "http", "", "kanmon-"},
		"with its own certificate": {"web", "https", "tls = true\n", "__Host-kanmon-"},
	} {
		t.Run(name, func(t *testing.T) {
			at := freePort(t)
			g := newPageRig(t, fmt.Sprintf("listen = %q\nmay = 'search'\n", at)+c.more)
			if code, out := g.do("a good password\n", "web", "user", "add", "alice", "--role", "act"); code != 0 || !strings.Contains(out, `web.may is "search"`) {
				t.Fatalf("%d: %s", code, out)
			}
			log := g.serve(c.command)
			b := newPageBrowser(t, c.scheme+"://"+at)
			smtptest.WaitUntil(t, "the page is served", func() bool { return strings.Contains(log.String(), "the page is served") })
			if c.scheme == "https" && !regexp.MustCompile(`sha256=([0-9A-F]{2}:){31}[0-9A-F]{2}`).MatchString(log.String()) {
				t.Errorf("no fingerprint: %s", log)
			}
			if got := b.get("/"); !strings.Contains(got, "Password") {
				t.Errorf("not asked who it is: %s", got)
			}
			if got := b.login("alice", "a bad password"); !strings.Contains(got, "do not belong together") {
				t.Errorf("with a wrong password: %s", got)
			}
			if got := b.login("alice", "a good password"); !strings.Contains(got, "All is normal.") || !strings.Contains(got, "(search)") {
				t.Errorf("logged in: %s", got)
			}
			for _, cookie := range b.http.Jar.Cookies(b.at) {
				if len(cookie.Name) == len(c.cookie) || !strings.HasPrefix(cookie.Name, c.cookie) { // and which gateway
					t.Errorf("the cookie is %s", cookie.Name)
				}
			}
			if code, out := g.do("", "web", "user", "remove", "alice"); code != 0 {
				t.Errorf("%d: %s", code, out)
			}
			if got := b.get("/"); !strings.Contains(got, "Password") {
				t.Errorf("one who is removed still sees: %s", got)
			}
		})
	}
}

// A page that cannot open its file of notes does not end the history that is kept beside it: it is told, and served once it can be.
func TestHistoryIsKeptWhileThePageIsNotServed(t *testing.T) {
	at := freePort(t)
	g := newPageRig(t, fmt.Sprintf("listen = %q\n[journal]\nrecords = 'DIR/records.jsonl'\n[history]\ndirectory = 'DIR/history'\n", at))
	inTheWay := filepath.Join(g.dir, "view", "notes.db")
	past, err := os.ReadFile("testdata/past.jsonl")
	if err == nil {
		err = os.WriteFile(filepath.Join(g.dir, "records.jsonl"), past, 0o600)
	}
	if err == nil {
		err = os.MkdirAll(inTheWay, 0o750)
	}
	if err != nil {
		t.Fatal(err)
	}
	log := g.serve("view")
	smtptest.WaitUntil(t, "it is told", func() bool {
		return strings.Contains(log.String(), "the page is not served; history is kept, and it is tried again")
	})
	smtptest.WaitUntil(t, "history is kept", func() bool {
		_, out := g.do("", "history", "status", "--json")
		return strings.Contains(out, `"attempts": 7`)
	})
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	smtptest.WaitUntil(t, "the page is served", func() bool { return strings.Contains(log.String(), "the page is served") })
	if got := newPageBrowser(t, "http://"+at).get("/"); !strings.Contains(got, "Password") {
		t.Errorf("it shows %s", got)
	}
}

type pageBrowser struct {
	t    *testing.T
	at   *url.URL
	http *http.Client
}

func newPageBrowser(t *testing.T, at string) *pageBrowser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it has made its certificate itself
	t.Cleanup(transport.CloseIdleConnections)
	return &pageBrowser{t, u, &http.Client{Jar: jar, Transport: transport}}
}

func (b *pageBrowser) get(path string) string {
	b.t.Helper()
	return b.read(b.http.Get(b.at.String() + path)) //nolint:noctx // the test ends with it
}

func (b *pageBrowser) login(name, password string) string {
	b.t.Helper()
	return b.read(b.http.PostForm(b.at.String()+"/login", url.Values{"name": {name}, "password": {password}})) //nolint:noctx // likewise
}

func (b *pageBrowser) read(resp *http.Response, err error) string {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(body)
}

// Who may log in is said by commands; what is no name, no role and no password is not taken.
func TestUsersOfThePage(t *testing.T) {
	g := newPageRig(t, "listen = '127.0.0.1:8460'\n")
	for _, c := range []struct {
		stdin, args string
		code        int
		want        string
	}{
		{"", "web user list", 0, "nobody may log in: kanmon web user add NAME --role act"},
		{"short\n", "web user add alice --role act", 1, "the password has 5 characters: want at least 10"},
		{"", "web user add alice --role act", 1, "there is no password"},
		{"a good password\n", "web user add a:b --role act", 1, `"a:b" is no name of a user`},
		{"a good password\n", "web user add alice --role root", 2, "--role"},
		{"a good password\n", "web user add alice --role look", 0, "alice may look now: http://127.0.0.1:8460/ on this host; from elsewhere by ssh -L 8460:127.0.0.1:8460"},
		{"", "web user add alice --role act", 0, "alice may act now"},
		{"", "web user list", 0, "alice  act"},
		{"another password\n", "web user passwd bob", 1, "bob: there is no such user"},
		{"another password\n", "web user passwd alice", 0, ""},
		{"", "web user remove alice", 0, ""},
		{"", "web user remove alice", 1, "alice: there is no such user"},
	} {
		code, out := g.do(c.stdin, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d, %q; want %d, %q", c.args, code, out, c.code, c.want)
		}
	}
}
