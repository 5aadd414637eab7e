package story

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
)

// keepHostile gives a history of mails that are hostile wherever a stranger writes.
func keepHostile(t *testing.T, n int) history.Store {
	t.Helper()
	e, err := journal.NewEncoder(journal.Options{Gateway: Tokyo, Run: monday, Identify: true})
	if err != nil {
		t.Fatal(err)
	}
	store, err := days.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var some []history.Line
	for i, text := range Hostile(2, n) {
		raw := bytes.TrimSuffix(e.Append(nil, hostileMail(text, i)), []byte("\n"))
		entry, err := event.ParseEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		some = append(some, history.Line{Raw: raw, Entry: entry})
		if len(some) == 2000 || i == n-1 {
			if err := store.Add(t.Context(), some, "hostile", history.Mark{File: "hostile"}); err != nil {
				t.Fatal(err)
			}
			some = nil
		}
	}
	return store
}

// Nothing that strangers wrote acts on a terminal, whoever is told of their mails in which language, and a cell of none of their tables is a formula. KANMON_HOSTILE=full
// looks at ten thousand.
func TestHostileTextsActOnNobodyWhoLooks(t *testing.T) {
	n := 2000
	if os.Getenv("KANMON_HOSTILE") == "full" {
		n = 10_000
	}
	store := keepHostile(t, n)
	f := &find.Finder{Store: store}
	ctx := context.Background()
	seen := 0
	for page := (history.Page{}); ; {
		mails, next, err := store.Mails(ctx, history.Filter{Tenant: "acme"}, page)
		if err != nil {
			t.Fatal(err)
		}
		for i := range mails {
			seen += mails[i].Tries                                    // what is the same, its ids included, is one mail
			harmless(t, f, find.Mail{Mail: mails[i]}, find.Lang(i%2)) //nolint:gosec // one of two
		}
		if page.After = next; next == "" || t.Failed() {
			break
		}
	}
	if seen != n {
		t.Errorf("%d attempts are told of", seen)
	}
}

// harmless looks at all that is told of a mail.
func harmless(t *testing.T, f *find.Finder, m find.Mail, lang find.Lang) {
	t.Helper()
	teller := find.Teller{Lang: lang, In: time.UTC}
	d, err := f.Detail(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	told := teller.Tell(d)
	var screen bytes.Buffer
	if err := teller.Print(&screen, &told); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"the screen": screen.String(), "the letter to the customer": teller.ForCustomer(d), "the letter to the postmaster": teller.ForPostmaster(d, nil), "the sentence": teller.Sentence(&m),
	} {
		if at, is := acts([]byte(text)); is {
			t.Errorf("%s acts at %q:\n%q", what, text[at:min(len(text), at+40)], text)
		}
	}
	row := teller.Row(context.Background(), f, &m)
	for _, cell := range row.Cells() {
		if formula(cell) {
			t.Errorf("a cell is a formula: %q", cell)
		}
		if at, is := acts([]byte(cell)); is {
			t.Errorf("a cell acts at %q: %q", cell[at:], cell)
		}
	}
}

// formula reports whether a spreadsheet takes a cell for one.
func formula(cell string) bool {
	cell = strings.TrimLeft(cell, " \u00a0\u3000")
	return cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") || strings.HasPrefix(cell, "＝") || strings.HasPrefix(cell, "＋") || strings.HasPrefix(cell, "－") || strings.HasPrefix(cell, "＠")
}
