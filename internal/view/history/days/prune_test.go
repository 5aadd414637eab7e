package days_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
	"kanmon/internal/view/history/historytest"
)

const aDay = 24 * time.Hour

// month adds some days: of each a mail that was delivered, one that was deferred and came again, a session that its MX turned away, and news.
func month(t *testing.T, s *days.Store, n int) {
	t.Helper()
	for d := range n {
		at := historytest.Noon.Add(time.Duration(d) * aDay)
		f := historytest.NewFeed("gw1", at)
		m := historytest.Mail{
			At: at, Tenant: "acme", Account: "a@acme.example", Provider: "google", SendingIP: "203.0.113.11", Sender: "a@acme.example", To: []string{"good@x.example"}, Octets: 1000,
			Session: event.ID(100 + d),
		}
		late := m
		late.To, late.Session = []string{"late@x.example"}, event.ID(200+d)
		late.Dot = historytest.Meaning(historytest.Reply(451, "4.3.0 busy", time.Second), "system_error", "receiver", "busy")
		again := late
		again.Dot, again.At = nil, at.Add(time.Hour)
		lines := []history.Line{
			f.Attempt(m), f.Line("session", at, historytest.M{"session": m.Session.String(), "transactions": 1, "delivered": 1, "end_reason": "quit"}),
			f.Attempt(late), f.Line("session", at, historytest.M{"session": late.Session.String(), "transactions": 1, "delivered": 0, "end_reason": "quit"}),
			f.Attempt(again), f.Line("order", at, historytest.M{"by": "root", "tenant": "acme", "action": "block"}),
		}
		if err := s.Add(t.Context(), lines, "month", history.Mark{File: "f", Offset: int64(d), At: at}); err != nil {
			t.Fatal(err)
		}
	}
}

type left struct {
	attempts, good, late, sessions, events, refusals int
	counted                                          int64
}

func leftIn(t *testing.T, s *days.Store, day int) (l left) {
	t.Helper()
	ctx := t.Context()
	of := history.Filter{From: historytest.Noon.Truncate(aDay).Add(time.Duration(day) * aDay)}
	of.To = of.From.Add(aDay)
	number := func(of history.Filter) int {
		t.Helper()
		all, _, err := s.Attempts(ctx, of, history.Page{})
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	l.attempts = number(of)
	good, late := of, of
	good.Recipient, late.Recipient = "good@x.example", "late@x.example"
	l.good, l.late = number(good), number(late)
	for _, id := range []int{100, 200} {
		all, err := s.Session(ctx, event.ID(id+day))
		if err != nil {
			t.Fatal(err)
		}
		l.sessions += len(all)
	}
	news, _, err := s.Events(ctx, history.EventsOf{From: of.From, To: of.To}, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	l.events = len(news)
	shapes, _, err := s.Shapes(ctx, of, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	l.refusals = len(shapes)
	sums, err := s.Counts(ctx, history.CountsOf{Filter: of})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range sums {
		l.counted += c.Attempts
	}
	return l
}

var (
	whole    = left{3, 1, 2, 5, 1, 1, 3}
	troubled = left{2, 0, 2, 3, 1, 1, 3} // the attempt that was delivered at last is of a mail in trouble
	counted  = left{0, 0, 0, 0, 1, 1, 3}
	nothing  = left{}
)

func is(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

// A day loses what was delivered first, then all single mails, and roll-ups and news last; what was read of the records is still known.
func TestDaysLoseWhatIsOlderThanIsKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	month(t, s, 12)
	reader, err := days.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	is(t, "before", leftIn(t, reader, 0), whole)
	now := historytest.Noon.Add(11 * aDay)
	keep := history.Keep{Detail: 2 * aDay, Trouble: 5 * aDay, Counts: 8 * aDay}
	gone, err := s.Prune(t.Context(), now, keep)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "gone", gone, history.Pruned{Detail: 6, Counts: 3})
	for i := range 2 { // the second time there is nothing to do
		for _, who := range []*days.Store{s, reader} {
			for day, want := range map[int]left{0: nothing, 2: nothing, 3: counted, 5: counted, 6: troubled, 8: troubled, 9: whole, 11: whole} {
				is(t, time.Duration(day).String(), leftIn(t, who, day), want)
			}
		}
		if gone, err = s.Prune(t.Context(), now, keep); err != nil || gone != (history.Pruned{}) {
			t.Errorf("%d: %+v, %v", i, gone, err)
		}
	}
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begin := historytest.Noon.Truncate(aDay)
	is(t, "detail", st.Detail, [2]time.Time{begin.Add(9 * aDay), begin.Add(11 * aDay)})
	is(t, "trouble", st.Trouble, [2]time.Time{begin.Add(6 * aDay), begin.Add(11 * aDay)})
	is(t, "counts", st.Counts, [2]time.Time{begin.Add(3 * aDay), begin.Add(11 * aDay)})
	is(t, "shortened", st.Shortened, false)
	month(t, s, 12) // all comes again
	for day, want := range map[int]left{3: counted, 6: troubled, 11: whole} {
		is(t, "again", leftIn(t, s, day), want)
	}
	names, err := filepath.Glob(filepath.Join(dir, "2026*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(name, "2026-11-20.trouble") || strings.HasSuffix(name, ".gone") {
			t.Errorf("%s is still there", name)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "main.db")); err != nil {
		t.Fatal(err)
	}
	is(t, "refusals where the main file is made anew", leftIn(t, open(t, dir), 3), counted)
}

// Where the files have more than they may, detail goes first, from the oldest day on, and Status says so. The newest day stays.
func TestDetailGoesFirstForSize(t *testing.T) {
	s := open(t, t.TempDir())
	month(t, s, 6)
	before, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := historytest.Noon.Add(6 * aDay)
	gone, err := s.Prune(t.Context(), now, history.Keep{Octets: 2 * before.Octets})
	if err != nil || gone != (history.Pruned{}) {
		t.Errorf("enough room: %+v, %v", gone, err)
	}
	gone, err = s.Prune(t.Context(), now, history.Keep{Octets: 1})
	if err != nil {
		t.Fatal(err)
	}
	is(t, "gone", gone, history.Pruned{Detail: 5, Trouble: 5, ForSize: true})
	is(t, "oldest", leftIn(t, s, 0), counted)
	is(t, "newest", leftIn(t, s, 5), whole)
	after, err := s.Status(t.Context())
	if err != nil || !after.Shortened || after.Octets >= before.Octets || after.Attempts != before.Attempts {
		t.Errorf("%+v, before %+v, %v", after, before, err)
	}
}

// A day that a clock gone wrong has named stays as long as others, counted from when it was written, and is the first that loses detail for size: today is not
// shortened for its sake.
func TestADayThatIsStillToComeIsNotKeptForEver(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	month(t, s, 3)
	ahead := 2000
	f := historytest.NewFeed("gw2", historytest.Noon)
	line := f.Line("order", historytest.Noon.Add(time.Duration(ahead)*aDay), historytest.M{"by": "root", "tenant": "acme", "action": "block"})
	if err := s.Add(t.Context(), []history.Line{line}, "", history.Mark{}); err != nil {
		t.Fatal(err)
	}
	now := historytest.Noon.Add(2 * aDay)
	if gone, err := s.Prune(t.Context(), now, history.Keep{Octets: 1}); err != nil || gone != (history.Pruned{Detail: 3, Trouble: 3, ForSize: true}) {
		t.Errorf("for size: %+v, %v", gone, err)
	}
	is(t, "today", leftIn(t, s, 2), whole)
	is(t, "to come", leftIn(t, s, ahead).events, 1)
	name, err := filepath.Glob(filepath.Join(dir, "2032-*.counts.db"))
	if err != nil || len(name) != 1 {
		t.Fatal(name, err)
	}
	written := now.Add(-8 * aDay)
	if err := os.Chtimes(name[0], written, written); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Prune(t.Context(), now, history.Keep{Counts: 7 * aDay}); err != nil || gone.Counts != 1 {
		t.Errorf("by time: %+v, %v", gone, err)
	}
	is(t, "to come", leftIn(t, s, ahead).events, 0)
}

// What a crash leaves of a file that was being made, or discarded, harms nothing.
func TestHalfAPruneIsDoneAnew(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	month(t, s, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begun := open(t, filepath.Join(dir, "other"))
	month(t, begun, 1)
	if _, err := begun.Prune(t.Context(), historytest.Noon.Add(5*aDay), history.Keep{Detail: aDay}); err != nil {
		t.Fatal(err)
	}
	if err := begun.Close(); err != nil {
		t.Fatal(err)
	}
	day := filepath.Join(dir, historytest.Noon.Format(time.DateOnly))
	if err := os.Rename(filepath.Join(dir, "other", filepath.Base(day)+".trouble.db"), day+".trouble.db"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "2026-11-01.detail.db-wal"), []byte("what a crash left"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "2026-11-01.detail.db-wal")); err == nil {
		t.Error("a WAL without its file is still there")
	}
	is(t, "with both files", leftIn(t, s, 0), whole)
	if _, err := s.Prune(t.Context(), historytest.Noon.Add(4*aDay), history.Keep{Detail: 2 * aDay}); err != nil {
		t.Fatal(err)
	}
	is(t, "done anew", leftIn(t, s, 0), troubled)
}

// What is noted of searches is kept for as long as anything is.
func TestOldSearchesAreForgotten(t *testing.T) {
	s, err := days.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := historytest.Noon
	for _, age := range []time.Duration{50 * time.Hour, time.Hour} {
		if err := s.Searched(t.Context(), history.Search{At: now.Add(-age), By: "alice", What: age.String()}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Prune(t.Context(), now, history.Keep{Counts: 48 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	all, _, err := s.Searches(t.Context(), history.Page{})
	if err != nil || len(all) != 1 || all[0].What != "1h0m0s" {
		t.Errorf("%+v, %v", all, err)
	}
}
