package daemon

import (
	"cmp"

	"kanmon/internal/event/metrics"
	"kanmon/internal/outlet/trust/dns"
)

// tlsPolicies gives metrics what is known of what is asked of MXs; nil: nothing is.
func (d *Daemon) tlsPolicies(asks *trustInUse) *metrics.TLSPolicies {
	if asks == nil {
		return nil
	}
	state := asks.resolver.State()
	p := &metrics.TLSPolicies{
		Resolver: map[string]bool{"answering": state.Answers, "validating": state.Validates}, Answers: map[[2]string]uint64{}, Redials: map[string]uint64{},
	}
	p.Redials["name"], p.Redials["ticket"] = d.live.Redials()
	for of, n := range asks.resolver.Counts() {
		p.Answers[[2]string{of.Kind.String(), resultOf(of)}] += n
	}
	if asks.policies != nil {
		sizes := asks.policies.Sizes()
		p.Domains = map[string]int{
			"kept": sizes.Policies, "remembered": sizes.Remembered, "looked_up": sizes.Lookups, "fetching": sizes.Fetches, "unsaved": sizes.Unsaved,
		}
		by, busy := asks.policies.Fetches()
		p.Fetches = map[string]uint64{"busy": busy}
		for why, n := range by {
			p.Fetches[cmp.Or(why.String(), "fetched")] = n
		}
	}
	if r := d.reporter.Load(); r != nil {
		sent, left := r.Counts()
		p.Reports = map[string]uint64{"sent": sent, "left_out": left}
	}
	return p
}

// resultOf says what has come of a question in the words of metrics.
func resultOf(of dns.Count) string {
	switch {
	case of.Bogus:
		return "bogus"
	case of.Outcome == dns.Found:
		return "found"
	case of.Outcome == dns.NoData:
		return "no_data"
	case of.Outcome == dns.NoName:
		return "no_name"
	}
	return "failed"
}
