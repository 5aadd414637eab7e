package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"kanmon/internal/view/history/historytest"
)

// Each page of what is live has a past: what stood then, from history, with what nobody can know any more.
func TestLivePagesAsOfAPastTime(t *testing.T) {
	p := site(t)
	p.news("changed", 3*time.Hour, historytest.M{"tenant": "zeta", "account": "z@zeta.example", "state": "slow", "was": "normal", "by": "evidence", "cause": "9 of 20 unknown"})
	p.news("changed", 2*time.Hour, historytest.M{"tenant": "zeta", "account": "z@zeta.example", "state": "normal", "was": "slow", "by": "quiet"})
	p.news("heartbeat", 75*time.Minute, historytest.M{"up_ms": 1.0, "sessions": 42})
	p.mail(74*time.Minute, historytest.Mail{Tenant: "acme", Sender: sender, Provider: "docomo", SendingIP: old, To: []string{"slow@docomo.example"}, More: historytest.M{
		"start": stampOf(today.Add(-76 * time.Minute)), "duration_ms": 120_000.0,
	}})
	g := look(t, p)
	at := func(ago time.Duration) string { return "?at=" + url.QueryEscape(today.Add(-ago).Format(time.RFC3339)) }
	for _, role := range []Role{Look, Act} {
		b := g.as(role)
		b.get("/"+at(74*time.Minute+30*time.Second)).reads(t, "As it was", "42 sessions ran", "203.0.113.11 at docomo is slowed, with 25 % of its mail", "The hour before", "History cannot know: which sessions were held")
		b.get("/"+at(65*time.Minute)).reads(t, "docomo is slow to answer 203.0.113.11")
		b.get("/sessions"+at(74*time.Minute+30*time.Second)).reads(t, "1 mail, the longest first", "1 min", "docomo")
		b.get("/sessions"+at(74*time.Minute+30*time.Second)+"&tenant=zeta").reads(t, "0 mails")
		b.get("/ips"+at(75*time.Minute)).reads(t, "How mail left", "slowed 25 %", "12 of 20 deferred")
		b.get("/ips"+at(85*time.Minute)).reads(t, "Every sending IP is active everywhere")
		b.get("/tenants"+at(150*time.Minute)).reads(t, "Accounts that were treated otherwise")
		b.get("/tenants"+at(30*time.Minute)).reads(t, "zeta", "acme")
		b.get("/tenants"+at(-time.Minute)).want(t, 400, "has not come yet")
		b.get("/ips?at=soon").want(t, 400, "at:")
	}
	b := g.as(Search)
	b.get("/tenants"+at(150*time.Minute)).reads(t, "z@zeta.example", "9 of 20 unknown")
	b.get("/tenants"+at(90*time.Minute)).reads(t, "None that is on record.")
	b.get("/sessions"+at(74*time.Minute+30*time.Second)+"&held=1m").want(t, 400, "nobody has kept")
	b.get("/").reads(t, "As of a past time")
	newRig(t).as(Look).get("/"+at(time.Hour)).reads(t, "There is no history, so nobody knows how it was.")
}

// Who waits is a page, which is reached from where providers hold mail back, and has whoever has not come through since.
func TestWhoWaitsIsListed(t *testing.T) {
	p := site(t)
	p.mail(30*time.Minute, historytest.Mail{ // it came through
		Tenant: "acme", Account: sender, Sender: sender, Provider: "docomo", SendingIP: fresh, To: []string{"b3@docomo.example"}, QueueID: "4jQ0003",
	})
	b := look(t, p).as(Search)
	b.get("/providers").want(t, 200, `<a href="/waiting?provider=docomo">who waits</a>`)
	b.get("/providers/docomo").want(t, 200, `<a href="/waiting?provider=docomo">29 mails</a>`).reads(t, "These times are coarse")
	got := b.get("/waiting?provider=docomo")
	got.reads(t, "b4@docomo.example", "Mails that wait")
	if strings.Contains(got.body, "b3@docomo.example") || strings.Contains(got.body, "c3@docomo.example") {
		t.Error("who does not wait is in it")
	}
	b.get("/waiting?provider=other").reads(t, "none here")
}

func stampOf(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
