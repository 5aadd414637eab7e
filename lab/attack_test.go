package main

import (
	"reflect"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/test/netlab"
)

// TestAttack counts each of the account's mails when an MX was first asked about it, and nobody else's.
func TestAttack(t *testing.T) {
	mails := []mail{{to: "user-a@x"}, {to: "nobody-b@x"}, {to: "user-c@x"}, {to: "user-never@x"}}
	red, green := newProvider("red", reputation{}, nil), newProvider("green", reputation{}, nil)
	red.asked = []question{
		{at: 5 * time.Second, to: "user-c@x", answer: listedNow}, {at: 6 * time.Second, to: "user-c@x"}, {at: time.Second, to: "user-another@x"},
	}
	green.asked = []question{{at: 2 * time.Second, to: "user-a@x"}, {at: 4 * time.Second, to: "nobody-b@x", answer: unknown}}
	var got attack
	got.see([]*provider{red, green}, mails)
	got.mark(map[string]time.Duration{admin.LevelSlow: 5 * time.Second, admin.LevelStop: 2500 * time.Millisecond})
	want := attack{
		Mails: 3, Unknown: 1, First: 2 * time.Second,
		Steps: []step{
			{Level: admin.LevelSlow, Reached: true, After: 3 * time.Second, Mails: 2, Unknown: 1},
			{Level: admin.LevelDivert},
			{Level: admin.LevelStop, Reached: true, After: 500 * time.Millisecond, Mails: 1},
		},
		seen: []sight{{at: 2 * time.Second}, {at: 4 * time.Second, unknown: true}, {at: 5 * time.Second}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	var none attack
	none.see([]*provider{red}, nil)
	if none.Mails != 0 || none.First != 0 {
		t.Errorf("of no mails: %+v", none)
	}
}

// TestExperience gives each mail another fate.
func TestExperience(t *testing.T) {
	l := newLedger()
	found, deferred := queued{map[string]bool{}, map[string]bool{}}, queued{map[string]bool{}, map[string]bool{}}
	add := func(to string, due time.Duration) *mail {
		s := someone(1, normal)
		s.address = func(int) string { return to }
		m := l.enter(s, 0, due)
		l.submitted(m, nil)
		return m
	}
	arrive := func(m *mail, after time.Duration) {
		m.arrivals, m.client = []time.Duration{m.due + after}, netlab.SendingIPv4
	}
	arrive(add("user-warming@x", -time.Second), 9*time.Second)
	arrive(add("user-before@x", 0), time.Second)
	arrive(add("user-then@x", 10*time.Second), 2*time.Second)
	add("user-back@x", 10*time.Second).returned = []time.Duration{11 * time.Second}
	found.notices[add("user-going-back@x", 10*time.Second).id] = true
	off := add("user-off@x", 11*time.Second)
	found.mails[off.id], deferred.mails[off.id] = true, true
	found.mails[add("user-waiting@x", 12*time.Second).id] = true
	add("nobody-1@x", time.Second).returned = []time.Duration{2 * time.Second}
	again := add("nobody-2@x", 11*time.Second)
	found.mails[again.id], deferred.mails[again.id] = true, true

	got := l.experienceOf(normal, found, deferred, 10*time.Second)
	if got.Unknown != 2 || got.Refused != 2 || got.Deferred != 1 || got.Mails.Accepted != 9 || got.Mails.Lost != 0 {
		t.Errorf("%+v", got)
	}
	if got.Before.N != 1 || got.Before.Max != time.Second || got.Then.N != 5 || got.Then.Late != 4 {
		t.Errorf("before %+v, then %+v", got.Before, got.Then)
	}
}

// TestReadDecisions finds the first act of each level upon the account, and whatever was done to others.
func TestReadDecisions(t *testing.T) {
	const records = `{"type":"transaction","outcome":"deferred"}
{"type":"decision","time":"2026-01-02T03:04:09Z","account":"bob@msa21.example","action":"deferred","rule":"containment: slow"}
{"type":"decision","time":"2026-01-02T03:04:07.5Z","account":"bob@msa21.example","action":"delayed","rule":"containment: slow"}
{"type":"decision","time":"2026-01-02T03:04:06Z","account":"bob@msa21.example","action":"deferred","rule":"limit other"}
{"type":"decision","time":"2026-01-02T03:05:05Z","account":"bob@msa21.example","action":"diverted","rule":"containment: divert"}
{"type":"decision","time":"2026-01-02T03:04:06Z","account":"user1@msa21.example","action":"deferred","rule":"containment: slow"}
{"type":"decision","time":"2026-01-02T03:14:06Z","account":"user1@msa21.example","action":"would_delay","rule":"limit other","count":7}
{"type":"decision","time":"2026-01-02T03:14:07Z","account":"bob@msa21.example","action":"would_delay","rule":"limit other","count":3}
`
	got, err := readDecisions(records, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	want := decisions{
		first:  map[string]time.Duration{admin.LevelSlow: 2500 * time.Millisecond, admin.LevelDivert: time.Minute},
		acts:   map[string]int{"deferred": 2, "delayed": 1, "diverted": 1, "would_delay": 3},
		others: 8,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := readDecisions(records+`{"type":`, time.Time{}); err == nil {
		t.Error("half a record is no error")
	}
}
