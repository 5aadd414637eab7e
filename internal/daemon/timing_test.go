package daemon

import (
	"errors"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/timing"
	"kanmon/internal/outlet/slow"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/store/keep"
)

// A finding is told in the words of the records, whatever has become of it.
func TestFindingsInTheWordsOfTheStream(t *testing.T) {
	since := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	ip := sendingIPsOf(newWorld(t, sending("out")).daemon.cfg)[0].Address
	of := func(change func(f *slow.Found)) slow.Found {
		f := slow.Found{
			Finding: timing.Finding{Change: timing.Begun, Scope: timing.ThisIPHere, Phase: timing.Rcpt, Since: since, Provider: "docomo", Here: 14, Others: .12, Before: .0904},
			Key:     slow.Key{IP: ip, Provider: "docomo"},
		}
		change(&f)
		return f
	}
	usual := event.Finding{
		Scope: "this IP here", Phase: "rcpt", IP: ip, Provider: "docomo", Since: since, Here: 14 * time.Second, Others: 120 * time.Millisecond, Before: 90 * time.Millisecond, Acted: "told",
	}
	with := func(change func(n *event.Finding)) event.Finding {
		n := usual
		change(&n)
		return n
	}
	for name, test := range map[string]struct {
		found slow.Found
		want  event.Finding
	}{
		"begun":     {of(func(*slow.Found) {}), usual},
		"continued": {of(func(f *slow.Found) { f.Change = timing.Continued }), with(func(n *event.Finding) { n.Did = event.FindingContinued })},
		"moved":     {of(func(f *slow.Found) { f.Did, f.Acted = slow.Moved, true }), with(func(n *event.Finding) { n.Did, n.Acted = event.FindingActed, "moved" })},
		"cleared":   {of(func(f *slow.Found) { f.Change = timing.Cleared }), with(func(n *event.Finding) { n.Did = event.FindingCleared })},
		"refused": {of(func(f *slow.Found) { f.Phase, f.Here, f.Others, f.Before = timing.Refused, 0, 0, .004 }), with(func(n *event.Finding) {
			n.Phase, n.Here, n.Others, n.Before, n.Refuses = "refused", 0, 0, 0, .004
		})},
		"everywhere": {of(func(f *slow.Found) { f.Scope, f.Provider, f.Key.Provider = timing.ThisIPEverywhere, "", "" }), with(func(n *event.Finding) {
			n.Scope, n.Provider = "this IP everywhere", ""
		})},
		"one tenant": {of(func(f *slow.Found) { f.Scope, f.Tenant, f.Tenants = timing.OneTenant, "acme", 1 }), with(func(n *event.Finding) {
			n.Scope, n.Tenant, n.Tenants = "one tenant", "acme", 1
		})},
	} {
		if got := findingNews(&test.found); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// What the mails of a run have taken is known to the next one, and a finding of it is not told to have ended: only the process has.
func TestWhatIsUsualIsKeptOverARestart(t *testing.T) {
	w := newWorld(t, listenTable+sending("out")+"[standing]\nfile = 'DIR/standing.db'\n")
	w.start()
	const mails = 50
	for range mails {
		if err := deliverTo(w, "x@example.net"); err != nil {
			t.Fatal(err)
		}
	}
	const least = 16 // of one tenant that sends more than so much a second, some is passed over
	waitUntil(t, "the mails are looked at", func() bool {
		seen, lost := w.daemon.times.Counts()
		return seen >= least && lost == 0
	})
	w.stop()
	store, err := standing.OpenSQLite(w.daemon.cfg.Standing.File)
	if err != nil {
		t.Fatal(err)
	}
	table, err := keep.NewTable(store.File(), "learnt_times", 1)
	if err != nil {
		t.Fatal(err)
	}
	rows, ignored, err := table.Load()
	if err = errors.Join(err, store.Close()); err != nil || ignored > 0 {
		t.Fatalf("%d ignored, %v", ignored, err)
	}
	if want := "127.0.0.1 mx:" + w.mxAddr.Addr().String(); len(rows) != 1 || rows[0].Key != want {
		t.Errorf("kept is %+v, want %q", rows, want)
	}
	w.daemon = w.newDaemon(w.daemon.cfg)
	w.start()
	if err := deliverTo(w, "x@example.net"); err != nil {
		t.Fatal(err)
	}
	w.stop()
}
