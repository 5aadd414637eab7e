package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

func massSetups() []setup {
	return []setup{
		{Name: "shared", Title: "shared queue", Shared: true},
		{Name: "separated", Title: "separated queues through kanmon"},
	}
}

// massSessions is over how many sessions the mass of mail is submitted.
const massSessions = 20

// A massRun is what one set-up did with the mass of mail.
type massRun struct {
	setup
	Mass, Others audit
	Injection    time.Duration // first to last mail of the mass
	Before, Then delays        // of the other tenants' mails that were due before the injection, and from its beginning on
	others       []mail        // all of these
	after        []mail        // those that Then is of
	end          time.Duration
}

// runMass runs the set-ups one after the other: both take all of the machine.
func runMass(ctx context.Context, p plan) ([]*massRun, error) {
	var runs []*massRun
	for _, s := range massSetups() {
		run, err := massOnce(ctx, p, s)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

func massOnce(ctx context.Context, p plan, s setup) (_ *massRun, err error) {
	st, err := newSite(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.lab.Close()) }()
	st.ledger.start = time.Now()
	var senders sync.WaitGroup
	defer senders.Wait() // also after an error: they use the lab
	for tenant := 1; tenant <= tenants; tenant++ {
		if tenant != culprit {
			senders.Go(func() { steady(ctx, st.ledger, st.news(tenant), perTenant, 0, p.mass.submit) })
		}
	}
	if err := pauseUntil(ctx, st.ledger, p.mass.inject); err != nil {
		return nil, err
	}
	newsletter := st.news(culprit)
	newsletter.kind = mass
	burst(ctx, st.ledger, newsletter, p.mass.mails, massSessions)
	run := &massRun{setup: s, Injection: st.ledger.now() - p.mass.inject}
	senders.Wait()
	if err := settle(ctx, st.ledger, ofKind(normal), p.mass.drain); err != nil {
		return nil, err
	}
	found := st.queued()
	run.Mass, run.Others = st.ledger.audit(ofKind(mass), found), st.ledger.audit(ofKind(normal), found)
	if err := st.ledger.faults(run.Mass, run.Others); err != nil {
		return nil, st.failed(err)
	}
	run.measure(st.ledger.selected(ofKind(normal)), p.mass.inject, st.ledger.now())
	return run, nil
}

func (r *massRun) measure(others []mail, injected, end time.Duration) {
	first := slices.IndexFunc(others, func(m mail) bool { return m.due >= injected })
	r.others, r.after, r.end = others, others[first:], end
	r.Before, r.Then = delaysOf(others[:first], end), delaysOf(r.after, end)
}
