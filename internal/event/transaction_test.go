package event

import (
	"fmt"
	"testing"
)

// What was answered to the recipients beyond those that are listed counts for how a mail ended as that to the others does.
func TestOutcomeOfAllRecipients(t *testing.T) {
	for _, tc := range []struct {
		name          string
		listed        int   // what all that are listed were answered
		beyond        []int // first digits of the answers to the others
		unanswered    int
		data          int
		want, wantWas Outcome
	}{
		{"one beyond was accepted", 550, []int{5, 2}, 0, 354, OutcomeReset, OutcomeRefused},
		{"one beyond was deferred", 550, []int{5, 4}, 0, 0, OutcomeDeferred, OutcomeRefused},
		{"one beyond has no answer", 550, []int{5}, 1, 0, OutcomeReset, OutcomeRefused},
		{"all were refused", 550, []int{5, 5}, 0, 0, OutcomeRefused, OutcomeRefused},
		{"one listed was accepted", 250, []int{5, 4}, 0, 354, OutcomeReset, OutcomeReset},
	} {
		tx := Transaction{Mail: Reply{Code: 250}, Data: Reply{Code: tc.data}, Recipients: []Recipient{{Reply: Reply{Code: tc.listed}}}}
		if got := tx.OfReplies(); got != tc.wantWas {
			t.Errorf("%s: %v of those that are listed, want %v", tc.name, got, tc.wantWas)
		}
		tx.MoreRcpts = len(tc.beyond) + tc.unanswered
		for _, class := range tc.beyond {
			tx.AnswerMore(class)
		}
		if got := tx.OfReplies(); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// However many different refusals a mail meets, each has a class and a scope on record; of a thousand that name a list of their own, most
// have no room for its name.
func TestEachRefusalHasAMeaning(t *testing.T) {
	var tx Transaction
	listed := 0
	for i := range 1000 {
		m := Meaning{Class: IPBlocklisted, Scope: ScopeIP, Rule: fmt.Sprintf("rule %d", i%300), Lists: []string{fmt.Sprintf("list %d", i)}}
		got := tx.Meaning(&Reply{Meaning: tx.Means(m)})
		if got.Class != m.Class || got.Scope != m.Scope || got.Rule != "" && got.Rule != m.Rule {
			t.Fatalf("refusal %d: %+v", i, got)
		}
		if len(got.Lists) > 0 {
			listed++
		}
	}
	for class := IPBlocklisted; class <= PolicyUnspecified; class++ {
		if got := tx.Meaning(&Reply{Meaning: tx.Means(Meaning{Class: class, Scope: ScopeMessage})}); got.Class != class {
			t.Errorf("%v: %+v", class, got)
		}
	}
	if listed != maxListed {
		t.Errorf("%d have their list, want %d", listed, maxListed)
	}
}
