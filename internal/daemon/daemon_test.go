package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kanmon/internal/admin"
	"kanmon/internal/admin/check"
	"kanmon/internal/config"
	"kanmon/internal/intercept"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(holdEnv); path != "" {
		holdLock(path)
		return
	}
	// The rules that a kanmon of this host has in force are none of the tests'.
	dir, err := os.MkdirTemp("", "kanmon-daemon-test-")
	if err != nil {
		panic(err)
	}
	if err := os.Setenv("KANMON_RULES_STATE", dir); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// Whatever a test does with the rules that are kept, those of the host are neither read nor written.
func TestRulesOfTheHostAreNotThoseOfTheTests(t *testing.T) {
	keeper, _ := intercept.Here()
	if folder := keeper.Folder(); folder == intercept.DefaultKept {
		t.Errorf("the tests share %s with the host", folder)
	}
}

// A world is a daemon on the loopback interface, with a fake MX behind it and all that reaches beyond the process noted.
type world struct {
	t      *testing.T
	daemon *Daemon
	dir    string
	mx     *smtptest.MX
	mxAddr netip.AddrPort

	mu       sync.Mutex
	notified []string
	applied  []intercept.Rules
	kept     intercept.Kept
	removed  int
	guards   int    // that run
	lost     string // of the rules in force
	fail     error  // of applyRules
}

// newWorld makes a daemon that is not started. A test's configuration begins with its tables; PORT stands for a free
// port, DIR for a folder.
func newWorld(t *testing.T, tables string) *world {
	t.Helper()
	return newWorldWith(t, &smtptest.MX{}, tables)
}

// newWorldWith is newWorld with an MX of the test's.
func newWorldWith(t *testing.T, mx *smtptest.MX, tables string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), mx: mx}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.mxAddr = l.Addr().(*net.TCPAddr).AddrPort()
	var served sync.WaitGroup
	served.Go(func() { w.mx.Serve(l) })
	t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
	})
	w.daemon = w.newDaemon(w.parse(tables))
	return w
}

func (w *world) newDaemon(cfg *config.Config) *Daemon {
	d := New(cfg, slog.New(slog.NewTextHandler(w.t.Output(), nil)))
	d.inherited = func() ([]net.Listener, error) { return nil, nil }
	d.notify = func(state string) { w.note(func() { w.notified = append(w.notified, state) }) }
	d.applyRules = func(_ context.Context, r intercept.Rules) (err error) {
		w.note(func() {
			if err = w.fail; err == nil {
				w.applied = append(w.applied, r)
				w.kept = intercept.Kept{Rules: r}
			}
		})
		return err
	}
	d.keptRules = func() (kept intercept.Kept, err error) {
		w.note(func() {
			if kept, err = w.kept, intercept.ErrNothingKept; !kept.Are(intercept.Rules{}) || kept.Removed != nil {
				err = nil
			}
		})
		return kept, err
	}
	d.rulesLost = func() (why string) {
		w.note(func() { why = w.lost })
		return why
	}
	d.guardRules = func(ctx context.Context) error {
		w.note(func() { w.guards++ })
		<-ctx.Done()
		w.note(func() { w.guards-- })
		return nil
	}
	d.removeRules = func(context.Context, intercept.Rules) error {
		w.note(func() { w.removed++ })
		return nil
	}
	return d
}

func (w *world) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) parse(tables string) *config.Config {
	w.t.Helper()
	doc := strings.NewReplacer("PORT", fmt.Sprint(freePort(w.t)), "DIR", w.dir).Replace(tables)
	cfg, err := config.Parse("kanmon.toml", []byte(doc))
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

func (w *world) start() {
	w.t.Helper()
	if err := w.daemon.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if w.daemon.cfg != nil && len(w.daemon.cleanups) > 0 {
			_ = w.daemon.Stop(ended) // a test that failed before its own stop
		}
	})
}

func (w *world) stop() {
	w.t.Helper()
	if err := w.daemon.Stop(w.t.Context()); err != nil {
		w.t.Errorf("stop: %v", err)
	}
}

// session begins a session as the firewall would hand it over, and gives the MSA after the banner.
func (w *world) session() *smtptest.MSA {
	w.t.Helper()
	return w.sessionAt(0)
}

// sessionAt is session by the listener of a port.
func (w *world) sessionAt(port uint16) *smtptest.MSA {
	w.t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = client.Close() })
	server, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	source := client.LocalAddr().(*net.TCPAddr).AddrPort()
	go w.daemon.handle(server.(*net.TCPConn), session.Origin{Source: source, Destination: w.mxAddr, Port: port})
	return smtptest.NewMSA(w.t, client)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

const listenTable = "[intercept]\nlisten = ['127.0.0.1:PORT']\n"

func TestMailPasses(t *testing.T) {
	w := newWorld(t, listenTable+"[journal]\nrecords = 'DIR/records.jsonl'\nsession_log = 'DIR/session.log'\n")
	w.start()
	body := []byte("Subject: hello\r\n\r\nHello.\r\n")
	msa := w.session()
	if d := msa.Deliver("a@example.com", []string{"b@example.net"}, body, true); !d.All(smtptest.Accepted) {
		t.Fatalf("delivery: %+v", d)
	}
	if err := msa.Quit(); err != nil {
		t.Error(err)
	}
	w.stop()
	if n := w.mx.Mailbox.Count(body); n != 1 {
		t.Errorf("the MX has the message %d times", n)
	}
	for file, want := range map[string]string{"records.jsonl": "b@example.net", "session.log": "RCPT TO:<b@example.net>"} {
		text, err := os.ReadFile(filepath.Join(w.dir, file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q (%v):\n%s", file, want, err, text)
		}
	}
}

// A connection that the firewall did not redirect came to kanmon itself.
func TestDirectConnectionIsRefused(t *testing.T) {
	w := newWorld(t, listenTable)
	w.start()
	defer w.stop()
	conn, err := net.Dial("tcp", w.daemon.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	smtptest.NewMSA(t, conn).Expect(421)
}

func TestStartFailsWhole(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	w := newWorld(t, fmt.Sprintf("[intercept]\nlisten = ['127.0.0.2:%d', '127.0.0.1:%d']\n[journal]\nrecords = 'DIR/records.jsonl'\n", port, port))
	if err := w.daemon.Start(t.Context()); err == nil {
		t.Fatal("started on a port that is taken")
	}
	if len(w.notified) > 0 {
		t.Errorf("systemd was told %v", w.notified)
	}
	free, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.2:%d", port))
	if err != nil {
		t.Fatalf("the other listener is still open: %v", err)
	}
	_ = free.Close()
}

func TestStartRefusesWhatTheHostLacks(t *testing.T) {
	w := newWorld(t, listenTable+"[[sending_ip]]\naddress = '203.0.113.1'\nehlo = 'a.example.jp'\nrequired = true\n")
	err := w.daemon.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "kanmon.toml:4: sending_ip[0].address: 203.0.113.1 is not an address of this host") {
		t.Errorf("Start = %v", err)
	}
}

// Rules that leave another user's mail alone would make kanmon's own mail come back to it.
func TestStartRefusesForeignUser(t *testing.T) {
	w := newWorld(t, "[intercept]\nlisten = ['127.0.0.1:PORT']\nlocal = true\nuser = '65534'\n")
	w.daemon.host.Own = func() check.User { return check.User{ID: 1000} }
	if err := w.daemon.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "intercept.user") {
		t.Fatalf("Start = %v", err)
	}
	w.daemon.host.Own = func() check.User { return check.User{ID: 65534} }
	w.start()
	w.stop()
}

func TestRulesAreAppliedGuardedAndKept(t *testing.T) {
	for _, test := range []struct {
		onStop  string
		removed int
	}{{"", 0}, {"rules_on_stop = 'keep'\n", 0}, {"rules_on_stop = 'remove'\n", 1}} {
		w := newWorld(t, "[intercept]\nlisten = ['127.0.0.1:PORT']\nlocal = true\nuser = '1234'\nmanage_rules = true\n"+test.onStop)
		w.daemon.host.Own = func() check.User { return check.User{ID: 1234} }
		w.daemon.host.LookPath = func(string) (string, error) { return "nft", nil }
		w.start()
		if len(w.applied) != 1 || !w.applied[0].Local || w.applied[0].User != "1234" {
			t.Errorf("rules applied: %+v", w.applied)
		}
		waitUntil(t, "the rules are guarded", func() (guarded bool) {
			w.note(func() { guarded = w.guards == 1 })
			return guarded
		})
		w.stop()
		if w.guards != 0 {
			t.Errorf("%d guards behind the stop", w.guards)
		}
		if w.removed != test.removed {
			t.Errorf("%q: rules removed %d times, want %d", test.onStop, w.removed, test.removed)
		}
	}
}

func TestSystemdIsTold(t *testing.T) {
	w := newWorld(t, listenTable)
	w.start()
	cfg := *w.daemon.cfg
	if err := w.daemon.Reload(t.Context(), &cfg); err != nil {
		t.Fatal(err)
	}
	w.stop()
	if want := []string{"READY=1", "RELOADING=1", "READY=1", "STOPPING=1"}; !slices.Equal(w.notified, want) {
		t.Errorf("systemd was told %v, want %v", w.notified, want)
	}
}

func TestSocketsFromSystemd(t *testing.T) {
	w := newWorld(t, listenTable)
	address := w.daemon.cfg.Intercept.Listen[0].String()
	inherited := func(addresses ...string) func() ([]net.Listener, error) {
		return func() (list []net.Listener, err error) {
			for _, a := range addresses {
				l, err := net.Listen("tcp", a)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, l)
			}
			return list, nil
		}
	}
	w.daemon.inherited = inherited(address, "127.0.0.1:0")
	if err := w.daemon.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "which is neither in intercept.listen nor a tenant's listen_port") {
		t.Fatalf("Start with a socket too many = %v", err)
	}
	w.daemon.inherited = inherited(address)
	w.start()
	if got := w.daemon.Addrs(); len(got) != 1 || got[0].String() != address {
		t.Errorf("listening on %v, want %s", got, address)
	}
	w.stop()
}

// Between transactions a session ends at once; inside one it may finish.
func TestStopDrains(t *testing.T) {
	w := newWorld(t, listenTable)
	w.start()
	idle, busy := w.session(), w.session()
	idle.Expect(220)
	busy.Expect(220)
	for _, command := range []string{"EHLO msa.example.com", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>"} {
		if r := busy.Command(command); r.Class() != 2 {
			t.Fatalf("%s: %s", command, r)
		}
	}
	listening := w.daemon.Addrs()[0].String()
	stopped := make(chan error, 1)
	go func() { stopped <- w.daemon.Stop(context.Background()) }()
	idle.Expect(421)
	if conn, err := net.Dial("tcp", listening); err == nil {
		_ = conn.Close()
		t.Error("a stopping kanmon accepts connections")
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped (%v) with a transaction running", err)
	case <-time.After(100 * time.Millisecond):
	}
	body := []byte("Subject: last\r\n\r\nLast.\r\n")
	if r := busy.Data(body); r.Class() != 2 {
		t.Errorf("data: %s", r)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop = %v", err)
	}
	if n := w.mx.Mailbox.Count(body); n != 1 {
		t.Errorf("the MX has the message %d times", n)
	}
}

// A handover refuses nobody: mail goes on in the sessions that there are, one behind the other, and whoever idles is told that it is over.
func TestAHandoverLetsSessionsGoOn(t *testing.T) {
	w := newWorld(t, listenTable+"[drain]\nnotice = '300ms'\nidle = '1s'\nsoft = '1m'\n")
	w.start()
	msa := w.session()
	listening := w.daemon.Addrs()[0].String()
	left := make(chan struct{})
	go func() { defer close(left); w.daemon.Leave(t.Context()) }()
	waitUntil(t, "the handover has begun", w.daemon.leaving.Load)
	conn, err := net.Dial("tcp", listening) // who leads mail here has a moment
	if err != nil {
		t.Error(err)
	} else {
		_ = conn.Close()
	}
	waitUntil(t, "nothing new is taken", func() bool {
		conn, err := net.Dial("tcp", listening)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	for i := range 3 {
		body := fmt.Appendf(nil, "Subject: %d\r\n\r\nText.\r\n", i)
		if got := msa.Deliver("a@example.com", []string{"b@example.net"}, body, true); !got.All(smtptest.Accepted) {
			t.Fatalf("mail %d: %v", i, got.Verdicts)
		}
		if n := w.mx.Mailbox.Count(body); n != 1 {
			t.Errorf("the MX has mail %d %d times", i, n)
		}
	}
	if got := (&operator{w.daemon}).Status().Problems; !slices.ContainsFunc(got, func(p admin.Problem) bool { return p.ID == "leaving" }) {
		t.Errorf("not normal is %v", got)
	}
	msa.Expect(421)
	<-left
	if err := w.daemon.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestStopCutsAtTheLimit(t *testing.T) {
	for name, limit := range map[string]func(*world) context.Context{
		"drain timeout": func(w *world) context.Context {
			w.daemon.cfg.Drain.Timeout = 50 * time.Millisecond
			return context.Background()
		},
		"second signal": func(w *world) context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, listenTable)
			w.start()
			msa := w.session()
			msa.Expect(220)
			for _, command := range []string{"EHLO msa.example.com", "MAIL FROM:<a@example.com>"} {
				if r := msa.Command(command); r.Class() != 2 {
					t.Fatalf("%s: %s", command, r)
				}
			}
			err := w.daemon.Stop(limit(w))
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				t.Errorf("Stop = %v, want that sessions were cut", err)
			}
			if n := w.daemon.live.Count(); n != 0 {
				t.Errorf("%d sessions left", n)
			}
		})
	}
}
