package web

import (
	"encoding/csv"
	"fmt"
	"html"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event/journal"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
	"kanmon/internal/view/viewtest"
)

// plain is the text of a page as a reader sees it, in one line.
func plain(body string) string {
	text := regexp.MustCompile(`(?s)<(script|style|title)\b.*?</(script|style|title)>|<[^>]*>`).ReplaceAllString(body, " ")
	return strings.Join(strings.Fields(html.UnescapeString(text)), " ")
}

// wants fails unless all texts are read on a page.
func (a answer) reads(t *testing.T, texts ...string) {
	t.Helper()
	if a.status != 200 {
		t.Errorf("status %d", a.status)
	}
	text := plain(a.body)
	for _, want := range texts {
		if !strings.Contains(text, want) {
			t.Errorf("nobody reads %q in\n%s", want, text)
		}
	}
}

func TestAProvidersPageSaysWhereItIsSlowFromWhichIPAndForWhom(t *testing.T) {
	b := look(t, site(t)).as(Look)
	got := b.get("/providers/docomo")
	got.reads(
		t, "50 % of 60 attempts were delivered, 50 % deferred", "It is slow: 9 of 10 replies to rcpt come within 54 s; a week before within 9 ms.", "Only acme is concerned.", "It is slow to 203.0.113.11, and not to the other 1.", "30 mails wait, as far as is known. Last: docomo is slow to answer",
		old, fresh, "● slow", "30 mails of 1 tenant,", "docomo is slow to answer 203.0.113.11: rcpt takes 41 s", "203.0.113.11 at docomo is slowed, with 25 % of its mail (later)",
		"451 4.7.1 Try again later, please", "gw1: 3 records lost",
	)
	for _, link := range []string{
		`href="/attempts?ip=203.0.113.11&amp;last=24h&amp;outcome=deferred&amp;provider=docomo"`, `href="/attempts?last=24h&amp;outcome=deferred&amp;provider=docomo"`, `href="/sessions?provider=docomo"`,
	} {
		if !strings.Contains(got.body, link) {
			t.Errorf("there is no link %s", link)
		}
	}
}

func TestAFigureIsALinkToAsManyAttempts(t *testing.T) {
	b := look(t, site(t)).as(Look)
	for path, n := range map[string]int{
		"/attempts.csv?provider=docomo&outcome=deferred": 30, "/attempts.csv?provider=docomo&ip=203.0.113.12": 30, "/attempts.csv?tenant=acme": 31,
		"/attempts.csv?class=throttled": 30, "/attempts.csv?last=10d": 101, "/attempts.csv?outcome=refused": 1, "/attempts.csv?provider=docomo&outcome=unclear": 0,
	} {
		rows := table(t, b.get(path))
		if len(rows) != n+1 {
			t.Errorf("%s has %d rows, want %d", path, len(rows)-1, n)
		}
	}
}

func table(t *testing.T, a answer) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(a.want(t, 200).body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestAPageShowsAPastTimeAsItWasThen(t *testing.T) {
	b := look(t, site(t)).as(Look)
	for _, ask := range []string{"last=24h&at=2026-11-23T14:00:00Z", "from=2026-11-22T14:00:00Z&to=2026-11-23T14:00:00Z"} {
		b.get("/providers/docomo?"+ask).reads(t, "100 % of 40 attempts were delivered, 0 % deferred", "(a past time)")
	}
	for _, ask := range []string{"from=tomorrow", "last=-3h", "last=9000d", "from=2026-11-30T14:00:00Z&to=2026-11-29T14:00:00Z", "ip=nobody"} {
		if got := b.get("/attempts?" + ask); got.status != 400 {
			t.Errorf("%s: status %d, want 400", ask, got.status)
		}
	}
}

func TestAListGoesOnBehindItsLastRowAndEndsOnce(t *testing.T) {
	b := look(t, site(t)).as(Look)
	next, seen := "/attempts?last=10d", 0
	href := regexp.MustCompile(`<a href="([^"]*)" rel="next"`)
	for pages := 0; next != ""; pages++ {
		if pages > 5 {
			t.Fatal("the list has no end")
		}
		body := b.get(next).want(t, 200).body
		seen += strings.Count(body, "all attempts</a>")
		next = ""
		if m := href.FindStringSubmatch(body); m != nil {
			next = html.UnescapeString(m[1])
		}
	}
	if seen != 101 {
		t.Errorf("%d attempts on all pages, want 101", seen)
	}
}

func TestRefusalsStandByMeaningWithWhatIsNewOnTop(t *testing.T) {
	b := look(t, site(t)).as(Look)
	got := b.get("/refusals")
	got.reads(t, "New within the last day", "throttled", "Try again later", "only acme", "content_rejected")
	rule := regexp.MustCompile(`href="(/refusals/rule\?[^"]*)"`).FindStringSubmatch(got.body)
	if rule == nil {
		t.Fatal("no rule is offered")
	}
	b.get(html.UnescapeString(rule[1])).reads(t, "[[rule]]", "[[test]]", "Nothing has been changed")
}

func TestWhatIsLookedForIsNotedAndFound(t *testing.T) {
	p := site(t)
	g := look(t, p)
	b := g.as(Search)
	one := b.post("/find", "term", "4jHOSTILE", "why", "ticket 7")
	one.reads(t, "refused for good", "content_rejected", secret, "For the customer, English", "For the receiver's postmaster, 日本語")
	b.get("/find?term=4jHOSTILE").reads(t, "refused for good")
	b.post("/find", "term", "@docomo.example").reads(t, "waiting")
	b.post("/find", "term", "b1@docomo.example\nnobody@docomo.example\n=cmd@docomo.example").reads(t, "b1@docomo.example", "waiting", "nobody@docomo.example 0 not found")
	if rows := table(t, b.post("/find.csv", "term", "b1@docomo.example\n=cmd@docomo.example")); len(rows) != 3 || rows[1][3] != "waiting" || rows[2][0] != "'=cmd@docomo.example" || rows[2][1] != "not found" {
		t.Errorf("the table of a list is %q", rows)
	}
	bounce := "Final-Recipient: rfc822; " + secret + "\nAction: failed\nStatus: 5.7.1\nDiagnostic-Code: smtp; 550 5.7.1 rejected\nX-Postfix-Queue-ID: 4jHOSTILE\n"
	b.post("/find", "term", bounce).reads(t, "refused for good", secret)
	b.get("/find?term="+url.QueryEscape(secret)).reads(t, "Nobody is looked for by a link")
	searches, _, err := p.store.Searches(t.Context(), history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if len(searches) != 6 || searches[5].By != "search" || searches[5].Why != "ticket 7" || searches[5].What != "4jHOSTILE" || !strings.Contains(searches[0].What, secret) {
		t.Errorf("noted was %+v", searches)
	}
	g.as(Act).get("/audit/searches").reads(t, "ticket 7", "4jHOSTILE")
}

// In a mail that others got, who did not get it is told with what was said to him.
func TestWhoDidNotGetAMailThatOthersGotIsTold(t *testing.T) {
	p := newPast(t)
	p.mail(time.Hour, historytest.Mail{
		Tenant: "acme", Account: sender, Sender: sender, To: []string{"a@receiver.example", secret}, QueueID: "4jPART",
		Refused: map[string]historytest.M{secret: historytest.Meaning(historytest.M{"code": 550, "text": hostile, "took_ms": 3.0, "first_ms": 3.0}, "recipient_invalid", "recipient", "unknown")},
	})
	got := look(t, p).as(Search).post("/find", "term", "4jPART")
	got.reads(t, "partly delivered: 1 have it, 1 refused for good", "But not to "+secret, "there is no such recipient")
	if strings.Contains(got.body, "<script>document") {
		t.Error("what was said to one recipient is no text")
	}
}

func TestWhoMayOnlyLookSeesNobodysAddressOnAnyPageOrTable(t *testing.T) {
	p := site(t)
	const bare = "wolf@receiver.example" // whom replies name without his domain
	p.mail(15*time.Minute, historytest.Mail{
		Tenant: "acme", Account: "tiger@acme.example", Sender: "tiger@acme.example", Provider: "other", SendingIP: old, To: []string{bare}, QueueID: "4jBARE",
		Refused: map[string]historytest.M{bare: historytest.Meaning(historytest.Reply(550, "5.1.1 user=wolf: mailbox (Wolf) of tiger's is no more", time.Second), "recipient_invalid", "recipient", "unknown")},
	})
	g := look(t, p)
	mails, _, err := p.store.Mails(t.Context(), history.Filter{Recipient: secret}, history.Page{})
	if err != nil || len(mails) != 1 {
		t.Fatalf("%d mails, %v", len(mails), err)
	}
	bares, _, err := p.store.Mails(t.Context(), history.Filter{Recipient: bare}, history.Page{})
	if err != nil || len(bares) != 1 {
		t.Fatalf("%d mails, %v", len(bares), err)
	}
	line := bares[0].Attempts[0].Key
	b := g.as(Look)
	for _, path := range []string{
		"/mails/" + bares[0].ID, fmt.Sprintf("/refusals/rule?gateway=%s&run=%s&line=%d", line.Gateway, line.Run, line.Line), "/providers/other?last=1h", "/tenants/acme/history?last=1h",
		"/providers", "/providers/other", "/providers.csv", "/refusals", "/refusals.csv", "/attempts", "/attempts.csv", "/timeline", "/timeline.txt", "/audit", "/audit.csv",
		"/tenants/acme/history", "/would", "/would.csv", "/about", "/mails/" + mails[0].ID,
	} {
		got := b.get(path).want(t, 200)
		for _, person := range []string{"kanarienvogel", "news@acme", "z@zeta", "wolf", "Wolf", "tiger"} {
			if strings.Contains(got.body, person) {
				t.Errorf("%s shows %s", path, person)
			}
		}
	}
	g.as(Search).get("/attempts").reads(t, secret, sender)
	g.as(Search).get("/refusals").reads(t, "mailbox (Wolf) of tiger's is no more")
}

// The page of a mail is that of its id alone: else whoever has no right to look for people would do so by an address, and unseen.
func TestNobodyIsLookedForByTheAddressOfAMailsPage(t *testing.T) {
	g := look(t, site(t))
	for _, role := range []Role{Look, Act} {
		for _, word := range []string{secret, sender, "4jHOSTILE", "acme.example", "203.0.113.11"} {
			g.as(role).get("/mails/"+url.PathEscape(word)).want(t, 404, "History does not have this")
		}
	}
}

func TestAStrangersTextIsReadAsItIsAndDoesNothing(t *testing.T) {
	p := site(t)
	g := look(t, p)
	mails, _, err := p.store.Mails(t.Context(), history.Filter{ID: "4jHOSTILE"}, history.Page{})
	if err != nil || len(mails) != 1 {
		t.Fatalf("%d mails, %v", len(mails), err)
	}
	b := g.as(Act)
	for _, path := range []string{"/attempts?provider=other", "/refusals?provider=other", "/providers/other", "/timeline?provider=other", "/tenants/acme/history", "/mails/" + mails[0].ID} {
		got := b.get(path).want(t, 200)
		if strings.Contains(got.body, "<script>document") || strings.Contains(got.body, "<img") {
			t.Errorf("%s: what a stranger wrote is markup", path)
		}
		if !strings.Contains(html.UnescapeString(got.body), hostile) {
			t.Errorf("%s does not show what they said", path)
		}
		for _, at := range regexp.MustCompile(`.{30}&lt;script`).FindAllString(got.body, -1) {
			if !strings.Contains(at, "550 5.7.1") {
				t.Errorf("%s: %q", path, at)
			}
		}
	}
	isolated := regexp.MustCompile(`<bdi[^>]*>[^<]*gnp\.exe|<title>[^<]*gnp\.exe`)
	body := b.get("/mails/" + mails[0].ID).body
	if all, in := strings.Count(body, "gnp.exe"), len(isolated.FindAllString(body, -1)); in != all {
		t.Errorf("of %d places with a text that turns around %d are isolated", all, in)
	}
}

func TestATimelineHasWhatHappenedAndIsTextForAReport(t *testing.T) {
	b := look(t, site(t)).as(Search)
	happened := []string{"alice (web)", "block account " + sender + " of acme (none → blocked): hacked <b>account</b>", "203.0.113.11 at docomo is slowed", "3 records were lost", "docomo is slow to answer"}
	b.get("/timeline").reads(t, append(happened, "Refusals of a kind that was not seen before")...)
	text := b.get("/timeline.txt").want(t, 200, happened...).body
	if strings.ContainsAny(text, "\u202e\x1b") || strings.Contains(text, hostile) {
		t.Error("the text turns around")
	}
	b.get("/timeline?provider=other").reads(t, "content_rejected")
	b.get("/audit").reads(t, "alice (web)", "hacked")
}

func TestATenantsHistoryHasItsAccountsAndNobodyElses(t *testing.T) {
	b := look(t, site(t)).as(Search)
	got := b.get("/tenants/acme/history?last=24h")
	got.reads(t, "History of acme", sender, "Try again later", "block account")
	if strings.Contains(got.body, "zeta") {
		t.Error("another tenant stands there")
	}
	b.get("/tenants/acme/history?account="+url.QueryEscape(sender)).reads(t, "History of "+sender)
}

func TestWhatWouldHaveBeenDoneAgreesWithTheRecords(t *testing.T) {
	b := look(t, site(t)).as(Search)
	b.get("/would").reads(t, "limit account-hour : would_defer", "8 times, of 2 accounts of 2 tenants.", "501 of 500", sender, "71 attempts: 40 delivered, 30 deferred, 1 refused")
}

// The page names the ten most often hit, the table all of them.
func TestTheTableOfWhatWouldHaveBeenDoneHasAll(t *testing.T) {
	p := newPast(t)
	for n := range 15 {
		who := fmt.Sprintf("user%02d@acme.example", n)
		id := p.mail(time.Hour, historytest.Mail{Tenant: "acme", Account: who, Provider: "docomo", SendingIP: "203.0.113.10", Sender: who, To: []string{"a@docomo.example"}})
		p.news("decision", time.Hour, historytest.M{"session": id.String(), "number": 1, "tenant": "acme", "account": who, "action": "would_defer", "rule": "limit account-hour", "cause": "501 of 500"})
	}
	p.news("decision", time.Hour, historytest.M{"tenant": "acme", "action": "would_defer", "rule": "limit account-hour", "cause": "of the tenant"})
	b := look(t, p).as(Search)
	if n := strings.Count(b.get("/would").want(t, 200).body, "501 of 500"); n >= 15 {
		t.Errorf("the page has %d rows", n)
	}
	table := b.get("/would.csv").want(t, 200, "acme,user00@acme.example,1,501 of 500,1,1,0,0\n", "acme,user14@acme.example,1,501 of 500,1,1,0,0\n", "acme,,1,of the tenant,15,15,0,0\n")
	if n := strings.Count(table.body, "501 of 500"); n != 15 {
		t.Errorf("the table has %d accounts, want 15", n)
	}
}

// Of several gateways refusals and the timeline are shown of all, or of one.
func TestRefusalsOfOneGatewayAreShown(t *testing.T) {
	p := newPast(t)
	other := historytest.NewFeed("gw2", today.Add(-time.Hour))
	of := func(f *historytest.Feed, text string) history.Line {
		return f.Attempt(historytest.Mail{
			At: today.Add(-time.Hour), Tenant: "acme", Provider: "docomo", SendingIP: "203.0.113.10", Sender: sender, To: []string{"a@docomo.example"},
			Dot: historytest.Meaning(historytest.Reply(554, text, time.Second), "content_rejected", "message", "spam"),
		})
	}
	p.lines = append(p.lines, of(p.feed, "5.7.1 said to the one"))
	b := look(t, p).as(Search)
	if got := b.get("/refusals").want(t, 200, "said to the one"); strings.Contains(got.body, "Gateway:") {
		t.Error("of one gateway there is a choice")
	}
	if err := p.store.Add(t.Context(), []history.Line{of(other, "5.7.1 said to the other")}, "records", history.Mark{File: "1", Offset: 2, At: today}); err != nil {
		t.Fatal(err)
	}
	b.get("/refusals").want(t, 200, "said to the one", "said to the other", `gateway=gw1`, `gateway=gw2`)
	got := b.get("/refusals?gateway=gw2&outcome=refused").want(t, 200, "said to the other", "<b><bdi>gw2</bdi></b>", "/refusals.csv?gateway=gw2&amp;last=24h&amp;outcome=refused", "/attempts?class=content_rejected&amp;gateway=gw2&amp;last=24h&amp;outcome=refused&amp;shape=")
	if strings.Contains(got.body, "said to the one") {
		t.Error("another gateway's are there")
	}
	if got := b.get("/refusals?outcome=delivered").want(t, 200); strings.Contains(got.body, "said to") {
		t.Error("those of mail with another outcome are there")
	}
}

// Where the list of orders goes on, and its table, are of the same subject as the list.
func TestTheAuditGoesOnWithWhomItIsAbout(t *testing.T) {
	p := newPast(t)
	for n := range rowsShown + 1 {
		for _, tenant := range []string{"acme", "zeta"} {
			p.news("order", time.Duration(n+1)*time.Minute, historytest.M{"by": "alice", "tenant": tenant, "action": "block", "cause": "of " + tenant})
		}
	}
	b := look(t, p).as(Search)
	page := b.get("/audit?tenant=acme").want(t, 200, "of acme", `name="tenant" value="acme"`)
	for what, at := range map[string]string{"the next page": `href="(/audit\?[^"]*after=[^"]*)"`, "the table": `href="(/audit\.csv[^"]*)"`} {
		found := regexp.MustCompile(at).FindStringSubmatch(page.body)
		if found == nil {
			t.Fatalf("%s is not there: %s", what, page.body)
		}
		if got := b.get(html.UnescapeString(found[1])).want(t, 200, "of acme"); strings.Contains(got.body, "of zeta") {
			t.Errorf("%s has another tenant's", what)
		}
	}
}

func TestAboutSaysWhatOfThePastIsKept(t *testing.T) {
	b := look(t, site(t)).as(Look)
	b.get("/about").reads(t, "Newest line", "gw1 started, kanmon 1.2 with 2 sending IPs", "Records lost 3", "2026-11-21 to 2026-11-30")
}

func TestASearchIsNotedAsTheRecordsShowWhoItIsFor(t *testing.T) {
	p := site(t)
	store := p.kept()
	key := []byte("0123456789abcdef")
	g := newRig(t, func(o *Options) {
		o.History, o.Shown = store, journal.Mask{Mode: journal.AddressesHashed, Key: key}
	})
	b := g.as(Search)
	b.post("/find", "term", secret).want(t, 200)
	b.post("/find", "term", secret+"\n"+sender).want(t, 200)
	b.post("/find", "term", "Final-Recipient: rfc822; "+secret+"\nAction: failed\nStatus: 5.7.1\n").want(t, 200)
	searches, _, err := store.Searches(t.Context(), history.Page{})
	if err != nil || len(searches) != 3 {
		t.Fatalf("%d are noted, %v", len(searches), err)
	}
	hashed := journal.Mask{Mode: journal.AddressesHashed, Key: key}.Address(secret)
	for _, s := range searches {
		if strings.Contains(s.What, "kanarienvogel") || !strings.Contains(s.What, hashed) {
			t.Errorf("noted is %q, want %s in it", s.What, hashed)
		}
	}
}

func TestASendingIPStandsDayByDayBesideTheOthers(t *testing.T) {
	b := look(t, site(t)).as(Look)
	got := b.get("/ips/" + old + "/history")
	got.reads(t, "History of "+old, "2026-11-30 31 30 97 % 1 3.2 % 30 0 0", "2026-11-23 40 0 0 0 0 0", "docomo 70 30 43 % 0 30 0 0", "203.0.113.11 at docomo is slowed")
	if strings.Contains(got.body, "other</bdi></a></th><td class=\"n\">0") {
		t.Error("a provider stands there that nothing went to")
	}
	if rows := table(t, b.get("/attempts.csv?from=2026-11-30T00:00:00Z&to=2026-12-01T00:00:00Z&ip="+old)); len(rows) != 32 {
		t.Errorf("the day's list has %d rows, want 31", len(rows)-1)
	}
	if got := b.get("/ips/nobody/history"); got.status != 404 {
		t.Errorf("of no address: status %d", got.status)
	}
}

func TestAProvidersPageHasWhatIsSoNowAndOfAPastTimeNothingOfIt(t *testing.T) {
	g := look(t, site(t))
	g.kanmon.Set(func(a *viewtest.Answers) {
		a.Standings = []admin.Standing{
			{IP: netip.MustParseAddr(old), Provider: "docomo", State: "suspended", Share: 1, Reason: "2 refusals"},
			{IP: netip.MustParseAddr(fresh), Provider: "google", State: "slowed", Share: 0.5},
		}
		a.Shaping = admin.Shaping{Mode: "on", Takes: []admin.Takes{{IP: netip.MustParseAddr(old), Provider: "docomo", Count: "connections", Amount: 20, Now: 5, Used: 4, Kept: true}, {IP: netip.MustParseAddr(old), Provider: "google", Count: "messages"}}}
		a.Sessions = []admin.Session{{Session: "64d9a07b2e1c8f35", Provider: "docomo", Held: true, For: 41, WaitsFor: "mx", Step: "rcpt", Tenant: "acme"}}
	})
	b := g.as(Look)
	now := b.get("/providers/docomo")
	now.reads(t, "At this moment", "1 session , of them 1 held.", old+" is suspended here: 2 refusals", "connections 4 5 20", "64d9a07b2e1c8f35")
	if text := plain(now.body); strings.Contains(text, fresh+" is slowed") || strings.Contains(text, "messages 0") {
		t.Error("what is so at another provider stands there")
	}
	if past := b.get("/providers/docomo?last=24h&at=2026-11-23T14:00:00Z").want(t, 200); strings.Contains(past.body, "At this moment") {
		t.Error("a page of a past time says what is so now")
	}
}

// What a recipient's domain asks of TLS stands in the attempt, in words, as text.
func TestAnAttemptShowsWhatTLSTheDomainAsks(t *testing.T) {
	p := newPast(t)
	p.mail(time.Hour, historytest.Mail{
		Tenant: "acme", Account: sender, Sender: sender, To: []string{"a@receiver.example"}, QueueID: "4jTLS",
		Refused: map[string]historytest.M{"a@receiver.example": historytest.Reply(451, "4.7.5 kanmon: not proved", 3*time.Millisecond)},
		Policies: map[string]historytest.M{"a@receiver.example": {
			"domain": "receiver.example", "policy": "sts", "verdict": "refused", "reason": "certificate-expired", "detail": hostile, "waited_ms": 2000,
		}},
	})
	got := look(t, p).as(Search).post("/find", "term", "4jTLS")
	got.reads(t, "receiver.example asks for verified TLS (MTA-STS)", "its certificate is out of date", "waited 2 s to know it")
	if strings.Contains(got.body, "<script>document") {
		t.Error("what a certificate says is no text")
	}
}
