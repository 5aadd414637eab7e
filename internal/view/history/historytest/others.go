package historytest

import (
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

func news(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	add(t, s,
		f.Line("gateway", Noon, M{"action": "start", "version": "1"}),
		f.Line("changed", Noon.Add(time.Minute), M{"sending_ip": "203.0.113.11", "provider": "docomo", "state": "suspended", "session": "00000000000000aa"}),
		f.Line("order", Noon.Add(20*time.Hour), M{"by": "root", "tenant": "acme", "account": "news@acme.example", "action": "block"}),
		f.Line("heartbeat", Noon.Add(2*time.Minute), M{"up_ms": 1}),
		f.Line("refusal", Noon.Add(3*time.Minute), M{"session": "00000000000000aa", "action": "softened"}),
		f.Line("dropped", Noon.Add(4*time.Minute), M{"records": 7, "tenant": "acme"}),
		f.Line("unheard_of", Noon.Add(5*time.Minute), M{}),
		f.Line("changed", Noon.Add(6*time.Minute), M{"sending_ip": "203.0.113.12", "state": "suspended"}),
		f.Line("changed", Noon.Add(7*time.Minute), M{"tenant": "beta", "state": "slow"}),
		f.Line("sighting", Noon.Add(8*time.Minute), M{"sending_ip": "203.0.113.13", "list": "a.example", "state": "listed"}))
	ask := func(of history.EventsOf) (types []string) {
		t.Helper()
		page := history.Page{Limit: 2}
		for {
			some, next, err := s.Events(t.Context(), of, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range some {
				types = append(types, e.Type)
			}
			if page.After = next; next == "" {
				return types
			}
		}
	}
	is(t, "all", ask(history.EventsOf{}), []string{"order", "sighting", "changed", "changed", "unheard_of", "dropped", "changed", "gateway"})
	is(t, "types", ask(history.EventsOf{Types: []string{"heartbeat", "refusal"}}), []string{"refusal", "heartbeat"})
	is(t, "of a type that nobody knows yet", ask(history.EventsOf{Types: []string{"unheard_of"}}), []string{"unheard_of"})
	is(t, "of a session", ask(history.EventsOf{Session: 0xaa}), []string{"refusal", "changed"})
	is(t, "of an account", ask(history.EventsOf{Account: "news@acme.example"}), []string{"order"})
	is(t, "of a tenant", ask(history.EventsOf{Tenant: "acme"}), []string{"order", "dropped"})
	is(t, "of an IP", ask(history.EventsOf{SendingIP: netip.MustParseAddr("203.0.113.11"), Provider: "docomo"}), []string{"changed"})
	is(t, "of a provider, what holds everywhere as well", ask(history.EventsOf{Provider: "docomo"}), []string{"sighting", "changed", "changed"})
	is(t, "of a provider, with steps of the gateways", ask(history.EventsOf{Provider: "docomo", Types: []string{"gateway", "changed"}}), []string{"changed", "changed", "gateway"})
	is(t, "of an account, with steps of the gateways", ask(history.EventsOf{Tenant: "acme", Account: "news@acme.example", Types: []string{"gateway", "order"}}), []string{"order", "gateway"})
	is(t, "of an IP nobody knows, with steps of the gateways", ask(history.EventsOf{SendingIP: netip.MustParseAddr("203.0.113.99"), Types: []string{"gateway", "order"}}), []string{"gateway"})
	is(t, "of a time", ask(history.EventsOf{From: Noon.Add(time.Minute), To: Noon.Add(5 * time.Minute)}), []string{"dropped", "changed"})
}

// byReference is for what somebody reads out on the telephone: of a mail that was refused, or of one that was judged behind its end.
func byReference(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	judged := func(reference string) M {
		return M{"content": M{"lane": "hold", "done": "refuse", "reference": reference}}
	}
	refused := plain(Noon, "a@x.example")
	refused.Dot, refused.More = Reply(550, "5.7.1 kanmon: this message was judged to be spam; reference 7F3K-29CQ", time.Second), judged("7F3K-29CQ")
	other := plain(Noon.Add(time.Minute), "b@x.example")
	other.More = judged("8G4M-3ADR")
	behind := judged("9H5N-4BES")
	behind["session"], behind["number"], behind["tenant"], behind["account"] = "00000000000000aa", 1, "acme", "news@acme.example"
	add(t, s, f.Attempt(refused), f.Attempt(other), f.Line("judged", Noon.Add(2*time.Minute), behind))
	is(t, "the refused one", len(attempts(t, s, history.Filter{ID: "7F3K-29CQ"})), 1)
	is(t, "and no other", attempts(t, s, history.Filter{ID: "7F3K-29CQ"})[0].Recipients[0].Address, "a@x.example")
	is(t, "one that nobody has", len(attempts(t, s, history.Filter{ID: "7F3K-29CR"})), 0)
	for reference, want := range map[string]int{"9H5N-4BES": 1, "9H5N-4BET": 0} {
		found, _, err := s.Events(t.Context(), history.EventsOf{Reference: reference, Types: []string{"judged"}}, history.Page{Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		is(t, "judged behind, by "+reference, len(found), want)
	}
}

func marks(t *testing.T, s history.Store) {
	none, err := s.Mark(t.Context(), "a")
	if err != nil || none != (history.Mark{}) {
		t.Errorf("%+v, %v", none, err)
	}
	f := NewFeed("gw1", Noon)
	for i := range int64(4) {
		want := history.Mark{File: "f", Offset: 100 + i, At: Noon}
		var lines []history.Line
		if i%2 == 0 { // later lines of an earlier day: the mark of what was read last stands
			lines = []history.Line{f.Attempt(plain(Noon.Add(time.Duration(-i)*24*time.Hour), "a@x.example"))}
		}
		if err := s.Add(t.Context(), lines, "a", want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Mark(t.Context(), "a"); err != nil || got != want {
			t.Errorf("%+v, want %+v, %v", got, want, err)
		}
	}
	before, err := s.Mark(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), []history.Line{f.Attempt(plain(Noon, "z@x.example")), {Raw: []byte("{")}}, "", history.Mark{}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Mark(t.Context(), ""); err != nil || got != (history.Mark{}) {
		t.Errorf("of no source: %+v, %v", got, err)
	}
	if got, err := s.Mark(t.Context(), "a"); err != nil || got != before {
		t.Errorf("behind lines without a source: %+v, %v", got, err)
	}
	if got, err := s.Mark(t.Context(), "b"); err != nil || got != (history.Mark{}) {
		t.Errorf("of another source: %+v, %v", got, err)
	}
}

func searches(t *testing.T, s history.Store) {
	if none, _, err := s.Searches(t.Context(), history.Page{}); err != nil || len(none) > 0 {
		t.Errorf("%v, %v", none, err)
	}
	var want []history.Search
	for i := range 3 {
		one := history.Search{At: Noon.Add(time.Duration(i) * time.Minute), By: "alice", What: "bob@x.example", Why: "ticket"}
		want = append([]history.Search{one}, want...)
		if err := s.Searched(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	some, next, err := s.Searches(t.Context(), history.Page{Limit: 2})
	rest, last, err2 := s.Searches(t.Context(), history.Page{Limit: 2, After: next})
	if err != nil || err2 != nil || last != "" {
		t.Fatal(err, err2, last)
	}
	is(t, "searches", append(some, rest...), want)
}

func status(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	add(t, s, f.Attempt(plain(Noon, "a@x.example")), f.Line("dropped", Noon.Add(24*time.Hour), M{"records": 7}), history.Line{Raw: []byte("nonsense")})
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begin := Noon.Truncate(24 * time.Hour)
	is(t, "detail", st.Detail, [2]time.Time{begin, begin.Add(24 * time.Hour)})
	is(t, "last", st.Last, Noon.Add(24*time.Hour))
	if st.Attempts != 1 || st.Gaps != 7 || st.BadLines != 1 || st.Octets == 0 || st.Marks["test"].File != "f" || st.Shortened {
		t.Errorf("%+v", st)
	}
}

func rescued(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	m := plain(Noon.Add(time.Second), "a@x.example")
	m.Session = event.ID(5)
	add(t, s, f.Line("refusal", Noon, M{"session": m.Session.String(), "number": 1, "action": "rescued"}))
	add(t, s, f.Attempt(m), f.Attempt(plain(Noon.Add(2*time.Second), "b@x.example")))
	all := attempts(t, s, history.Filter{})
	if len(all) != 2 || all[0].Rescued || !all[1].Rescued {
		t.Errorf("%+v", all)
	}
}
