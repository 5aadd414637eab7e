package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"kanmon/internal/view/viewtest"
)

// Where things are: test/setup/install.sh has put the browser there.
var (
	cache    = cacheFolder()
	chromium = filepath.Join(cache, "web/usr/lib/chromium/chromium")
	axeFile  = filepath.Join(cache, "axe/axe-4.14.1.js")
	shots    = "../../build/pages"

	scratch string          // a folder that goes with this process
	program string          // that was built for these tests
	browser context.Context // one for all tests, each in a window of its own
)

func cacheFolder() string {
	if dir := os.Getenv("KANMON_TEST_CACHE"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "kanmon-test")
	}
	return "/var/cache/kanmon-test"
}

func TestMain(m *testing.M) {
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kanmon-web-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratch = dir
	if program = os.Getenv("KANMON_PROGRAM"); program == "" { // package test/built says why
		program = filepath.Join(dir, "kanmon")
		build := exec.Command("go", "build", "-o", program, "./cmd/kanmon")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build kanmon: %v\n%s", err, out)
			return 1
		}
	}
	if err := os.MkdirAll(shots, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fontsFile := filepath.Join(dir, "fonts.conf")
	if err := os.WriteFile(fontsFile, []byte(fonts(dir)), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.Env("LD_LIBRARY_PATH="+libraries(), "HOME="+dir, "FONTCONFIG_FILE="+fontsFile), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(40*time.Second))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	var end context.CancelFunc
	browser, end = chromedp.NewContext(allocated)
	defer end()
	if err := chromedp.Do(browser); err != nil {
		fmt.Fprintf(os.Stderr, "start %s: %v: run test/setup/install.sh\n", chromium, err)
		return 1
	}
	return m.Run()
}

// fonts says where they are: those that test/setup/install.sh has unpacked, so that pages look the same on each host, in Japanese, too.
func fonts(dir string) string {
	return fmt.Sprintf(`<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<dir>%[1]s/web/usr/share/fonts</dir><dir>%[1]s/fonts/usr/share/fonts</dir><cachedir>%[2]s/fontcache</cachedir>
<match><edit name="family" mode="append_last"><string>DejaVu Sans</string><string>IPAGothic</string></edit></match>
<alias><family>sans-serif</family><prefer><family>DejaVu Sans</family><family>IPAGothic</family></prefer></alias>
<alias><family>system-ui</family><prefer><family>DejaVu Sans</family><family>IPAGothic</family></prefer></alias>
<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family><family>IPAGothic</family></prefer></alias>
</fontconfig>`, cache, dir)
}

func libraries() string {
	var all []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/*-linux-gnu*/pulseaudio"} {
		found, _ := filepath.Glob(filepath.Join(cache, "web", pattern)) // the pattern is one
		all = append(all, found...)
	}
	return strings.Join(all, ":")
}

// A site is a page that is served by a process of its own, with a kanmon behind it and a person of each role.
type site struct {
	t      *testing.T
	kanmon *viewtest.Kanmon
	url    string
}

const password = "long enough to be one"

// usersFile has look, search and act, each with the password.
var usersFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "kanmon-users-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	conf, users := filepath.Join(dir, "kanmon.toml"), filepath.Join(dir, "users")
	if err := os.WriteFile(conf, []byte("[web]\nusers = '"+users+"'\n"), 0o600); err != nil {
		return nil, err
	}
	for _, role := range []string{"look", "search", "act"} {
		add := exec.Command(program, "web", "user", "add", role, "--role", role, "--config", conf)
		add.Stdin = strings.NewReader(password + "\n")
		if out, err := add.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
	}
	return os.ReadFile(users)
})

// serve starts it; more is added to the configuration, in which DIR is a folder of the test.
func serve(t *testing.T, more string) *site {
	t.Helper()
	s := &site{t: t, kanmon: viewtest.Start(t)}
	s.kanmon.Set(viewtest.Fill)
	users, err := usersFile()
	if err != nil {
		t.Fatal(err)
	}
	dir, at := t.TempDir(), freePort(t)
	s.url = "http://" + at
	conf := filepath.Join(dir, "kanmon.toml")
	text := fmt.Sprintf("[admin]\nsocket = %q\n[journal]\ngateway = 'gw1'\n[web]\nlisten = %q\nusers = 'DIR/users'\ndirectory = 'DIR/view'\n%s%s", s.kanmon.Socket, at, ways, more)
	for name, content := range map[string]string{conf: strings.ReplaceAll(text, "DIR", dir), filepath.Join(dir, "users"): string(users)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.begins("view", conf, func() bool {
		resp, err := http.Get(s.url + "/login") //nolint:noctx // it answers at once, or is not there
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
	return s
}

// begins starts a process of the program, which ends with the test, and waits for it to answer.
func (s *site) begins(command, conf string, answers func() bool) {
	t := s.t
	t.Helper()
	var log bytes.Buffer
	process := exec.Command(program, command, "--config", conf)
	process.Stdout, process.Stderr = &log, &log
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		if err := process.Wait(); err != nil || t.Failed() {
			t.Logf("kanmon %s: %v\n%s", command, err, &log)
		}
	})
	for end := time.Now().Add(time.Minute); !answers(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("kanmon %s does not answer", command)
		}
	}
}

const ways = `[[sending_ip]]
address = "192.0.2.1"
ehlo = "out1.example.jp"
[[sending_ip]]
address = "192.0.2.2"
ehlo = "out2.example.jp"
[pool.default]
ips = ["192.0.2.1", "192.0.2.2"]
`

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A window is a person's: cookies and all are its own.
type window struct {
	*site
	ctx context.Context

	mu     sync.Mutex
	wrongs []string // that the browser has told: errors, and what the page's policy has stopped
}

// open opens a window, and logs a person with a role in; "": nobody.
func (s *site) open(role string) *window {
	s.t.Helper()
	w := &window{site: s}
	ctx, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(w.hear))
	s.t.Cleanup(end)
	const patience = 5 * time.Minute // for all that a test does in it, on a host that has other things to do
	ctx, cancel := context.WithTimeout(ctx, patience)
	s.t.Cleanup(cancel)
	w.ctx = ctx
	tell(w, log.Enable, struct{}{})
	tell(w, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
document.addEventListener("securitypolicyviolation", (e) => console.error("policy: " + e.violatedDirective + " " + e.blockedURI + " " + e.sample));
window.onerror = (m) => console.error("error: " + m); window.alert = (m) => console.error("alert: " + m)`})
	if role != "" {
		w.goTo("/login")
		w.do(chromedp.SendKeys("#name", role), chromedp.SendKeys("#password", password), chromedp.Submit("#password"), chromedp.WaitVisible(".who"))
	}
	return w
}

func (w *window) hear(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		w.wrongs = append(w.wrongs, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			w.wrongs = append(w.wrongs, fmt.Sprint("console: ", string(e.Args[0].Value)))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.URL, "/favicon.ico") {
			w.wrongs = append(w.wrongs, fmt.Sprint("log: ", e.Entry.Text, " ", e.Entry.URL))
		}
	}
}

func (w *window) do(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, actions...); err != nil {
		w.t.Fatalf("%v; the browser has told: %q", err, w.told())
	}
}

// tell has the browser do something that chromedp has no word for.
func tell[P, R any](w *window, command cdp.Command[P, R], params P) {
	w.t.Helper()
	if _, err := chromedp.Call(w.ctx, command, params); err != nil {
		w.t.Fatal(err)
	}
}

// get gives what an action gives.
func get[T any](w *window, action chromedp.Action[T]) T {
	w.t.Helper()
	value, err := chromedp.Run(w.ctx, action)
	if err != nil {
		w.t.Fatalf("%v; the browser has told: %q", err, w.told())
	}
	return value
}

func (w *window) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.wrongs
	w.wrongs = nil
	return told
}

// goTo shows a page.
func (w *window) goTo(path string) {
	w.t.Helper()
	w.do(chromedp.Navigate(w.url+path), chromedp.WaitReady("main"))
}

// ask evaluates an expression in the page.
func ask[T any](w *window, expression string) T {
	w.t.Helper()
	return get(w, chromedp.Evaluate[T](expression))
}

// quiet fails where the browser has told that something is wrong.
func (w *window) quiet(where string) {
	w.t.Helper()
	if told := w.told(); len(told) > 0 {
		w.t.Errorf("%s: the browser tells %q", where, told)
	}
}

// shot keeps how it looks.
func (w *window) shot(name string) {
	w.t.Helper()
	w.keep(name, get(w, chromedp.FullScreenshot(100)))
}

func (w *window) keep(name string, picture []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(shots, name+".png"), picture, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// barriers are what axe finds that keeps people from using the page, where it is serious.
func (w *window) barriers() []string {
	w.t.Helper()
	source, err := os.ReadFile(axeFile)
	if err != nil {
		w.t.Fatalf("%v: run test/setup/install.sh", err)
	}
	ask[int](w, string(source)+";0")
	answer := get(w, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations.filter((v) =>
  ["serious", "critical"].includes(v.impact)).map((v) => v.id + ": " + v.nodes.map((n) => n.html.slice(0, 200) + " " + n.failureSummary).slice(0, 3).join(" | "))))`, chromedp.EvalAwaitPromise))
	var found []string
	if err := json.Unmarshal([]byte(answer), &found); err != nil {
		w.t.Fatal(err)
	}
	return found
}
