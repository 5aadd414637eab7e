package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"kanmon/internal/admin"
)

// What must hold of every run, in per cent.
const (
	unaffectedChange = 2   // of the other tenants' rate behind kanmon when one sends to tarpits, at most
	collapse         = 50  // of the rate that the shared queue loses, at least: else nothing was congested, and nothing is compared
	keptRate         = 97  // of the rate with held sessions, at least
	memoryGrowth     = 10  // of a session's memory from the smallest number of sessions to the largest, at most
	slowerPercent    = 150 // the delay of other tenants' mail after the break-in, of that before and slowerBy, at most
	hitByListing     = 90  // of the mail that must leave from the listed IP does not arrive, at least: else nothing is compared
)

const slowerBy = 500 * time.Millisecond

// A verdict is one thing that must hold, and what was measured.
type verdict struct {
	Claim, Measured string
	Holds           bool
}

// Verdicts judges what ran.
func (r *results) Verdicts() (all []verdict) {
	for _, run := range r.Fig4 {
		held, rest := run.Rates[0].HeldChange(), run.Rates[0].RestChange()
		switch {
		case !run.Shared:
			all = append(all, verdict{
				fmt.Sprintf("separated queues: the unaffected tenants' rate stays within %d %%, while tarpit mails are held and until normal mail ends", unaffectedChange),
				fmt.Sprintf("%+.1f %%, %+.1f %%", held, rest), math.Abs(held) <= unaffectedChange && math.Abs(rest) <= unaffectedChange,
			})
		case run.Settings != nil:
			all = append(all, verdict{
				fmt.Sprintf("shared queue, congested: the rate falls by %d %% or more while tarpit mails are held", collapse),
				fmt.Sprintf("%+.1f %%", held), held <= -collapse,
			})
		}
	}
	if r.Mass != nil {
		shared, separated := r.Mass[0].Then, r.Mass[1].Then
		all = append(all, verdict{
			"mass sending: all mail of the other tenants arrives with separated queues, with a largest delay below the median of a shared one",
			fmt.Sprintf("%d of %d, %.2f s, %.2f s", separated.N-separated.Late, separated.N, separated.Max.Seconds(), shared.Median.Seconds()),
			separated.Late == 0 && separated.Max < shared.Median,
		})
	}
	if r.Scale != nil {
		all = append(all, verdict{
			fmt.Sprintf("with %d sessions held, normal mail keeps %d %% of its rate", r.Scale.Held, keptRate),
			fmt.Sprintf("%.1f %%", r.Scale.Kept()), r.Scale.Kept() >= keptRate,
		})
	}
	if r.Memory != nil {
		first, last := r.Memory[0], r.Memory[len(r.Memory)-1]
		growth := 100 * (last.KiB()/first.KiB() - 1)
		all = append(all, verdict{
			fmt.Sprintf("the memory of a session grows by %d %% at most from %d sessions to %d", memoryGrowth, first.Sessions, last.Sessions),
			fmt.Sprintf("%+.1f %%", growth), growth <= memoryGrowth,
		})
	}
	return append(all, r.listingVerdicts()...)
}

// CompromisedVerdicts judges the experiment that has a page of its own.
func (r *results) CompromisedVerdicts() (all []verdict) {
	limit := r.plan.compromised.reputation.Unknown
	for _, run := range r.Compromised {
		a, o, t := &run.Attack, &run.Others, &run.Told
		if !run.Contain {
			all = append(all, verdict{
				"no containment: the providers see more unknown recipients than one lists a sending IP for, and one does",
				fmt.Sprintf("%d, %d; %s", a.Unknown, limit, plural(len(run.Listings), "listing")), a.Unknown > limit && len(run.Listings) > 0,
			})
			continue
		}
		allowed := o.Before.P95*slowerPercent/100 + slowerBy
		all = append(all, verdict{
			"containment: the account is contained, and of its unknown recipients the providers see fewer than one lists a sending IP for",
			fmt.Sprintf("%s; %d of %d, %d", t.Account.InForce, a.Unknown, r.plan.massUnknown(), limit),
			t.Account.InForce != admin.LevelNormal && a.Unknown < limit,
		}, verdict{
			"containment: nobody else is contained, and no mail of the other tenants is refused, put off, lost or doubled, but for their own unknown recipients",
			fmt.Sprintf("%d; %d, %d, %d, %d of %d", t.others(), o.Refused, o.Deferred, o.Mails.Lost, o.Mails.Twice, o.Mails.Accepted),
			t.others() == 0 && run.ActsOnOthers == 0 && o.Refused+o.Deferred+o.Mails.Lost+o.Mails.Twice+o.Then.Late == 0,
		}, verdict{
			"containment: no provider lists a sending IP, and all are active in the end",
			fmt.Sprintf("%s, %d not active", plural(len(run.Listings), "listing"), len(t.Standings)), len(run.Listings)+len(t.Standings) == 0,
		}, verdict{
			fmt.Sprintf("containment: the other tenants' delay (p95) from the break-in on is at most %d %% of that before and %s", slowerPercent, milliseconds(slowerBy)),
			fmt.Sprintf("%.2f s, %.2f s before", o.Then.P95.Seconds(), o.Before.P95.Seconds()), o.Then.P95 <= allowed,
		})
	}
	return all
}

func (r *results) listingVerdicts() (all []verdict) {
	for _, run := range r.Listing {
		m := run.Mails
		if run.Shared {
			all = append(all, verdict{
				fmt.Sprintf("%v is listed at %s, two MTAs: %d %% or more of the mail due for it from then on does not arrive", listedIP, run.Refusal.Verb, hitByListing),
				fmt.Sprintf("%d of %d", run.Missed, run.Hit), run.Hit > 0 && 100*run.Missed >= hitByListing*run.Hit,
			})
			continue
		}
		all = append(all, verdict{
			fmt.Sprintf("%v is listed at %s, kanmon: no mail bounces, is lost, arrives twice or is stuck", listedIP, run.Refusal.Verb),
			fmt.Sprintf("%d, %d, %d, %d of %d", m.Bounced, m.Lost, m.Twice, m.Waiting, m.Accepted),
			m.Bounced+m.Lost+m.Twice+m.Waiting == 0 && m.Arrived == m.Accepted,
		})
	}
	return all
}

// judge gives an error for each thing that does not hold.
func (r *results) judge() error {
	var errs []error
	for _, v := range slices.Concat(r.Verdicts(), r.RestrictedVerdicts(), r.CompromisedVerdicts(), r.ContentVerdicts()) {
		if !v.Holds {
			errs = append(errs, fmt.Errorf("does not hold: %s: %s", v.Claim, v.Measured))
		}
	}
	return errors.Join(errs...)
}
