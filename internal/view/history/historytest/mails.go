package historytest

import (
	"testing"
	"time"

	"kanmon/internal/view/history"
)

const retry = 10 * time.Minute

func joinedByID(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	for i := range 3 {
		m := plain(Noon.Add(time.Duration(i)*26*time.Hour), "a@x.example")
		m.MessageID = "1@acme.example"
		if i < 2 {
			m = greylisted(m, "a@x.example")
		}
		other := plain(m.At, "a@x.example")
		other.MessageID, other.Tenant = m.MessageID, "other"
		add(t, s, f.Attempt(m), f.Attempt(other))
	}
	for _, of := range []history.Filter{{Tenant: "acme"}, {ID: "1@acme.example", Tenant: "acme"}} {
		all := mails(t, s, of)
		if len(all) != 1 || all[0].Tries != 3 || len(all[0].Attempts) != 3 || all[0].Probably || all[0].State != history.Delivered {
			t.Fatalf("%+v", all)
		}
		if m := all[0]; !m.First.Equal(Noon) || !m.Last.Equal(Noon.Add(52*time.Hour)) || m.Attempts[0].Outcome != "deferred" {
			t.Errorf("%+v", m)
		}
	}
	q := greylisted(plain(Noon, "q@x.example"), "q@x.example")
	q.QueueID = "4jQQ"
	again := plain(Noon.Add(retry), "q@x.example")
	again.QueueID = "4jQQ"
	add(t, s, f.Attempt(q), f.Attempt(again))
	if all := mails(t, s, history.Filter{Recipient: "q@x.example"}); len(all) != 1 || all[0].Tries != 2 || all[0].Probably {
		t.Errorf("by queue id: %+v", all)
	}
}

// sourcesApart: two mail servers of nobody known send what has one Message-ID to one recipient; IPv6 hosts of one network are one.
func sourcesApart(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	of := func(after time.Duration, source, id string) Mail {
		m := plain(Noon.Add(after), "a@x.example")
		m.Tenant, m.MessageID, m.More = "", id, M{"source": source}
		return m
	}
	add(t, s, f.Attempt(greylisted(of(0, "10.20.1.10:36806", "1@list.example"), "a@x.example")), f.Attempt(of(retry, "10.20.1.11:36806", "1@list.example")),
		f.Attempt(greylisted(of(0, "[2001:db8::a]:36806", "2@list.example"), "a@x.example")), f.Attempt(of(retry, "[2001:db8::b]:36806", "2@list.example")))
	all := mails(t, s, history.Filter{ID: "1@list.example"})
	if len(all) != 2 || all[0].State != history.Delivered || all[1].State == history.Delivered {
		t.Errorf("two sources: %+v", all)
	}
	if all = mails(t, s, history.Filter{ID: "2@list.example"}); len(all) != 1 || all[0].Tries != 2 || all[0].State != history.Delivered {
		t.Errorf("one network: %+v", all)
	}
}

// oneIDApart: what a list sends has one Message-ID, and is many mails. One mail that its MSA has taken apart is one.
func oneIDApart(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	of := func(id string, after time.Duration, to string) Mail {
		m := plain(Noon.Add(after), to)
		m.MessageID = id + "@list.example"
		return m
	}
	for i, to := range []string{"a@x.example", "b@y.example", "c@z.example"} {
		verp := of("verp", time.Duration(i)*time.Second, to)
		verp.Sender = "bounces+" + to[:1] + "@list.example"
		batch := of("batch", time.Duration(i)*time.Second, to)
		batch.QueueID = []string{"4jA", "4jB", "4jC"}[i]
		later := of("later", time.Duration(i)*2*time.Hour, to)
		again := of("again", time.Duration(i)*24*time.Hour, to)
		again.QueueID, again.More = "4jX", M{"msa_received": stamp(again.At)} // its queue ids come again
		one := of("one", time.Duration(i)*retry, to)
		one.QueueID, one.More = "4jONE", M{"msa_received": stamp(Noon)}
		if i == 2 {
			add(t, s, f.Attempt(greylisted(one, to)))
			one.At = one.At.Add(48 * time.Hour)
		}
		add(t, s, f.Attempt(verp), f.Attempt(batch), f.Attempt(later), f.Attempt(again), f.Attempt(one))
	}
	for id, want := range map[string]int{"verp": 3, "batch": 3, "later": 3, "again": 3, "one": 1} {
		all := mails(t, s, history.Filter{ID: id + "@list.example"})
		if is(t, id, len(all), want); want == 1 && len(all) == 1 && (all[0].Tries != 4 || all[0].State != history.Delivered) {
			t.Errorf("%s: %+v", id, all)
		}
	}
}

func joinedProbably(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	to := "a@x.example"
	add(t, s, f.Attempt(greylisted(plain(Noon, to), to)))
	one := mails(t, s, history.Filter{Recipient: to})
	if len(one) != 1 || one[0].Probably || one[0].Tries != 1 {
		t.Fatalf("%+v", one)
	}
	add(t, s, f.Attempt(greylisted(plain(Noon.Add(14*time.Hour), to), to)), f.Attempt(plain(Noon.Add(50*time.Hour), to)), // over two midnights
		f.Attempt(plain(Noon.Add(51*time.Hour), to))) // the next, which nothing waited for
	all := mails(t, s, history.Filter{Recipient: to})
	if len(all) != 2 || all[0].Tries != 1 || all[1].Tries != 3 || !all[1].Probably || all[1].State != history.Delivered || all[1].ID != one[0].ID {
		t.Fatalf("%+v", all)
	}
	is(t, "found by its number", len(attempts(t, s, history.Filter{Mail: all[1].ID})), 3)
	long := plain(Noon.Add(30*time.Hour), "late@x.example")
	add(t, s, f.Attempt(greylisted(long, "late@x.example")))
	long.At = long.At.Add(history.Keeps + time.Hour)
	add(t, s, f.Attempt(long))
	is(t, "behind five days it is another", len(mails(t, s, history.Filter{Recipient: "late@x.example"})), 2)
}

func toldApart(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	to := "a@x.example"
	small, large := plain(Noon, to), plain(Noon.Add(time.Minute), to)
	large.Octets = 90_000
	busy := Meaning(Reply(451, "4.3.0 busy", time.Second), "system_error", "receiver", "busy")
	small.Dot, large.Dot = busy, busy
	first, second := f.Attempt(small), f.Attempt(large)
	small.At, large.At, small.Dot, large.Dot = Noon.Add(2*retry), Noon.Add(retry), nil, nil
	small.Octets += 60 // a Received field more
	add(t, s, first, second, f.Attempt(large), f.Attempt(small))
	for _, m := range mails(t, s, history.Filter{Recipient: to}) {
		if m.Tries != 2 || m.Attempts[1].Octets-m.Attempts[0].Octets > 64 {
			t.Errorf("%+v", m)
		}
	}
}

func partly(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	m := greylisted(plain(Noon, "a@x.example", "b@x.example"), "b@x.example")
	add(t, s, f.Attempt(m))
	of := history.Filter{Recipient: "b@x.example"}
	if all := mails(t, s, of); len(all) != 1 || all[0].State != history.Partly {
		t.Fatalf("%+v", all)
	}
	add(t, s, f.Attempt(plain(Noon.Add(retry), "b@x.example")))
	if all := mails(t, s, of); len(all) != 1 || all[0].State != history.Delivered || all[0].Tries != 2 {
		t.Fatalf("%+v", all)
	}
	if all := mails(t, s, history.Filter{Recipient: "a@x.example"}); len(all) != 1 || all[0].Tries != 2 {
		t.Errorf("by the other: %+v", all)
	}
}

func waiting(t *testing.T, s history.Store) {
	f := NewFeed("gw1", Noon)
	for _, to := range []string{"a@x.example", "b@x.example", "c@x.example"} {
		add(t, s, f.Attempt(greylisted(plain(Noon, to), to)))
	}
	other := plain(Noon.Add(30*time.Minute), "d@y.example")
	other.Tenant, other.Provider = "other", "docomo"
	add(t, s, f.Attempt(plain(Noon.Add(retry), "c@x.example")), f.Attempt(greylisted(other, "d@y.example")))
	now := Noon.Add(40 * time.Minute)
	all, err := s.Waiting(t.Context(), history.Filter{}, now)
	if err != nil || len(all) != 2 || all[0].Provider != "docomo" || all[0].Ages[1] != 1 || all[1].Ages[2] != 2 || all[1].Tenants != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	all, err = s.Waiting(t.Context(), history.Filter{Tenant: "other"}, now)
	if err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err = s.Waiting(t.Context(), history.Filter{}, now.Add(history.Keeps)); err != nil || len(all) != 0 {
		t.Errorf("given up: %+v, %v", all, err)
	}
}
