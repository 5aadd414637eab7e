package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/policy"
	"kanmon/internal/policy/contain"
	"kanmon/internal/smtp/smtptest"
)

// entries are the lines of the world's records, once kanmon has stopped.
func (w *world) entries(t *testing.T, file string) (all []*event.Entry) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range event.NewReader(bytes.NewReader(text)).All() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// The records tell of the process itself, of what people order and of what kanmon decides, in one order with the mail.
func TestRecordsTellOfTheProcess(t *testing.T) {
	tables := sending("out") + "[journal]\nrecords = 'DIR/records.jsonl'\ngateway = 'gw1'\n"
	w := newWorld(t, listenTable+tables)
	w.daemon.Version("1.2.3")
	w.start()
	msa := w.session()
	if d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true); !d.All(smtptest.Accepted) {
		t.Fatal(d)
	}
	if err := w.daemon.Reload(t.Context(), w.with(tables)); err != nil {
		t.Fatal(err)
	}
	bad := *w.daemon.cfg
	bad.Log.Format = config.FormatJSON
	if err := w.daemon.Reload(t.Context(), &bad); err == nil {
		t.Fatal("a reload that needs a restart was taken")
	}
	if _, err := w.daemon.ReloadFrom(t.Context(), func() (*config.Config, error) { return config.Load(w.dir + "/gone.toml") }); err == nil {
		t.Fatal("a reload from a file that is gone was taken")
	}
	ip := w.daemon.cfg.SendingIPs[0].Address
	if err := (&operator{w.daemon}).Suspend(ip, "docomo", time.Time{}, "they asked", "alice"); err != nil {
		t.Fatal(err)
	}
	_ = msa.Quit()
	w.stop()

	var told []string
	for i, e := range w.entries(t, "records.jsonl") {
		if e.Gateway != "gw1" || e.Line != uint64(i+1) || e.At.IsZero() {
			t.Errorf("line %d: gateway %q, line %d, at %v", i+1, e.Gateway, e.Line, e.At)
		}
		switch e.Type {
		case "gateway":
			told = append(told, e.Action)
			if e.Version != "1.2.3" || e.SendingIPs != 1 || (e.Action == "reload_refused") != (strings.Contains(e.Cause, "needs a restart") || strings.Contains(e.Cause, "gone.toml: no such file")) {
				t.Errorf("%s: version %q, %d sending IPs, cause %q", e.Action, e.Version, e.SendingIPs, e.Cause)
			}
		case "order":
			told = append(told, fmt.Sprintf("%s by %s of %v at %s: %s", e.Action, e.By, e.SendingIP, e.Provider, e.Cause))
		case "changed":
			told = append(told, fmt.Sprintf("%v at %s is %s", e.SendingIP, e.Provider, e.State))
		case "transaction", "session":
			told = append(told, e.Type)
		}
	}
	slices.Sort(told)
	want := []string{
		fmt.Sprintf("%v at docomo is stopped", ip), "drain", "reload", "reload_refused", "reload_refused", "session", "start", "stop",
		fmt.Sprintf("suspend by alice of %v at docomo: they asked", ip), "transaction",
	}
	slices.Sort(want)
	if !slices.Equal(told, want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
}

// A run that a reload had write its records elsewhere is not told to have been killed, where a later one begins in the file that it left. One that has
// come back is, if it was.
func TestARunThatWentOnElsewhereWasNotKilled(t *testing.T) {
	in := func(name string) string { return sending("out") + "[journal]\nrecords = 'DIR/" + name + ".jsonl'\n" }
	w := newWorld(t, listenTable+in("a"))
	w.start()
	for _, name := range []string{"b", "a", "b"} {
		if err := w.daemon.Reload(t.Context(), w.with(in(name))); err != nil {
			t.Fatal(err)
		}
	}
	w.stop()
	w.daemon = w.newDaemon(w.parse(listenTable + in("a")))
	w.start()
	w.stop()
	var steps []string
	for _, e := range w.entries(t, "a.jsonl") {
		if steps = append(steps, e.Action); e.Unclean {
			t.Errorf("%s: the run %s was killed, it says", e.Action, e.LastRun)
		}
	}
	if got := strings.Join(steps, " "); got != "start leave reload leave start drain stop" {
		t.Errorf("a.jsonl has %q", got)
	}
}

// Each minute the process tells that it is there, and only when that has changed how the rules stand, until it is stopped.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(configOf(t, ""), slog.New(slog.DiscardHandler))
		var mu sync.Mutex
		var told []string
		rules := "in force"
		d.rulesState = func() string {
			mu.Lock()
			defer mu.Unlock()
			return rules
		}
		d.stream.Subscribe("test", func(f *event.Facts) {
			mu.Lock()
			defer mu.Unlock()
			switch n := f.News.(type) {
			case event.Heartbeat:
				told = append(told, n.Up.String())
			case event.Gateway:
				told = append(told, n.Did.String()+": "+n.Rules)
			}
		})
		d.startHeartbeat()
		time.Sleep(90 * time.Second)
		mu.Lock()
		rules = "NOT in force"
		mu.Unlock()
		time.Sleep(2 * time.Minute)
		if err := d.undo(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		slices.Sort(told)
		if want := []string{"1m0s", "2m0s", "3m0s", "rules: NOT in force"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// What the MX has said stands in the record of the session that heard it, where the people it names are hidden, and not where a sending IP's
// standing is told: that comes by itself, and nobody there knows them.
func TestAChangedStandingDoesNotSayWhatTheMXSaid(t *testing.T) {
	d := New(configOf(t, ""), slog.New(slog.DiscardHandler))
	var told []event.News
	d.stream.Subscribe("test", func(f *event.Facts) { told = append(told, f.News) })
	d.tellStanding(standing.Change{Standing: standing.Standing{
		Key: standing.Key{Provider: "docomo"}, State: standing.Suspended, Reason: "3 replies say blocked", Rule: "listed", Sample: "550 5.7.1 joe.bloggs: 203.0.113.10 is listed",
	}})
	if len(told) != 1 {
		t.Fatalf("told %d times", len(told))
	}
	if c := told[0].(event.Changed); c.Why != "3 replies say blocked" || strings.Contains(fmt.Sprint(c), "joe.bloggs") {
		t.Errorf("told %+v", c)
	}
}

// News about a sender names the mail that it has come of: a level's change the one whose answer was enough, a block by a limit the one that reached it.
// What people order, and what time brings, comes of no mail.
func TestNewsOfSendersNameTheirCause(t *testing.T) {
	d := New(configOf(t, ""), slog.New(slog.DiscardHandler))
	var told []event.News
	d.stream.Subscribe("test", func(f *event.Facts) { told = append(told, f.News) })
	bob := contain.Subject{Tenant: "acme", Account: "bob@acme.example"}
	cause := contain.Cause{Session: 0x17f3a9c2b4d5e6f0, Transaction: 3}
	d.tellLevel(contain.Decision{Subject: bob, To: contain.Slow, By: "evidence", Cause: cause})
	d.tellLevel(contain.Decision{Subject: bob, From: contain.Slow, By: "quiet"})
	d.tellOrder(policy.Change{Subject: bob, By: "limit hour", Rule: true, Did: "block", Cause: cause}, false)
	d.tellOrder(policy.Change{Subject: bob, By: "alice", Did: "unblock"}, false)
	want := event.Cause{Session: 0x17f3a9c2b4d5e6f0, Transaction: 3}
	for i, news := range told {
		var got event.Cause
		switch n := news.(type) {
		case event.Changed:
			got = n.Cause
		case event.Order:
			got = n.Cause
		}
		if i%2 == 0 && got != want || i%2 == 1 && got != (event.Cause{}) {
			t.Errorf("%+v has the cause %+v", news, got)
		}
	}
	if len(told) != 4 {
		t.Errorf("told %d times", len(told))
	}
}
