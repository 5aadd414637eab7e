package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A span is days that are added up in one way.
type span struct {
	from, to    day
	unit        int64
	first, last int64 // units of each of its days: first ≤ at < last
}

// spansOf splits time into days that are added up in one way: few, as only those at its edges differ, and those that have no more than hours.
func (s *Store) spansOf(ctx context.Context, sum *index.Summing, coarsest, finest int64) (all []span, err error) {
	var first, last *time.Time
	if err := s.read.QueryRow(ctx, "SELECT min(day), max(day) FROM seen").Scan(&first, &last); err != nil || first == nil {
		return nil, err
	}
	from, to := dayOf(*first), dayOf(*last)
	if !sum.From.IsZero() {
		from = max(from, dayOf(sum.From))
	}
	if !sum.To.IsZero() {
		to = min(to, dayOf(sum.To.Add(-1)))
	}
	detailed, err := daysWith(ctx, s.read, sum.From, sum.To, detail)
	if err != nil {
		return nil, err
	}
	whole := map[day]bool{}
	for _, d := range detailed {
		whole[d] = true
	}
	for d := from; d <= to; d++ {
		least := finest
		if !whole[d] {
			least = index.UnitHour
		}
		one := span{from: d, to: d, unit: sum.Unit(d.begin(), coarsest, least)}
		one.first, one.last = sum.Edges(d.begin(), one.unit)
		if n := len(all) - 1; n >= 0 && all[n].unit == one.unit && all[n].first == one.first && all[n].last == one.last {
			all[n].to = d
			continue
		}
		all = append(all, one)
	}
	return all, nil
}

// bucket is the SQL of the number of a step that a row is in.
func bucket(s *index.Summing, unit int64, at string) string {
	if s.Step == 0 {
		return "0::bigint"
	}
	const epoch = "(day - DATE '1970-01-01')::bigint"
	return fmt.Sprintf("(%s * %d + %s * %d + %d) / %d", epoch, aDay.Milliseconds(), at, unit*time.Minute.Milliseconds(), s.Offset(day(0).begin()), s.Step.Milliseconds())
}

var countColumns = map[string]string{
	history.ByGateway: "gateway", history.ByProvider: "provider", history.BySending: "ip", history.ByTenant: "tenant",
	history.ByAccount: "account", history.ByOutcome: "outcome", history.ByClass: "class",
}

// Counts adds up attempts; see [history.Store].
func (s *Store) Counts(ctx context.Context, of history.CountsOf) ([]history.Count, error) {
	sum, err := index.OfCounts(&of)
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	q := &countsQuery{Summing: sum, of: &of, at: map[string]int{}}
	finest := int64(index.UnitFive)
	if index.ByTenants(&of) {
		finest = index.UnitHour
	}
	spans, err := s.spansOf(ctx, &sum, index.UnitDay, finest)
	for _, one := range spans {
		if err == nil {
			query, args := q.statement(one)
			err = each(ctx, s.read, query, q.take, args...)
		}
	}
	slices.SortStableFunc(q.all, func(a, b history.Count) int { return a.Begin.Compare(b.Begin) })
	return q.all, s.told(err)
}

type countsQuery struct {
	index.Summing
	of  *history.CountsOf
	all []history.Count
	at  map[string]int // of all
}

func (q *countsQuery) statement(one span) (query string, args []any) {
	c := new(condition)
	c.and("day BETWEEN ? AND ?", one.from.begin(), one.to.begin())
	table, at := "tally", "at"
	switch {
	case index.ByAccounts(q.of):
		table, at = "account", "0"
		if q.of.Account != "" {
			c.and("account = ?", name(q.of.Account))
		}
	default:
		by := ofAll
		if index.ByTenants(q.of) {
			by = ofTenants
		} else if index.ByProviders(q.of) {
			by = ofProviders
		}
		c.and("unit = ? AND of = ? AND at >= ? AND at < ?", one.unit, by, one.first, min(one.last, 1<<30))
	}
	c.is("gateway", q.of.Gateway)
	c.is("provider", q.of.Provider)
	c.is("tenant", q.of.Tenant)
	c.is("class", q.of.Class)
	if q.of.SendingIP.IsValid() {
		c.is("ip", q.of.SendingIP.String())
	}
	if len(q.of.Outcomes) > 0 {
		c.and("outcome = ANY(?)", q.of.Outcomes)
	}
	by := []string{bucket(&q.Summing, one.unit, at)}
	for _, of := range q.of.By {
		by = append(by, countColumns[of])
	}
	columns := strings.Join(by, ", ")
	by[0] = "1"
	return "SELECT " + columns + ", sum(attempts)::bigint, sum(first)::bigint, sum(recipients)::bigint, sum(octets)::bigint, sum(rescued)::bigint, sum(tls)::bigint FROM " +
		table + " WHERE " + c.String() + " GROUP BY " + strings.Join(by, ", ") + " ORDER BY " + strings.Join(by, ", "), c.args
}

func (q *countsQuery) take(scan func(...any) error) error {
	var step int64
	var one history.Count
	texts := make([]string, len(q.of.By))
	into := []any{&step}
	for i := range texts {
		into = append(into, &texts[i])
	}
	if err := scan(append(into, &one.Attempts, &one.First, &one.Recipients, &one.Octets, &one.Rescued, &one.TLS)...); err != nil {
		return err
	}
	key := fmt.Sprint(step, "\x00", strings.Join(texts, "\x00"))
	at, known := q.at[key]
	if !known {
		at = len(q.all)
		q.at[key] = at
		q.all = append(q.all, history.Count{Begin: q.Begin(step)})
		for i, by := range q.of.By {
			index.SetName(&q.all[at], by, texts[i])
		}
	}
	sum := &q.all[at]
	sum.Attempts += one.Attempts
	sum.First += one.First
	sum.Recipients += one.Recipients
	sum.Octets += one.Octets
	sum.Rescued += one.Rescued
	sum.TLS += one.TLS
	return nil
}
