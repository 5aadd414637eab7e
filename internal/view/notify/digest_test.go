package notify

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/notes"
)

const withDigest = `
[notify]
zone = "Asia/Tokyo"
digest = "08:00"
[[notify_webhook]]
name = "hook"
url = "https://hook.example"
format = "slack"
`

// A digest comes once a day at its time in the zone of the operator, also over a restart; who begins behind it waits for the next.
func TestDigestOnceADay(t *testing.T) {
	inTime(t, func(r *rig) { // it is midnight UTC of 2000-01-01, 9 o'clock in Tokyo
		r.end()
		r.silent = true // nobody has heard of any gateway
		r.beginWith(withDigest)
		r.past.is(func() { r.past.status.Last = time.Now().AddDate(1, 0, 0) })
		r.wants(22*time.Hour + 58*time.Minute)
		r.wants(3*time.Minute, "digest")
		if want := "2000-01-01: nothing has happened. No mail was seen.\n"; r.last.Data.Text != want || !r.last.Data.Since.Equal(time.Date(1999, 12, 31, 15, 0, 0, 0, time.UTC)) {
			t.Errorf("%q, since %v, want %q", r.last.Data.Text, r.last.Data.Since, want)
		}
		r.end()
		r.beginWith(withDigest)
		r.wants(23 * time.Hour)
		r.end()
		time.Sleep(2 * time.Hour) // over its time
		r.beginWith(withDigest)
		r.told(time.Minute)
		if r.last.Type != digestEvent || !strings.HasPrefix(r.last.Data.Text, "2000-01-02") {
			t.Errorf("told %s %q", r.last.Type, r.last.Data.Text)
		}
		r.told(time.Hour)
		if r.last.Type == digestEvent && !strings.HasPrefix(r.last.Data.Text, "2000-01-02") {
			t.Errorf("told %q", r.last.Data.Text)
		}
	})
}

// History that is behind is waited for, for an hour.
func TestDigestWaitsForHistory(t *testing.T) {
	inTime(t, func(r *rig) {
		r.end()
		r.silent = true // nobody has heard of any gateway
		r.beginWith(withDigest)
		r.past.is(func() { r.past.status.Last = time.Now().Add(time.Hour) })
		r.wants(23*time.Hour + 10*time.Minute)
		r.past.is(func() { r.past.status.Last = time.Now() })
		r.wants(2*time.Minute, "digest")
		r.past.is(func() { r.past.status.Last = time.Time{} })
		r.wants(24*time.Hour + 40*time.Minute)
		r.wants(10*time.Minute, "digest")
	})
}

// busy is a day on which much has happened.
func busy(day time.Time) *past {
	at := func(hour, minute int) time.Time {
		return day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
	}
	ip := ip10
	events := []event.Entry{
		{Type: "changed", At: at(9, 14), SendingIP: ip, Provider: "docomo", State: "suspended", Until: at(9, 44), By: "evidence", Cause: "refused by 2 tenants"},
		{Type: "changed", At: at(9, 44), SendingIP: ip, Provider: "docomo", State: "probing"},
		{Type: "changed", At: at(9, 45), SendingIP: ip, Provider: "docomo", State: "slowed"},
		{Type: "changed", At: at(10, 0), Tenant: "acme", Account: "bob@acme.example", State: "stop", Cause: "18 % unknown of 210"},
		{Type: "order", At: at(10, 30), By: "alice", Action: "unblock", Tenant: "acme", Account: "bob@acme.example", Cause: "password changed"},
		{Type: "changed", At: at(10, 30), Tenant: "acme", Account: "bob@acme.example", State: "normal", By: "alice"},
		{Type: "gateway", At: at(12, 0), Gateway: "gw1", Action: "reload"},
		{Type: "dropped", At: at(13, 0), Records: 40},
	}
	p := &past{waiting: []history.Waiting{{Provider: "docomo"}, {Provider: "google"}}}
	for i := range events { // the newest first
		p.events = append(p.events, events[len(events)-1-i])
	}
	p.waiting[0].Ages = [8]int64{9, 9, 9, 9, 3, 2, 1, 0}
	p.waiting[1].Ages = [8]int64{9}
	p.status.Counts[0] = day.AddDate(-1, 0, 0)
	p.counts = func(of history.CountsOf) []history.Count {
		today := of.From.Equal(day)
		switch of.By[0] {
		case history.ByOutcome:
			return []history.Count{{Outcome: "delivered", Attempts: 970, Rescued: 4}, {Outcome: "deferred", Attempts: 20}, {Outcome: "refused", Attempts: 9}, {Outcome: "ambiguous", Attempts: 1}}
		case history.ByClass:
			if today {
				return []history.Count{{Class: "recipient_invalid", Attempts: 9}, {Class: "throttled", Attempts: 20}, {Class: "", Attempts: 971}}
			}
			return []history.Count{{Class: "recipient_invalid", Attempts: 63}, {Class: "throttled", Attempts: 14}}
		default:
			if today {
				return []history.Count{{Tenant: "acme", Attempts: 700}, {Tenant: "blue", Attempts: 300}}
			}
			return []history.Count{{Tenant: "acme", Attempts: 700}, {Tenant: "blue", Attempts: 2100}}
		}
	}
	return p
}

func TestDigestOfABusyDay(t *testing.T) {
	zone, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 11, 29, 0, 0, 0, 0, zone)
	for lang, want := range map[config.Language]string{
		config.English: `2026-11-29: 1000 attempts: 97.0 % delivered, 2.0 % deferred, 0.9 % refused. 4 were rescued by another sending IP.

Not normal now:
  203.0.113.10 is suspended at docomo, since 2026-11-29 23:00 JST [alice knows, until 2099-01-01 09:00 JST: form filled in]

Senders:
  10:00 account bob@acme.example of acme is contained: stop (18 % unknown of 210)
  10:30 account bob@acme.example of acme is not contained any more

Sending IPs:
  09:14 203.0.113.10 is suspended at docomo (refused by 2 tenants)
  09:45 203.0.113.10 is used again at docomo

Orders:
  10:30 alice: unblock bob@acme.example acme (password changed)

Gateways:
  12:00 gw1 has a new configuration

Refusals by meaning (an average day of the week before; ! = twice or half as many):
  throttled: 20 (2) ! – too much in too short a time, for the receiver
  recipient_invalid: 9 (9) – there is no such recipient

Tenants that have sent more than twice as much as usual:
  acme: 700 (100) !

Mails that have waited for more than 4 hours, by provider:
  docomo: 6

40 records are missing.

https://page.example/
`,
		config.Japanese: `2026-11-29: 送信試行 1000 件: 配送 97.0 %、一時拒否 2.0 %、拒否 0.9 %。うち 4 件は別の送信 IP で救済しました。

現在の異常:
  203.0.113.10 から docomo 宛ての送信を一時停止しました(2026-11-29 23:00 JST から) [alice が確認済み、2099-01-01 09:00 JST まで: form filled in]

送信者:
  10:00 acme のアカウント bob@acme.example の送信を抑制しました(stop) (18 % unknown of 210)
  10:30 acme のアカウント bob@acme.example の抑制を解除しました

送信 IP:
  09:14 203.0.113.10 から docomo 宛ての送信を一時停止しました (refused by 2 tenants)
  09:45 203.0.113.10 から docomo 宛ての送信を再開しました

操作:
  10:30 alice: unblock bob@acme.example acme (password changed)

ゲートウェイ:
  12:00 gw1 が新しい設定を読み込みました

拒否の内訳(括弧内は前週の 1 日平均、! は 2 倍以上または半分以下):
  throttled: 20(2) ! – 短時間の送信量や接続数が、受信側の制限を超えました
  recipient_invalid: 9(9) – 宛先のメールアドレスが存在しません

送信量が普段の 2 倍を超えたテナント:
  acme: 700(100) !

4 時間を超えて待っているメール(プロバイダ別):
  docomo: 6

記録が 40 件欠けています。

https://page.example/
`,
	} {
		folder := t.TempDir()
		book, err := notes.Open(folder + "/notes.db")
		if err != nil {
			t.Fatal(err)
		}
		until := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
		n := notes.Note{About: notes.Subject{Alarm: "suspended", SendingIP: "203.0.113.10", Provider: "docomo"}, At: until.Add(-24 * time.Hour), By: "alice", Text: "form filled in", Until: until}
		if err := book.Write(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		book.Close()
		cfg := &config.Config{Notify: config.Notify{Language: lang, Zone: "Asia/Tokyo", PageURL: "https://page.example"}}
		g := &digester{past: busy(day), words: wordsOf(&cfg.Notify), notes: folder + "/notes.db", open: func(context.Context) ([]standingNow, error) {
			e := newEvent("ip.suspended", day, Data{SendingIP: ip10, Provider: "docomo", Since: day.Add(23 * time.Hour), Until: day.Add(25 * time.Hour)})
			return []standingNow{{Event: e}}, nil
		}}
		d, err := g.make(t.Context(), day)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, g.words.digest(d)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", lang, diff)
		}
	}
}

// Who asks for a digest sees what is not normal while another process tells people.
func TestDigestOnRequest(t *testing.T) {
	inTime(t, func(r *rig) {
		r.hear(standing("suspended"))
		r.hear(event.Entry{Type: "changed", SendingIP: netip.MustParseAddr("203.0.113.11"), State: "suspended", Provider: "google"})
		would := contained("stop", "eve@acme.example")
		would.Would = true
		r.hear(would)
		r.wants(10*time.Second, "ip.suspended", "ip.suspended", "account.would_be_contained")
		r.hear(standing("active"))
		cfg, err := config.Parse("kanmon.toml", []byte(withDigest))
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Folder: r.folder, History: r.past}
		today := time.Now()
		if _, err := Digest(r.t.Context(), cfg, o, today); err == nil || !strings.Contains(err.Error(), "history is empty") {
			t.Errorf("of a day of which there is no history: %v", err)
		}
		r.past.mu.Lock()
		r.past.status.Counts = [2]time.Time{today.Truncate(24 * time.Hour), today.Truncate(24 * time.Hour)}
		r.past.mu.Unlock()
		for days, want := range map[int]string{-2: "nothing is kept of 1999-12-30: the first day of which there is something is 2000-01-01", 1: "2000-01-02 is still to come"} {
			if text, err := Digest(r.t.Context(), cfg, o, today.AddDate(0, 0, days)); err == nil || err.Error() != want {
				t.Errorf("%+d days: %q, %v; want %q", days, text, err, want)
			}
		}
		text, err := Digest(r.t.Context(), cfg, o, today)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "Not normal now:\n  203.0.113.11 is stopped at google, since ") || strings.Contains(text, "203.0.113.10") || strings.Contains(text, "eve") {
			t.Errorf("%s", text)
		}
	})
}

// What strangers have written makes no line of a digest.
func TestHostileTextsInADigest(t *testing.T) {
	day := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	w := wordsOf(&config.Notify{Language: config.English, Zone: "UTC"})
	lines := 0
	for i, text := range append([]string{"x"}, hostile...) {
		p := busy(day)
		for j := range p.events {
			e := &p.events[j]
			e.Cause, e.By = text, text
			if e.Account != "" {
				e.Account = text
			}
		}
		g := &digester{past: p, words: w, open: func(context.Context) ([]standingNow, error) { return nil, nil }}
		d, err := g.make(t.Context(), day)
		if err != nil {
			t.Fatal(err)
		}
		got := w.digest(d)
		if i == 0 {
			lines = strings.Count(got, "\n")
		}
		if strings.Count(got, "\n") != lines || strings.ContainsAny(got, "\x1b\r\u202e") {
			t.Errorf("%q: %s", text, got)
		}
	}
}
