package days

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/view/history"
)

// A summing adds up roll-ups of several days.
type summing struct {
	from, to time.Time
	step     time.Duration
}

var errStep = errors.New("a step is 5 minutes, an hour, a day, or a multiple of one of these")

func (s *summing) check(least time.Duration) error {
	if s.step < 0 || s.step%least != 0 {
		return fmt.Errorf("%w, and here at least %s: %s", errStep, least, s.step)
	}
	return nil
}

const fiveMinutes = 5 * time.Minute

// unit is what a day is added up by: what is coarsest of that which says where steps and edges are.
func (s *summing) unit(d day, coarsest int64, finest int64) int64 {
	whole := !s.from.After(d.begin()) && (s.to.IsZero() || !s.to.Before((d + 1).begin()))
	fits := func(unit time.Duration) bool {
		return s.step == 0 || s.step%unit == 0 && (s.from.IsZero() || s.from.Truncate(unit).Equal(s.from))
	}
	aligned := func(at time.Time) bool { return at.IsZero() || at.Truncate(time.Hour).Equal(at) }
	switch {
	case coarsest == unitDay && whole && fits(aDay):
		return unitDay
	case finest == unitHour, fits(time.Hour) && (whole || aligned(s.from) && aligned(s.to)):
		return unitHour
	}
	return unitFive
}

// bucket is the SQL of the number of a step that a row is in, and its arguments.
func (s *summing) bucket(d day, unit int64) (text string, args []any) {
	if s.step == 0 {
		return "0", nil
	}
	return "(at * ? + ?) / ?", []any{unit * time.Minute.Milliseconds(), d.begin().Sub(s.zero()).Milliseconds() + s.shift(), s.step.Milliseconds()}
}

// zero is where steps are counted from: far enough before all of them that none has a number below 0.
func (s *summing) zero() time.Time {
	if s.from.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return s.from
}

func (s *summing) shift() int64 { return 1000 * s.step.Milliseconds() }

func (s *summing) begin(n int64) time.Time {
	if s.step == 0 {
		return s.from
	}
	return s.zero().Add(time.Duration(n-1000) * s.step).UTC()
}

// edges are the first and the last behind of what counts in a day, in units.
func (s *summing) edges(d day, unit int64) (first, last int64) {
	per := time.Duration(unit) * time.Minute
	last = 1 << 40
	if s.from.After(d.begin()) {
		first = int64(s.from.Sub(d.begin()) / per)
	}
	if !s.to.IsZero() && s.to.Before((d + 1).begin()) {
		last = int64((s.to.Sub(d.begin()) + per - 1) / per)
	}
	return first, last
}

// Counts adds up attempts; see [history.Store].
func (s *Store) Counts(ctx context.Context, of history.CountsOf) ([]history.Count, error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	q := countsQuery{summing: summing{of.From.UTC(), of.To.UTC(), of.Step}, of: of, sums: map[string]*history.Count{}}
	if of.From.IsZero() {
		q.from = time.Time{}
	}
	if of.To.IsZero() {
		q.to = time.Time{}
	}
	if err := q.fits(); err != nil {
		return nil, err
	}
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
	summing
	of    history.CountsOf
	sums  map[string]*history.Count
	order []string
}

var countColumns = map[string]string{
	history.ByGateway: "gateway", history.ByProvider: "provider", history.BySending: "ip", history.ByTenant: "tenant",
	history.ByAccount: "account", history.ByOutcome: "outcome", history.ByClass: "class",
}

func (q *countsQuery) accounts() bool {
	return q.of.Account != "" || slices.Contains(q.of.By, history.ByAccount)
}

func (q *countsQuery) tenants() bool {
	return q.of.Tenant != "" || slices.Contains(q.of.By, history.ByTenant) || q.accounts()
}

func (q *countsQuery) fits() error {
	for _, by := range q.of.By {
		if countColumns[by] == "" {
			return fmt.Errorf("counts are not kept by %.40q", by)
		}
	}
	if q.accounts() {
		if q.of.SendingIP.IsValid() || q.of.Provider != "" || slices.Contains(q.of.By, history.BySending) || slices.Contains(q.of.By, history.ByProvider) {
			return errors.New("counts of accounts are not kept by provider, nor by sending IP")
		}
		return q.check(aDay)
	}
	if q.tenants() {
		return q.check(time.Hour)
	}
	return q.check(fiveMinutes)
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
	table, unit := "day_account", int64(unitDay)
	c := new(condition)
	if !q.accounts() {
		table = "day_count"
		finest := int64(unitFive)
		if q.tenants() || v.level != detail {
			finest = unitHour
		}
		unit = q.unit(v.day, unitDay, finest)
		table += q.counted(c, unit)
		first, last := q.edges(v.day, unit)
		c.and("at >= ? AND at < ?", first, last)
	}
	if err := q.filter(ctx, v, c); err != nil || c.none {
		return "", nil, err
	}
	columns := make([]string, 0, len(q.of.By))
	for _, by := range q.of.By {
		columns = append(columns, countColumns[by])
	}
	bucket, args := q.bucket(v.day, unit)
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
	providers := q.of.Provider != "" || q.of.SendingIP.IsValid() || slices.Contains(q.of.By, history.ByProvider) || slices.Contains(q.of.By, history.BySending)
	switch {
	case !q.tenants() && !providers:
		c.and("tenant = 0 AND provider = 0")
	case !q.tenants():
		c.and("tenant = 0 AND provider > 0")
	case q.of.Tenant == "":
		c.and("tenant > 0")
		if unit == unitDay && q.of.Provider != "" {
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
		sum = &history.Count{Begin: q.begin(bucket)}
		for i, by := range q.of.By {
			setName(sum, by, texts[i])
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

func setName(c *history.Count, by, text string) {
	switch by {
	case history.ByGateway:
		c.Gateway = text
	case history.ByProvider:
		c.Provider = text
	case history.BySending:
		c.SendingIP, _ = netip.ParseAddr(text) // "": none is configured
	case history.ByTenant:
		c.Tenant = text
	case history.ByAccount:
		c.Account = text
	case history.ByOutcome:
		c.Outcome = text
	case history.ByClass:
		c.Class = text
	}
}
