package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"kanmon/test/netlab"
)

// What the listing experiment is made of.
const (
	listingTenants = 10
	listingRate    = 2               // mails a second of each tenant
	delayedAfter   = 5 * time.Second // a mail that arrives later than so long after it was due is delayed
)

// listedIP is the sending IP that the MX lists.
var listedIP = netlab.SendingIPv4

// ownRules let the mail of two Postfixes leave from a sending IP of its own each.
const ownRules = `table ip lab {
	chain leave {
		type nat hook postrouting priority srcnat; policy accept;
		tcp dport 25 snat to ip saddr map { 10.20.1.10 : 203.0.113.10, 10.20.2.10 : 203.0.113.11 }
	}
}
`

// listingSetups are, for each form of the refusal, a Postfix for each tenant behind kanmon, and two MTAs with a sending IP each, shared by
// the tenants.
func listingSetups(at time.Duration) (all []setup) {
	for _, refusal := range refusals(at) {
		form := strings.ToLower(refusal.Verb)
		all = append(all,
			setup{Name: "kanmon-" + form, Title: "kanmon", Tenants: listingTenants, Config: listingConfig, Refusal: &refusal},
			setup{
				Name: "two-mtas-" + form, Title: "two MTAs", Shared: true, MSAs: 2, Tenants: listingTenants, Rules: ownRules, Refusal: &refusal,
			})
	}
	return all
}

func listingConfig(string) string { return kanmonConfig + tenantTables(listingTenants) }

// tenantTables name each MSA's network.
func tenantTables(count int) (config string) {
	for n := 1; n <= count; n++ {
		config += fmt.Sprintf("\n[[tenant]]\nname    = \"tenant%d\"\nsources = [\"10.20.%d.0/24\"]\n", n, n)
	}
	return config
}

// A listingRun is what one set-up did when one of its sending IPs was listed.
type listingRun struct {
	setup
	Mails   audit
	Delayed int    // of those that arrived
	Delays  delays // of those that arrived and were due from the listing on
	Hit     int    // due from the listing on, of the tenants whose Postfix has the listed IP; 0 behind kanmon
	Missed  int    // of these, that did not arrive
	Seen    sighting
	Done    rescues // by kanmon
	mails   []mail
	lasted  time.Duration
}

// runListing runs all set-ups at the same time, each in a world of its own.
func runListing(ctx context.Context, p plan) ([]*listingRun, error) {
	setups := listingSetups(p.listing.at)
	runs := make([]*listingRun, len(setups))
	all, ctx := errgroup.WithContext(ctx)
	for i, s := range setups {
		all.Go(func() (err error) {
			runs[i], err = listingOnce(ctx, p, s)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	return runs, nil
}

func listingOnce(ctx context.Context, p plan, s setup) (_ *listingRun, err error) {
	st, err := newSite(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.lab.Close()) }()
	st.ledger.start = time.Now()
	var senders sync.WaitGroup
	for tenant := 1; tenant <= s.Tenants; tenant++ {
		// Spread, so that at any time there are sessions in every phase.
		from := time.Duration(tenant-1) * time.Second / listingRate / listingTenants
		senders.Go(func() { steady(ctx, st.ledger, st.news(tenant), listingRate, from, p.listing.submit) })
	}
	senders.Wait()
	if err := st.rest(ctx, ofKind(normal), p.listing.drain); err != nil {
		return nil, err
	}
	run := &listingRun{setup: s, lasted: st.ledger.now()}
	run.Mails = st.ledger.audit(ofKind(normal), st.queued())
	if err := st.ledger.faults(run.Mails); err != nil {
		return nil, st.failed(err)
	}
	if run.Seen = st.list.sighting(farMX); run.Seen.Refused == 0 {
		return nil, st.failed(errors.New("the listed IP was never refused: nothing is shown"))
	}
	if st.kanmon != nil {
		// All its records are written when it has ended.
		if err := st.kanmon.Stop(10 * time.Second); err != nil {
			return nil, st.failed(fmt.Errorf("stop kanmon: %w", err))
		}
		if run.Done, err = readRescues(st.kanmon.Records()); err != nil {
			return nil, st.failed(err)
		}
	}
	run.measure(st.ledger.selected(ofKind(normal)))
	return run, nil
}

func (r *listingRun) measure(mails []mail) {
	r.mails = mails
	var after []mail
	for _, m := range mails {
		since, arrived := m.due >= r.Refusal.At, len(m.arrivals) > 0
		if since && arrived {
			after = append(after, m)
		}
		if arrived && m.delay() > delayedAfter {
			r.Delayed++
		}
		if since && r.Shared && (m.tenant-1)*r.MSAs/r.Tenants == 0 {
			r.Hit++
			if !arrived {
				r.Missed++
			}
		}
	}
	r.Delays = delaysOf(after, r.lasted)
}

func allMails(mail) bool { return true }

// returns gives when the senders got notices of non-delivery, the first one of each mail.
func returns(mails []mail) (at []time.Duration) {
	for _, m := range mails {
		if len(m.returned) > 0 {
			at = append(at, m.returned[0])
		}
	}
	return at
}

func dueTimes(mails []mail) (at []time.Duration) {
	for _, m := range mails {
		at = append(at, m.due)
	}
	return at
}
