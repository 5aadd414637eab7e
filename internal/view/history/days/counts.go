package days

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// bucketOf is the SQL of the number of a step that a row is in, and its arguments.
func bucketOf(s *index.Summing, d day, unit int64) (text string, args []any) {
	if s.Step == 0 {
		return "0", nil
	}
	return "(at * ? + ?) / ?", []any{unit * time.Minute.Milliseconds(), s.Offset(d.begin()), s.Step.Milliseconds()}
}

// Counts adds up attempts; see [history.Store].
func (s *Store) Counts(ctx context.Context, of history.CountsOf) (got []history.Count, err error) {
	err = whole(func() (err error) {
		got, err = s.onceCounts(ctx, of)
		return err
	})
	return got, err
}

func (s *Store) onceCounts(ctx context.Context, of history.CountsOf) ([]history.Count, error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	summing, err := index.OfCounts(&of)
	if err != nil {
		return nil, err
	}
	q := countsQuery{Summing: summing, of: of, sums: map[string]*history.Count{}}
	if err := s.reading.oldestFirst(of.From, of.To, func(v *volume) error { return q.add(ctx, v) }); err != nil {
		return nil, err
	}
	all := make([]history.Count, 0, len(q.order))
	for _, key := range q.order {
		all = append(all, *q.sums[key])
	}
	slices.SortStableFunc(all, func(a, b history.Count) int { return a.Begin.Compare(b.Begin) })
	return all, nil
}

type countsQuery struct {
	index.Summing
	of    history.CountsOf
	sums  map[string]*history.Count
	order []string
}

var countColumns = map[string]string{
	history.ByGateway: "gateway", history.ByProvider: "provider", history.BySending: "ip", history.ByTenant: "tenant",
	history.ByAccount: "account", history.ByOutcome: "outcome", history.ByClass: "class",
}

func (q *countsQuery) add(ctx context.Context, v *volume) error {
	query, args, err := q.statement(ctx, v)
	if err != nil || query == "" {
		return err
	}
	return each(ctx, v.f, query, q.take, args...)
}

// statement is how a day is asked; "": it has nothing of that.
func (q *countsQuery) statement(ctx context.Context, v *volume) (query string, args []any, err error) {
	table, unit := "day_account", int64(index.UnitDay)
	c := new(condition)
	if !index.ByAccounts(&q.of) {
		table = "day_count"
		finest := int64(index.UnitFive)
		if index.ByTenants(&q.of) || v.level != detail {
			finest = index.UnitHour
		}
		unit = q.Unit(v.day.begin(), index.UnitDay, finest)
		table += q.counted(c, unit)
		first, last := q.Edges(v.day.begin(), unit)
		c.and("at >= ? AND at < ?", first, last)
	}
	if err := q.filter(ctx, v, c); err != nil || c.none {
		return "", nil, err
	}
	columns := make([]string, 0, len(q.of.By))
	for _, by := range q.of.By {
		columns = append(columns, countColumns[by])
	}
	bucket, args := bucketOf(&q.Summing, v.day, unit)
	if table == "day_account" {
		bucket = strings.ReplaceAll(bucket, "at", "0")
	}
	names := ""
	for _, column := range columns {
		if column == "account" {
			names += ", account"
		} else {
			names += ", (SELECT text FROM day_name WHERE id = " + column + ")"
		}
	}
	query = "SELECT bucket" + names + ", a, f, n, o, r, e FROM (SELECT " + bucket + " AS bucket, " + strings.Join(append(columns, ""), ", ") +
		"sum(attempts) AS a, sum(first) AS f, sum(recipients) AS n, sum(octets) AS o, sum(rescued) AS r, sum(tls) AS e FROM " + table + " WHERE " + c.String() +
		" GROUP BY " + strings.Join(append([]string{"bucket"}, columns...), ", ") + ")"
	return query, append(args, c.args...), nil
}

// counted chooses the rows that are added up the most, and how they are found.
func (q *countsQuery) counted(c *condition, unit int64) (indexed string) {
	c.and("unit = " + strconv.FormatInt(unit, 10))
	switch {
	case !index.ByTenants(&q.of) && !index.ByProviders(&q.of):
		c.and("tenant = 0 AND provider = 0")
	case !index.ByTenants(&q.of):
		c.and("tenant = 0 AND provider > 0")
	case q.of.Tenant == "":
		c.and("tenant > 0")
		if unit == index.UnitDay && q.of.Provider != "" {
			return " INDEXED BY day_count_provider"
		}
	}
	return ""
}

func (q *countsQuery) filter(ctx context.Context, v *volume, c *condition) (err error) {
	name := func(column string, texts ...string) {
		if err == nil && len(texts) > 0 && texts[0] != "" {
			err = c.named(ctx, v, column, texts...)
		}
	}
	name("gateway", q.of.Gateway)
	name("provider", q.of.Provider)
	name("tenant", q.of.Tenant)
	name("outcome", q.of.Outcomes...)
	name("class", q.of.Class)
	if q.of.SendingIP.IsValid() {
		name("ip", q.of.SendingIP.String())
	}
	if q.of.Account != "" {
		c.and("account = ?", q.of.Account)
	}
	return err
}

func (q *countsQuery) take(scan func(...any) error) error {
	var bucket int64
	var one history.Count
	texts := make([]string, len(q.of.By))
	into := []any{&bucket}
	for i := range texts {
		into = append(into, &texts[i])
	}
	if err := scan(append(into, &one.Attempts, &one.First, &one.Recipients, &one.Octets, &one.Rescued, &one.TLS)...); err != nil {
		return err
	}
	key := fmt.Sprint(bucket, "\x00", strings.Join(texts, "\x00"))
	sum := q.sums[key]
	if sum == nil {
		sum = &history.Count{Begin: q.Begin(bucket)}
		for i, by := range q.of.By {
			index.SetName(sum, by, texts[i])
		}
		q.sums[key] = sum
		q.order = append(q.order, key)
	}
	sum.Attempts += one.Attempts
	sum.First += one.First
	sum.Recipients += one.Recipients
	sum.Octets += one.Octets
	sum.Rescued += one.Rescued
	sum.TLS += one.TLS
	return nil
}
