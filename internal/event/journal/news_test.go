package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// allNews has news of every kind, with every member.
func allNews() []event.News {
	of := event.Cause{Session: testID, Transaction: 2}
	ip := netip.MustParseAddr("203.0.113.10")
	return []event.News{
		event.Gateway{Did: event.Started, Version: "1.2.3", SendingIPs: 2, Rules: "in force"},
		event.Gateway{Did: event.Started, Version: "1.2.3", SendingIPs: 2, Unclean: &event.Run{Name: "2026-06-30T12:00:00.000Z", Line: 4711, At: start.Add(-time.Hour)}},
		event.Gateway{Did: event.ReloadRefused, Version: "1.2.3", SendingIPs: 2, Sessions: 7, Why: "pool \"x\": \x1b[2Jno such IP"},
		event.Heartbeat{Up: time.Hour, Sessions: 7, Dropped: 3, Stalled: 4 * time.Second},
		event.Order{By: "alice (uid 1000)", Did: "block", Tenant: "acme", Account: "news@acme.example", Before: "normal", After: "stop, blocked by alice", Why: "spam"},
		event.Order{By: "limit 3", Rule: true, Did: "block", Tenant: "acme", Account: "news@acme.example", Before: "normal", After: "stop", Unkept: true},
		event.Order{By: "alice", Did: "suspend", IP: ip, Provider: "docomo", Before: "active", After: "suspended"},
		event.Changed{IP: ip, Provider: "docomo", State: "slowed", Until: start.Add(time.Hour), Share: 0.25, By: "evidence", Rule: "listed", Why: "550 5.7.1 listed"},
		event.Changed{Cause: of, Tenant: "acme", Account: "news@acme.example", State: "slow", Was: "normal", Would: true, By: "evidence", Why: "7 of 10 in a sliding 1h"},
		event.Finding{Scope: "this IP here", Phase: "rcpt", IP: ip, Provider: "docomo", Since: start.Add(-time.Hour), Mails: 14, Tenants: 3, Here: 14 * time.Second, Others: 120 * time.Millisecond, Before: 90 * time.Millisecond, Acted: "slowed"},
		event.Finding{Did: event.FindingActed, Scope: "one tenant", Phase: "dot", IP: ip, Provider: "docomo", Tenant: "acme", Since: start, Mails: 9, Tenants: 1, Acted: "told"},
		event.Finding{Did: event.FindingContinued, Scope: "one host", Phase: "banner", IP: ip, Provider: "docomo", Host: "198.51.100.1", Since: start, Acted: "told"},
		event.Finding{Did: event.FindingCleared, Scope: "this IP here", Phase: "refused", IP: ip, Provider: "docomo", Since: start, Refuses: .004, Acted: "told"},
		event.Sighting{IP: ip, List: "spamhaus-zen", State: event.SightListed, Was: event.SightClear, Codes: []string{"127.0.0.2", "127.0.0.9"}},
		event.Sighting{IP: ip, State: event.SightOtherName, Was: event.SightNamed, Names: []string{"x\x1b[2J.example"}, Before: []string{"out10.example.jp"}, Why: "EHLO out10.example.jp"},
		event.Sighting{List: "bl.example", State: event.SightNotBelievable, Was: event.SightBelieved, Why: "the list refuses to answer this resolver"},
		event.Judged{Cause: of, Tenant: "acme", Account: "news@acme.example", Content: allContent()},
		event.Wait{
			Cause: of, Phase: event.PhaseRcpt, Waited: 20 * time.Second, Began: true, Pieces: 17, First: 3 * time.Second, Tenant: "acme",
			Resent: 3, RTT: event.MicrosOf(45 * time.Millisecond), RcptsRefused: 1, Stalled: 300 * time.Millisecond,
		},
		event.Wait{Cause: of, Phase: event.PhaseBody, Waited: 12 * time.Second, Tenant: "acme", Size: 81920, Window: 12 * time.Second},
		event.Wait{Cause: event.Cause{Session: testID}, Phase: event.PhaseDial, Waited: 10 * time.Second},
	}
}

// allContent has every member of how content was judged.
func allContent() *event.Content {
	return &event.Content{
		Lane: event.LaneBehind, Wanted: event.LaneHold, Verdict: event.HandleRefuse, Done: event.HandleAccept, Rule: "on_reject", Why: "rspamd: reject, 16.2 of 15",
		Reference: "7F3K-29CQ", Octets: 4711, Waited: event.MicrosOf(3 * time.Second), Scans: []event.Scan{
			{
				Scanner: "rspamd", State: event.Scanned, Action: "reject", Score: 16.2, Threshold: 15, Took: event.MicrosOf(3100 * time.Microsecond),
				Symbols: []event.Symbol{{Name: "URIBL_X", Points: 4.5}, {Name: "for\x1b[2J bob@acme.example", Points: -0.1}},
			},
			{Scanner: "clamd", State: event.Scanned, Virus: "Test.EICAR", Cached: true},
			{Scanner: "filter", State: event.Scanned, Action: "reject", Code: 552, Changes: 3},
			{Scanner: "other", State: event.ScanFailed, Lack: event.LackUnavailable, Why: "connect: refused"},
		},
	}
}

// newsRecord gives the record that a stream makes of news.
func newsRecord(n event.News) *event.Record {
	r := event.NewRecord()
	r.At, r.News = start, n
	if w, of := n.(event.Wait); of {
		whose := newRecord()
		r.Session = whose.Session
		r.Session.Way = &event.Way{Tenant: "acme", Pool: "p", Route: "default", Provider: "docomo"}
		r.Session.ID = w.Session
	}
	return r
}

func newsOf(mode AddressMode) string {
	var text strings.Builder
	for _, n := range allNews() {
		text.Write(jsonOf(mode, newsRecord(n)))
	}
	return text.String()
}

// News is written as it was, with the people in it hidden as in all other lines.
func TestNews(t *testing.T) {
	golden(t, "news.golden", newsOf(AddressesClear))
	golden(t, "news-domain.golden", newsOf(AddressesDomain))
}

// Each line says which gateway wrote it, in which run, and its number, over reloads that change the form, the file or the name: what is written is
// numbered without a gap, in the order in which it was told, and what is missing says so in a line of its own.
func TestLinesAreNumberedOverReloads(t *testing.T) {
	dir := t.TempDir()
	var files Files
	run := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	path := func(name string) string { return filepath.Join(dir, name) }
	options := []Options{
		{JSON: path("a"), Gateway: "gw1"},
		{JSON: path("a"), Gateway: "gw1", Addresses: AddressesDomain},
		{JSON: path("a"), Gateway: `gw "two"`},
		{JSON: path("b"), Gateway: "gw1"},
	}
	var s event.Stream
	var before *Journal
	var closing sync.WaitGroup
	recorded := make(chan struct{})
	const each = 20
	for i, o := range options {
		o.Run, o.Files, o.Log, o.Behind = run, &files, quiet, before
		j, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Replace(j)
		before = j
		for n := range each {
			r := transactionRecord(fmt.Sprintf("user%d-%d@b.example", i, n))
			r.Session.ID = event.ID(i*each + n)
			s.Record(r)
		}
		s.Tell(event.Heartbeat{Sessions: i})
		closing.Go(func() { // as a reload does; yet all of them have something to write by then
			<-recorded
			closeNow(t, j)
		})
	}
	close(recorded)
	closing.Wait()
	next, told := uint64(0), 0
	names := map[string]int{}
	for _, name := range []string{"a", "b"} {
		for e, err := range event.NewReader(strings.NewReader(readFile(t, path(name)))).All() {
			if err != nil {
				t.Fatal(err)
			}
			if next++; e.Line != next || e.Run != "2026-07-01T00:00:00.000Z" || e.At.IsZero() {
				t.Fatalf("%s: line %d of run %q at %v, want line %d", name, e.Line, e.Run, e.At, next)
			}
			names[e.Gateway]++
			if e.Type != "transaction" {
				continue
			}
			if want := event.ID(told); e.Session != want || e.Gateway != options[told/each].Gateway {
				t.Fatalf("%s: line %d: session %s of %q, want %s of %q", name, e.Line, e.Session, e.Gateway, want, options[told/each].Gateway)
			}
			told++
		}
	}
	if next != uint64(len(options)*(each+1)) || names["gw1"] != 3*(each+1) || names[`gw "two"`] != each+1 {
		t.Errorf("%d lines, of %v", next, names)
	}
}

// What did not fit is told by a line that has a number of its own, behind all that was written before.
func TestGapsAreNumbered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPipeFile()
		f.gate = make(chan struct{})
		j := mustStart(t, Options{QueueBytes: 1 << 12, Gateway: "gw1", Run: start}, to(jsonSheet, f))
		for range 100 {
			j.Record(transactionRecord("a@b.example", "c@d.example"))
			synctest.Wait()
		}
		close(f.gate)
		closeNow(t, j)
		next, dropped := uint64(0), uint64(0)
		for e, err := range event.NewReader(strings.NewReader(f.String())).All() {
			if err != nil {
				t.Fatal(err)
			}
			if next++; e.Line != next || e.Gateway != "gw1" {
				t.Errorf("line %d of %q, want %d: %+v", e.Line, e.Gateway, next, e)
			}
			dropped += e.Records
		}
		if dropped == 0 || dropped != j.Dropped() {
			t.Errorf("told of %d dropped, of %d", dropped, j.Dropped())
		}
	})
}

// Every member of news, and of the stamp, is described.
func TestEveryMemberOfNewsIsDescribed(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "ref", "record.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{stamp: stampOf("gw1", start), lines: &new(Files).lines}
	for line := range bytes.Lines(s.place(nil, []byte(newsOf(AddressesClear)))) {
		for name := range membersOf(t, line) {
			if !bytes.Contains(page, []byte("`"+name+"`")) {
				t.Errorf("docs/ref/record.md does not describe %q", name)
			}
		}
	}
}

// The reader knows each member that is written, of records, of news and of what is missing.
func TestReaderKnowsEveryMember(t *testing.T) {
	s := &sink{stamp: stampOf("gw1", start), lines: &new(Files).lines}
	text := append(jsonOf(AddressesClear, fullRecord()), newsOf(AddressesClear)...)
	text = jsonSheet.gap(text, start, owner{tenant: "acme"}, 3)
	for line := range bytes.Lines(s.place(nil, text)) {
		known := json.NewDecoder(bytes.NewReader(line))
		known.DisallowUnknownFields()
		if err := known.Decode(new(event.Entry)); err != nil {
			t.Errorf("%v: %s", err, line)
		}
	}
}
