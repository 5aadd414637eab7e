package historytest

import (
	"strings"
	"testing"
	"time"

	"kanmon/internal/view/history"
)

// sown adds 60 attempts, one an hour.
func sown(t *testing.T, s history.Store, begin time.Time) {
	t.Helper()
	f := NewFeed("gw1", Noon)
	var lines []history.Line
	for i := range 60 {
		m := plain(begin.Add(time.Duration(i)*time.Hour+7*time.Minute), "a@x.example")
		if i%3 == 0 {
			m = greylisted(m, "a@x.example")
		}
		if i%2 == 0 {
			m.Tenant, m.Account = "other", "x@other.example"
		}
		lines = append(lines, f.Attempt(m))
	}
	add(t, s, lines...)
}

func counts(t *testing.T, s history.Store) {
	begin := Noon.Truncate(24 * time.Hour)
	sown(t, s, begin)
	ask := func(of history.CountsOf) []history.Count {
		t.Helper()
		all, err := s.Counts(t.Context(), of)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	for name, of := range map[string]struct {
		history.CountsOf
		rows     int
		attempts int64
	}{
		"all":            {history.CountsOf{}, 1, 60},
		"by day":         {history.CountsOf{Step: 24 * time.Hour}, 3, 60},
		"by hour":        {history.CountsOf{Step: time.Hour}, 60, 60},
		"by 5 minutes":   {history.CountsOf{Step: 5 * time.Minute}, 60, 60},
		"by outcome":     {history.CountsOf{By: []string{history.ByOutcome}}, 2, 60},
		"deferred":       {history.CountsOf{Filter: history.Filter{Outcomes: []string{"deferred"}}}, 1, 20},
		"by tenant":      {history.CountsOf{By: []string{history.ByTenant}}, 2, 60},
		"of a tenant":    {history.CountsOf{Filter: history.Filter{Tenant: "acme"}, Step: time.Hour}, 30, 30},
		"of an account":  {history.CountsOf{Filter: history.Filter{Account: "x@other.example"}, Step: 24 * time.Hour}, 3, 30},
		"by account":     {history.CountsOf{By: []string{history.ByAccount, history.ByTenant}}, 2, 60},
		"of a class":     {history.CountsOf{Filter: history.Filter{Class: "greylisted"}, By: []string{history.ByClass, history.ByProvider, history.BySending}}, 1, 20},
		"of some hours":  {history.CountsOf{Filter: history.Filter{From: begin.Add(10 * time.Hour), To: begin.Add(50 * time.Hour)}}, 1, 40},
		"of some, by":    {history.CountsOf{Filter: history.Filter{From: begin.Add(10 * time.Hour), To: begin.Add(50 * time.Hour)}, Step: 24 * time.Hour}, 2, 40},
		"of six minutes": {history.CountsOf{Filter: history.Filter{From: begin.Add(5 * time.Minute), To: begin.Add(65 * time.Minute)}}, 1, 1},
		"of a gateway":   {history.CountsOf{Filter: history.Filter{Gateway: "gw2"}}, 0, 0},
	} {
		all := ask(of.CountsOf)
		var sum int64
		for _, c := range all {
			sum += c.Attempts
		}
		if len(all) != of.rows || sum != of.attempts {
			t.Errorf("%s: %d rows of %d attempts, want %d of %d", name, len(all), sum, of.rows, of.attempts)
		}
	}
	days := ask(history.CountsOf{Step: 24 * time.Hour})
	is(t, "second day", days[1].Begin, begin.Add(24*time.Hour))
	one := ask(history.CountsOf{})[0]
	is(t, "recipients", one.Recipients, 60)
	is(t, "encrypted", one.TLS, 60)
	is(t, "octets", one.Octets, 40*5000)
	is(t, "first attempts: each deferred mail has come again", one.First, 40)
	for name, of := range map[string]history.CountsOf{
		"tenant by 5 minutes": {Step: 5 * time.Minute, By: []string{history.ByTenant}}, "account by hour": {Step: time.Hour, By: []string{history.ByAccount}},
		"7 minutes": {Step: 7 * time.Minute}, "by weather": {By: []string{"weather"}},
	} {
		if _, err := s.Counts(t.Context(), of); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func times(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	for i := range 10 {
		m := plain(Noon.Add(time.Duration(i)*30*time.Minute), "a@x.example")
		m.Dot = Reply(250, "ok", time.Duration(i)*time.Second)
		if i%2 == 0 {
			m.SendingIP = "203.0.113.12"
		}
		add(t, s, f.Attempt(m))
	}
	all, err := s.Times(t.Context(), history.TimesOf{Phase: "dot", Provider: "google", Step: time.Hour, ByIP: true})
	if err != nil || len(all) != 9 { // one dot took no time at all
		t.Fatalf("%+v, %v", all, err)
	}
	all, err = s.Times(t.Context(), history.TimesOf{Phase: "dot"})
	if err != nil || len(all) != 1 || all[0].Counts[5] != 1 || all[0].Counts[6] != 1 || all[0].Counts[7] != 3 || all[0].Counts[8] != 4 {
		t.Errorf("%+v, %v", all, err)
	}
}

func shapesOfOne(t *testing.T, s history.Store) {
	f, other := NewFeed("gw1", Noon), NewFeed("gw2", Noon)
	grey := greylisted(plain(Noon, "a@x.example"), "a@x.example")
	full := plain(Noon, "d@x.example")
	full.Refused = map[string]M{"d@x.example": Meaning(Reply(552, "5.2.2 d@x.example is over quota by 12", 0), "mailbox_full", "recipient", "quota")}
	add(t, s, f.Attempt(grey), f.Attempt(full), other.Attempt(grey), other.Attempt(grey))
	next := grey
	next.At = Noon.Add(24 * time.Hour)
	add(t, s, f.Attempt(next)) // a day of one gateway
	for name, of := range map[string]struct {
		history.Filter
		shapes int
		count  int64
	}{
		"one gateway":       {history.Filter{Gateway: "gw1"}, 2, 2},
		"the other":         {history.Filter{Gateway: "gw2"}, 1, 2},
		"one of no line":    {history.Filter{Gateway: "gw3"}, 0, 0},
		"hours of one":      {history.Filter{Gateway: "gw2", From: Noon.Add(-time.Hour), To: Noon.Add(time.Hour)}, 1, 2},
		"deferred":          {history.Filter{Outcomes: []string{"deferred"}}, 1, 4},
		"refused":           {history.Filter{Outcomes: []string{"refused"}}, 1, 1},
		"refused elsewhere": {history.Filter{Gateway: "gw2", Outcomes: []string{"refused"}}, 0, 0},
	} {
		got, _, err := s.Shapes(t.Context(), of.Filter, history.Page{})
		if err != nil || len(got) != of.shapes || len(got) > 0 && (got[0].Count != of.count || got[0].Text == "" || got[0].Text == got[0].Shape) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func shapes(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	for i, to := range []string{"a@x.example", "b@y.example", "c@z.example"} {
		m := greylisted(plain(Noon.Add(time.Duration(i)*20*time.Hour), to), to)
		if i == 2 {
			m.Tenant, m.SendingIP = "other", "203.0.113.12"
		}
		add(t, s, f.Attempt(m))
	}
	full := plain(Noon, "d@x.example")
	full.Refused = map[string]M{"d@x.example": Meaning(Reply(552, "5.2.2 d@x.example is over quota by 12", 0), "mailbox_full", "recipient", "quota")}
	add(t, s, f.Attempt(full), f.Line("session", Noon, M{
		"session": "17f3a9c2b4d5e6f0", "sending_ip": "203.0.113.13", "provider": "docomo", "tenant": "acme", "end_reason": "mx_refused",
		"opening": []M{{"phase": "banner", "reply": Meaning(Reply(554, "5.7.1 go away, 203.0.113.13", 0), "ip_blocklisted", "ip", "listed")}},
	}))
	all, _, err := s.Shapes(t.Context(), history.Filter{}, history.Page{})
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	if grey := all[0]; grey.Class != "greylisted" || grey.Count != 3 || grey.Tenants != 2 || grey.One != "" || len(grey.SendingIPs) != 2 ||
		!grey.First.Equal(Noon) || !grey.Last.Equal(Noon.Add(40*time.Hour)) || grey.Seen.Line != 1 || grey.Text == "" {
		t.Errorf("%+v", grey)
	}
	for name, of := range map[string]struct {
		history.Filter
		shapes int
		count  int64
	}{
		"class":   {history.Filter{Class: "ip_blocklisted"}, 1, 1},
		"hours":   {history.Filter{From: Noon.Add(time.Hour), To: Noon.Add(30 * time.Hour)}, 1, 1},
		"tenant":  {history.Filter{Tenant: "other"}, 1, 1},
		"account": {history.Filter{Account: "news@acme.example"}, 2, 3},
		"ip":      {history.Filter{Provider: "docomo"}, 1, 1},
		"none":    {history.Filter{Class: "throttled"}, 0, 0},
	} {
		got, _, err := s.Shapes(t.Context(), of.Filter, history.Page{})
		if err != nil || len(got) != of.shapes || len(got) > 0 && got[0].Count > of.count {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for tenant, who := range map[string]string{"acme": "b@y.example", "other": "c@z.example"} { // not what somebody else was told
		got, _, err := s.Shapes(t.Context(), history.Filter{Tenant: tenant, Class: "greylisted"}, history.Page{})
		if err != nil || len(got) != 1 || !strings.Contains(got[0].Text, who) {
			t.Errorf("an example for %s: %+v, %v; want one with %s", tenant, got, err, who)
		}
	}
	late, _, err := s.Shapes(t.Context(), history.Filter{From: Noon.Add(30 * time.Hour)}, history.Page{})
	if err != nil || len(late) != 1 || !late[0].First.Equal(Noon) || late[0].One != "other" {
		t.Errorf("first seen before what is asked for: %+v, %v", late, err)
	}
	some, next, err := s.Shapes(t.Context(), history.Filter{}, history.Page{Limit: 2})
	rest, last, err2 := s.Shapes(t.Context(), history.Filter{}, history.Page{Limit: 2, After: next})
	if err != nil || err2 != nil || len(some) != 2 || len(rest) != 1 || last != "" {
		t.Errorf("pages: %v %v %v %v", some, rest, err, err2)
	}
}

// shapesOfNobody: a site may have no tenants.
func shapesOfNobody(t *testing.T, s history.Store) {
	m := greylisted(plain(Noon, "a@x.example"), "a@x.example")
	m.Tenant = ""
	add(t, s, NewFeed("gw1", Noon).Attempt(m))
	all, _, err := s.Shapes(t.Context(), history.Filter{}, history.Page{})
	if err != nil || len(all) != 1 || all[0].Tenants != 1 || all[0].One != "" || all[0].Count != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}
