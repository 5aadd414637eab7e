package tally

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/view/history"
)

// Beside is what came of mail from one sending IP, beside all others.
type Beside struct {
	Begin    time.Time // of the day
	Provider string
	Here     Outcomes
	Others   Outcomes
}

// OfIP adds up mail from a sending IP and from all others, by day and by provider: how a new one grows beside old ones. The first day is whole; what is
// of providers is of the time that is asked for.
func OfIP(ctx context.Context, store history.Store, ip netip.Addr, from, to time.Time) (byDay, byProvider []Beside, err error) {
	begin := from.UTC().Truncate(day)
	of := history.CountsOf{Filter: history.Filter{From: from, To: to}, By: []string{history.BySending, history.ByProvider, history.ByOutcome}}
	sums, err := store.Counts(ctx, of)
	if err != nil {
		return nil, nil, err
	}
	of.From, of.Step = begin, day
	counts, err := store.Counts(ctx, of)
	if err != nil {
		return nil, nil, err
	}
	add := func(b *Beside, c *history.Count) {
		if c.SendingIP == ip {
			b.Here.Add(c)
		} else {
			b.Others.Add(c)
		}
	}
	byDay = make([]Beside, max(1, (to.Sub(begin)+day-1)/day))
	for i := range byDay {
		byDay[i].Begin = begin.Add(time.Duration(i) * day)
	}
	for i := range counts {
		if at := int(counts[i].Begin.Sub(begin) / day); at >= 0 && at < len(byDay) {
			add(&byDay[at], &counts[i])
		}
	}
	providers := map[string]*Beside{}
	for i := range sums {
		c := &sums[i]
		p := providers[c.Provider]
		if p == nil {
			p = &Beside{Begin: begin, Provider: c.Provider}
			providers[c.Provider] = p
		}
		add(p, c)
	}
	for _, p := range providers {
		if p.Here.Attempts > 0 {
			byProvider = append(byProvider, *p)
		}
	}
	slices.SortFunc(byProvider, func(a, b Beside) int {
		return cmp.Or(cmp.Compare(b.Here.Attempts, a.Here.Attempts), strings.Compare(a.Provider, b.Provider))
	})
	return byDay, byProvider, nil
}
