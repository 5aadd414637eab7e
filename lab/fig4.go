package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// congesting is what makes the shared queue congest, together with as many tarpit domains as tarpit mails: fewer processes than these.
var congesting = map[string]string{"default_process_limit": "50"}

// fig4Setups are compared: the two shared ones are scenario 1, the separated one is scenario 2.
func fig4Setups() []setup {
	return []setup{
		{Name: "shared-defaults", Title: "shared queue, Postfix defaults, 1 tarpit domain", Shared: true, TarpitDomains: 1},
		{Name: "shared", Title: "shared queue, 50 processes, 80 tarpit domains", Shared: true, Settings: congesting, TarpitDomains: tarpitMails},
		{Name: "separated", Title: "separated queues through kanmon, 50 processes each, 80 tarpit domains", Settings: congesting, TarpitDomains: tarpitMails},
	}
}

// A fig4Run is one set-up's line of the figure.
type fig4Run struct {
	setup
	Normal, Tarpit audit
	Rates          [tenants + 1]rates // by tenant, from 1; 0: the tenants that are not the culprit together
	Delays         delays             // of these tenants' mails that were due after the tarpit mails
	Pause          time.Duration      // the longest after the tarpit mails in which nothing of these tenants arrived
	normal, after  []mail             // all normal ones; those that Delays is of
	lasted         time.Duration
}

// Rates are receipts a second: before the tarpit mails, while they are held, and from them until no more normal mail is submitted.
type rates struct{ Before, Held, Rest float64 }

// HeldChange is that while tarpit mails are held, in per cent.
func (r rates) HeldChange() float64 { return 100 * (r.Held/r.Before - 1) }

// RestChange is that of the whole time after the tarpit mails, in per cent.
func (r rates) RestChange() float64 { return 100 * (r.Rest/r.Before - 1) }

// While tarpit mails are held, counted from their submission: they have got hold of their processes by then, and none has got rid of
// them yet.
const (
	heldFrom  = 5 * time.Second
	heldUntil = 30 * time.Second
)

// runFig4 runs all set-ups at the same time, each in a world of its own.
func runFig4(ctx context.Context, p plan) ([]*fig4Run, error) {
	setups := fig4Setups()
	runs := make([]*fig4Run, len(setups))
	all, ctx := errgroup.WithContext(ctx)
	for i, s := range setups {
		all.Go(func() (err error) {
			runs[i], err = fig4Once(ctx, p, s)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	return runs, nil
}

func fig4Once(ctx context.Context, p plan, s setup) (_ *fig4Run, err error) {
	st, err := newSite(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.lab.Close()) }()
	st.ledger.start = time.Now().Add(p.fig4.warmUp)
	var senders sync.WaitGroup
	defer senders.Wait() // also after an error: they use the lab
	for tenant := 1; tenant <= tenants; tenant++ {
		senders.Go(func() { steady(ctx, st.ledger, st.news(tenant), perTenant, -p.fig4.warmUp, p.fig4.submit) })
	}
	if err := pauseUntil(ctx, st.ledger, p.fig4.tarpit); err != nil {
		return nil, err
	}
	toTarpits := sender{tenant: culprit, account: "news", kind: tarpit, open: st.door(culprit)}
	toTarpits.address = func(n int) string { return tarpitAddress(n, s.TarpitDomains) }
	burst(ctx, st.ledger, toTarpits, tarpitMails, 4)
	senders.Wait()
	if err := settle(ctx, st.ledger, ofKind(normal), p.fig4.drain); err != nil {
		return nil, err
	}
	run := &fig4Run{setup: s, lasted: st.ledger.now()}
	found := st.queued()
	run.Normal, run.Tarpit = st.ledger.audit(ofKind(normal), found), st.ledger.audit(ofKind(tarpit), found)
	if err := st.ledger.faults(run.Normal, run.Tarpit); err != nil {
		return nil, st.failed(err)
	}
	if run.Normal.Waiting > 0 {
		return nil, st.failed(fmt.Errorf("%d normal mails are still in a queue", run.Normal.Waiting))
	}
	run.normal = st.ledger.selected(ofKind(normal))
	run.measure(p)
	return run, nil
}

func (r *fig4Run) measure(p plan) {
	at := p.fig4.tarpit
	for tenant := range r.Rates {
		fits := func(m mail) bool { return m.tenant == tenant || tenant == 0 && notCulprit(m) }
		r.Rates[tenant] = rates{
			Before: rate(r.normal, fits, at-p.fig4.before, at),
			Held:   rate(r.normal, fits, at+heldFrom, at+heldUntil),
			Rest:   rate(r.normal, fits, at, p.fig4.submit),
		}
	}
	for _, m := range r.normal {
		if notCulprit(m) && m.due >= at {
			r.after = append(r.after, m)
		}
	}
	r.Delays = delaysOf(r.after, r.lasted)
	r.Pause = longestPause(r.normal, notCulprit, at, p.fig4.submit)
}

func notCulprit(m mail) bool { return m.tenant != culprit }
