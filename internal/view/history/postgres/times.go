package postgres

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// Times adds up durations; see [history.Store].
func (s *Store) Times(ctx context.Context, of history.TimesOf) (all []history.Times, err error) {
	sum, err := index.OfTimes(&of)
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	spans, err := s.spansOf(ctx, &sum, index.UnitHour, index.UnitFive)
	if err != nil {
		return nil, s.told(err)
	}
	at := map[string]int{}
	for _, one := range spans {
		query, args := timesStatement(&sum, &of, one)
		err := each(ctx, s.read, query, func(scan func(...any) error) error { return takeTimes(&sum, &all, at, scan) }, args...)
		if err != nil {
			return nil, s.told(err)
		}
	}
	slices.SortStableFunc(all, func(a, b history.Times) int { return a.Begin.Compare(b.Begin) })
	return all, nil
}

func timesStatement(sum *index.Summing, of *history.TimesOf, one span) (query string, args []any) {
	c := new(condition)
	c.and("day BETWEEN ? AND ? AND unit = ? AND at >= ? AND at < ?", one.from.begin(), one.to.begin(), one.unit, one.first, min(one.last, 1<<30))
	c.is("phase", of.Phase)
	c.is("provider", of.Provider)
	if of.SendingIP.IsValid() {
		c.is("ip", of.SendingIP.String())
	}
	ip := "''"
	if of.ByIP {
		ip = "ip"
	}
	sums := make([]string, len(history.Buckets)+1)
	for i := range sums {
		sums[i] = fmt.Sprintf("sum(counts[%d])::bigint", i+1)
	}
	return "SELECT " + bucket(sum, one.unit, "at") + " AS step, phase, provider, " + ip + " AS of, ARRAY[" + strings.Join(sums, ", ") + "] FROM took WHERE " +
		c.String() + " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4", c.args
}

func takeTimes(sum *index.Summing, all *[]history.Times, at map[string]int, scan func(...any) error) error {
	var step int64
	var phase, provider, ip string
	var counts []int64
	if err := scan(&step, &phase, &provider, &ip, &counts); err != nil {
		return err
	}
	key := fmt.Sprint(step, "\x00", phase, "\x00", provider, "\x00", ip)
	n, known := at[key]
	if !known {
		n = len(*all)
		at[key] = n
		one := history.Times{Begin: sum.Begin(step), Phase: phase, Provider: provider}
		one.SendingIP, _ = netip.ParseAddr(ip) // "": not asked for
		*all = append(*all, one)
	}
	for i := range min(len(counts), len(history.Buckets)+1) {
		(*all)[n].Counts[i] += counts[i]
	}
	return nil
}
