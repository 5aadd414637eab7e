package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
	"kanmon/internal/view/history/pgtest"
	"kanmon/internal/view/history/postgres"
)

func add(t *testing.T, s history.Store, lines ...history.Line) {
	t.Helper()
	if err := s.Add(t.Context(), lines, "records", history.Mark{File: "f", Offset: int64(len(lines)), At: historytest.Noon}); err != nil {
		t.Fatal(err)
	}
}

func mail(at time.Time, id string) historytest.Mail {
	return historytest.Mail{
		At: at, Tenant: "acme", Account: "news@acme.example", Provider: "google", SendingIP: "203.0.113.11", Sender: "news@acme.example", To: []string{"a@x.example"},
		MessageID: id, Octets: 5000,
	}
}

func greylisted(m historytest.Mail) historytest.Mail {
	m.Refused = map[string]historytest.M{m.To[0]: historytest.Meaning(historytest.Reply(450, "4.2.0 try later", time.Second), "greylisted", "receiver", "greylist")}
	return m
}

// The attempts of a mail may come by several gateways, whose records are files of one name.
func TestGatewaysHaveOneHistory(t *testing.T) {
	url := pgtest.Start(t)
	database := url.Database(t)
	one, two := open(t, database, "gw1"), open(t, database, "gw2")
	noon := historytest.Noon
	add(t, one, historytest.NewFeed("gw1", noon).Attempt(greylisted(mail(noon, "1@acme.example"))))
	if m, err := two.Mark(t.Context(), "records"); err != nil || m != (history.Mark{}) {
		t.Errorf("the mark of the other: %+v, %v", m, err)
	}
	add(t, two, historytest.NewFeed("gw2", noon).Attempt(mail(noon.Add(time.Minute), "1@acme.example")))
	for _, s := range []*postgres.Store{one, two} {
		all, _, err := s.Mails(t.Context(), history.Filter{ID: "1@acme.example"}, history.Page{})
		if err != nil || len(all) != 1 || all[0].Tries != 2 || all[0].State != history.Delivered {
			t.Errorf("%+v, %v", all, err)
		}
		counts, err := s.Counts(t.Context(), history.CountsOf{By: []string{history.ByGateway}})
		if err != nil || len(counts) != 2 || counts[0].Attempts != 1 {
			t.Errorf("%+v, %v", counts, err)
		}
	}
	st, err := one.Status(t.Context())
	if err != nil || len(st.Marks) != 2 || st.Marks["records"].File != "f" || st.Marks["gw2:records"].File != "f" || st.Attempts != 2 {
		t.Errorf("%+v, %v", st, err)
	}
}

// What a server's text cannot have, and its indexes cannot, must not hold up all behind it.
func TestNoLineHoldsUpTheOthers(t *testing.T) {
	s := open(t, pgtest.Start(t).Database(t), "gw1")
	f := historytest.NewFeed("gw1", historytest.Noon)
	bad := greylisted(mail(historytest.Noon, "a\x00b@acme.example"))
	bad.Tenant, bad.Account, bad.Sender, bad.Provider = "a\x00", strings.Repeat("é", 4000), "\xff\x00@x.example", "p\xff"
	bad.Refused["a@x.example"]["class"], bad.Refused["a@x.example"]["rule"] = strings.Repeat("c", 5000), "r\x00"
	bad.To[0] = "a@x.example"
	many := mail(historytest.Noon, "2@acme.example")
	for range 3000 {
		many.To = append(many.To, strings.Repeat("r", 300)+"@x.example")
	}
	add(t, s, f.Attempt(bad), f.Attempt(many), f.Line("order", historytest.Noon, historytest.M{"by": "\x00", "tenant": "\x00"}))
	all, _, err := s.Attempts(t.Context(), history.Filter{}, history.Page{})
	if err != nil || len(all) != 2 || all[0].Tenant != "acme" || all[1].Account != bad.Account {
		t.Errorf("%d attempts, %v", len(all), err)
	}
	if all, _, err := s.Attempts(t.Context(), history.Filter{Account: bad.Account, Tenant: bad.Tenant}, history.Page{}); err != nil || len(all) != 1 {
		t.Errorf("by its account: %d attempts, %v", len(all), err)
	}
}

// What is old goes by days, and what counted once counts no more when it comes again.
func TestPrune(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.Database(t), "gw1")
	f, noon := historytest.NewFeed("gw1", historytest.Noon), historytest.Noon
	var lines []history.Line
	for back := range 10 {
		at := noon.Add(-time.Duration(back) * 24 * time.Hour)
		lines = append(lines, f.Attempt(mail(at, "")), f.Attempt(greylisted(mail(at.Add(time.Minute), "id@acme.example"))), f.Line("gateway", at, historytest.M{"action": "start"}))
	}
	add(t, s, lines...)
	const aDay = 24 * time.Hour
	keep := history.Keep{Detail: 2 * aDay, Trouble: 5 * aDay, Counts: 8 * aDay}
	gone, err := s.Prune(t.Context(), noon, keep)
	if err != nil || gone != (history.Pruned{Detail: 7, Trouble: 4, Counts: 1}) {
		t.Fatalf("%+v, %v", gone, err)
	}
	look := func(what string, delivered, refused, counted, events int) {
		t.Helper()
		all, _, err := s.Attempts(t.Context(), history.Filter{}, history.Page{})
		if err != nil {
			t.Fatal(err)
		}
		n := map[string]int{}
		for i := range all {
			n[all[i].Outcome]++
		}
		counts, err := s.Counts(t.Context(), history.CountsOf{})
		if err != nil || len(counts) != 1 || counts[0].Attempts != int64(counted) {
			t.Errorf("%s: counts %+v, %v, want %d", what, counts, err, counted)
		}
		news, _, err := s.Events(t.Context(), history.EventsOf{}, history.Page{})
		if err != nil || n["delivered"] != delivered || n["deferred"] != refused || len(news) != events {
			t.Errorf("%s: %v attempts, %d events, %v", what, n, len(news), err)
		}
	}
	look("pruned", 3, 6, 18, 9)
	add(t, s, lines[:27]...)
	look("what came again", 3, 6, 18, 9)
	if gone, err = s.Prune(t.Context(), noon, keep); err != nil || gone.Counts != 0 {
		t.Errorf("again: %+v, %v", gone, err)
	}
	if gone, err = s.Prune(t.Context(), noon, history.Keep{Octets: 1}); err != nil || gone != (history.Pruned{Detail: 2, Trouble: 5, ForSize: true}) {
		t.Errorf("for size: %+v, %v", gone, err)
	}
	look("for size", 1, 1, 18, 9)
	if st, err := s.Status(t.Context()); err != nil || !st.Shortened {
		t.Errorf("%+v, %v", st, err)
	}
}

// A server that is dead, stands still, or takes nothing is told of, and history goes on by itself.
func TestGoesOnBehindTheServer(t *testing.T) {
	server := pgtest.Start(t)
	database := server.Database(t)
	s := open(t, database, "gw1")
	f := historytest.NewFeed("gw1", historytest.Noon)
	next := func() history.Line { return f.Attempt(mail(historytest.Noon, "")) }
	add(t, s, next())
	fails := func(what, why string) {
		t.Helper()
		ctx, end := context.WithTimeout(t.Context(), 3*time.Second)
		defer end()
		began := time.Now()
		err := s.Add(ctx, []history.Line{next()}, "records", history.Mark{File: "g"})
		if err == nil || !strings.Contains(err.Error(), "PostgreSQL: ") || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", what, err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: held up for %s", what, took)
		}
	}
	server.Kill(t)
	fails("dead", "")
	server.Resume(t)
	add(t, s, next())
	server.Freeze(t)
	fails("frozen", "")
	server.Thaw(t)
	add(t, s, next())
	server.Do(t, "postgres", "ALTER DATABASE kanmon1 SET default_transaction_read_only = on; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'kanmon1'")
	var err error
	waitUntil(t, "it is read", func() bool { // a connection that was cut is found out by the first who uses it
		_, _, err = s.Attempts(t.Context(), history.Filter{}, history.Page{})
		return err == nil
	})
	waitUntil(t, "it is read by who writes", func() bool {
		_, err = s.Mark(t.Context(), "records")
		return err == nil
	})
	fails("read-only", "read-only")
	server.Do(t, "postgres", "ALTER DATABASE kanmon1 RESET default_transaction_read_only; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'kanmon1'")
	waitUntil(t, "history goes on", func() bool {
		err = s.Add(t.Context(), []history.Line{next()}, "records", history.Mark{File: "h"})
		return err == nil
	})
	if m, err := s.Mark(t.Context(), "records"); err != nil || m.File != "h" {
		t.Errorf("%+v, %v", m, err)
	}
}

// A gateway that is upgraded changes the tables for those that are not yet: they go on with what they know, or say why not.
func TestTablesOfALaterRelease(t *testing.T) {
	server := pgtest.Start(t)
	database := server.Database(t)
	add(t, open(t, database, "gw1"), historytest.NewFeed("gw1", historytest.Noon).Attempt(mail(historytest.Noon, "")))
	server.Do(t, "kanmon1", "INSERT INTO kanmon.schema_version (step, needs) VALUES (98, 1); ALTER TABLE kanmon.line ADD COLUMN later text")
	add(t, open(t, database, "gw2"), historytest.NewFeed("gw2", historytest.Noon).Attempt(mail(historytest.Noon, "")))
	server.Do(t, "kanmon1", "INSERT INTO kanmon.schema_version (step, needs) VALUES (99, 99)")
	if _, err := open(t, database, "gw3").Mark(t.Context(), "records"); err == nil || !strings.Contains(err.Error(), "upgrade it") {
		t.Errorf("%v", err)
	}
}
