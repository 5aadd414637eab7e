package daemon

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/event/timing"
	"kanmon/internal/outlet/slow"
)

// A provider takes a message an hour. Without a word of the operator's the records say what would be done; with one it is done, and the MX is not
// bothered; a provider inside takes anything.
func TestWhatAProviderTakesIsObservedThenKept(t *testing.T) {
	const limited = "[admin]\nsocket = 'DIR/s'\n[journal]\nrecords = 'DIR/records.jsonl'\n[[shaping_limit]]\nprovider = 'google'\ncount = 'messages'\nlimit = 1\nevery = '1h'\n"
	w := newWorld(t, listenTable+sending("out")+limited)
	w.daemon.resolver = atGoogle(w.mxAddr.Addr())
	w.start()
	if err := deliverTo(w, "x@gmail.com"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the MX is known to be Google's", func() bool { return w.daemon.current.out.Providers().At(w.mxAddr.Addr()) == "google" })
	for range 3 { // the first connection was to nobody's MX that is known
		if err := deliverTo(w, "x@gmail.com"); err != nil {
			t.Fatal(err)
		}
	}
	ours := netip.MustParseAddr("127.0.0.1")
	client := admin.NewClient(filepath.Join(w.dir, "s"))
	for _, asked := range []netip.Addr{{}, ours} {
		got, err := client.Shaping(t.Context(), asked)
		i := slices.IndexFunc(got.Takes, func(one admin.Takes) bool { return one.Count == "messages" })
		if err != nil || got.Mode != "observe" || i < 0 || got.Takes[i].Used != 1 || got.Takes[i].Now != 1 || got.Takes[i].Every != "1h0m0s" || !got.Takes[i].Kept || got.Takes[i].IP != ours {
			t.Errorf("asked for %v: %+v, %v", asked, got, err)
		}
	}
	if _, err := client.Shaping(t.Context(), netip.MustParseAddr("192.0.2.1")); err == nil || !strings.Contains(err.Error(), "no sending IP") {
		t.Errorf("of a stranger: %v", err)
	}
	if err := w.daemon.Reload(t.Context(), w.with(sending("out")+limited+"[shaping]\nmode = 'on'\n")); err != nil {
		t.Fatal(err)
	}
	before := len(w.mx.Mailbox.Commands())
	msa := w.session()
	d := msa.Deliver("a@example.com", []string{"x@gmail.com"}, []byte("Subject: x\r\n\r\nx\r\n"), false)
	_ = msa.Quit()
	if got := d.Replies[0].String(); d.Replies[0].Code != 451 || !strings.Contains(got, "google takes no more from this gateway") || !strings.Contains(got, "try again in ") {
		t.Errorf("with mode on: %q", got)
	}
	if seen := w.mx.Mailbox.Commands()[before:]; slices.ContainsFunc(seen, func(c string) bool { return strings.HasPrefix(c, "MAIL") }) {
		t.Errorf("the MX has seen %q", seen)
	}
	if err := w.daemon.Reload(t.Context(), w.with(sending("out")+limited+"[shaping]\nmode = 'on'\n[senders]\ninternal = ['127.0.0.1/32']\n")); err != nil {
		t.Fatal(err)
	}
	if err := deliverTo(w, "x@gmail.com"); err != nil {
		t.Errorf("an MX inside: %v", err)
	}
	w.stop()

	var did []string
	for _, e := range w.entries(t, "records.jsonl") {
		if e.Type == "decision" && e.Rule == "shaping of google: messages" {
			did = append(did, e.Action)
		}
	}
	if !slices.Contains(did, "would_defer") || !slices.Contains(did, "deferred") {
		t.Errorf("on record: %q", did)
	}
}

// A reload changes each key of it for the next that is asked.
func TestAReloadChangesWhatAProviderTakes(t *testing.T) {
	limit := func(provider, count, rest string) string {
		return "[[shaping_limit]]\nprovider = '" + provider + "'\ncount = '" + count + "'\n" + rest + "\n"
	}
	w := newWorld(t, listenTable+sending("out"))
	w.daemon.resolver = atGoogle(w.mxAddr.Addr())
	w.start()
	if err := deliverTo(w, "x@gmail.com"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the MX is known to be Google's", func() bool { return w.daemon.current.out.Providers().At(w.mxAddr.Addr()) == "google" })
	for _, step := range []struct{ tables, want string }{
		{"", "observe"},
		{"[shaping]\nmode = 'on'\n", "on"},
		{"[shaping]\nenforce = 'google'\n", "observe, 5 connections, 50 messages_per_connection"},
		{limit("orange", "connections", "limit = 3"), "observe"},
		{limit("google", "connections", "limit = 3"), "observe, 3 connections"},
		{limit("google", "connections", "limit = 4"), "observe, 4 connections"},
		{limit("google", "messages", "limit = 4\nevery = '1m'"), "observe, 4 messages in 1m0s"},
		{limit("google", "messages", "limit = 4\nevery = '1h'"), "observe, 4 messages in 1h0m0s"},
		{"[shaping]\nmode = 'off'\n", "off"},
	} {
		if err := w.daemon.Reload(t.Context(), w.with(sending("out")+step.tables)); err != nil {
			t.Fatal(err)
		}
		shaping, err := (&operator{w.daemon}).Shaping(netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		got := shaping.Mode
		for _, one := range shaping.Takes {
			if one.Kept && one.Amount > 0 {
				if got += fmt.Sprintf(", %d %s", one.Now, one.Count); one.Every != "" {
					got += " in " + one.Every
				}
			}
		}
		if got != step.want {
			t.Errorf("behind a reload with %q: %q, want %q", step.tables, got, step.want)
		}
	}
	w.stop()
}

// What the times tighten is told and shown as theirs, as long as the operator wants anything to follow from them; a reload that does not gives it back at once.
func TestWhatTimeTightensIsToldShownAndGivenBack(t *testing.T) {
	const limited = "[admin]\nsocket = 'DIR/s'\n[journal]\nrecords = 'DIR/records.jsonl'\n[[shaping_limit]]\nprovider = 'google'\ncount = 'connections'\nlimit = 8\n"
	w := newWorld(t, listenTable+sending("out")+limited+"[timing]\nact = 'move'\n")
	w.start()
	ours := netip.MustParseAddr("127.0.0.1")
	found := slow.Found{Finding: timing.Finding{Change: timing.Begun, Scope: timing.ThisIPHere, Provider: "google"}, Key: slow.Key{IP: ours, Provider: "google"}, Told: true, Did: slow.Slowed}
	w.daemon.tellFinding(found)
	found.Still = true
	w.daemon.tellFinding(found)
	client := admin.NewClient(filepath.Join(w.dir, "s"))
	has := func() admin.Takes {
		got, err := client.Shaping(t.Context(), ours)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(got.Takes, func(one admin.Takes) bool { return one.Provider == "google" && one.Count == "connections" && one.Kept })
		if i < 0 {
			return admin.Takes{}
		}
		return got.Takes[i]
	}
	if got := has(); got.Now != 4 || got.Amount != 8 || !got.ByTime || got.Since.IsZero() {
		t.Errorf("shown is %+v", got)
	}
	for _, tables := range []string{"[timing]\nact = 'slow'\n", "[timing]\nact = 'tell'\n", "[timing]\nact = 'slow'\n"} {
		if err := w.daemon.Reload(t.Context(), w.with(sending("out")+limited+tables)); err != nil {
			t.Fatal(err)
		}
	}
	if got := has(); got.ByTime || got.Now == 4 {
		t.Errorf("behind a reload that has had nothing follow: %+v", got)
	}
	w.stop()
	var told []*event.Entry
	for _, e := range w.entries(t, "records.jsonl") {
		if e.Type == "changed" {
			told = append(told, e)
		}
	}
	if len(told) != 1 || told[0].State != "tightened" || told[0].By != "timing" || told[0].Cause != "halved: 4 connections at once are left" || !told[0].Would {
		t.Errorf("on record: %+v", told)
	}
}
