package days

import (
	"testing"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
)

// An MX that never says the same twice costs a day no more than so many shapes, and leaves room for what others are told.
func TestAStrangersWordsTakeOnlySoMuch(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := historytest.NewFeed("gw1", historytest.Noon)
	refused := func(i int, tenant, text string) history.Line {
		return f.Attempt(historytest.Mail{
			At: historytest.Noon.Add(time.Duration(i) * time.Millisecond), Tenant: tenant, Provider: "p", To: []string{"a@x.example"},
			Dot: historytest.Meaning(historytest.Reply(550, text, 0), "content_rejected", "message", "spam"),
		})
	}
	const letters = "abcdefghijklmnopqrstuvwxyz"
	word := func(i int) (w string) {
		for ; i > 0 || w == ""; i /= len(letters) {
			w += string(letters[i%len(letters)])
		}
		return w
	}
	for from := 0; from < mostShapes/2+1000; from += 5500 {
		var lines []history.Line
		for i := range 5500 {
			lines = append(lines, refused(from+i, "greedy", "go away "+word(from+i)))
		}
		if err := s.Add(t.Context(), lines, "", history.Mark{}); err != nil {
			t.Fatal(err)
		}
		if err := s.drop(dayOf(historytest.Noon)); err != nil { // as behind a start
			t.Fatal(err)
		}
	}
	if err := s.Add(t.Context(), []history.Line{refused(90_000, "other", "we do not like this")}, "", history.Mark{}); err != nil {
		t.Fatal(err)
	}
	all, _, err := s.Shapes(t.Context(), history.Filter{Tenant: "other"}, history.Page{})
	if err != nil || len(all) != 1 || all[0].Shape != "we do not like this" {
		t.Errorf("%+v, %v", all, err)
	}
	first, _, err := s.Shapes(t.Context(), history.Filter{}, history.Page{Limit: 1})
	if err != nil || first[0].Shape != otherShape || first[0].Count < 500 {
		t.Errorf("%+v, %v", first, err)
	}
	b, err := s.book(dayOf(historytest.Noon))
	if err != nil || b.shapes > mostShapes/2+2 {
		t.Errorf("%d shapes, %v", b.shapes, err)
	}
	var kept int
	if err := s.main.f.QueryRowContext(t.Context(), "SELECT count(*) FROM main_shape").Scan(&kept); err != nil || kept > b.shapes+2 {
		t.Errorf("of %d it is kept when they were seen first, %v", kept, err)
	}
}
