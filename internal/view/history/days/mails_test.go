package days_test

import (
	"testing"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
)

// Whoever sends thousands of mails under one Message-ID makes one mail of very many attempts, and that is found as any other is.
func TestAMailOfThousandsOfAttemptsIsFound(t *testing.T) {
	s := open(t, t.TempDir())
	at := time.Date(2026, 11, 29, 1, 0, 0, 0, time.UTC)
	feed := historytest.NewFeed("gw1", at)
	var lines []history.Line
	const attempts = 6000
	for i := range attempts {
		lines = append(lines, feed.Attempt(historytest.Mail{
			At: at.Add(time.Duration(i) * time.Second), Sender: "a@acme.example", To: []string{"b@example.com"}, MessageID: "always@acme.example",
			Dot: historytest.Reply(451, "4.7.1 Try again later", time.Millisecond),
		}))
	}
	if err := s.Add(t.Context(), lines, "", history.Mark{}); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.Attempts(t.Context(), history.Filter{}, history.Page{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d attempts, %v", len(list), err)
	}
	mails, next, err := s.Mails(t.Context(), history.Filter{Mail: list[0].Mail}, history.Page{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(mails) != 1 || next != "" || mails[0].Tries != attempts {
		t.Errorf("%d mails, next %q", len(mails), next)
	}
}
