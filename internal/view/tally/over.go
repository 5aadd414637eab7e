package tally

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Subject is what is asked about. What is zero is not asked for.
type Subject struct {
	Gateway   string
	Provider  string
	SendingIP netip.Addr
	Tenant    string
	Account   string
}

// Filter gives the attempts that are meant, in a time.
func (s *Subject) Filter(from, to time.Time) history.Filter {
	return history.Filter{From: from, To: to, Gateway: s.Gateway, Provider: s.Provider, SendingIP: s.SendingIP, Tenant: s.Tenant, Account: s.Account}
}

// Told are the types of news that a timeline has.
var Told = []string{"gateway", "order", "changed", "finding", "sighting", "dropped"}

func (s *Subject) events(from, to time.Time, types ...string) history.EventsOf {
	return history.EventsOf{From: from, To: to, Types: types, Gateway: s.Gateway, Provider: s.Provider, SendingIP: s.SendingIP, Tenant: s.Tenant, Account: s.Account}
}

// A Series is what came of mail, in steps of time.
type Series struct {
	From  time.Time     `json:"from"` // where the first step begins
	To    time.Time     `json:"to"`
	Step  time.Duration `json:"-"`
	Steps []Outcomes    `json:"steps"`
	Sum   Outcomes      `json:"sum"`
	Gaps  []Gap         `json:"gaps,omitempty"`
}

// A Gap is a time of which the record does not have all.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Why  string    `json:"why"`
}

const day = 24 * time.Hour

// Most steps of a series.
const mostSteps = 200

// steps that history counts in, or multiples of them.
var steps = [...]time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, day, 7 * day}

// step is the shortest that makes few enough of them, and that history has of the subject.
func (s *Subject) step(from, to, detail time.Time) time.Duration {
	least := steps[0]
	switch {
	case s.Account != "":
		least = day
	case s.Tenant != "", from.Before(detail):
		least = time.Hour
	}
	for _, step := range steps {
		if step >= least && to.Sub(from)/step < mostSteps {
			return step
		}
	}
	return steps[len(steps)-1]
}

// Over gives what came of mail between two times. The first step may begin before.
func Over(ctx context.Context, store history.Store, of Subject, from, to time.Time) (*Series, error) {
	status, err := store.Status(ctx)
	if err != nil {
		return nil, err
	}
	s := &Series{To: to, Step: of.step(from, to, status.Detail[0])}
	s.From = from.UTC().Truncate(s.Step)
	filter := of.Filter(s.From, to)
	counts, err := store.Counts(ctx, history.CountsOf{Filter: filter, Step: s.Step, By: []string{history.ByOutcome}})
	if err != nil {
		return nil, err
	}
	s.Steps = make([]Outcomes, (to.Sub(s.From)+s.Step-1)/s.Step)
	for i := range counts {
		s.Sum.Add(&counts[i])
		if at := int(counts[i].Begin.Sub(s.From) / s.Step); at >= 0 && at < len(s.Steps) {
			s.Steps[at].Add(&counts[i])
		}
	}
	s.Gaps, err = gaps(ctx, store, of.Gateway, s.From, to, status.Last)
	return s, err
}

// gaps are when a gateway was not there, was killed, or lost lines, and what history has not read yet.
func gaps(ctx context.Context, store history.Store, gateway string, from, to, last time.Time) (list []Gap, err error) {
	steps, err := events(ctx, store, history.EventsOf{From: from, To: to, Gateway: gateway, Types: []string{"gateway", "dropped"}})
	if err != nil {
		return nil, err
	}
	stopped, there := map[string]time.Time{}, map[string]bool{}
	for i := len(steps) - 1; i >= 0; i-- { // the oldest first
		e := &steps[i]
		first := !there[e.Gateway] && len(steps) < mostEvents
		there[e.Gateway] = true
		switch {
		case e.Type == "dropped":
			list = append(list, Gap{e.At, e.At, fmt.Sprintf("%s: %d records lost", e.Gateway, e.Records)})
		case e.Action == "stop":
			stopped[e.Gateway] = e.At
		case e.Action == "start" && e.Unclean && !e.LastAt.IsZero():
			list = append(list, Gap{e.LastAt, e.At, e.Gateway + " was killed: its last records may be missing"})
		case e.Action == "start" && !stopped[e.Gateway].IsZero():
			list = append(list, Gap{stopped[e.Gateway], e.At, e.Gateway + " was stopped"})
			delete(stopped, e.Gateway)
		case e.Action == "start" && first && !e.Unclean && e.At.After(from):
			list = append(list, Gap{from, e.At, e.Gateway + " was stopped, or was not there yet"})
		}
	}
	for name, at := range stopped {
		list = append(list, Gap{at, to, name + " is stopped"})
	}
	const usual = 2 * time.Minute // a heartbeat comes each minute
	if !last.IsZero() && to.Sub(last) > usual && last.After(from) {
		list = append(list, Gap{last, to, "history has nothing from here on"})
	}
	return list, nil
}

// mostEvents is how many a page has at most: who wants more looks at less time.
const mostEvents = 2000

// events gives all pages of news that are asked for, the newest first.
func events(ctx context.Context, store history.Store, of history.EventsOf) (all []event.Entry, err error) {
	for page := (history.Page{}); ; {
		list, next, err := store.Events(ctx, of, page)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if page.After = next; next == "" || len(all) >= mostEvents {
			return all, nil
		}
	}
}
