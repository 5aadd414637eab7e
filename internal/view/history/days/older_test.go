package days

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
)

// toFirst makes a day's file one of the first schema, as it was before refusals were added up by tenant, provider and sending IP.
const toFirst = `
	DROP INDEX day_line_tenant;
	ALTER TABLE day_refusal RENAME TO day_refusal_now;
	CREATE TABLE day_refusal (
		class INTEGER NOT NULL, rule INTEGER NOT NULL, shape INTEGER NOT NULL, tenant INTEGER NOT NULL, provider INTEGER NOT NULL, ip INTEGER NOT NULL,
		count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (class, rule, shape, tenant, provider, ip)
	) WITHOUT ROWID;
	INSERT INTO day_refusal SELECT class, rule, shape, tenant, provider, ip, count, first, last FROM day_refusal_now WHERE per = 7;
	DROP TABLE day_refusal_now;
	DELETE FROM day_schema WHERE version > 1`

// Days that an older kanmon has kept are brought up to date by who writes, whatever is left of them, and say the same as before.
func TestDaysOfAnOlderKanmonAreBroughtUpToDate(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	mails, lines := refusedMails()
	if err := s.Add(t.Context(), lines, source, history.Mark{File: "f", Offset: 7}); err != nil {
		t.Fatal(err)
	}
	refusalsAre(t, s, mails)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.detail.db"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		older(t, path)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	refusalsAre(t, s, mails)
	if m, err := s.Mark(t.Context(), source); err != nil || m.Offset != 7 {
		t.Errorf("it was read as far as %+v, %v", m, err)
	}
}

func older(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), toFirst); err != nil {
		t.Fatal(err)
	}
}

// A refusedMail is one of those that are told apart by everything that refusals are added up by.
type refusedMail struct {
	tenant, provider, ip string
	of                   int // what was said
}

const saidOf = 3 // texts

// refusedMails are lines of mails that were refused, of several tenants, providers and sending IPs, on two days.
func refusedMails() (mails []refusedMail, lines []history.Line) {
	f, r := historytest.NewFeed("gw1", historytest.Noon), rand.New(rand.NewPCG(3, 4))
	for i := range 400 {
		m := refusedMail{fmt.Sprint("t", r.IntN(4)), [...]string{"google", "docomo", "yahoo"}[r.IntN(3)], fmt.Sprint("203.0.113.1", r.IntN(3)), r.IntN(saidOf)}
		word := [saidOf]string{"busy", "listed", "no such user"}[m.of]
		mails = append(mails, m)
		lines = append(lines, f.Attempt(historytest.Mail{
			At: historytest.Noon.Add(time.Duration(i) * 5 * time.Minute), Tenant: m.tenant, Provider: m.provider, SendingIP: m.ip, Sender: "s@t.example", To: []string{"p@x.example"},
			Dot: historytest.Meaning(historytest.Reply(451, "4.3.0 "+word, time.Second), "class "+word, "receiver", "rule"),
		}))
	}
	return mails, lines
}

// refusalsAre asks for refusals of all, and of each tenant, provider and sending IP with each of the others, and compares what is said with the mails themselves.
func refusalsAre(t *testing.T, s *Store, mails []refusedMail) {
	t.Helper()
	for _, of := range mails[:25] {
		for per := range perEach {
			filter, want := of.sumsOf(per, mails)
			got, _, err := s.Shapes(t.Context(), filter, history.Page{})
			if err != nil || len(got) != len(want) {
				t.Fatalf("%+v: %d refusals, want %d: %v", filter, len(got), len(want), err)
			}
			for _, is := range got {
				if sum := want[is.Shape]; sum == nil || is.Count != sum.count || is.Tenants != len(sum.tenants) || !slices.Equal(is.Providers, sorted(sum.providers)) || len(is.SendingIPs) != len(sum.ips) {
					t.Fatalf("%+v: %+v, want %+v", filter, is, sum)
				}
			}
		}
	}
}

// sumsOf gives a filter that wants some of what a mail has, and what it is to find.
func (m *refusedMail) sumsOf(per int, mails []refusedMail) (of history.Filter, sums map[string]*shapeSum) {
	if per&perTenant != 0 {
		of.Tenant = m.tenant
	}
	if per&perProvider != 0 {
		of.Provider = m.provider
	}
	if per&perIP != 0 {
		of.SendingIP = netip.MustParseAddr(m.ip)
	}
	g := &grouping{sums: map[shapeKey]*shapeSum{}}
	sums = map[string]*shapeSum{}
	for _, o := range mails {
		if of.Tenant != "" && o.tenant != of.Tenant || of.Provider != "" && o.provider != of.Provider || of.SendingIP.IsValid() && o.ip != m.ip {
			continue
		}
		shape := [saidOf]string{"busy", "listed", "no such user"}[o.of]
		sum := g.sum(shapeKey{shape: shape})
		sum.count++
		sum.tenants[o.tenant], sum.providers[o.provider], sum.ips[o.ip] = true, true, true
		sums[shape] = sum
	}
	return of, sums
}
