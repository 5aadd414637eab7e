package days

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
	"kanmon/internal/view/history/index"
)

// steps are what SQLite says that it will do.
func (v *volume) steps(t *testing.T, query string, args ...any) (all string) {
	t.Helper()
	err := each(t.Context(), v.f, "EXPLAIN QUERY PLAN "+query, func(scan func(...any) error) error {
		var n, parent, none int
		var step string
		err := scan(&n, &parent, &none, &step)
		all += step + "\n"
		return err
	}, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all
}

// Nothing that is asked of single attempts reads a table from end to end, or puts in order what it has read: it takes as much as a page has, however much there is.
func TestNoQuestionReadsAWholeDay(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Add(t.Context(), story()[:2000], source, history.Mark{}); err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr("203.0.113.11")
	for name, of := range map[string]history.Filter{
		"nothing": {}, "tenant": {Tenant: "t1"}, "account": {Account: "a@t1"}, "provider": {Provider: "google"}, "ip": {SendingIP: ip}, "mx": {MX: netip.MustParseAddr("198.51.100.22")},
		"sender": {Sender: "s@t.example"}, "recipient": {Recipient: "p1@x1.example"}, "domain": {Recipient: "@x1.example"}, "id": {ID: "m1"}, "session": {Session: 0x1000},
		"outcome": {Outcomes: []string{"deferred"}}, "two outcomes": {Outcomes: []string{"deferred", "delivered"}}, "class": {Class: "system_error"},
		"shape": {Shape: "busy, try # again"}, "class and shape": {Class: "system_error", Shape: "busy, try # again"}, "mail": {Mail: index.MailName(mailOfFirst(dayOf(historytest.Noon), 5))},
		"a mail with an id": {Mail: index.MailName(index.ByID | 7)}, "gateway": {Gateway: "gw1"},
		"tenant there": {Tenant: "t1", Provider: "google"},
		"much":         {Tenant: "t1", Provider: "google", SendingIP: ip, Outcomes: []string{"deferred"}, Class: "system_error", Recipient: "@x1.example"},
	} {
		err := s.reading.with(dayOf(historytest.Noon), func(v *volume) error {
			p, err := v.plan(t.Context(), &of)
			if err != nil || p == nil {
				t.Errorf("%s: there is no way: %v", name, err)
				return err
			}
			steps := v.steps(t, p.query, append(p.args, int64(1<<40), int64(0), chunk)...)
			for step := range strings.Lines(steps) {
				ordered := strings.HasPrefix(of.Mail, "0") || of.Shape != "" || of.Class != "" // few: of one mail; of refusals, each by its number
				if strings.HasPrefix(step, "SCAN") || strings.Contains(step, "TEMP B-TREE FOR ORDER BY") && !ordered {
					t.Errorf("%s: %s%s", name, steps, p.query)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	const aDay = 24 * time.Hour
	for name, of := range map[string]history.CountsOf{
		"all": {}, "by outcome": {By: []string{history.ByOutcome}, Step: 5 * time.Minute}, "tenant": {Filter: history.Filter{Tenant: "t1"}, Step: aDay},
		"tenants of a provider": {Filter: history.Filter{Provider: "google"}, By: []string{history.ByTenant}}, "account": {Filter: history.Filter{Tenant: "t1", Account: "a@t1"}, Step: aDay},
		"by hour": {Filter: history.Filter{Provider: "google"}, Step: time.Hour},
	} {
		err := s.reading.with(dayOf(historytest.Noon), func(v *volume) error {
			q := countsQuery{Summing: index.Summing{Step: of.Step}, of: of}
			query, args, err := q.statement(t.Context(), v)
			if err != nil || query == "" {
				t.Errorf("%s: %q, %v", name, query, err)
				return err
			}
			if steps := v.steps(t, query, args...); strings.Contains(steps, "SCAN day_") {
				t.Errorf("counts by %s: %s", name, steps)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Refusals of whole days are read from sums that have nothing else, and whose they were from what one shape has, or one tenant.
func TestRefusalsAreReadFromTheirSums(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Add(t.Context(), story()[:2000], source, history.Mark{}); err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr("203.0.113.11")
	const sum, tenant, shape, atProvider = "(per=? AND tenant=? AND provider=? AND ip=?)", "(per=? AND tenant=?", "shape=? AND per=?", "shape=? AND per=? AND provider=?"
	for name, is := range map[string]struct {
		of  history.Filter
		who [len(whoseColumns)]string // by what those of each column are found
	}{
		"all":      {history.Filter{}, [...]string{atProvider, shape, atProvider}},
		"tenant":   {history.Filter{Tenant: "t1"}, [...]string{tenant, tenant, tenant}},
		"provider": {history.Filter{Provider: "google"}, [...]string{atProvider, atProvider, atProvider}},
		"ip":       {history.Filter{SendingIP: ip}, [...]string{atProvider, shape, atProvider}},
	} {
		err := s.reading.with(dayOf(historytest.Noon), func(v *volume) error {
			g := &grouping{of: &is.of}
			from, err := g.refusals(t.Context(), v)
			if err != nil {
				return err
			}
			query, args := from.groups()
			if steps := v.steps(t, query, args...); !strings.Contains(steps, sum) {
				t.Errorf("%s: %s", name, steps)
			}
			for i, want := range is.who {
				query, args := from.names(i)
				if steps := v.steps(t, query, append(args, 1, 1, 1)...); !strings.Contains(steps, want) {
					t.Errorf("%s by %s: %s", name, whoseColumns[i], steps)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A day is made anew in one go through its lines, however many there are.
func TestLessOfADayIsReadInOrder(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Add(t.Context(), story()[:2000], source, history.Mark{}); err != nil {
		t.Fatal(err)
	}
	err = s.reading.with(dayOf(historytest.Noon), func(v *volume) error {
		if steps := v.steps(t, strings.ReplaceAll(nextLines, "old.", ""), -1, 2000); !strings.HasPrefix(steps, "SEARCH day_line USING INTEGER PRIMARY KEY") || strings.Contains(steps, "TEMP B-TREE") {
			t.Errorf("%s", steps)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
