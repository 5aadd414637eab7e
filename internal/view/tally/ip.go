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

// OfIP adds up mail from a sending IP and from all others, by day and by provider: how a new one grows beside old ones.
func OfIP(ctx context.Context, store history.Store, ip netip.Addr, from, to time.Time) (byDay, byProvider []Beside, err error) {
	begin := from.UTC().Truncate(day)
	counts, err := store.Counts(ctx, history.CountsOf{
		Filter: history.Filter{From: begin, To: to}, Step: day, By: []string{history.BySending, history.ByProvider, history.ByOutcome},
	})
	if err != nil {
		return nil, nil, err
	}
	byDay = make([]Beside, max(1, (to.Sub(begin)+day-1)/day))
	for i := range byDay {
		byDay[i].Begin = begin.Add(time.Duration(i) * day)
	}
	providers := map[string]*Beside{}
	for i := range counts {
		c := &counts[i]
		p := providers[c.Provider]
		if p == nil {
			p = &Beside{Begin: begin, Provider: c.Provider}
			providers[c.Provider] = p
		}
		add := func(b *Beside) {
			if c.SendingIP == ip {
				b.Here.Add(c)
			} else {
				b.Others.Add(c)
			}
		}
		add(p)
		if at := int(c.Begin.Sub(begin) / day); at >= 0 && at < len(byDay) {
			add(&byDay[at])
		}
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
