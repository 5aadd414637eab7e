package main

import (
	"errors"
	"fmt"
	"math"
)

// What must hold of every run, in per cent.
const (
	unaffectedChange = 2  // of the other tenants' rate behind kanmon when one sends to tarpits, at most
	collapse         = 50 // of the rate that the shared queue loses, at least: else nothing was congested, and nothing is compared
	keptRate         = 97 // of the rate with held sessions, at least
	memoryGrowth     = 10 // of a session's memory from the smallest number of sessions to the largest, at most
	hitByListing     = 90 // of the mail that must leave from the listed IP does not arrive, at least: else nothing is compared
)

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
	for _, v := range r.Verdicts() {
		if !v.Holds {
			errs = append(errs, fmt.Errorf("does not hold: %s: %s", v.Claim, v.Measured))
		}
	}
	return errors.Join(errs...)
}
