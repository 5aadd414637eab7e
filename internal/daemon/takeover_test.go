package daemon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/policy/contain"
	"kanmon/internal/smtp/smtptest"
)

// Two are a kanmon and another one behind the same socket, with the same configuration.
type two struct {
	*world
	second *Daemon
	left   chan error // what the first has ended with
}

const twoTables = "[intercept]\nlisten = ['127.0.0.1:PORT']\n[admin]\nsocket = 'DIR/admin.sock'\n[standing]\nfile = 'DIR/state.db'\n[senders]\nfile = 'DIR/senders.db'\n" +
	"[drain]\nidle = '1s'\n[[tenant]]\nname = 'acme'\nsources = ['127.0.0.0/8']\n[[sender_limit]]\nname = 'hourly'\nper = 'tenant'\ncount = 'messages'\nlimit = 1000\nevery = '1h'\nenforce = true\n"

func newTwo(t *testing.T) *two {
	t.Helper()
	w := newWorld(t, twoTables)
	l, err := net.Listen("tcp4", w.daemon.cfg.Intercept.Listen[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	inherited := func() ([]net.Listener, error) {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			return nil, err
		}
		defer f.Close()
		same, err := net.FileListener(f)
		return []net.Listener{same}, err
	}
	w.daemon.inherited = inherited
	b := &two{world: w, second: w.newDaemon(w.daemon.cfg), left: make(chan error, 1)}
	b.second.inherited = inherited
	b.second.TakesOver()
	first := w.daemon
	first.OnHandover(func() {
		go func() {
			first.Leave(t.Context())
			b.left <- first.Stop(t.Context())
		}()
	})
	b.second.OnHandover(func() {})
	w.start()
	return b
}

func (b *two) takeOver() {
	b.t.Helper()
	if err := b.second.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = b.second.Stop(context.Background()) })
}

func (b *two) firstHasLeft() {
	b.t.Helper()
	select {
	case err := <-b.left:
		if err != nil {
			b.t.Errorf("the first has ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		b.t.Fatal("the first has not ended")
	}
}

func stands(d *Daemon, k standing.Key) standing.State {
	s, _ := d.book.Show(k)
	return s.State
}

var (
	googleAt = standing.Key{IP: netip.MustParseAddr("203.0.113.10"), Provider: "google"}
	yahooAt  = standing.Key{IP: netip.MustParseAddr("203.0.113.10"), Provider: "yahoo"}
)

// Another process has what the first had, takes what is new, and is told what the sessions of the first lead to until these have ended.
func TestAnotherProcessTakesOver(t *testing.T) {
	b := newTwo(t)
	if err := b.daemon.book.Suspend(googleAt, time.Now().Add(time.Hour), "a test", "alice"); err != nil {
		t.Fatal(err)
	}
	blocked := contain.Subject{Tenant: "acme", Account: "spam@acme.example"}
	if err := b.daemon.policy.Block(blocked, time.Time{}, "alice", "a test"); err != nil {
		t.Fatal(err)
	}
	msa := b.session() // goes on over the takeover
	body := []byte("Subject: hello\r\n\r\nHello.\r\n")
	if d := msa.Deliver("a@acme.example", []string{"b@example.net"}, body, true); !d.All(smtptest.Accepted) {
		t.Fatalf("before: %+v", d)
	}
	b.takeOver()
	if got := stands(b.second, googleAt); got != standing.Suspended {
		t.Errorf("google is %v for the second", got)
	}
	if x := b.second.policy.Explain(blocked); x.Block == nil {
		t.Error("the second knows nothing of the block")
	}
	if len(b.daemon.Addrs()) != 0 {
		t.Error("the first listens still")
	}
	if err := admin.NewClient(b.daemon.cfg.Admin.Socket).Ready(t.Context()); err != nil {
		t.Errorf("the admin socket is not the second's: %v", err)
	}
	for range 3 {
		if d := msa.Deliver("a@acme.example", []string{"b@example.net"}, body, true); !d.All(smtptest.Accepted) {
			t.Fatalf("after: %+v", d)
		}
	}
	if err := b.daemon.book.Suspend(yahooAt, time.Now().Add(time.Hour), "seen by the first", "evidence"); err != nil {
		t.Errorf("what the first learns is kept by nobody: %v", err)
	}
	waitUntil(t, "the second is told", func() bool { return stands(b.second, yahooAt) == standing.Suspended })
	if err := msa.Quit(); err != nil {
		t.Error(err)
	}
	b.firstHasLeft()
	waitUntil(t, "the second owes for the mail of both", func() bool {
		usages := b.second.policy.Usages(contain.Subject{Tenant: "acme"})
		return len(usages) > 0 && usages[0].Used >= 3 // the first mail's was paid back a little by time
	})
	if err := b.second.Stop(t.Context()); err != nil {
		t.Errorf("the second has ended with %v", err)
	}
	third := b.newDaemon(b.daemon.cfg)
	if err := third.openBook(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = third.undo(t.Context()) }()
	for _, k := range []standing.Key{googleAt, yahooAt} {
		if got := stands(third, k); got != standing.Suspended {
			t.Errorf("%v is %v in the file", k, got)
		}
	}
}

// A process that fails before it is sure costs nothing: the first writes again, and takes what is new.
func TestOneThatFailsTakesNothing(t *testing.T) {
	b := newTwo(t)
	for round := range 3 {
		failing := b.newDaemon(b.daemon.cfg)
		failing.TakesOver()
		failing.OnHandover(func() {})
		failing.inherited = func() ([]net.Listener, error) { // sockets of another configuration
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			return []net.Listener{l}, err
		}
		if err := failing.Start(t.Context()); err == nil {
			t.Fatal("it has started")
		}
		if len(b.daemon.Addrs()) == 0 {
			t.Fatal("the first listens no more")
		}
		waitUntil(t, "the first may reload again", func() bool { return b.daemon.Reload(t.Context(), b.daemon.cfg) == nil })
		until := time.Now().Add(time.Duration(round+1) * time.Hour)
		if err := b.daemon.book.Suspend(googleAt, until, "a test", "alice"); err != nil {
			t.Errorf("the first keeps nothing: %v", err)
		}
	}
	b.takeOver()
	if s, _ := b.second.book.Show(googleAt); time.Until(s.Until) < 2*time.Hour {
		t.Errorf("the second has %v", s)
	}
	b.firstHasLeft()
}

// Who asks while the files change hands waits, and what was ordered meanwhile is known to the second.
func TestAnOrderBetweenTwoIsNotLost(t *testing.T) {
	b := newTwo(t)
	client := admin.NewClient(b.daemon.cfg.Admin.Socket)
	taking, err := client.TakeOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kept := make(chan error, 1)
	go func() { kept <- b.daemon.book.Suspend(googleAt, time.Now().Add(time.Hour), "a test", "alice") }()
	waitUntil(t, "it holds", func() bool { return stands(b.daemon, googleAt) == standing.Suspended })
	select {
	case err := <-kept:
		t.Errorf("it is said to be kept, by nobody: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := client.TakeOver(t.Context()); err == nil || !strings.Contains(err.Error(), "taking over already") {
		t.Errorf("a third one: %v", err)
	}
	if _, err := taking.Confirm(t.Context()); err != nil {
		t.Fatal(err)
	}
	told, err := taking.Next()
	for err == nil && told.Part != standing.Part { // what else there is to write may come first
		told, err = taking.Next()
	}
	if err != nil || told.Part != standing.Part || !strings.Contains(string(told.Rows), "203.0.113.10") {
		t.Errorf("%v, %+v", err, told)
	}
	if err := <-kept; err != nil {
		t.Errorf("%v", err)
	}
	var refused *admin.Error
	if _, err := client.TakeOver(t.Context()); !errors.As(err, &refused) && err == nil {
		t.Errorf("behind it: %v", err)
	}
	taking.Close()
	b.firstHasLeft()
}

// Listeners of its own cannot have two processes behind them: it is said what is to be done.
func TestOnlySocketsOfSystemdCanBeTakenOver(t *testing.T) {
	w := newWorld(t, twoTables)
	w.start()
	defer w.stop()
	w.daemon.OnHandover(func() {})
	if _, err := admin.NewClient(w.daemon.cfg.Admin.Socket).TakeOver(t.Context()); err == nil || !strings.Contains(err.Error(), "kanmon.socket") {
		t.Errorf("%v", err)
	}
	if err := w.daemon.book.Suspend(googleAt, time.Now().Add(time.Hour), "a test", "alice"); err != nil {
		t.Errorf("its files are not its own: %v", err)
	}
}
