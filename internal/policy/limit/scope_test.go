package limit

import (
	"slices"
	"testing"
	"time"
)

// Every scope has a whole row: words of its own, and whose limit an MSA is told that it is.
func TestEveryScopeHasItsRow(t *testing.T) {
	var words, shown []string
	for s := range scopeCount {
		r := &rows[s]
		if r.word == "" || r.shown == "" || r.told == "" || slices.Contains(words, r.word) || slices.Contains(shown, r.shown) {
			t.Errorf("scope %d: %+v", s, r)
		}
		words, shown = append(words, r.word), append(shown, r.shown)
	}
}

// What is known of whom it counts only when the sending IP has been chosen cannot choose another one; and nobody is blocked for what was counted of
// more than himself, or at one place.
func TestWhatAScopeCannotDo(t *testing.T) {
	for s := range scopeCount {
		if s.Can(Divert) != (s.Known() == WithSender) {
			t.Errorf("%s can divert: %t", s, s.Can(Divert))
		}
		if s.Can(Block) != (s.Of() != OfIP && s.At() == Anywhere) {
			t.Errorf("%s can block: %t", s, s.Can(Block))
		}
	}
}

// A rule of what its scope cannot count would count nothing.
func TestWhatAScopeCannotCountIsRefused(t *testing.T) {
	r := Rule{Name: "x", Scope: PerAccount, Measure: Messages, Amount: 1, Per: time.Hour}
	if _, err := Compile(r); err != nil {
		t.Fatal(err)
	}
	rows[PerAccount].cannotCount = []Measure{Messages}
	defer func() { rows[PerAccount].cannotCount = nil }()
	if _, err := Compile(r); err == nil {
		t.Error("it counts what its scope cannot")
	}
}

// A verdict says which of the wants it is about, and whether that is an attempt.
func TestAVerdictNamesTheWant(t *testing.T) {
	m := New(Options{})
	l := compile(t, Rule{Name: "hour", Measure: Messages, Amount: 1, Per: time.Hour})
	other := compile(t, Rule{Name: "other", Measure: Messages, Amount: 100, Per: time.Hour})
	wants := []Want{{Limit: other, N: 1, Number: 3}, {Limit: l, N: 1, Number: 7, Spent: true}}
	var ticket Ticket
	if v := m.Take(wants, &ticket); !v.OK {
		t.Fatalf("%+v", v)
	}
	if v := m.Take(wants, &ticket); v.OK || v.Number != 7 || !v.Spent {
		t.Errorf("%+v", v)
	}
	m.Settle(&ticket, true, 0)
}
