package days

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
func (s *Store) Times(ctx context.Context, of history.TimesOf) (got []history.Times, err error) {
	err = whole(func() (err error) {
		got, err = s.onceTimes(ctx, of)
		return err
	})
	return got, err
}

func (s *Store) onceTimes(ctx context.Context, of history.TimesOf) ([]history.Times, error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	summing, err := index.OfTimes(&of)
	if err != nil {
		return nil, err
	}
	q := timesQuery{Summing: summing, of: of, sums: map[string]*history.Times{}}
	if err := s.reading.oldestFirst(of.From, of.To, func(v *volume) error { return q.add(ctx, v) }); err != nil {
		return nil, err
	}
	all := make([]history.Times, 0, len(q.order))
	for _, key := range q.order {
		all = append(all, *q.sums[key])
	}
	slices.SortStableFunc(all, func(a, b history.Times) int { return a.Begin.Compare(b.Begin) })
	return all, nil
}

type timesQuery struct {
	index.Summing
	of    history.TimesOf
	sums  map[string]*history.Times
	order []string
}

func (q *timesQuery) add(ctx context.Context, v *volume) (err error) {
	finest := int64(index.UnitFive)
	if v.level != detail {
		finest = index.UnitHour
	}
	unit := q.Unit(v.day.begin(), index.UnitHour, finest)
	c := new(condition)
	first, last := q.Edges(v.day.begin(), unit)
	c.and("unit = ? AND at >= ? AND at < ?", unit, first, last)
	name := func(column, text string) {
		if err == nil && text != "" {
			err = c.named(ctx, v, column, text)
		}
	}
	name("phase", q.of.Phase)
	name("provider", q.of.Provider)
	if q.of.SendingIP.IsValid() {
		name("ip", q.of.SendingIP.String())
	}
	if err != nil || c.none {
		return err
	}
	bucket, args := bucketOf(&q.Summing, v.day, unit)
	group := "bucket, phase, provider"
	ip := "''"
	if q.of.ByIP {
		group, ip = group+", ip", "(SELECT text FROM day_name WHERE id = ip)"
	}
	sums := make([]string, len(history.Buckets)+1)
	for i := range sums {
		sums[i] = fmt.Sprintf("sum(c%d)", i)
	}
	query := "SELECT " + bucket + " AS bucket, (SELECT text FROM day_name WHERE id = phase), (SELECT text FROM day_name WHERE id = provider), " + ip + ", " +
		strings.Join(sums, ", ") + " FROM day_took WHERE " + c.String() + " GROUP BY " + group
	return each(ctx, v.f, query, q.take, append(args, c.args...)...)
}

func (q *timesQuery) take(scan func(...any) error) error {
	var bucket int64
	var one history.Times
	var ip string
	into := []any{&bucket, &one.Phase, &one.Provider, &ip}
	for i := range one.Counts {
		into = append(into, &one.Counts[i])
	}
	if err := scan(into...); err != nil {
		return err
	}
	key := fmt.Sprint(bucket, "\x00", one.Phase, "\x00", one.Provider, "\x00", ip)
	sum := q.sums[key]
	if sum == nil {
		sum = &history.Times{Begin: q.Begin(bucket), Phase: one.Phase, Provider: one.Provider}
		sum.SendingIP, _ = netip.ParseAddr(ip) // "": not asked for
		q.sums[key] = sum
		q.order = append(q.order, key)
	}
	for i, n := range one.Counts {
		sum.Counts[i] += n
	}
	return nil
}
