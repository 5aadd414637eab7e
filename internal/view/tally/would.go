package tally

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Would is what a rule would have done, had it been enforced: the sum is exact, as the records have it.
type Would struct {
	Action   string `json:"action"` // would_defer …
	Rule     string `json:"rule"`
	Times    int    `json:"times"` // that it would have acted
	Tenants  int    `json:"tenants"`
	Accounts int    `json:"accounts"`
	Most     []Hit  `json:"most"` // whom most often
}

// A Hit is whom a rule would have acted upon.
type Hit struct {
	Tenant   string    `json:"tenant"`
	Account  string    `json:"account"`
	Times    int       `json:"times"`
	Cause    string    `json:"cause"` // its numbers, of the last time
	Last     time.Time `json:"last"`
	Examples []Example `json:"examples"`
	Came     Outcomes  `json:"came"` // what came of all mail of the account, or of the tenant, in the days of that time

	refs []reference
}

// An Example is a mail that a rule would have acted upon, and what came of it.
type Example struct {
	Mail    string    `json:"mail"`
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome"`
	Reply   string    `json:"reply"`
}

type reference struct {
	session event.ID
	number  int
}

// Bounds of what is told of a rule.
const (
	MostHit       = 10 // that people are shown of one
	mostExamples  = 3
	mostDecisions = 100_000 // that are read: whoever has more looks at less time
)

// WouldHave adds up decisions that were not enforced, and names those that a rule would have acted upon most often, at most so many. Of more than MostHit
// no examples are looked for. All is false where there are more decisions than are read.
func WouldHave(ctx context.Context, store history.Store, of Subject, from, to time.Time, most int) (rules []Would, all bool, err error) {
	type ruleKey struct{ action, rule string }
	type whoKey struct{ tenant, account string }
	found := map[ruleKey]map[whoKey]*Hit{}
	read := 0
	for page := (history.Page{}); ; {
		entries, next, err := store.Events(ctx, of.events(from, to, "decision"), page)
		if err != nil {
			return nil, false, err
		}
		for i := range entries {
			e := &entries[i]
			if !strings.HasPrefix(e.Action, "would_") {
				continue
			}
			rule := ruleKey{e.Action, e.Rule}
			if found[rule] == nil {
				found[rule] = map[whoKey]*Hit{}
			}
			who := whoKey{e.Tenant, e.Account}
			if found[rule][who] == nil {
				found[rule][who] = &Hit{Tenant: e.Tenant, Account: e.Account, Cause: e.Cause, Last: e.At}
			}
			found[rule][who].add(e)
		}
		read += len(entries)
		if page.After = next; next == "" || read >= mostDecisions {
			break
		}
	}
	for rule, hits := range found {
		rules = append(rules, wouldOf(rule.action, rule.rule, slices.Collect(maps.Values(hits)), most))
	}
	slices.SortFunc(rules, func(a, b Would) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Action, b.Action))
	})
	if most > MostHit {
		return rules, read < mostDecisions, cameToAll(ctx, store, from, to, rules)
	}
	for i := range rules {
		for j := range rules[i].Most {
			if err := rules[i].Most[j].cameTo(ctx, store, from, to); err != nil {
				return nil, false, err
			}
		}
	}
	return rules, read < mostDecisions, nil
}

func (h *Hit) add(e *event.Entry) {
	h.Times += max(e.Count, 1)
	if len(h.refs) < mostExamples && e.Session != 0 {
		h.refs = append(h.refs, reference{e.Session, max(e.Number, 1)})
	}
}

func wouldOf(action, rule string, hits []*Hit, most int) Would {
	w := Would{Action: action, Rule: rule}
	tenants := map[string]bool{}
	for _, h := range hits {
		w.Times += h.Times
		tenants[h.Tenant] = true
		if h.Account != "" {
			w.Accounts++
		}
	}
	w.Tenants = len(tenants)
	slices.SortFunc(hits, func(a, b *Hit) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Account, b.Account))
	})
	for _, h := range hits[:min(len(hits), most)] {
		w.Most = append(w.Most, *h)
	}
	return w
}

// cameToAll says of many at once what came of their mail.
func cameToAll(ctx context.Context, store history.Store, from, to time.Time, rules []Would) error {
	came := map[[2]string]*Outcomes{}
	of := Subject{}
	for _, by := range [][]string{{history.ByTenant}, {history.ByTenant, history.ByAccount}} {
		counts, err := store.Counts(ctx, history.CountsOf{Filter: of.Filter(from.UTC().Truncate(day), to), Step: day, By: append(by, history.ByOutcome)})
		if err != nil {
			return err
		}
		for i := range counts {
			c := &counts[i]
			who := [2]string{c.Tenant, c.Account}
			if c.Account == "" && len(by) > 1 {
				continue
			}
			if came[who] == nil {
				came[who] = new(Outcomes)
			}
			came[who].Add(c)
		}
	}
	for i := range rules {
		for j := range rules[i].Most {
			h := &rules[i].Most[j]
			if sum := came[[2]string{h.Tenant, h.Account}]; sum != nil {
				h.Came = *sum
			}
		}
	}
	return nil
}

// cameTo says what came of the mail.
func (h *Hit) cameTo(ctx context.Context, store history.Store, from, to time.Time) error {
	of := Subject{Tenant: h.Tenant, Account: h.Account}
	counts, err := store.Counts(ctx, history.CountsOf{Filter: of.Filter(from.UTC().Truncate(day), to), Step: day, By: []string{history.ByOutcome}})
	if err != nil {
		return err
	}
	for i := range counts {
		h.Came.Add(&counts[i])
	}
	for _, ref := range h.refs {
		attempts, _, err := store.Attempts(ctx, history.Filter{Session: ref.session}, history.Page{})
		if err != nil {
			return err
		}
		for i := range attempts {
			if a := &attempts[i]; a.Number == ref.number {
				h.Examples = append(h.Examples, Example{a.Mail, a.At, a.Outcome, a.Reply.Text})
			}
		}
	}
	return nil
}
