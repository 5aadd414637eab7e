package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/test/netlab"
)

// example has results of all experiments in which everything holds.
func example() *results {
	p := newPlan(true)
	p.fig4.tarpit, p.fig4.before, p.fig4.submit = 40*time.Second, 30*time.Second, 80*time.Second
	r := &results{plan: p, Postfix: postfixDefaults{Version: "3.7", Processes: "100", Initial: "5", Sessions: "20", Active: "20000"}}
	for _, s := range fig4Setups() {
		run := &fig4Run{setup: s, lasted: 90 * time.Second}
		congested := s.Shared && s.Settings != nil
		for n := range 900 {
			at := time.Duration(n) * 100 * time.Millisecond
			m := arrived(at, time.Second)
			m.tenant = 1 + n%tenants
			if congested && at > p.fig4.tarpit {
				m.arrivals[0] = 90 * time.Second
			}
			run.normal = append(run.normal, m)
		}
		run.measure(p)
		r.Fig4 = append(r.Fig4, run)
	}
	for i, s := range massSetups() {
		run := &massRun{setup: s}
		var others []mail
		for n := range 20 {
			others = append(others, arrived(time.Duration(n)*time.Second, time.Duration(10-9*i)*time.Second))
		}
		run.measure(others, p.mass.inject, time.Minute)
		r.Mass = append(r.Mass, run)
	}
	r.Scale = &scaleRun{Tenants: 200, Held: 1000, Descriptors: 2200}
	for range 3 {
		r.Scale.Windows = append(r.Scale.Windows, scaleWindow{Title: "window", Rate: 100, mails: r.Fig4[0].normal})
	}
	for _, s := range listingSetups(p.listing.at) {
		r.Listing = append(r.Listing, exampleListing(s, p))
	}
	r.Memory = []memoryRun{{Sessions: 10, Heap: 3000}, {Sessions: 1000, Heap: 3100}}
	r.Restricted = exampleRestricted(p)
	r.Compromised = exampleCompromised(p)
	r.Content = exampleContent(p)
	return r
}

// exampleContent has an account whose spam all arrives without a scanner, and ever less with one.
func exampleContent(p plan) (runs []*contentRun) {
	for i, s := range contentSetups(p.compromised.reputation) {
		run := &contentRun{setup: s, lasted: 30 * time.Second}
		l := newLedger()
		for n, at := range []time.Duration{-time.Second, time.Second, 20 * time.Second} {
			m := l.enter(sender{tenant: 2, account: "news", kind: normal, address: normalAddress}, n, at)
			m.accepted, m.arrivals = true, []time.Duration{at}
		}
		for n := range 30 {
			m := l.enter(sender{tenant: brokenInto, account: compromisedName, kind: mass, spam: true, address: normalAddress}, n, 10*time.Second)
			if m.accepted = true; i == 0 || n < 20/i {
				m.arrivals = []time.Duration{10*time.Second + time.Duration(n)*100*time.Millisecond}
			}
		}
		records := ""
		if i > 0 {
			at := l.start.Add(10*time.Second + 500*time.Millisecond).UTC().Format(time.RFC3339Nano)
			const line = `{"type":%q,"at":%q,"session":"0000000000000001","account":%q,"content":{"lane":%q,"done":%q,"scans":[{"scanner":"rspamd","state":"scanned","took_ms":3}]}}` + "\n"
			records = fmt.Sprintf(line, "judged", at, compromisedAddress, "behind", "accept") + fmt.Sprintf(line, "transaction", at, compromisedAddress, "hold", "refuse")
		}
		if err := run.measure(records, l); err != nil {
			panic(err)
		}
		run.Spam = l.audit(ofKind(mass), queued{})
		run.Others.Then = delays{N: 10, P99: time.Second}
		runs = append(runs, run)
	}
	return runs
}

// TestContentCounts has what came before the first refusal counted from receipts and records.
func TestContentCounts(t *testing.T) {
	for i, run := range exampleContent(newPlan(true)) {
		refused, before := 1, 5
		if i == 0 {
			refused, before = 0, 30
		}
		if run.Refused != refused || run.Before != before || run.Scanned != 2*refused || run.ScanTime.N != 2*refused || run.HeldOthers != 0 {
			t.Errorf("%s: %+v", run.Title, run)
		}
	}
}

// exampleRestricted has six tenants, of which two share the culprit's IP. Without a move all of these wait once it is restricted.
func exampleRestricted(p plan) (runs []*restrictedRun) {
	for _, s := range restrictedSetups() {
		run := &restrictedRun{setup: s, IP: thirdIP, lasted: p.restricted.submit + restrictedDrain, Told: 11 * time.Second}
		run.Culprit.Tenants, run.Neighbours.Tenants, run.Others.Tenants = []int{culprit}, []int{2, 3}, []int{4, 5, 6}
		run.Finding = &event.Entry{SendingIP: thirdIP, Phase: "banner", Here: event.Milliseconds(12)}
		run.Acts = []act{{11 * time.Second, "told"}}
		l := newLedger()
		for due := time.Duration(0); due < p.restricted.submit; due += 500 * time.Millisecond {
			for tenant := 1; tenant <= restrictedTenants; tenant++ {
				m := l.enter(sender{tenant: tenant, kind: normal, address: halfToProvider}, int(due/time.Second), due)
				if m.accepted = true; !run.moves() && tenant <= 3 && due >= p.restricted.at {
					continue
				}
				m.arrivals, m.client = []time.Duration{due + time.Second}, netlab.SendingIPv4
			}
		}
		if run.moves() {
			run.Acts = append(run.Acts, act{15 * time.Second, "moved"})
		}
		run.measure(p, l, queued{})
		runs = append(runs, run)
	}
	return runs
}

// exampleCompromised has an account of which a quarter gets through with containment, and too much without.
func exampleCompromised(p plan) (runs []*compromisedRun) {
	for i, s := range compromisedSetups(p.compromised.reputation) {
		run := &compromisedRun{setup: s, lasted: 80 * time.Second}
		for n := range (1 + 7*i) * p.compromised.reputation.Unknown / 2 {
			run.Attack.seen = append(run.Attack.seen, sight{at: 10*time.Second + time.Duration(n)*10*time.Millisecond, unknown: n%2 == 0})
		}
		run.Attack.Mails, run.Attack.Unknown = run.Attack.before(time.Hour)
		run.Attack.First = run.Attack.seen[0].at
		run.Attack.mark(map[string]time.Duration{admin.LevelSlow: 10200 * time.Millisecond})
		run.Others.Before = delays{N: 10, P95: time.Second}
		run.Others.Then = delays{N: 10, P95: 2 * time.Second}
		run.Told.Account = admin.SenderDetail{Sender: admin.Sender{InForce: admin.LevelSlow, Would: admin.LevelSlow}}
		run.Told.Senders = []admin.Sender{{Subject: admin.Subject{Tenant: "tenant21", Account: compromisedAddress}, Level: admin.LevelSlow}}
		run.Told.Explained = "Its mail is slowed.\n"
		run.clean = []time.Duration{-time.Second, time.Second, 70 * time.Second}
		runs = append(runs, run)
	}
	runs[1].Listings = []listing{{Provider: "red", IP: netlab.SendingIPv4, At: 13 * time.Second, Refused: 2}}
	runs[1].Told.Standings = []admin.Standing{{IP: netlab.SendingIPv4, Provider: "red", State: "suspended"}}
	return runs
}

// exampleListing has a mail a second of each tenant, of which those bounce that kanmon would have rescued.
func exampleListing(s setup, p plan) *listingRun {
	run := &listingRun{setup: s, lasted: p.listing.submit + 2*time.Second}
	var mails []mail
	for due := time.Duration(0); due < p.listing.submit; due += time.Second {
		for tenant := 1; tenant <= listingTenants; tenant++ {
			m := arrived(due, time.Second)
			m.tenant = tenant
			if s.Shared && tenant <= listingTenants/2 && due >= p.listing.at {
				m.arrivals, m.returned = nil, []time.Duration{due + time.Second}
				run.Mails.Bounced++
			} else {
				run.Mails.Arrived++
			}
			mails = append(mails, m)
		}
	}
	run.Mails.Submitted, run.Mails.Accepted = len(mails), len(mails)
	run.measure(mails)
	return run
}

// TestVerdicts spoils one thing at a time and wants that one verdict to fail.
func TestVerdicts(t *testing.T) {
	if err := example().judge(); err != nil {
		t.Fatalf("the example: %v", err)
	}
	for _, c := range []struct {
		name  string
		spoil func(r *results)
		want  string
	}{
		{"others fewer while held", func(r *results) { r.Fig4[2].Rates[0].Held *= 0.97 }, "separated queues: "},
		{"others fewer afterwards", func(r *results) { r.Fig4[2].Rates[0].Rest *= 0.97 }, "separated queues: "},
		{"others more", func(r *results) { r.Fig4[2].Rates[0].Held *= 1.03 }, "separated queues: "},
		{"not congested", func(r *results) { r.Fig4[1].Rates[0].Held = 0.6 * r.Fig4[1].Rates[0].Before }, "shared queue, congested: "},
		{"mass delays the others", func(r *results) { r.Mass[1].Then.Max = r.Mass[0].Then.Median }, "mass sending: "},
		{"mass holds others back", func(r *results) { r.Mass[1].Then.Late = 1 }, "mass sending: "},
		{"slower with held sessions", func(r *results) { r.Scale.Windows[1].Rate = 96.9 }, "normal mail keeps 97 %"},
		{"a mail bounces", func(r *results) { r.Listing[0].Mails.Bounced = 1 }, "is listed at RCPT, kanmon"},
		{"a mail is lost", func(r *results) { r.Listing[0].Mails.Lost = 1 }, "is listed at RCPT, kanmon"},
		{"a mail comes twice", func(r *results) { r.Listing[2].Mails.Twice = 1 }, "is listed at BANNER, kanmon"},
		{"a mail is stuck", func(r *results) { r.Listing[2].Mails.Waiting = 1 }, "is listed at BANNER, kanmon"},
		{"a mail is missing", func(r *results) { r.Listing[2].Mails.Arrived-- }, "is listed at BANNER, kanmon"},
		{"the listing does no harm", func(r *results) { r.Listing[1].Missed = r.Listing[1].Hit * 8 / 10 }, "is listed at RCPT, two MTAs"},
		{"nobody is hit", func(r *results) { r.Listing[3].Hit, r.Listing[3].Missed = 0, 0 }, "is listed at BANNER, two MTAs"},
		{"the account is not contained", func(r *results) { r.Compromised[0].Told.Account.InForce = admin.LevelNormal }, "the account is contained"},
		{"it is contained late", func(r *results) { r.Compromised[0].Attack.Unknown = r.plan.compromised.reputation.Unknown }, "the account is contained"},
		{"another account is contained", func(r *results) {
			r.Compromised[0].Told.Senders = append(r.Compromised[0].Told.Senders, admin.Sender{Subject: admin.Subject{Tenant: "tenant1"}})
		}, "nobody else is contained"},
		{"another account was contained", func(r *results) { r.Compromised[0].ActsOnOthers = 1 }, "nobody else is contained"},
		{"others' mail is refused", func(r *results) { r.Compromised[0].Others.Refused = 1 }, "nobody else is contained"},
		{"others' mail is put off", func(r *results) { r.Compromised[0].Others.Deferred = 1 }, "nobody else is contained"},
		{"others' mail comes twice", func(r *results) { r.Compromised[0].Others.Mails.Twice = 1 }, "nobody else is contained"},
		{"others' mail does not arrive", func(r *results) { r.Compromised[0].Others.Then.Late = 1 }, "nobody else is contained"},
		{"a sending IP is listed all the same", func(r *results) { r.Compromised[0].Listings = r.Compromised[1].Listings }, "no provider lists"},
		{"a sending IP is suspended", func(r *results) { r.Compromised[0].Told.Standings = r.Compromised[1].Told.Standings }, "no provider lists"},
		{"others' mail is delayed", func(r *results) { r.Compromised[0].Others.Then.P95 = 2001 * time.Millisecond }, "the other tenants' delay"},
		{"nothing to contain", func(r *results) { r.Compromised[1].Attack.Unknown = r.plan.compromised.reputation.Unknown }, "no containment: "},
		{"nobody is listed", func(r *results) { r.Compromised[1].Listings = nil }, "no containment: "},
		{"no restriction is told", func(r *results) { r.Restricted[0].Finding = nil }, "it is told that the IP is restricted"},
		{"another thing is told", func(r *results) { r.Restricted[1].Untrue = []string{"one host"} }, "nothing else is told"},
		{"the move costs those of other IPs", func(r *results) { r.Restricted[1].Others.After *= .8 }, "tenants of other IPs keep"},
		{"the move does not help", func(r *results) { r.Restricted[1].Neighbours.After *= .8 }, "tenants that share the restricted IP keep"},
		{"the restriction does no harm", func(r *results) { r.Restricted[0].Neighbours.After = r.Restricted[0].Neighbours.Before }, "tenants that share the restricted IP lose"},
		{"memory grows", func(r *results) { r.Memory[1].Stack = 300 }, "the memory of a session"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := example()
			c.spoil(r)
			if err := r.judge(); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want one failure, of %q", err, c.want)
			}
		})
	}
}

// TestMeasure finds the example's rates, delays and pause.
func TestMeasure(t *testing.T) {
	r := example()
	calm, congested := r.Fig4[2], r.Fig4[1]
	if got := calm.Rates[0]; got.Before < 6.6 || got.Before > 6.7 || math.Abs(got.HeldChange()) > 1 {
		t.Errorf("rates of two of three tenants with 10 a second together: %+v", got)
	}
	if calm.Delays.Max != time.Second || calm.Delays.N != len(calm.after) || calm.Pause > 300*time.Millisecond {
		t.Errorf("delays %+v, pause %v", calm.Delays, calm.Pause)
	}
	if congested.Rates[2].HeldChange() != -100 || congested.Pause < 38*time.Second {
		t.Errorf("congested: %+v, pause %v", congested.Rates[2], congested.Pause)
	}
}

// TestMeasureListing finds what the listing did in the example, and a mail that is delayed.
func TestMeasureListing(t *testing.T) {
	p := newPlan(true)
	kanmon, mtas := example().Listing[0], example().Listing[1]
	if kanmon.Delays.N != 50 || kanmon.Hit != 0 || mtas.Delays.N != 25 || mtas.Hit != 25 || mtas.Missed != 25 || mtas.Delayed != 0 {
		t.Errorf("kanmon %+v; two MTAs %+v", kanmon, mtas)
	}
	slow := &listingRun{setup: listingSetups(p.listing.at)[0]}
	slow.measure([]mail{arrived(0, delayedAfter), arrived(0, delayedAfter+time.Millisecond), arrived(p.listing.at, time.Minute)})
	if slow.Delayed != 2 || slow.Delays.N != 1 || slow.Delays.Max != time.Minute {
		t.Errorf("%d delayed, %+v", slow.Delayed, slow.Delays)
	}
}

// TestPublish writes what ran and nothing else.
func TestPublish(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "made")
	if err := example().publish(folder); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"README.md", "compromised.csv", "compromised.md", "compromised.png", "compromised.svg", "content.png", "content.svg", "fig4-delays.csv", "fig4-delays.png", "fig4-delays.svg", "fig4-rates.png", "fig4-rates.svg", "fig4.csv", "fig4.png", "fig4.svg",
		"listing.csv", "listing.png", "listing.svg", "mass-times.csv", "mass-times.png", "mass-times.svg", "mass.csv", "mass.png", "mass.svg", "memory.csv", "memory.png", "memory.svg",
		"restricted.csv", "restricted.md", "restricted.png", "restricted.svg", "scale-delays.csv", "scale.csv", "scale.png", "scale.svg",
	}
	if got := names(t, folder); !slices.Equal(got, want) {
		t.Errorf("made %v, want %v", got, want)
	}
	for name, want := range map[string][]string{
		"fig4.csv":    {"separated", "91", "300", "300", "300"},
		"listing.csv": {"two-mtas-banner", "13", "100", "75", "25"},

		"compromised.csv": {"not-contained", "81", "200", "100", "2"},
	} {
		rows, err := csv.NewReader(strings.NewReader(read(t, folder, name))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if last := rows[len(rows)-1]; !slices.Equal(last, want) {
			t.Errorf("%s: last row %v, want %v", name, last, want)
		}
	}
	if svg := read(t, folder, "listing.svg"); !strings.Contains(svg, "75 delivered, 0 of them delayed; 0 stuck, 25 bounced") {
		t.Error("listing.svg does not say what became of the mail")
	}
	page := read(t, folder, "compromised.md")
	for _, want := range []string{
		"| compromised account: mails at an MX, of them to unknown recipients | 25, 13 | 200, 100 |\n", "was not diverted or stopped", "```\nIts mail is slowed.\n```",
		"| compromised account: the same before it was slowed | 20, 10, after 0.2 s | 20, 10, after 0.2 s (would have been) |\n",
		"| listed by providers | nobody | red: 203.0.113.10 after 3.0 s |\n", "more than 50 unknown recipients within 10 minutes",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("compromised.md does not say %q", want)
		}
	}
	page = read(t, folder, "restricted.md")
	for _, want := range []string{
		"| `act = \"move\"` | 203.0.113.12 | 11 s | ", "| told after 11 s, moved after 15 s |\n", "| `act = \"tell\"` | share the restricted IP | 2, 3 | 1.8 → 0.0 | -100.0 % |",
		"| 203.0.113.10: ", "holds |\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("restricted.md does not say %q", want)
		}
	}
	for _, name := range []string{"fig4.svg", "fig4-rates.svg", "fig4-delays.svg"} {
		if !strings.Contains(read(t, folder, name), "default_process_limit = 50") {
			t.Errorf("%s does not say with which settings it was made", name)
		}
	}

	some := &results{plan: newPlan(true), Memory: example().Memory}
	folder = t.TempDir()
	if err := some.publish(folder); err != nil {
		t.Fatal(err)
	}
	if got := names(t, folder); !slices.Equal(got, []string{"README.md", "memory.csv", "memory.png", "memory.svg"}) {
		t.Errorf("of one experiment %v is made", got)
	}
	if page := read(t, folder, "README.md"); !strings.Contains(page, "## Memory") || strings.Contains(page, "## Fig. 4") {
		t.Errorf("the page does not have what ran and only that:\n%s", page)
	}
	alone := &results{plan: newPlan(true), Compromised: example().Compromised}
	folder = t.TempDir()
	if err := alone.publish(folder); err != nil {
		t.Fatal(err)
	}
	if got := names(t, folder); !slices.Equal(got, []string{"compromised.csv", "compromised.md", "compromised.png", "compromised.svg"}) {
		t.Errorf("of the experiment with a page of its own %v is made", got)
	}
}

// TestPublishFails leaves what is there alone, and nothing half-made, when a figure cannot be drawn.
func TestPublishFails(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "README.md"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := example()
	r.Fig4[1].after = nil // a line without points
	if err := r.publish(folder); err == nil {
		t.Error("a figure with an empty line is drawn")
	}
	if got := names(t, folder); !slices.Equal(got, []string{"README.md"}) || read(t, folder, "README.md") != "old" {
		t.Errorf("after a failure there is %v", got)
	}
}

func names(t *testing.T, folder string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		out = append(out, entry.Name())
	}
	return out
}

func read(t *testing.T, folder, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s was not made", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
