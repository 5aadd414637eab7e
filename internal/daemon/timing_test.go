package daemon

import (
	"errors"
	"net/netip"
	"slices"
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
	const least = 30 // more than what is usual is made of; of one tenant that sends more than so much a second, some is passed over
	waitUntil(t, "enough mails are looked at", func() bool {
		if err := deliverTo(w, "x@example.net"); err != nil {
			t.Fatal(err)
		}
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

// What was found is there again behind a restart, with its since and what is done about it, and nobody is told that it has begun.
func TestWhatWasFoundIsKeptOverARestart(t *testing.T) {
	w := newWorld(t, listenTable+sending("out")+"[standing]\nfile = 'DIR/standing.db'\n[timing]\nact = 'move'\n[journal]\nrecords = 'DIR/records.jsonl'\n")
	w.start()
	dripped := func(ip byte, pieces uint8) {
		reply := event.Reply{Code: 250, Took: 1000}
		if pieces > 1 {
			reply.Pieces, reply.First, reply.Took = pieces, event.MicrosOf(time.Second), event.MicrosOf(20*time.Second)
		}
		addr := netip.AddrFrom4([4]byte{127, 0, 0, ip})
		to := []event.Recipient{{Reply: reply}}
		w.daemon.times.Hear(&event.Facts{
			Session: &event.Session{
				Arrival: event.Arrival{ID: event.ID(ip), Source: netip.MustParseAddrPort("10.20.0.1:4711"), Destination: netip.MustParseAddrPort("198.51.100.25:25")},
				Leg:     event.Leg{Number: 1, Mails: 1, SendingIP: addr, Way: &event.Way{Provider: "docomo"}},
			},
			Recipients: to, Transaction: &event.Transaction{Number: 1, Leg: 1, Mail: reply, Recipients: to, Dot: reply},
		})
	}
	for ip := range byte(4) {
		dripped(1+ip, 1)
	}
	for range 3 {
		dripped(1, 12)
	}
	found := func() (all []slow.Found) {
		for _, f := range w.daemon.times.Found() {
			if f.Told {
				all = append(all, f)
			}
		}
		return all
	}
	waitUntil(t, "it is found", func() bool { all := found(); return len(all) == 1 && all[0].Did == slow.Moved })
	before := found()[0]
	w.stop()
	w.daemon = w.newDaemon(w.daemon.cfg)
	w.start()
	after := found()
	if len(after) != 1 || after[0].Key != before.Key || after[0].Did != slow.Moved || after[0].Since.Sub(before.Since).Abs() > time.Second || w.daemon.times.Share(before.Key) == 1 {
		t.Errorf("it was %+v\nand is %+v", before, after)
	}
	w.stop()
	var steps []string
	for _, e := range w.entries(t, "records.jsonl") {
		if e.Type == "finding" {
			steps = append(steps, e.Action)
		}
	}
	if !slices.Equal(steps, []string{"begun"}) {
		t.Errorf("on record: %q", steps)
	}
}
