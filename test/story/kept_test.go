package story

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
)

// What history answers is what the stories tell.
func TestHistoryHasTheStories(t *testing.T) {
	store, l := keep(t)
	for name, holds := range map[string]func(*testing.T, history.Store, *Ledger){
		"attempts are joined into the mails that they are of": attemptsAreJoined,
		"counts are those of the ledger":                      countsAreRight,
		"who waits is who was deferred":                       whoWaits,
		"new words are seen":                                  newWordsAreSeen,
		"mails are found by their names":                      mailsAreFound,
		"news is kept":                                        newsIsKept,
	} {
		t.Run(name, func(t *testing.T) { holds(t, store, l) })
	}
}

// lines are those of all gateways, as they came.
type lines struct{ list []history.Line }

func (x *lines) take(_ string, line []byte) error {
	raw := slices.Clone(line[:len(line)-1])
	e, err := event.ParseEntry(raw)
	x.list = append(x.list, history.Line{Raw: raw, Entry: e})
	return err
}

// keep gives a store that has all lines, and the ledger.
func keep(t *testing.T) (history.Store, *Ledger) {
	t.Helper()
	all := new(lines)
	l, err := Tell(Options{Seed: 5, PerDay: 150}, all.take)
	if err != nil {
		t.Fatal(err)
	}
	store, err := days.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	for some := range slices.Chunk(all.list, 5000) {
		if err := store.Add(t.Context(), some, "story", history.Mark{File: "story", At: some[len(some)-1].Entry.At}); err != nil {
			t.Fatal(err)
		}
	}
	return store, l
}

// allMails gives all mails that a filter is about.
func allMails(t *testing.T, store history.Store, of history.Filter) (all []history.Mail) {
	t.Helper()
	page := history.Page{}
	for {
		mails, next, err := store.Mails(t.Context(), of, page)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mails...)
		if next == "" {
			return all
		}
		page.After = next
	}
}

func keysOf(m *Mail) (keys []history.Key) {
	for i := range m.Attempts {
		keys = append(keys, m.Attempts[i].Key)
	}
	slices.SortFunc(keys, byKey)
	return keys
}

func byKey(a, b history.Key) int {
	return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Run, b.Run), cmp.Compare(a.Line, b.Line))
}

// Attempts are joined into the mails that they are of, and no others; what has become of each is what the stories tell.
func attemptsAreJoined(t *testing.T, store history.Store, l *Ledger) {
	for _, s := range l.Stories {
		for _, m := range s.Mails[:min(len(s.Mails), 12)] { // those behind them are alike
			if s.Name == "hostile" { // who is not on record in the same letters
				continue
			}
			found := allMails(t, store, history.Filter{Recipient: m.Recipients[0], Sender: m.Sender, Tenant: m.Tenant})
			at := slices.IndexFunc(found, func(f history.Mail) bool {
				return slices.ContainsFunc(f.Attempts, func(a history.Attempt) bool { return a.Key == m.Attempts[0].Key })
			})
			if at < 0 {
				t.Errorf("%s: the mail to %s is not found among %d", s.Name, m.Recipients[0], len(found))
				continue
			}
			f := &found[at]
			var keys []history.Key
			for i := range f.Attempts {
				keys = append(keys, f.Attempts[i].Key)
			}
			slices.SortFunc(keys, byKey)
			if !slices.Equal(keys, keysOf(m)) || f.Tries != len(m.Attempts) {
				t.Errorf("%s: the mail to %s has attempts\n%v\nwant\n%v", s.Name, m.Recipients[0], keys, keysOf(m))
				continue
			}
			if !f.First.Equal(m.First().Truncate(time.Millisecond)) || !f.Last.Equal(m.Last().Truncate(time.Millisecond)) {
				t.Errorf("%s: the mail to %s is from %v to %v, want %v to %v", s.Name, m.Recipients[0], f.First, f.Last, m.First(), m.Last())
			}
			if history.StateOf(f.Attempts, l.To) != m.State {
				t.Errorf("%s: the mail to %s is %s, want %s", s.Name, m.Recipients[0], history.StateOf(f.Attempts, l.To), m.State)
			}
			for i, a := range f.Attempts {
				if want := &m.Attempts[i]; a.Outcome != want.Outcome || a.MXQueueID != want.MXQueueID || a.Reply.Class != want.Class && want.Class != "" || a.Rescued != want.Rescued {
					t.Errorf("%s: attempt %d of the mail to %s: %s, %q, %q, rescued %v; want %s, %q, %q, %v", s.Name, i, m.Recipients[0],
						a.Outcome, a.MXQueueID, a.Reply.Class, a.Rescued, want.Outcome, want.MXQueueID, want.Class, want.Rescued)
				}
			}
		}
	}
}

// What is added up is what was sent, by day and by whatever is asked for.
func countsAreRight(t *testing.T, store history.Store, l *Ledger) {
	type by = func(CountKey) CountKey
	for name, ask := range map[string]struct {
		by   []string
		step time.Duration
		key  by
	}{
		"tenant and outcome": {[]string{history.ByTenant, history.ByOutcome}, 24 * time.Hour, func(k CountKey) CountKey { return CountKey{Day: k.Day, Tenant: k.Tenant, Outcome: k.Outcome} }},
		"provider and IP":    {[]string{history.ByProvider, history.BySending}, 24 * time.Hour, func(k CountKey) CountKey { return CountKey{Day: k.Day, Provider: k.Provider, SendingIP: k.SendingIP} }},
		"account":            {[]string{history.ByTenant, history.ByAccount}, 24 * time.Hour, func(k CountKey) CountKey { return CountKey{Day: k.Day, Tenant: k.Tenant, Account: k.Account} }},
		"gateway, in all":    {[]string{history.ByGateway}, 0, func(k CountKey) CountKey { return CountKey{Gateway: k.Gateway} }},
	} {
		t.Run(name, func(t *testing.T) {
			counts, err := store.Counts(t.Context(), history.CountsOf{Filter: history.Filter{From: l.From, To: l.To}, Step: ask.step, By: ask.by})
			if err != nil {
				t.Fatal(err)
			}
			want := l.CountsBy(func(k CountKey) (CountKey, bool) { return ask.key(k), true })
			for _, c := range counts {
				k := ask.key(CountKey{Day: c.Begin, Gateway: c.Gateway, Provider: c.Provider, SendingIP: c.SendingIP, Tenant: c.Tenant, Account: c.Account, Outcome: c.Outcome})
				got := Count{Attempts: c.Attempts, First: c.First, Recipients: c.Recipients, Octets: c.Octets, Rescued: c.Rescued, TLS: c.TLS}
				if got != want[k] {
					t.Errorf("%+v: %+v, the ledger has %+v", k, got, want[k])
				}
				delete(want, k)
			}
			for k, n := range want {
				if k.Account == "" || n.Attempts > 50 { // by account, what is little and without trouble may be left out
					t.Errorf("%+v: none, the ledger has %+v", k, n)
				}
			}
		})
	}
}

// Who waits is who has been deferred last and not too long ago.
func whoWaits(t *testing.T, store history.Store, l *Ledger) {
	want := make(map[string]int64)
	for _, m := range l.Waiting(l.To) {
		want[m.Provider]++
	}
	for _, s := range l.Stories {
		for _, m := range s.Mails {
			if m.State == history.Waits && m.Attempts[len(m.Attempts)-1].Outcome == "deferred" {
				want[m.Provider]++
			}
		}
	}
	waiting, err := store.Waiting(t.Context(), history.Filter{}, l.To)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range waiting {
		sum := int64(0)
		for _, n := range w.Ages {
			sum += n
		}
		if sum != want[w.Provider] {
			t.Errorf("%d mails wait at %q, want %d", sum, w.Provider, want[w.Provider])
		}
		delete(want, w.Provider)
	}
	for provider, n := range want {
		t.Errorf("none waits at %q, want %d", provider, n)
	}
}

// What was said for the first time is told by when, how often, and to whom.
func newWordsAreSeen(t *testing.T, store history.Store, l *Ledger) {
	s := l.Story("new words")
	shapes, _, err := store.Shapes(t.Context(), history.Filter{From: s.Begin, To: s.End, Class: s.Class}, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(shapes, func(x history.Shape) bool { return x.Text == s.Text })
	if at < 0 {
		t.Fatalf("not among %+v", shapes)
	}
	x := shapes[at]
	if x.Count != int64(len(s.Mails)) || x.Tenants != 3 || !x.First.Equal(s.Mails[0].First().Truncate(time.Millisecond)) || x.Seen != s.Mails[0].Attempts[0].Key || x.One != "" {
		t.Errorf("%+v, want %d of 3 tenants since %v, %v", x, len(s.Mails), s.Mails[0].First(), s.Mails[0].Attempts[0].Key)
	}
	old := l.Story("old list")
	shapes, _, err = store.Shapes(t.Context(), history.Filter{From: old.Begin, To: old.End, Tenant: old.Tenant, Account: old.Account}, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if len(shapes) != 1 || shapes[0].Count != int64(old.Numbers["unknown"]) || shapes[0].One != old.Tenant {
		t.Errorf("the old list: %+v, want %d of %s", shapes, old.Numbers["unknown"], old.Tenant)
	}
}

// A mail is found by each of its names, and no other's mail with it.
func mailsAreFound(t *testing.T, store history.Store, l *Ledger) {
	attempts := func(of history.Filter) (keys []history.Key) {
		found, _, err := store.Attempts(t.Context(), of, history.Page{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			keys = append(keys, found[i].Key)
		}
		slices.SortFunc(keys, byKey)
		return keys
	}
	for _, s := range l.Stories {
		if len(s.Mails) > 60 || s.Name == "hostile" {
			continue
		}
		for _, m := range s.Mails {
			for i := range m.Attempts {
				a := &m.Attempts[i]
				if a.MXQueueID != "" && !slices.Equal(attempts(history.Filter{ID: a.MXQueueID}), []history.Key{a.Key}) {
					t.Errorf("%s: the MX's queue id %s finds %v", s.Name, a.MXQueueID, attempts(history.Filter{ID: a.MXQueueID}))
				}
				if got := attempts(history.Filter{Session: a.Session}); !slices.Contains(got, a.Key) {
					t.Errorf("%s: the session %s finds %v", s.Name, a.Session, got)
				}
			}
			for _, id := range []string{m.MessageID, m.QueueID} {
				if id != "" && !slices.ContainsFunc(attempts(history.Filter{ID: id}), func(k history.Key) bool { return slices.Contains(keysOf(m), k) }) {
					t.Errorf("%s: %s does not find it", s.Name, id)
				}
			}
		}
	}
	alike := l.Story("alike")
	got := attempts(history.Filter{Recipient: "@example.net", From: alike.Begin, To: alike.End, Sender: "info@acme.example"})
	if !slices.Equal(got, keysOf(alike.Mails[0])) {
		t.Errorf("@example.net finds %v, want %v", got, keysOf(alike.Mails[0]))
	}
	letters := l.Story("letters")
	if got := attempts(history.Filter{Recipient: "aLICE.letters@example.net"}); len(got) != len(letters.Mails) {
		t.Errorf("a recipient in other letters: %v", got)
	}
	often := l.Story("often")
	seen := 0
	for page := (history.Page{Limit: 100}); ; {
		found, next, err := store.Attempts(context.Background(), history.Filter{Recipient: "often@partner.example"}, page)
		if err != nil {
			t.Fatal(err)
		}
		if seen += len(found); next == "" {
			break
		}
		page.After = next
	}
	if seen != len(often.Mails) {
		t.Errorf("%d attempts over pages, want %d", seen, len(often.Mails))
	}
}

// All news is there, in order, and gaps are.
func newsIsKept(t *testing.T, store history.Store, l *Ledger) {
	for _, x := range []struct {
		story string
		of    history.EventsOf
		want  int
	}{
		{"listed", history.EventsOf{Types: []string{"changed"}, SendingIP: tokyoIPs[1]}, 4},
		{"hacked", history.EventsOf{Types: []string{"changed", "order"}, Account: "taro@cumulus.example", To: l.To}, 3},
		{"reload refused", history.EventsOf{Types: []string{"gateway"}, Gateway: Tokyo}, 1},
		{"killed", history.EventsOf{Types: []string{"gateway"}, Gateway: Osaka, To: l.Story("killed").End.Add(time.Second)}, 1},
		{"missing", history.EventsOf{Types: []string{"dropped"}}, 2},
		{"moved", history.EventsOf{Types: []string{"finding"}, Provider: "au", To: l.Story("moved").End.Add(time.Second)}, 2},
	} {
		s := l.Story(x.story)
		x.of.From = s.Begin
		if x.of.To.IsZero() {
			x.of.To = s.End
		}
		got, _, err := store.Events(t.Context(), x.of, history.Page{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != x.want {
			t.Errorf("%s: %d events, want %d: %+v", x.story, len(got), x.want, got)
		}
	}
	status, err := store.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Gaps != l.Gaps || status.Attempts != int64(l.Attempts) || status.BadLines != 0 {
		t.Errorf("%+v, want gaps of %d, %d attempts", status, l.Gaps, l.Attempts)
	}
}
