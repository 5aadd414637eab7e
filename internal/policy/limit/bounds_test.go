package limit

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A flood of invented senders: the number of counters is bounded, those who have used up their limit stay known, and who is
// new is not shut out.
func TestFlood(t *testing.T) {
	r, l := newRig(t, 2048), hourly(t)
	for i := range 200 {
		r.passed(want(l, fmt.Sprint("offender ", i), 10))
	}
	tenant := r.taken(want(places(t, 10, false), "acme", 3))
	body := r.taken(want(size(t), "under way", 0)) // owes nothing yet
	for i := range 20_000 {
		r.passed(want(l, fmt.Sprint("invented ", i), 1))
	}
	for i := range 200 {
		r.refused(want(l, fmt.Sprint("offender ", i), 1))
	}
	r.used(want(places(t, 10, false), "acme", 1), 3)
	r.Settle(tenant, true, 0)
	r.Settle(body, true, 20_000)
	r.refused(want(size(t), "under way", 0))
	if s := r.Stats(); s.Keys > 2048 || s.Keys < 1800 || s.Forgotten < 15_000 || s.Shared != 0 {
		t.Errorf("%+v", s)
	}
}

// When all places are taken by those who have used up their limit, strangers share a counter of the same rule: they get some,
// and not all they want.
func TestStrangers(t *testing.T) {
	r, l := newRig(t, 64), hourly(t)
	for i := range 1000 {
		r.Settle(r.ask(want(l, fmt.Sprint("offender ", i), 10)), true, 0)
	}
	first := r.Stats()
	if first.Keys != 64 || first.Shared == 0 || first.Forgotten != 0 {
		t.Fatalf("%+v", first)
	}
	granted := 0
	for step := range 60 {
		r.Pass(time.Minute)
		for i := range 500 {
			ticket := &Ticket{}
			if r.Take([]Want{want(l, fmt.Sprint("stranger ", step, i), 1)}, ticket).OK {
				granted++
				r.Settle(ticket, true, 0)
			}
		}
		for i := range 1000 { // those who are known keep their places
			r.Settle(r.ask(want(l, fmt.Sprint("offender ", i), 1)), true, 0)
		}
	}
	if granted < 64*20 || granted > 64*(10+60) { // of 30,000; 64 counters of 10 at once and one a minute
		t.Errorf("%d granted", granted)
	}
	r.Pass(time.Hour)
	before := r.Stats().Shared
	for i := range 30 { // the offenders have gone, and there is place again
		r.Settle(r.ask(want(l, fmt.Sprint("later ", i), 10)), true, 0)
		r.Pass(time.Hour)
	}
	if s := r.Stats(); s.Shared != before {
		t.Errorf("still shared: %+v", s)
	}
}

// Sessions and shares of strangers are given back like others.
func TestStrangersWithTickets(t *testing.T) {
	r, l := newRig(t, 64), places(t, 4, true)
	var tickets []*Ticket
	for i := range 3000 { // each holds its place: none can be forgotten
		w := of(l, fmt.Sprint("member ", i%3))
		w.Subject.Of = fmt.Sprint("ip ", i)
		tickets = append(tickets, r.ask(w))
	}
	if r.Stats().Shared == 0 {
		t.Fatal("there was a place for all")
	}
	for _, ticket := range tickets {
		r.Settle(ticket, true, 0)
	}
	for i := range r.shards {
		for _, e := range r.shards[i].strangers {
			if e.held != 0 || e.pins != 0 || e.pool != nil {
				t.Errorf("%+v", e)
			}
		}
		for k, e := range r.shards[i].entries {
			if e.held != 0 || e.pins != 0 || e.pool != nil && e.pool.over != 0 {
				t.Errorf("%v: %+v", k, e)
			}
		}
	}
}

// Fair counters that are not used any more do not keep others out, though it is not long since somebody asked.
func TestFloodOfProviders(t *testing.T) {
	r, l, held := newRig(t, 640), provider(t), places(t, 5, true)
	for i := range 5000 {
		w, s := of(l, "acme"), of(held, "acme")
		w.Subject.To = fmt.Sprint("mx:", i)
		s.Subject.To = w.Subject.To
		r.passed(w, s)
	}
	if s := r.Stats(); s.Shared != 0 || s.Keys > 640 {
		t.Errorf("%+v", s)
	}
}

// What is free is forgotten as others come, long before the bound.
func TestIdleIsForgotten(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	for i := range 100 {
		for j := range 300 {
			r.passed(want(l, fmt.Sprint("sender ", i, " ", j), 1))
		}
		r.Pass(2 * time.Minute)
	}
	if s := r.Stats(); s.Keys > 1200 || s.Forgotten != 0 {
		t.Errorf("%+v", s)
	}
}

// A long text costs no more than a mail address, and does not keep the buffer it is from.
func TestLongSubject(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	long := strings.Repeat("x", 1<<16)
	r.taken(want(l, long, 5))
	r.used(want(l, long+"y", 1), 5)
	for i := range r.shards {
		for k := range r.shards[i].entries {
			if len(k.of) != maxText {
				t.Errorf("%d octets kept", len(k.of))
			}
		}
	}
}
