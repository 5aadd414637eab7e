package historytest

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// Noon is when the suite's stories are.
var Noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// Opener makes an empty store, which is closed with the test.
type Opener func(t *testing.T) history.Store

// Run tries a store.
func Run(t *testing.T, open Opener) {
	for name, try := range map[string]func(*testing.T, history.Store){
		"a line that comes twice counts once":                     onceOnly,
		"an attempt is found by all it is known by":               foundByAll,
		"a reference leads to what was judged":                    byReference,
		"a page ends where the next begins":                       pages,
		"a whole line comes back":                                 wholeLine,
		"attempts are joined by message id":                       joinedByID,
		"attempts are joined probably where no id says so":        joinedProbably,
		"mails of one message id are told apart":                  oneIDApart,
		"two mails to one recipient are told apart by their size": toldApart,
		"what some recipients have the others wait for":           partly,
		"counts are the sum of attempts":                          counts,
		"times are counted in buckets":                            times,
		"refusals are grouped by meaning and shape":               shapes,
		"refusals of one gateway, or outcome, are told apart":     shapesOfOne,
		"refusals of no tenant are grouped, too":                  shapesOfNobody,
		"sources without a tenant are no one's others":            sourcesApart,
		"news come newest first and by type":                      news,
		"what waits is what was deferred and not seen since":      waiting,
		"a mark stands with what came before it":                  marks,
		"searches are noted":                                      searches,
		"status says what there is":                               status,
		"a rescue is told of its attempt":                         rescued,
		"lines of a session come in order, over midnight, too":    session,
	} {
		t.Run(name, func(t *testing.T) { try(t, open(t)) })
	}
}

func add(t *testing.T, s history.Store, lines ...history.Line) {
	t.Helper()
	if err := s.Add(t.Context(), lines, "test", history.Mark{File: "f", Offset: int64(len(lines)), At: Noon}); err != nil {
		t.Fatal(err)
	}
}

func attempts(t *testing.T, s history.Store, of history.Filter) []history.Attempt {
	t.Helper()
	all, _, err := s.Attempts(t.Context(), of, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mails(t *testing.T, s history.Store, of history.Filter) []history.Mail {
	t.Helper()
	all, _, err := s.Mails(t.Context(), of, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func is[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func plain(at time.Time, to ...string) Mail {
	return Mail{
		At: at, Tenant: "acme", Account: "news@acme.example", Provider: "google", SendingIP: "203.0.113.11", Sender: "news@acme.example", To: to, Octets: 5000,
	}
}

func greylisted(m Mail, to ...string) Mail {
	m.Refused = map[string]M{}
	for _, r := range to {
		m.Refused[r] = Meaning(Reply(450, "4.2.0 <"+r+">: Recipient address rejected: Greylisted for 300 seconds", time.Second), "greylisted", "receiver", "greylist")
	}
	return m
}

func onceOnly(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	a, b := f.Attempt(plain(Noon, "a@x.example")), f.Attempt(plain(Noon.Add(24*time.Hour), "b@x.example"))
	add(t, s, a, b)
	add(t, s, b, a, f.Attempt(plain(Noon.Add(time.Minute), "c@x.example")), a)
	is(t, "attempts", len(attempts(t, s, history.Filter{})), 3)
	all, err := s.Counts(t.Context(), history.CountsOf{})
	if err != nil || len(all) != 1 || all[0].Attempts != 3 {
		t.Errorf("counts %+v, %v", all, err)
	}
}

func foundByAll(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	m := greylisted(plain(Noon, "Alice@X.example", "bob@x.example"), "bob@x.example")
	m.MessageID, m.QueueID, m.Session = "1@acme.example", "4jZZ", 77
	add(t, s, f.Attempt(m), f.Attempt(Mail{
		At: Noon.Add(time.Minute), Tenant: "other", Account: "x@other.example", Provider: "docomo", SendingIP: "203.0.113.12", Sender: "x@other.example", To: []string{"c@y.example"},
		More: M{"destination": "198.51.100.99:25"}, Dot: Meaning(Reply(554, "5.7.1 spam", time.Second), "content_rejected", "message", "spam"),
	}), NewFeed("gw2", Noon).Attempt(plain(Noon.Add(2*time.Minute), "d@z.example")))
	first := attempts(t, s, history.Filter{Gateway: "gw1", Tenant: "acme"})
	if len(first) != 1 {
		t.Fatalf("attempts of acme at gw1: %v", first)
	}
	a := first[0]
	for name, of := range map[string]history.Filter{
		"account": {Account: "news@acme.example", Gateway: "gw1"}, "provider": {Provider: "google", To: Noon.Add(time.Second)}, "ip": {SendingIP: a.SendingIP, Gateway: "gw1"},
		"mx": {MX: a.Destination.Addr(), Gateway: "gw1"}, "sender": {Sender: "NEWS@acme.example", Gateway: "gw1"}, "recipient": {Recipient: "alice@x.example"},
		"domain": {Recipient: "@x.example"}, "message id": {ID: "1@acme.example"}, "queue id": {ID: "4jZZ"}, "session": {Session: 77}, "class": {Class: "greylisted"},
		"shape": {Shape: history.ShapeOf("450 4.2.0 <bob@x.example>: Recipient address rejected: Greylisted for 300 seconds", "bob@x.example")},
		"mail":  {Mail: a.Mail}, "all": {Recipient: "bob@x.example", Sender: a.Sender, Tenant: "acme", Outcomes: []string{"delivered"}, ID: "4jZZ"},
		"time": {From: Noon, To: Noon.Add(time.Millisecond)},
	} {
		got := attempts(t, s, of)
		if len(got) != 1 || !reflect.DeepEqual(got[0], a) {
			t.Errorf("by %s: %+v, want %+v", name, got, a)
		}
	}
	for name, of := range map[string]history.Filter{
		"tenant": {Tenant: "none"}, "recipient": {Recipient: "x.example"}, "domain": {Recipient: "@X.exampl"}, "time": {From: Noon.Add(time.Hour)}, "outcome": {Outcomes: []string{"ambiguous"}},
		"both": {Recipient: "alice@x.example", Tenant: "other"}, "mail": {Mail: "nonsense"}, "class": {Class: "greylisted", Tenant: "other"},
	} {
		if got := attempts(t, s, of); len(got) != 0 {
			t.Errorf("by another %s: %+v", name, got)
		}
	}
	is(t, "refused", len(attempts(t, s, history.Filter{Outcomes: []string{"refused", "deferred"}})), 1)
}

func pages(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	var lines []history.Line
	for i := range 25 {
		lines = append(lines, f.Attempt(plain(Noon.Add(time.Duration(i)*5*time.Hour), "a@x.example")))
	}
	add(t, s, lines...)
	for _, of := range []history.Filter{{}, {Recipient: "a@x.example"}, {Tenant: "acme", From: Noon.Add(3 * time.Hour)}} {
		want := attempts(t, s, of)
		var got []history.Attempt
		page := history.Page{Limit: 4}
		for {
			some, next, err := s.Attempts(t.Context(), of, page)
			if err != nil || len(some) > 4 {
				t.Fatalf("%d, %v", len(some), err)
			}
			got = append(got, some...)
			if page.After = next; next == "" {
				break
			}
		}
		is(t, "pages", len(got), len(want))
		if !slices.IsSortedFunc(got, func(a, b history.Attempt) int { return b.At.Compare(a.At) }) || !reflect.DeepEqual(got, want) {
			t.Errorf("pages are not the whole: %v, want %v", got, want)
		}
	}
	if _, _, err := s.Attempts(t.Context(), history.Filter{}, history.Page{After: "nonsense"}); err == nil {
		t.Error("a page behind nonsense")
	}
}

func wholeLine(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	l := f.Attempt(plain(Noon, "a@x.example"))
	add(t, s, l)
	a, e, err := s.Attempt(t.Context(), history.Key{Gateway: "gw1", Run: f.Run, Line: 1})
	if err != nil || !reflect.DeepEqual(e, l.Entry) {
		t.Fatalf("%+v, %v", e, err)
	}
	is(t, "queue id of the MX", a.MXQueueID, "4jYHGY1Bkqz3Z")
	is(t, "slowest", a.Slowest, "dot")
	if _, _, err := s.Attempt(t.Context(), history.Key{Gateway: "gw1", Run: f.Run, Line: 2}); !errors.Is(err, history.ErrGone) {
		t.Errorf("%v", err)
	}
}

func session(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	midnight := Noon.Truncate(24 * time.Hour).Add(24 * time.Hour)
	m := plain(midnight.Add(-time.Second), "a@x.example")
	m.Session = 0x17f3a9c2b4d5e6f0
	first := f.Attempt(m)
	m.At = midnight.Add(time.Second)
	add(t, s, first, f.Attempt(m), f.Line("session", midnight.Add(2*time.Second), M{"session": m.Session.String(), "transactions": 2, "delivered": 2, "end_reason": "quit"}),
		f.Attempt(plain(midnight, "b@x.example")))
	all, err := s.Session(t.Context(), m.Session)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, e := range all {
		got = append(got, e.Line)
	}
	is(t, "lines", got, []uint64{1, 2, 3})
	none, err := s.Session(t.Context(), event.ID(99))
	if err != nil || len(none) > 0 {
		t.Errorf("%v, %v", none, err)
	}
}
