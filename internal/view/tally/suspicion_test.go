package tally

import (
	"context"
	"strconv"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A mail is bad by the MX's word about its content, or by what became of its account within a day, and by nothing that kanmon itself has said.
func TestWhatIsBadLater(t *testing.T) {
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	contained := containments{{"acme", "a"}: {at.Add(time.Hour)}}
	for _, c := range []struct {
		what            string
		a               history.Attempt
		refused, within bool
	}{
		{"taken", history.Attempt{Tenant: "acme", Account: "b", Start: at}, false, false},
		{"refused", history.Attempt{Tenant: "acme", Account: "b", Start: at, Reply: history.Reply{Code: 550, Class: "content_rejected"}}, true, false},
		{"refused by kanmon", history.Attempt{Tenant: "acme", Account: "b", Start: at, Reply: history.Reply{Code: 550, Class: "content_rejected", Local: true}}, false, false},
		{"refused for its recipient", history.Attempt{Tenant: "acme", Account: "b", Start: at, Reply: history.Reply{Code: 550, Class: "recipient_invalid"}}, false, false},
		{"contained an hour later", history.Attempt{Tenant: "acme", Account: "a", Start: at}, false, true},
		{"contained before", history.Attempt{Tenant: "acme", Account: "a", Start: at.Add(2 * time.Hour)}, false, false},
		{"contained two days later", history.Attempt{Tenant: "acme", Account: "a", Start: at.Add(-47 * time.Hour)}, false, false},
		{"another tenant's", history.Attempt{Tenant: "blue", Account: "a", Start: at}, false, false},
	} {
		if refused, within := isContent(&c.a), contained.within(&c.a); refused != c.refused || within != c.within {
			t.Errorf("%s: refused %t, contained %t", c.what, refused, within)
		}
	}
	for outcome, is := range map[event.Outcome]bool{
		event.OutcomeDelivered: true, event.OutcomeRefused: true, event.OutcomeDeferred: false, event.OutcomeReset: false, event.OutcomeAmbiguous: true,
	} {
		if isOver(outcome.String()) != is {
			t.Errorf("%s is a mail's end: %t", outcome, !is)
		}
	}
}

// pages is a history that has attempts and events, a few at a time.
type pages struct {
	canned
	attempts []history.Attempt
}

func (p *pages) Attempts(_ context.Context, _ history.Filter, page history.Page) (list []history.Attempt, next history.Next, err error) {
	at, _ := strconv.Atoi(string(page.After))
	end := min(at+2, len(p.attempts))
	if end < len(p.attempts) {
		next = history.Next(strconv.Itoa(end))
	}
	return p.attempts[at:end], next, nil
}

// Mails are counted in the tenth of their score, and at each ground that spoke against them, with their tenants.
func TestSuspicionIsAddedUp(t *testing.T) {
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	mail := func(tenant, account, outcome string, score float64, grounds ...string) history.Attempt {
		a := history.Attempt{Tenant: tenant, Account: account, Outcome: outcome, Start: at, Suspicion: &event.EntrySuspicion{Score: score}}
		for _, g := range grounds {
			a.Suspicion.Parts = append(a.Suspicion.Parts, event.EntrySuspect{Ground: g, P: 0.1})
		}
		if outcome == "refused" {
			a.Reply = history.Reply{Code: 550, Class: "content_rejected"}
		}
		return a
	}
	store := &pages{attempts: []history.Attempt{
		mail("acme", "a", "delivered", 0), mail("acme", "b", "delivered", 0.0999), mail("blue", "c", "deferred", 0.95), mail("blue", "c", "refused", 0.95, "burst", "scores"),
		mail("blue", "d", "delivered", 1, "burst"), mail("acme", "e", "delivered", 0.3, "unusual_hour"),
		{Outcome: "delivered"},
	}}
	store.events = []event.Entry{
		{Type: "changed", At: at.Add(time.Minute), Tenant: "acme", Account: "e", State: "slow", By: "evidence", Rule: "unknown_recipients"},
		{Type: "changed", At: at.Add(time.Minute), Tenant: "blue", Account: "d", State: "slow", By: "evidence", Rule: "volume"},
		{Type: "changed", At: at.Add(time.Minute), Tenant: "acme", Account: "a", State: "normal", By: "quiet"},
	}
	s, err := OfSuspicion(t.Context(), store, Subject{}, at.Add(-time.Hour), at.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for tenth, want := range map[int][4]int64{0: {1, 2, 0, 0}, 3: {1, 1, 0, 1}, 9: {1, 2, 1, 0}, 5: {}} {
		if x := &s.Tenths[tenth]; [4]int64{int64(x.Tenants), x.Mails, x.Refused, x.Contained} != want {
			t.Errorf("tenth %d: %+v, want %v", tenth, x, want)
		}
	}
	if len(s.Grounds) != 3 || s.Grounds[0].Ground != "burst" || s.Grounds[0].Mails != 2 || s.Grounds[0].Bad != 1 || s.Without != 1 {
		t.Errorf("%+v, %d without", s.Grounds, s.Without)
	}
}

// The interval of 10 of 100 is that of Wilson's paper; of none of none there is none.
func TestInterval(t *testing.T) {
	l := Later{Mails: 100, Bad: 10}
	if l.bound(); l.Low < 0.0551 || l.Low > 0.0553 || l.High < 0.1743 || l.High > 0.1745 {
		t.Errorf("%.4f to %.4f", l.Low, l.High)
	}
	if l = (Later{}); l.Low != 0 || l.High != 0 {
		t.Errorf("%+v", l)
	}
}
