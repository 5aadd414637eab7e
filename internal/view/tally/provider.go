package tally

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Provider is what one asks when mail to it is late.
type Provider struct {
	Name     string
	From, To time.Time
	Over     *Series
	Unsaid   int64 // attempts that were deferred, and by no reply of the provider's: kanmon did so by itself, or the connection was lost
	Phases   []Phase
	Worst    string  // the phase that takes longest against a week before, else longest; "": nothing is known
	Course   *Course // of it
	Before   *Course // of it, a week before
	IPs      []IP
	Tenants  []Tenant
	Refusals []history.Shape
	Waiting  history.Waiting
	Did      []event.Entry // what kanmon and people did, the newest first
}

// An IP is what came of mail from one sending IP.
type IP struct {
	SendingIP netip.Addr
	Outcomes  Outcomes
	Worst     Spans // what the provider's worst phase took from it
}

// A Tenant is what came of one's mail.
type Tenant struct {
	Name     string
	Outcomes Outcomes
}

// mostRows is how many tenants, refusals, deeds a summary has: each stands over a list that has the rest.
const mostRows = 20

// OfProvider adds up what history has of a provider between two times. It begins with the first step of its series, so that all its sums are of one time: those of
// tenants, which history has by the hour, where that is a full hour.
func OfProvider(ctx context.Context, store history.Store, name string, from, to time.Time) (*Provider, error) {
	of := Subject{Provider: name}
	p := &Provider{Name: name, From: from, To: to}
	var err error
	if p.Over, err = Over(ctx, store, of, from, to); err != nil {
		return nil, err
	}
	from, p.From = p.Over.From, p.Over.From
	if p.Unsaid, err = unsaid(ctx, store, of.Filter(from, to)); err != nil {
		return nil, err
	}
	if p.Phases, err = Phases(ctx, store, of, from, to); err != nil {
		return nil, err
	}
	p.Worst = worst(p.Phases)
	if err = p.times(ctx, store, of); err != nil {
		return nil, err
	}
	if err = p.ips(ctx, store, of); err != nil {
		return nil, err
	}
	if p.Tenants, err = Tenants(ctx, store, of, from, to); err != nil {
		return nil, err
	}
	if p.Refusals, _, err = store.Shapes(ctx, of.Filter(from, to), history.Page{Limit: mostRows}); err != nil {
		return nil, err
	}
	waiting, err := store.Waiting(ctx, of.Filter(time.Time{}, to), to)
	if err != nil {
		return nil, err
	}
	for _, w := range waiting {
		if w.Provider == name {
			p.Waiting = w
		}
	}
	p.Did, _, err = store.Events(ctx, of.events(from, to, "changed", "order", "finding", "sighting"), history.Page{Limit: mostRows})
	return p, err
}

// unsaid counts deferred attempts without a reply that has a meaning: each that a provider gives has one.
func unsaid(ctx context.Context, store history.Store, of history.Filter) (n int64, err error) {
	counts, err := store.Counts(ctx, history.CountsOf{Filter: of, By: []string{history.ByOutcome, history.ByClass}})
	for i := range counts {
		if c := &counts[i]; c.Outcome == "deferred" && c.Class == "" {
			n += c.Attempts
		}
	}
	return n, err
}

// worst is the phase at which to look first.
func worst(phases []Phase) string {
	best, most := "", 0.0
	for i := range phases {
		score := phases[i].Now.P90
		if phases[i].Slow() {
			score *= 1000
		}
		if score > most {
			best, most = phases[i].Name, score
		}
	}
	return best
}

func (p *Provider) times(ctx context.Context, store history.Store, of Subject) (err error) {
	if p.Worst == "" {
		return nil
	}
	if p.Course, err = CourseOf(ctx, store, of, p.Worst, p.From, p.To, p.Over.Step); err != nil {
		return err
	}
	p.Before, err = CourseOf(ctx, store, of, p.Worst, p.From.Add(-7*day), p.To.Add(-7*day), p.Over.Step)
	return err
}

func (p *Provider) ips(ctx context.Context, store history.Store, of Subject) error {
	counts, err := store.Counts(ctx, history.CountsOf{Filter: of.Filter(p.From, p.To), By: []string{history.BySending, history.ByOutcome}})
	if err != nil {
		return err
	}
	times := map[netip.Addr]Spans{}
	if p.Worst != "" {
		if times, err = timesByIP(ctx, store, of, p.Worst, p.From, p.To); err != nil {
			return err
		}
	}
	all := map[netip.Addr]*IP{}
	for i := range counts {
		ip := all[counts[i].SendingIP]
		if ip == nil {
			ip = &IP{SendingIP: counts[i].SendingIP, Worst: times[counts[i].SendingIP]}
			all[counts[i].SendingIP] = ip
		}
		ip.Outcomes.Add(&counts[i])
	}
	for _, ip := range all {
		p.IPs = append(p.IPs, *ip)
	}
	slices.SortFunc(p.IPs, func(a, b IP) int { return a.SendingIP.Compare(b.SendingIP) })
	return nil
}

// SlowTo gives the sending IPs to which the provider is slow in its worst phase, and says of how many that is known.
func (p *Provider) SlowTo() (slow []string, of int) {
	for i := range p.IPs {
		if w := p.IPs[i].Worst; w.Known() {
			of++
			if (&Phase{Now: w}).Slow() {
				slow = append(slow, p.IPs[i].SendingIP.String())
			}
		}
	}
	return slow, of
}

// Tenants gives whose mail it was, those with the most trouble first.
func Tenants(ctx context.Context, store history.Store, of Subject, from, to time.Time) ([]Tenant, error) {
	counts, err := store.Counts(ctx, history.CountsOf{Filter: of.Filter(from, to), By: []string{history.ByTenant, history.ByOutcome}})
	if err != nil {
		return nil, err
	}
	all := map[string]*Tenant{}
	for i := range counts {
		t := all[counts[i].Tenant]
		if t == nil {
			t = &Tenant{Name: counts[i].Tenant}
			all[counts[i].Tenant] = t
		}
		t.Outcomes.Add(&counts[i])
	}
	list := make([]Tenant, 0, len(all))
	for _, t := range all {
		list = append(list, *t)
	}
	trouble := func(t *Tenant) int64 { return t.Outcomes.Deferred + t.Outcomes.Refused + t.Outcomes.Unclear }
	slices.SortFunc(list, func(a, b Tenant) int {
		return cmp.Or(cmp.Compare(trouble(&b), trouble(&a)), cmp.Compare(b.Outcomes.Attempts, a.Outcomes.Attempts), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}
