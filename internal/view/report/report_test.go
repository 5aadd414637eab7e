package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
	"kanmon/internal/view/history/historytest"
)

type m = historytest.M

var (
	tokyo = time.FixedZone("Asia/Tokyo", 9*3600)
	month = Options{
		Tenant: "acme", From: time.Date(2026, 11, 1, 0, 0, 0, 0, tokyo), To: time.Date(2026, 12, 1, 0, 0, 0, 0, tokyo), In: tokyo, Clear: true,
		Now: time.Date(2026, 12, 20, 9, 0, 0, 0, tokyo),
	}
)

// A rig is a history with two tenants' mail.
type rig struct {
	*historytest.Feed
	*days.Store
	t *testing.T
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s, err := days.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &rig{historytest.NewFeed("gw1", month.From), s, t}
}

func (r *rig) add(all ...history.Line) {
	r.t.Helper()
	if err := r.Add(r.t.Context(), all, "test", history.Mark{File: "f", Offset: int64(r.Count), At: month.From}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) make(o Options) *Report {
	r.t.Helper()
	report, err := Make(r.t.Context(), r.Store, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// mail is one of a tenant's, at an hour of the month.
func mail(tenant string, hour int, to ...string) historytest.Mail {
	return historytest.Mail{
		At: month.From.Add(time.Duration(hour)*time.Hour + 10*time.Minute), Tenant: tenant, Account: "news@" + tenant + ".example", Provider: "google", SendingIP: "203.0.113.11",
		Sender: "news@" + tenant + ".example", To: to, Octets: 5000,
	}
}

func answered(of historytest.Mail, code int, text, class string) historytest.Mail {
	of.Refused = map[string]m{}
	for _, to := range of.To {
		of.Refused[to] = historytest.Meaning(historytest.Reply(code, text, 0), class, "recipient", "rule")
	}
	return of
}

// identified gives a mail an id, so that its attempts are known to be its.
func identified(of historytest.Mail, id string) historytest.Mail {
	of.MessageID = id
	return of
}

// formats are a report in all forms and languages.
func formats(t *testing.T, r *Report) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, l := range []find.Lang{find.English, find.Japanese} {
		d := r.Document(l)
		var page, text, table bytes.Buffer
		if err := errors.Join(d.HTML(&page), d.Text(&text), d.CSV(&table)); err != nil {
			t.Fatal(err)
		}
		all["html "+l.String()], all["text "+l.String()], all["csv "+l.String()] = page.String(), text.String(), table.String()
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	all["json"] = string(data)
	return all
}

// cell gives what stands in a row of a section that begins with a text, at a column.
func cell(t *testing.T, d *Document, section, row string, column int) string {
	t.Helper()
	for _, s := range d.Sections {
		for _, cells := range s.Rows {
			if s.ID == section && cells[0] == row {
				return cells[column]
			}
		}
	}
	t.Errorf("no row %q in %s", row, section)
	return ""
}

// What a report says of a month: how much, at the first try and later, where to, why not, and in which words.
func TestAReportSaysWhatHasBecomeOfTheMail(t *testing.T) {
	r := newRig(t)
	greeted := answered(identified(mail("acme", 30, "c@y.example"), "c@acme.example"), 450, "4.2.0 come again", "greylisted")
	again := identified(mail("acme", 31, "c@y.example"), "c@acme.example")
	full := answered(identified(mail("acme", 50, "d@y.example"), "d@acme.example"), 452, "4.2.2 mailbox full", "mailbox_full") // nobody came again
	gone := answered(mail("acme", 700, "gone@x.example"), 550, "5.1.1 no such user, said to [203.0.113.11].", "recipient_invalid")
	docomo := mail("acme", 20, "b@docomo.example")
	docomo.Provider, docomo.More = "docomo", m{"tls_mx": m{"state": "none"}}
	before := mail("acme", -24*20, "a@x.example")
	r.add(
		r.Feed.Attempt(before), r.Feed.Attempt(mail("acme", -24*31, "a@x.example")), r.Feed.Attempt(mail("acme", 0, "a@x.example")), r.Feed.Attempt(docomo), r.Feed.Attempt(greeted), r.Feed.Attempt(again), r.Feed.Attempt(full), r.Feed.Attempt(gone), r.Feed.Attempt(gone), r.Feed.Attempt(mail("acme", 24*30, "next@month.example")),
		r.Line("changed", month.From.Add(40*time.Hour), m{"tenant": "acme", "account": "news@acme.example", "state": "slow", "was": "normal", "by": "evidence", "cause": "30 of 210 recipients are unknown"}),
		r.Line("changed", month.From.Add(40*time.Hour), m{"sending_ip": "203.0.113.11", "tenant": "acme", "provider": "google", "state": "suspended", "by": "evidence", "cause": "OURIP"}),
		r.Line("order", month.From.Add(41*time.Hour), m{"tenant": "acme", "by": "OPERATOR", "action": "block", "cause": "unpaid"}),
		r.Line("decision", month.From.Add(42*time.Hour), m{"tenant": "acme", "rule": "limit hourly", "action": "would_defer", "count": 7, "session": "17f3a9c2b4d5e6f0"}),
		r.Line("dropped", month.From.Add(43*time.Hour), m{"tenant": "acme", "records": 3}),
		r.Line("dropped", month.From.Add(43*time.Hour), m{"source": "192.0.2.1", "records": 5}),
		r.Line("gateway", month.From.Add(44*time.Hour), m{"action": "start", "unclean": true}),
	)
	report := r.make(month)
	if want := (Sums{Mails: 6, First: 2, Attempts: 7, Delivered: 3, Deferred: 2, Refused: 2, Recipients: 7, Octets: report.Total.Octets, TLS: 6}); report.Total != want {
		t.Errorf("in all %+v, want %+v", report.Total, want)
	}
	if report.Before == nil || report.Before.Attempts != 2 || !report.Since.Equal(month.From.AddDate(0, -1, 0)) {
		t.Errorf("before: %+v from %s", report.Before, report.Since)
	}
	if w := report.Waits; w.Delivered != 1 || w.P50 != 3600 || w.GivenUp != 1 || w.Waiting != 0 {
		t.Errorf("waits: %+v", w)
	}
	if missing := report.Missing; len(missing.Addresses) != 1 || missing.Addresses[0].Address != "gone@x.example" || missing.Addresses[0].Times != 2 {
		t.Errorf("missing: %+v", missing)
	}
	if len(report.Deeds) != 2 || report.Deeds[0].Did != "block" || report.Deeds[1].Account != "news@acme.example" {
		t.Errorf("measures: %+v", report.Deeds)
	}
	if g := report.Gaps; g.Lost != 3 || g.Anybodys != 5 || len(g.Killed) != 1 || g.Nothing {
		t.Errorf("gaps: %+v", g)
	}
	d := report.Document(find.English)
	for at, want := range map[[2]string][2]string{
		{"summary", "Mails"}: {"6", "2"}, {"summary", "After waiting"}: {"1", "0"},
		{"destinations", "google"}: {"5", "6"}, {"destinations", "docomo"}: {"1", "1"},
		{"days", "2026-11-01"}: {"2", "2"}, {"days", "2026-11-30"}: {"2", "2"},
		{"refusals", "The address does not exist at the receiver, or no more."}: {"0", "2"},
		{"limits", "limit hourly"}: {"put off (only observed)", "7"},
	} {
		if got := [2]string{cell(t, d, at[0], at[1], 1), cell(t, d, at[0], at[1], 2)}; got != want {
			t.Errorf("%v: %v, want %v", at, got, want)
		}
	}
	for name, text := range formats(t, report) {
		for _, never := range []string{"OURIP", "OPERATOR", "203.0.113", "month.example"} {
			if strings.Contains(text, never) {
				t.Errorf("%s has %s, which is not the tenant's:\n%s", name, never, text)
			}
		}
		if strings.HasPrefix(name, "text") {
			for _, there := range []string{"gone@x.example", "5.1.1 no such user", "unpaid", "2026-11-30"} {
				if !strings.Contains(text, there) {
					t.Errorf("%s lacks %s:\n%s", name, there, text)
				}
			}
		}
	}
}

// Whatever is counted, of whatever time zone: the days add up to the total, and to what was sent, and so do the destinations.
func TestTheTotalIsTheSumOfTheDays(t *testing.T) {
	r := newRig(t)
	sent := map[string]int64{}
	var lines []history.Line
	for i := range 1500 {
		of := mail("acme", i*29%(24*32)-24, fmt.Sprintf("u%d@x.example", i))
		of.Provider = []string{"google", "docomo", "other"}[i%3]
		if i%4 == 0 {
			of = answered(of, 450, "4.2.0 come again", "greylisted")
		}
		if !of.At.Before(month.From) && of.At.Before(month.To) {
			sent[of.At.In(tokyo).Format(time.DateOnly)]++
			sent["all"]++
		}
		lines = append(lines, r.Feed.Attempt(of))
	}
	r.add(lines...)
	report := r.make(month)
	var days, to Sums
	sum := func(into *Sums, s Sums) {
		into.Mails, into.First, into.Attempts, into.Delivered, into.Deferred = into.Mails+s.Mails, into.First+s.First, into.Attempts+s.Attempts, into.Delivered+s.Delivered, into.Deferred+s.Deferred
		into.Recipients, into.Octets, into.TLS = into.Recipients+s.Recipients, into.Octets+s.Octets, into.TLS+s.TLS
	}
	for _, d := range report.Days {
		sum(&days, d.Sums)
		if d.Attempts != sent[d.Date] {
			t.Errorf("on %s %d attempts, want %d", d.Date, d.Attempts, sent[d.Date])
		}
	}
	for _, p := range report.Providers {
		sum(&to, p.Sums)
	}
	if days != report.Total || to != report.Total || report.Total.Attempts != sent["all"] || len(report.Days) != 30 {
		t.Errorf("days %+v, destinations %+v, in all %+v, sent %d; %d days", days, to, report.Total, sent["all"], len(report.Days))
	}
	if report.Total.Deferred == 0 || report.Total.Octets == 0 {
		t.Errorf("the test's mail is too plain: %+v", report.Total)
	}
}

// canaries are another tenant's, one for each thing that can name somebody; with each of them the line of acme's that is alike.
func canaries(r *rig) (tokens []string, lines []history.Line) {
	token := func(what string) string {
		tokens = append(tokens, "canary"+what)
		return "canary" + what
	}
	theirs := answered(mail("blue", 60, token("to")+"@x.example"), 550, "5.1.1 <"+token("reply")+"@x.example>: no such user, see https://x.example/"+token("link"), "recipient_invalid")
	theirs.Account, theirs.Sender, theirs.MessageID, theirs.QueueID = token("account")+"@blue.example", token("sender")+"@blue.example", token("id")+"@blue.example", token("queue")
	theirs.Provider, theirs.More = token("provider"), m{"pool": token("pool"), "route": token("route"), "cause": token("cause"), "mx_queue_id": token("mxid")}
	ours := answered(mail("acme", 60, "to@x.example"), 550, "5.1.1 <to@x.example>: no such user, see https://x.example/link", "recipient_invalid")
	waits := answered(identified(mail("blue", 61, token("waits")+"@x.example"), "same@id.example"), 450, "4.2.0 "+token("later"), "greylisted")
	waitsToo := answered(identified(mail("acme", 62, "w@x.example"), "same@id.example"), 450, "4.2.0 later", "greylisted") // one id, of whatever MSA
	at := month.From.Add(70 * time.Hour)
	lines = []history.Line{
		r.Feed.Attempt(theirs), r.Feed.Attempt(ours), r.Feed.Attempt(theirs), r.Feed.Attempt(waits), r.Feed.Attempt(waitsToo),
		r.Line("changed", at, m{"tenant": "blue", "account": token("level") + "@blue.example", "state": "stop", "cause": token("why")}),
		r.Line("changed", at, m{"tenant": "acme", "account": "a@acme.example", "state": "slow"}),
		r.Line("order", at, m{"tenant": "blue", "action": token("order"), "by": token("by"), "cause": token("reason"), "before": token("before"), "after": token("after")}),
		r.Line("decision", at, m{"tenant": "blue", "rule": token("rule"), "action": "deferred", "account": token("decided"), "session": "17f3a9c2b4d5e6f0"}),
		r.Line("decision", at, m{"tenant": "acme", "rule": "limit", "action": "deferred", "session": "17f3a9c2b4d5e6f1"}),
		r.Line("dropped", at, m{"tenant": "blue", "records": 987654, "source": token("source")}),
		r.Line("finding", at, m{"tenant": "blue", "scope": "one tenant", "provider": token("finding")}),
		r.Line("session", at, m{
			"session": "17f3a9c2b4d5e6f2", "tenant": "blue", "provider": "google", "end_reason": "mx_refused",
			"opening": []m{{"phase": "banner", "reply": historytest.Meaning(historytest.Reply(554, token("banner"), 0), "ip_blocklisted", "ip", "listed")}},
		}),
	}
	return append(tokens, "blue", "987654"), lines
}

// Nothing of another tenant stands in a report, in no form: not its names, addresses, replies, limits, nor its numbers.
func TestNothingOfAnotherTenantIsInAReport(t *testing.T) {
	r := newRig(t)
	tokens, lines := canaries(r)
	r.add(lines...)
	report := r.make(month)
	if len(report.Replies) != 2 || report.Missing.Addresses[0].Address != "to@x.example" || len(report.Limits) != 1 || len(report.Deeds) != 1 {
		t.Fatalf("the report has too little to be tried with: %+v", report)
	}
	if report.Total.Attempts != 2 || report.Gaps.Lost != 0 {
		t.Errorf("their numbers are in ours: %+v, %+v", report.Total, report.Gaps)
	}
	for name, text := range formats(t, report) {
		for _, token := range tokens {
			if strings.Contains(strings.ToLower(text), token) {
				t.Errorf("%s has %q of another tenant", name, token)
			}
		}
	}
	theirs := formats(t, r.make(Options{Tenant: "blue", From: month.From, To: month.To, In: tokyo, Clear: true, Now: month.Now}))
	for _, token := range []string{"canaryto", "canaryreply", "canaryaccount", "canaryprovider", "canaryrule", "canaryreason", "canarylevel", "987654"} {
		if !strings.Contains(theirs["text en"], token) {
			t.Errorf("%q is not even in the report of whom it is of: the test tries nothing by it", token)
		}
	}
}

// hostile are what strangers write where they can.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</td></tr></table><h1>pwned`, `{{.Tenant}}`, "\x1b]0;owned\x07\x1b[2J\x1b[31m", "\u202egnp.exe", "a\x9b31mred",
	`=cmd|'/C calc'!A0`, `+1+cmd`, `-2+3`, `@SUM(A1)`, "\t=1+1", "\r=1+1", "x\ny\n=1+1", `"quoted","cells"`, "<style>*{display:none}</style>", "javascript:alert(1)", strings.Repeat("長い", 3000),
}

// What strangers write is shown as it is in HTML and runs nothing, reaches no terminal as a command, and is no formula in a spreadsheet.
func TestHostileTextsAreHarmlessInEveryForm(t *testing.T) {
	r := newRig(t)
	var lines []history.Line
	for i, text := range hostile {
		of := answered(mail("acme", i, "x@x.example"), 550, "5.1.1 "+text, "recipient_invalid")
		of.Refused = map[string]m{"x@x.example": historytest.Meaning(m{"code": 550, "text": text, "local": false}, "recipient_invalid", "recipient", "r")}
		of.To, of.Account, of.Provider = []string{"x@x.example", text + "@x.example"}, text, text
		of.Refused[text+"@x.example"] = of.Refused["x@x.example"]
		lines = append(lines, r.Feed.Attempt(of),
			r.Line("changed", of.At, m{"tenant": "acme", "account": text, "state": text, "cause": text}),
			r.Line("order", of.At, m{"tenant": "acme", "account": text, "action": text, "cause": text}),
			r.Line("decision", of.At, m{"tenant": "acme", "rule": text, "action": text, "session": "17f3a9c2b4d5e6f0"}))
	}
	r.add(lines...)
	report := r.make(month)
	if len(report.Providers) < len(hostile)-2 || len(report.Missing.Addresses) < len(hostile)-2 {
		t.Fatalf("the report has too little to be tried with: %d destinations, %d addresses", len(report.Providers), len(report.Missing.Addresses))
	}
	for name, text := range formats(t, report) {
		switch form, _, _ := strings.Cut(name, " "); form {
		case "html":
			harmlessHTML(t, report, text)
		case "text":
			if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x202e }); i >= 0 {
				t.Errorf("%s: %q reaches a terminal", name, text[i:min(len(text), i+20)])
			}
		case "csv":
			harmlessCSV(t, text)
		case "json":
			if !json.Valid([]byte(text)) {
				t.Error("no JSON")
			}
		}
	}
}

// harmlessHTML wants no element but those of the template, and each provider's text as it stands in the report.
func harmlessHTML(t *testing.T, report *Report, text string) {
	t.Helper()
	known := strings.Fields("html head meta title style body h1 h2 dl dt dd section p div table thead tbody tr th td")
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	styles := 0
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			if !slices.Contains(known, n.Data) {
				t.Errorf("an element <%s>", n.Data)
			}
			if n.Data == "style" {
				styles++
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "href" {
					t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
				}
			}
		}
		if n.Type == html.TextNode {
			shown = append(shown, n.Data)
		}
	}
	if styles != 1 {
		t.Errorf("%d styles", styles)
	}
	same := strings.NewReplacer("\r\n", "\n", "\r", "\n") // as HTML has it
	for _, p := range report.Providers {
		if want := same.Replace(p.Name); !slices.ContainsFunc(shown, func(s string) bool { return same.Replace(s) == want }) {
			t.Errorf("%q does not stand there as it is", p.Name)
		}
	}
}

func harmlessCSV(t *testing.T, text string) {
	t.Helper()
	in := csv.NewReader(strings.NewReader(text))
	in.FieldsPerRecord = -1
	rows, err := in.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("a formula: %q", cell)
			}
		}
	}
}

// Where addresses are hashed or without their local parts nothing else is shown, and no recipient is listed.
func TestAddressesStayAsTheRecordsHaveThem(t *testing.T) {
	r := newRig(t)
	r.add(r.Feed.Attempt(answered(mail("acme", 1, "h:9f86d081@x.example"), 550, "5.1.1 no such user", "recipient_invalid")))
	o := month
	o.Clear = false
	report := r.make(o)
	if !report.Missing.Hidden || len(report.Missing.Addresses) != 0 || !strings.Contains(formats(t, report)["text en"], "cannot be listed") {
		t.Errorf("%+v", report.Missing)
	}
}

// A tenant without mail has a report that says so; a time that is none is an error.
func TestAnEmptyReport(t *testing.T) {
	r := newRig(t)
	if report := r.make(month); !report.Gaps.Nothing || !strings.Contains(formats(t, report)["text en"], "Nothing is kept.") {
		t.Errorf("%+v", report.Gaps)
	}
	r.add(r.Feed.Attempt(mail("other", 400, "a@x.example")))
	report := r.make(month)
	text := formats(t, report)["text en"]
	if report.Total != (Sums{}) || report.Before != nil || !strings.Contains(text, "The records reach to 2026-11-17") || !strings.Contains(text, "Nothing is kept of the time before 2026-11-17") {
		t.Errorf("%+v\n%s", report, text)
	}
	for _, wrong := range []Options{{From: month.From, To: month.To, In: tokyo}, {Tenant: "acme", From: month.To, To: month.From, In: tokyo}, {Tenant: "acme", From: month.From.Add(time.Minute), To: month.To, In: tokyo}} {
		if _, err := Make(t.Context(), r.Store, wrong); !errors.Is(err, ErrSpan) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

// Where clocks change a day has 23 or 25 hours, and nothing is counted twice or not at all.
func TestDaysOfClocksThatChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	from := time.Date(2026, 10, 24, 0, 0, 0, 0, berlin)
	var lines []history.Line
	for hour := range 4 * 24 {
		of := mail("acme", 0, fmt.Sprintf("u%d@x.example", hour))
		of.At = from.Add(time.Duration(hour)*time.Hour + time.Minute)
		lines = append(lines, r.Feed.Attempt(of))
	}
	r.add(lines...)
	report := r.make(Options{Tenant: "acme", From: from, To: time.Date(2026, 10, 27, 0, 0, 0, 0, berlin), In: berlin, Now: month.Now})
	var got []int64
	for _, d := range report.Days {
		got = append(got, d.Attempts)
	}
	if !slices.Equal(got, []int64{24, 25, 24}) {
		t.Errorf("%v", got)
	}
}
