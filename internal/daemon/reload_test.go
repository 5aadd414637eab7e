package daemon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/admin/check"
	"kanmon/internal/config"
	"kanmon/internal/event/journal"
	"kanmon/internal/intercept"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/smtp/smtptest"
)

const sendingTable = "[[sending_ip]]\naddress = '127.0.0.1'\nehlo = 'NAME.example.jp'\n"

func sending(name string) string { return strings.ReplaceAll(sendingTable, "NAME", name) }

// with gives the daemon's configuration with other tables behind [intercept], which stays as it is.
func (w *world) with(tables string) *config.Config {
	w.t.Helper()
	cfg := w.parse(tables)
	cfg.Intercept = w.daemon.cfg.Intercept
	return cfg
}

// A session keeps the engine it began with, and its EHLO name. What it tells goes where the newest configuration says: whatever an operator
// wants to be written, or not to be, holds at once.
func TestReloadLeavesSessionsAlone(t *testing.T) {
	w := newWorld(t, listenTable+sending("old")+"[journal]\nsession_log = 'DIR/old.log'\n")
	w.start()
	older := w.session()
	older.Expect(220)
	if err := w.daemon.Reload(t.Context(), w.with(sending("new")+"[journal]\nsession_log = 'DIR/new.log'\n")); err != nil {
		t.Fatal(err)
	}
	newer := w.session()
	newer.Expect(220)
	if r := newer.Command("EHLO msa.example.com"); r.Class() != 2 {
		t.Fatal(r)
	}
	if r := older.Command("EHLO msa.example.com"); r.Class() != 2 {
		t.Fatal(r)
	}
	if r := older.Command("MAIL FROM:<older@example.com>"); r.Class() != 2 {
		t.Fatal(r)
	}
	if r := newer.Command("MAIL FROM:<newer@example.com>"); r.Class() != 2 {
		t.Fatal(r)
	}
	_ = older.Quit()
	_ = newer.Quit()
	w.stop()

	commands := strings.Join(w.mx.Mailbox.Commands(), "\n")
	for _, name := range []string{"EHLO old.example.jp", "EHLO new.example.jp"} {
		if !strings.Contains(commands, name) {
			t.Errorf("the MX has not seen %q:\n%s", name, commands)
		}
	}
	for file, want := range map[string][2]bool{"old.log": {}, "new.log": {true, true}} {
		text, err := os.ReadFile(filepath.Join(w.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{strings.Contains(string(text), "older@example.com"), strings.Contains(string(text), "newer@example.com")}; got != want {
			t.Errorf("%s has the older and the newer session: %v, want %v:\n%s", file, got, want, text)
		}
	}
}

// Whatever makes a reload fail, everything is as it was.
func TestReloadAllOrNothing(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.3:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const managed = "[intercept]\nlisten = ['127.0.0.1:PORT', '127.0.0.2:PORT']\nlocal = true\nuser = '1234'\nmanage_rules = true\n"
	logged := "[journal]\nsession_log = 'DIR/old.log'\n"
	tests := []struct {
		name string
		edit func(*world, *config.Config)
		want string
	}{
		{"listener taken", func(_ *world, c *config.Config) {
			c.Intercept.Listen = append(slices.Clone(c.Intercept.Listen[:1]), taken.Addr().(*net.TCPAddr).AddrPort())
		}, "listen on 127.0.0.3"},
		{"rules refused", func(w *world, c *config.Config) {
			w.note(func() { w.fail = errors.New("no nft today") })
			c.Intercept.Interfaces = []string{"lo"}
		}, "no nft today"},
		{"standing that cannot be", func(_ *world, c *config.Config) {
			c.Intercept.Interfaces = []string{"lo"} // other rules
			c.Standing.Within = -time.Second
		}, "standing: "},
		{"sending IP not here", func(w *world, c *config.Config) {
			c.SendingIPs = w.parse("[[sending_ip]]\naddress = '203.0.113.1'\nehlo = 'a.example.jp'\nrequired = true\n").SendingIPs
		}, "203.0.113.1 is not an address of this host"},
		{"journal not openable", func(w *world, c *config.Config) { c.Journal.SessionLog = w.dir }, "is a directory"},
		{"hash key missing", func(w *world, c *config.Config) {
			c.Journal.Addresses, c.Journal.HashKeyFile = journal.AddressesHashed, filepath.Join(w.dir, "none")
		}, "no such file"},
		{"certificate missing", func(w *world, c *config.Config) {
			c.TLS = config.TLS{MSACertificate: filepath.Join(w.dir, "none"), MSAKey: filepath.Join(w.dir, "none")}
		}, "no such file"},
		{"mode", func(_ *world, c *config.Config) { c.Intercept.Mode = intercept.TProxy }, "intercept.mode changed from redirect to tproxy: needs a restart"},
		{"user", func(_ *world, c *config.Config) { c.Intercept.User = "1" }, "intercept.user changed from 1234 to 1: needs a restart"},
		{"log format", func(_ *world, c *config.Config) { c.Log.Format = config.FormatJSON }, "log.format changed from text to json: needs a restart"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, managed+logged+sending("old"))
			w.daemon.host.Own = func() check.User { return check.User{ID: 1234} }
			w.daemon.host.LookPath = func(string) (string, error) { return "nft", nil }
			w.start()
			defer w.stop()
			generation, cfg, doors, addrs := w.daemon.current, w.daemon.cfg, slices.Clone(w.daemon.doors), w.daemon.Addrs()

			next := *cfg
			next.Journal.SessionLog = filepath.Join(w.dir, "new.log")
			next.Hostname = "new.example.jp"
			next.SenderLimits = []config.SenderLimit{{Name: "day", Per: limit.PerTenant, Count: limit.Messages, Limit: 5, Every: time.Hour, Burst: 5, Action: limit.Defer}}
			test.edit(w, &next)
			if err := w.daemon.Reload(t.Context(), &next); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Reload = %v, want %q", err, test.want)
			}
			if w.daemon.current != generation || w.daemon.cfg != cfg || w.daemon.journalInUse() != generation.journal {
				t.Error("the generation was exchanged")
			}
			if !slices.Equal(w.daemon.doors, doors) || !slices.Equal(w.daemon.Addrs(), addrs) {
				t.Errorf("listeners %v, want %v", w.daemon.Addrs(), addrs)
			}
			if len(w.applied) != 1 {
				t.Errorf("rules were applied %d times, want once, by Start", len(w.applied))
			}
			if limits := w.daemon.policy.Usages(contain.Subject{Tenant: "127.0.0.1"}); len(limits) != 0 {
				t.Errorf("senders have the limits %+v", limits)
			}
			msa := w.session()
			msa.Expect(220)
			_ = msa.Quit()
		})
	}
}

// A listener that a reload has dropped is open as long as the firewall may lead to it: until a connection has come to one that has taken its place, and
// nothing more to it. A reload that wants it again has it back.
//
// firstday-5
func TestReloadListeners(t *testing.T) {
	w := newWorld(t, "[intercept]\nlisten = ['127.0.0.1:PORT', '127.0.0.2:PORT']\n")
	w.daemon.patience = patience{look: time.Millisecond, moment: 20 * time.Millisecond, idle: time.Hour}
	w.start()
	defer w.stop()
	stays, goes := w.daemon.doors[0], w.daemon.doors[1]
	before, next := w.daemon.cfg, *w.daemon.cfg
	port := next.Intercept.Listen[0].Port()
	next.Intercept.Listen = w.parse("[intercept]\nlisten = ['127.0.0.1:1', '127.0.0.3:1']\n").Intercept.Listen
	for i, a := range next.Intercept.Listen {
		next.Intercept.Listen[i] = addrPort(a.Addr(), port)
	}
	reload := func(cfg *config.Config) {
		t.Helper()
		if err := w.daemon.Reload(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if todo := w.daemon.toDo(); len(todo) != 1 || !strings.Contains(todo[0], "systemctl reload kanmon-rules") {
			t.Errorf("the operator is told %q", todo)
		}
	}
	reload(&next)
	if w.daemon.doors[0] != stays || slices.Contains(w.daemon.doors, goes) {
		t.Error("the unchanged listener was exchanged, or the dropped one stayed")
	}
	if got := w.daemon.Addrs(); !slices.Equal(got, next.Intercept.Listen) {
		t.Errorf("listening on %v, want %v", got, next.Intercept.Listen)
	}
	accepts := func(a netip.AddrPort) bool {
		conn, err := net.Dial("tcp", a.String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	time.Sleep(3 * w.daemon.patience.moment)
	if !accepts(next.Intercept.Listen[1]) || !accepts(goes.addresses[0]) {
		t.Error("the new listener does not accept, or the dropped one is closed before the rules lead elsewhere")
	}
	reload(before)
	if !slices.Equal(w.daemon.doors, []*door{stays, goes}) {
		t.Error("the dropped listener was not taken back")
	}
	reload(&next)
	w.daemon.doors[1].taken.Add(1) // as if the rules led there now
	waitUntil(t, "the dropped listener is closed", func() bool { return !accepts(goes.addresses[0]) })
	if !accepts(next.Intercept.Listen[1]) {
		t.Error("the new listener is closed, too")
	}
	same := next
	reload(&same) // the rules are the same, and nobody has applied them
	w.note(func() { w.kept.Rules = Rules(&next) })
	if err := w.daemon.Reload(t.Context(), &same); err != nil || len(w.daemon.toDo()) != 0 {
		t.Errorf("Reload = %v, and the operator is told %q though the rules are in force", err, w.daemon.toDo())
	}
}

// Where kanmon applies the rules itself, the order is: the new listener, the rules, and then the old one is closed.
//
// firstday-5
func TestReloadAppliesRulesBetweenListeners(t *testing.T) {
	w := newWorld(t, "[intercept]\nlisten = ['127.0.0.1:PORT']\nlocal = true\nuser = '1234'\nmanage_rules = true\n")
	w.daemon.patience = patience{look: time.Millisecond, moment: 20 * time.Millisecond, idle: time.Hour}
	w.daemon.host.Own = func() check.User { return check.User{ID: 1234} }
	w.daemon.host.LookPath = func(string) (string, error) { return "nft", nil }
	w.start()
	defer w.stop()
	old, next := w.daemon.cfg.Intercept.Listen[0], *w.daemon.cfg
	next.Intercept.Listen = []netip.AddrPort{addrPort(old.Addr(), uint16(freePort(t)))}
	accepts := func(a netip.AddrPort) bool {
		conn, err := net.Dial("tcp", a.String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	apply := w.daemon.applyRules
	w.daemon.applyRules = func(ctx context.Context, r intercept.Rules) error {
		if !accepts(old) || !accepts(next.Intercept.Listen[0]) {
			t.Error("while the rules are applied not both listeners are open")
		}
		return apply(ctx, r)
	}
	if err := w.daemon.Reload(t.Context(), &next); err != nil || len(w.applied) != 2 || len(w.daemon.toDo()) != 0 {
		t.Fatalf("Reload = %v, %d rules applied, left to do %q", err, len(w.applied), w.daemon.toDo())
	}
	waitUntil(t, "the old listener is closed", func() bool { return !accepts(old) })
	if !accepts(next.Intercept.Listen[0]) {
		t.Error("the new listener does not accept")
	}
}

// Rules are applied again if and only if they changed.
func TestReloadRules(t *testing.T) {
	w := newWorld(t, "[intercept]\nlisten = ['127.0.0.1:PORT']\nlocal = true\nuser = '1234'\nmanage_rules = true\n")
	w.daemon.host.Own = func() check.User { return check.User{ID: 1234} }
	w.daemon.host.LookPath = func(string) (string, error) { return "nft", nil }
	w.start()
	defer w.stop()
	same := *w.daemon.cfg
	same.Hostname = "other.example.jp"
	if err := w.daemon.Reload(t.Context(), &same); err != nil || len(w.applied) != 1 {
		t.Errorf("Reload = %v, rules applied %d times, want 1", err, len(w.applied))
	}
	other := same
	other.Intercept.Interfaces = []string{"lo"}
	if err := w.daemon.Reload(t.Context(), &other); err != nil || len(w.applied) != 2 || !slices.Equal(w.applied[1].Interfaces, []string{"lo"}) {
		t.Errorf("Reload = %v, rules applied: %+v", err, w.applied)
	}
}

// A journal that did not change is not opened again; a rotated one is, on request.
func TestReopenLogs(t *testing.T) {
	w := newWorld(t, listenTable+"[journal]\nsession_log = 'DIR/session.log'\n")
	w.start()
	journal := w.daemon.current.journal
	next := *w.daemon.cfg
	if err := w.daemon.Reload(t.Context(), &next); err != nil || w.daemon.current.journal != journal {
		t.Fatalf("Reload = %v; the journal was exchanged: %v", err, w.daemon.current.journal != journal)
	}
	path := filepath.Join(w.dir, "session.log")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := w.daemon.ReopenLogs(); err != nil {
		t.Fatal(err)
	}
	msa := w.session()
	msa.Expect(220)
	_ = msa.Quit()
	w.stop()
	if text, err := os.ReadFile(path); err != nil || len(text) == 0 {
		t.Errorf("nothing in the new file (%v)", err)
	}
}

// Mail that comes while kanmon reloads, again and again, passes as ever.
func TestReloadUnderLoad(t *testing.T) {
	w := newWorld(t, listenTable+sending("a")+"[journal]\nrecords = 'DIR/a.jsonl'\n")
	w.start()
	const senders, messages = 4, 25
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for range messages {
				msa := w.session()
				if d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("Subject: x\r\n\r\nx\r\n"), true); !d.All(smtptest.Accepted) {
					t.Errorf("delivery: %+v", d)
				}
				_ = msa.Quit()
			}
		})
	}
	reloads := 0
	for done := waitGroupDone(&all); ; reloads++ {
		name := []string{"a", "b"}[reloads%2]
		next := w.with(sending(name) + "[journal]\nrecords = 'DIR/" + name + ".jsonl'\n")
		if err := w.daemon.Reload(t.Context(), next); err != nil {
			t.Errorf("reload %d: %v", reloads, err)
		}
		select {
		case <-done:
		case <-time.After(5 * time.Millisecond):
			continue
		}
		break
	}
	w.stop()
	if n := w.mx.Mailbox.Len(); n != senders*messages {
		t.Errorf("the MX has %d messages, want %d", n, senders*messages)
	}
	recorded := 0
	for _, name := range []string{"a.jsonl", "b.jsonl"} {
		text, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil {
			t.Error(err)
		}
		recorded += strings.Count(string(text), "b@example.net")
	}
	if recorded < senders*messages || reloads < 3 {
		t.Errorf("%d recipients recorded in %d reloads, want %d in several", recorded, reloads, senders*messages)
	}
}

func waitGroupDone(all *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	return done
}

// A stop waits for sessions of earlier generations too.
func TestStopDrainsEarlierGenerations(t *testing.T) {
	const records = "[journal]\nrecords = 'DIR/records.jsonl'\n"
	w := newWorld(t, listenTable+sending("old")+records)
	w.start()
	msa := w.session()
	msa.Expect(220)
	for _, command := range []string{"EHLO msa.example.com", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>"} {
		if r := msa.Command(command); r.Class() != 2 {
			t.Fatalf("%s: %s", command, r)
		}
	}
	if err := w.daemon.Reload(t.Context(), w.with(sending("new")+records)); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- w.daemon.Stop(t.Context()) }()
	select {
	case err := <-stopped:
		t.Fatalf("stopped (%v) with a transaction running", err)
	case <-time.After(100 * time.Millisecond):
	}
	if r := msa.Data([]byte("Subject: x\r\n\r\nx\r\n")); r.Class() != 2 {
		t.Errorf("data: %s", r)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop = %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(w.dir, "records.jsonl")); err != nil || !strings.Contains(string(text), "b@example.net") {
		t.Errorf("not recorded (%v): %s", err, text)
	}
}
