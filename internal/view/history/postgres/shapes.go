package postgres

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A shapeSum is refusals of one shape, as far as they are added up.
type shapeSum struct {
	history.Shape
	hash int64
	last day // that has one of those asked for
}

// Shapes groups refusals; see [history.Store]. Times that are asked for are taken to hours, but for those of which all refusals lie outside.
func (s *Store) Shapes(ctx context.Context, of history.Filter, page history.Page) (all []history.Shape, next history.Next, err error) {
	from := 0
	if page.After != "" {
		if from, err = strconv.Atoi(string(page.After)); err != nil || from < 0 {
			return nil, "", errNext
		}
	}
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return nil, "", err
	}
	defer end()
	limit := limitOf(page)
	var sums []shapeSum
	if len(index.Wanted(&of)) > 0 {
		sums, err = s.shapesFound(ctx, &of)
		sums = sums[min(from, len(sums)):]
	} else {
		sums, err = s.shapesSummed(ctx, &of, from, limit+1)
	}
	if len(sums) > limit {
		sums, next = sums[:limit], history.Next(strconv.Itoa(from+limit))
	}
	for i := range sums {
		if err == nil {
			err = cmp.Or(s.example(ctx, &of, &sums[i]), s.since(ctx, &sums[i]))
			all = append(all, sums[i].Shape)
		}
	}
	return all, next, s.told(err)
}

// shapesSummed adds up what was added up by the hour.
func (s *Store) shapesSummed(ctx context.Context, of *history.Filter, from, limit int) (all []shapeSum, err error) {
	c := new(condition)
	c.is("class", of.Class)
	c.is("h.shape", of.Shape)
	c.is("tenant", of.Tenant)
	c.is("provider", of.Provider)
	c.is("r.gateway", of.Gateway)
	if of.SendingIP.IsValid() {
		c.is("ip", of.SendingIP.String())
	}
	if len(of.Outcomes) > 0 {
		c.and("outcome = ANY(?)", of.Outcomes)
	}
	if !of.From.IsZero() {
		c.and("day >= ? AND r.last >= ?", dayOf(of.From).begin(), of.From.UnixMilli())
	}
	if !of.To.IsZero() {
		c.and("day <= ? AND r.first < ?", dayOf(of.To).begin(), ceilMilli(of.To))
	}
	c.args = append(c.args, limit, from)
	n := len(c.args)
	err = each(ctx, s.read, `SELECT h.hash, h.class, h.rule, h.shape, sum(r.count)::bigint AS n, min(r.first), max(r.last), array_agg(DISTINCT r.tenant),
			array_agg(DISTINCT r.provider), array_agg(DISTINCT r.ip) FROM refused r JOIN shape h ON h.hash = r.shape WHERE `+c.String()+`
		GROUP BY h.hash ORDER BY n DESC, h.class, h.rule, h.shape LIMIT $`+strconv.Itoa(n-1)+" OFFSET $"+strconv.Itoa(n), func(scan func(...any) error) error {
		var sum shapeSum
		var first, last int64
		var tenants, providers, ips []string
		err := scan(&sum.hash, &sum.Class, &sum.Rule, &sum.Shape.Shape, &sum.Count, &first, &last, &tenants, &providers, &ips)
		sum.First, sum.Last, sum.last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC(), dayOf(time.UnixMilli(last))
		sum.whose(tenants, providers, ips)
		all = append(all, sum)
		return err
	}, c.args...)
	return all, err
}

// whose says of a shape whose refusals it has.
func (s *shapeSum) whose(tenants, providers, ips []string) {
	s.Tenants = len(tenants)
	if len(tenants) == 1 {
		s.One = tenants[0]
	}
	s.Providers = sorted(providers)
	for _, text := range sorted(ips) {
		if ip, err := netip.ParseAddr(text); err == nil {
			s.SendingIPs = append(s.SendingIPs, ip)
		}
	}
}

func sorted(all []string) []string {
	all = slices.DeleteFunc(all, func(text string) bool { return text == "" })
	slices.Sort(all)
	return slices.Compact(all)
}

// shapesFound adds up refusals of the attempts that a filter finds by terms.
func (s *Store) shapesFound(ctx context.Context, of *history.Filter) ([]shapeSum, error) {
	type gathered struct {
		shapeSum
		tenants, providers, ips []string
	}
	sums := map[int64]*gathered{}
	err := s.walk(ctx, of, finger{1 << 62, 0}, func(f *found) bool {
		for _, r := range history.Refusals(f.entry) {
			if r.Local || of.Class != "" && of.Class != r.Class || of.Shape != "" && of.Shape != r.Shape {
				continue
			}
			hash := hashOfShape(r.Class, r.Rule, r.Shape)
			sum := sums[hash]
			if sum == nil {
				sum = &gathered{shapeSum: shapeSum{hash: hash, Shape: history.Shape{
					Class: r.Class, Rule: r.Rule, Shape: r.Shape, Text: r.Text, To: r.To, First: f.At, Last: f.At,
				}}}
				sums[hash] = sum
			}
			sum.Count++
			sum.First = f.At // the newest come first
			sum.tenants = add(sum.tenants, f.Tenant)
			sum.providers = add(sum.providers, f.Provider)
			if f.SendingIP.IsValid() {
				sum.ips = add(sum.ips, f.SendingIP.String())
			}
		}
		return true
	})
	all := make([]shapeSum, 0, len(sums))
	for _, sum := range sums {
		sum.whose(sum.tenants, sum.providers, sum.ips)
		all = append(all, sum.shapeSum)
	}
	slices.SortFunc(all, func(a, b shapeSum) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Shape.Shape, b.Shape.Shape))
	})
	return all, err
}

func add(all []string, text string) []string {
	if slices.Contains(all, text) {
		return all
	}
	return append(all, text)
}

// example finds a reply of a shape, of those that are asked for: what another tenant was told is nobody else's.
func (s *Store) example(ctx context.Context, of *history.Filter, sum *shapeSum) error {
	if sum.Text != "" {
		return nil
	}
	sum.Text = sum.Shape.Shape
	c := new(condition)
	c.and("level = 1 AND day = ? AND terms @> ?", sum.last.begin(), []int64{sum.hash})
	c.common(of)
	c.within(of.From, of.To)
	if len(of.Outcomes) > 0 {
		c.and("outcome = ANY(?)", of.Outcomes)
	}
	var raw []byte
	err := s.read.QueryRow(ctx, "SELECT raw FROM line WHERE "+c.String()+" ORDER BY at DESC, seq DESC LIMIT 1", c.args...).Scan(&raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	e, err := event.ParseEntry(raw)
	if err != nil {
		return err
	}
	for _, r := range history.Refusals(e) {
		if hashOfShape(r.Class, r.Rule, r.Shape) == sum.hash {
			sum.Text, sum.To = r.Text, r.To
		}
	}
	return nil
}

// since finds when a shape was first seen, by anybody.
func (s *Store) since(ctx context.Context, sum *shapeSum) error {
	var first, line int64
	err := s.read.QueryRow(ctx, "SELECT first, gateway, run, line FROM shape WHERE hash = $1", sum.hash).Scan(&first, &sum.Seen.Gateway, &sum.Seen.Run, &line)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	sum.Seen.Line = uint64(line) //nolint:gosec // as it was written
	if at := time.UnixMilli(first).UTC(); err == nil && at.Before(sum.First) {
		sum.First = at
	}
	return err
}
