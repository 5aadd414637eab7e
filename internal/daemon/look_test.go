package daemon

import (
	"slices"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
)

// Whoever looks sees what becomes of mail from then on, and what MXs refuse; when nobody has looked for a while nothing is counted any more.
func TestWhatHappensIsCountedWhileSomebodyLooks(t *testing.T) {
	mx := &smtptest.MX{Reply: func(verb string, n int) string {
		if verb == "RCPT" && n == 2 {
			return "550 5.1.1 no such user here\r\n"
		}
		return smtptest.Default
	}}
	w := newWorldWith(t, mx, listenTable+sending("here"))
	w.start()
	o := &operator{w.daemon}
	deliver := func() {
		t.Helper()
		msa := w.session()
		msa.Deliver("a@example.com", []string{"b@example.net", "c@example.net"}, []byte("Subject: hello\r\n\r\n"), true)
		if err := msa.Quit(); err != nil {
			t.Error(err)
		}
		waitUntil(t, "it is over", func() bool { return w.daemon.live.Count() == 0 })
	}
	look := func() admin.Top {
		t.Helper()
		top, err := o.Top(admin.SessionQuery{Most: 5})
		if err != nil {
			t.Fatal(err)
		}
		return top
	}
	deliver() // nobody has looked
	if top := look(); top.Flow.Mails != 0 || len(top.Refusals) != 0 {
		t.Errorf("before anybody has looked: %+v", top.Flow)
	}
	deliver()
	deliver()
	top := look()
	if f := top.Flow; f.Mails != 2 || f.Delivered != 2 || f.Refused != 2 || f.Deferred != 0 || f.Other != 0 {
		t.Errorf("two mails to two: %+v", f)
	}
	if len(top.Refusals) != 1 || top.Refusals[0].Count != 2 || top.Refusals[0].Code != 550 || top.Refusals[0].Class != "recipient_invalid" || top.Refusals[0].SendingIP.String() != "127.0.0.1" {
		t.Errorf("refused: %+v", top.Refusals)
	}
	msa := w.session()
	msa.Expect(220)
	waitUntil(t, "it is seen", func() bool {
		ips := look().SendingIPs
		return len(ips) == 1 && ips[0] == (admin.TopGroup{Name: "127.0.0.1", Sessions: 1})
	})
	if err := msa.Quit(); err != nil {
		t.Error(err)
	}
	l := &w.daemon.look
	l.mu.Lock()
	l.asked = l.asked.Add(-lookFor)
	l.mu.Unlock()
	l.looksStill()
	w.daemon.stream.Tell(event.Heartbeat{Sessions: 1})
	if again := look(); again.Flow.Mails != 0 || !again.Flow.Since.After(top.Flow.Since) || time.Since(again.Flow.Since) > time.Minute {
		t.Errorf("nobody has looked for long: %+v", again.Flow)
	}
	w.stop()
}

// What kanmon defers by itself is seen as deferred, and as kanmon's own: nobody is to look for it at the provider.
func TestWhatKanmonDefersIsSeenAsItsOwn(t *testing.T) {
	const blocked = `
[[tenant]]
name = "acme"
sources = ["127.0.0.0/8"]
[[sender_limit]]
name = "one"
per = "tenant"
count = "messages"
limit = 1
burst = 1
every = "24h"
`
	w := newWorld(t, listenTable+sending("here")+blocked)
	w.start()
	defer w.stop()
	o := &operator{w.daemon}
	look := func() admin.Top {
		t.Helper()
		top, err := o.Top(admin.SessionQuery{Most: 5})
		if err != nil {
			t.Fatal(err)
		}
		return top
	}
	look()
	over := func() { waitUntil(t, "it is over", func() bool { return w.daemon.live.Count() == 0 }) }
	first := w.session()
	first.Deliver("a@example.com", []string{"b@example.net"}, []byte("Subject: hello\r\n\r\n"), true)
	if err := first.Quit(); err != nil {
		t.Error(err)
	}
	over()
	second := w.session()
	second.Expect(220)
	second.Command("EHLO msa.example")
	if got := second.Command("MAIL FROM:<a@example.com>"); got.Code != 451 {
		t.Errorf("MAIL beyond the limit: %+v", got)
	}
	if err := second.Quit(); err != nil {
		t.Error(err)
	}
	over()
	top := look()
	if f := top.Flow; f.Deferred != 1 || f.Delivered != 1 || f.Refused != 0 {
		t.Errorf("one mail was deferred: %+v", f)
	}
	if len(top.Refusals) != 1 || top.Refusals[0].Code != 451 || top.Refusals[0].Class != admin.ClassOwn {
		t.Errorf("refused: %+v", top.Refusals)
	}
}

// Whoever looks is told what else happens, the last first and no more than fits: by tenant, provider or sending IP where these are asked for, and
// nothing that comes each minute.
func TestNewsIsToldWhileSomebodyLooks(t *testing.T) {
	w := newWorld(t, listenTable+sending("here"))
	w.start()
	o := &operator{w.daemon}
	look := func(q admin.SessionQuery) []admin.TopNews {
		t.Helper()
		top, err := o.Top(q)
		if err != nil {
			t.Fatal(err)
		}
		return top.News
	}
	w.daemon.stream.Tell(event.Changed{Tenant: "early", State: "slow"})
	look(admin.SessionQuery{})
	for range admin.TopMostNews {
		w.daemon.stream.Tell(event.Changed{Tenant: "acme", Account: "bob@acme.example", State: "slow", Was: "normal", Would: true, By: "evidence", Why: "18 % unknown"})
	}
	ip := w.daemon.cfg.SendingIPs[0].Address
	w.daemon.stream.Tell(event.Heartbeat{Sessions: 1})
	w.daemon.stream.Tell(event.Finding{Scope: "this IP here", Phase: "rcpt", IP: ip, Provider: "docomo"})
	w.daemon.stream.Tell(event.Sighting{IP: ip, List: "spamhaus-zen", State: event.SightListed})
	w.daemon.stream.Tell(event.Order{By: "alice", Did: "block", Tenant: "blue"})
	w.daemon.stream.Tell(event.Gateway{Did: event.ReloadRefused, Why: "no such key"})
	all := look(admin.SessionQuery{})
	var first []string
	for _, n := range all[:5] {
		first = append(first, n.Type+" "+n.What)
	}
	if want := []string{"gateway reload_refused", "order block", "sighting listed", "finding begun", "changed slow (only observed)"}; len(all) != admin.TopMostNews || !slices.Equal(first, want) {
		t.Errorf("%d, the last of them %q, want %q", len(all), first, want)
	}
	if only := look(admin.SessionQuery{Tenant: "blue", Provider: "google"}); len(only) != 3 { // the order, what lists see and the gateway's
		t.Errorf("%+v", only)
	}
	w.stop()
}
