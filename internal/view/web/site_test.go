package web

import (
	"fmt"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
	"kanmon/internal/view/history/historytest"
)

// today is when the history of the tests ends.
var today = time.Date(2026, 11, 30, 14, 0, 0, 0, time.UTC)

// hostile is what strangers write who want a browser to do something, or a reader to see something else.
var hostile = "550 5.7.1 <script>document.title='owned'</script><img src=x onerror=alert(1)> \u202egnp.exe\u2066 '\"&amp;<!-- ]]> javascript:alert(1)"

// A past is a history in which something has happened.
type past struct {
	t     *testing.T
	store *days.Store
	feed  *historytest.Feed
	lines []history.Line
}

func newPast(t *testing.T) *past {
	t.Helper()
	store, err := days.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &past{t: t, store: store, feed: historytest.NewFeed("gw1", today.Add(-10*24*time.Hour))}
}

func (p *past) news(kind string, ago time.Duration, members historytest.M) {
	p.lines = append(p.lines, p.feed.Line(kind, today.Add(-ago), members))
}

func (p *past) mail(ago time.Duration, m historytest.Mail) event.ID {
	m.At = today.Add(-ago)
	if m.Session == 0 {
		m.Session = event.ID(0x64d9a07b00000000 + p.feed.Count)
	}
	p.lines = append(p.lines, p.feed.Attempt(m))
	return m.Session
}

// kept gives the history, with all that has been told.
func (p *past) kept() history.Store {
	p.t.Helper()
	if err := p.store.Add(p.t.Context(), p.lines, "records", history.Mark{File: "1", Offset: 1, At: today}); err != nil {
		p.t.Fatal(err)
	}
	p.lines = nil
	return p.store
}

// Addresses that nobody may see who may not see people.
const (
	sender = "news@acme.example"
	secret = "kanarienvogel@receiver.example"
)

const (
	old   = "203.0.113.11"
	fresh = "203.0.113.12"
)

// site is a gateway with a provider that is slow to one sending IP, refusals, orders and what would have been done.
func site(t *testing.T) *past {
	p := newPast(t)
	const week = 7 * 24 * time.Hour
	p.news("gateway", 9*24*time.Hour, historytest.M{"action": "start", "version": "1.2", "sending_ips": 2})
	for i := range 40 { // a week ago all was well
		p.mail(week+2*time.Hour+time.Duration(i)*time.Minute, historytest.Mail{Tenant: "acme", Account: sender, Sender: sender, Provider: "docomo", SendingIP: old, To: []string{fmt.Sprintf("a%d@docomo.example", i)}})
	}
	slow := historytest.Reply(451, "4.7.1 Try again later, please", 41*time.Second)
	for i := range 30 {
		to := fmt.Sprintf("b%d@docomo.example", i)
		p.mail(90*time.Minute-time.Duration(i)*time.Minute, historytest.Mail{
			Tenant: "acme", Account: sender, Sender: sender, Provider: "docomo", SendingIP: old, To: []string{to}, QueueID: fmt.Sprintf("4jQ%04d", i),
			Refused: map[string]historytest.M{to: historytest.Meaning(slow, "throttled", "ip", "later")},
		})
		p.mail(90*time.Minute-time.Duration(i)*time.Minute, historytest.Mail{
			Tenant: "zeta", Account: "z@zeta.example", Sender: "z@zeta.example", Provider: "docomo", SendingIP: fresh, To: []string{fmt.Sprintf("c%d@docomo.example", i)},
		})
	}
	p.mail(20*time.Minute, historytest.Mail{
		Tenant: "acme", Account: sender, Sender: sender, Provider: "other", SendingIP: old, To: []string{secret}, QueueID: "4jHOSTILE",
		Refused: map[string]historytest.M{secret: historytest.Meaning(historytest.M{"code": 550, "text": hostile, "took_ms": 3.0, "first_ms": 3.0}, "content_rejected", "message", "spam")},
	})
	p.news("changed", 80*time.Minute, historytest.M{"sending_ip": old, "provider": "docomo", "state": "slowed", "share": 0.25, "rule": "later", "cause": "12 of 20 deferred"})
	p.news("finding", 70*time.Minute, historytest.M{"action": "begun", "scope": "this IP here", "phase": "rcpt", "sending_ip": old, "provider": "docomo", "here_ms": 41000.0, "others_ms": 3.0, "acted": "slowed"})
	p.news("order", time.Hour, historytest.M{"by": "alice (web)", "tenant": "acme", "account": sender, "action": "block", "before": "none", "after": "blocked", "cause": "hacked <b>account</b>"})
	p.news("decision", 50*time.Minute, historytest.M{"session": "64d9a07b00000060", "number": 1, "step": "mail", "tenant": "acme", "account": sender, "action": "would_defer", "rule": "limit account-hour", "cause": "501 of 500", "count": 7})
	p.news("decision", 40*time.Minute, historytest.M{"session": "64d9a07b00000061", "number": 1, "step": "mail", "tenant": "zeta", "account": "z@zeta.example", "action": "would_defer", "rule": "limit account-hour", "cause": "502 of 500"})
	p.news("dropped", 30*time.Minute, historytest.M{"records": 3, "tenant": "acme"})
	p.news("heartbeat", 0, historytest.M{"up_ms": 1.0, "sessions": 1})
	return p
}

// look gives a rig with that history behind it.
func look(t *testing.T, p *past) *rig {
	t.Helper()
	store := p.kept()
	return newRig(t, func(o *Options) {
		o.History = store
		o.Now = func() time.Time { return today }
	})
}
