package days

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"kanmon/internal/store"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A grouping adds up refusals by meaning and shape.
type grouping struct {
	of   *history.Filter
	sums map[shapeKey]*shapeSum
}

type shapeKey struct{ class, rule, shape string }

type shapeSum struct {
	shapeKey
	count       int64
	first, last time.Time
	tenants     map[string]bool
	ips         map[string]bool
	providers   map[string]bool
	text        string
	to          []string             // whom the text may name
	in          map[day]shapeNumbers // days that have it
}

// shapeNumbers are the names of a shape in a day.
type shapeNumbers struct{ class, rule, shape int64 }

func (g *grouping) sum(key shapeKey) *shapeSum {
	s := g.sums[key]
	if s == nil {
		s = &shapeSum{shapeKey: key, tenants: map[string]bool{}, ips: map[string]bool{}, providers: map[string]bool{}, in: map[day]shapeNumbers{}}
		g.sums[key] = s
	}
	return s
}

func (s *shapeSum) add(count int64, first, last time.Time) {
	s.count += count
	if s.first.IsZero() || first.Before(s.first) {
		s.first = first
	}
	if last.After(s.last) {
		s.last = last
	}
}

// Shapes groups refusals; see [history.Store].
func (s *Store) Shapes(ctx context.Context, of history.Filter, page history.Page) (got []history.Shape, more history.Next, err error) {
	err = whole(func() (err error) {
		got, more, err = s.onceShapes(ctx, of, page)
		return err
	})
	return got, more, err
}

func (s *Store) onceShapes(ctx context.Context, of history.Filter, page history.Page) ([]history.Shape, history.Next, error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, "", err
	}
	defer done()
	from := 0
	if page.After != "" {
		if from, err = strconv.Atoi(string(page.After)); err != nil || from < 0 {
			return nil, "", errNext
		}
	}
	g := &grouping{of: &of, sums: map[shapeKey]*shapeSum{}}
	if err := s.group(ctx, g); err != nil {
		return nil, "", err
	}
	sums := make([]*shapeSum, 0, len(g.sums))
	for _, sum := range g.sums {
		sums = append(sums, sum)
	}
	slices.SortFunc(sums, func(a, b *shapeSum) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.class, b.class), cmp.Compare(a.rule, b.rule), cmp.Compare(a.shape, b.shape))
	})
	sums = sums[min(from, len(sums)):]
	next := history.Next("")
	if limit := limitOf(page); len(sums) > limit {
		sums, next = sums[:limit], history.Next(strconv.Itoa(from+limit))
	}
	all, err := s.shapes(ctx, g, sums)
	return all, next, err
}

// group finds how many refusals there were of each shape; where terms are asked for, also whose.
func (s *Store) group(ctx context.Context, g *grouping) error {
	if len(index.Wanted(g.of)) > 0 {
		return s.reading.walk(ctx, g.of, finger{}, func(_ finger, f *found) bool {
			g.line(f)
			return true
		})
	}
	in, err := s.reading.between(g.of.From, g.of.To)
	if err != nil {
		return err
	}
	for _, l := range in {
		if err := s.reading.with(l.day, func(v *volume) error { return g.day(ctx, v) }); err != nil {
			return err
		}
	}
	return nil
}

func (g *grouping) line(f *found) {
	for _, r := range history.Refusals(f.entry) {
		if r.Local || g.of.Class != "" && g.of.Class != r.Class || g.of.Shape != "" && g.of.Shape != r.Shape {
			continue
		}
		sum := g.sum(shapeKey{r.Class, r.Rule, r.Shape})
		sum.add(1, f.At, f.At)
		sum.text, sum.to = r.Text, r.To
		sum.tenants[f.Tenant], sum.providers[f.Provider], sum.ips[ipOf(f.SendingIP)] = true, true, true
	}
}

func ipOf(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

// day adds how many there were in a day.
func (g *grouping) day(ctx context.Context, v *volume) error {
	from, err := g.refusals(ctx, v)
	if err != nil || from.none {
		return err
	}
	query, args := from.groups()
	return each(ctx, v.f, query, func(scan func(...any) error) error {
		var in shapeNumbers
		var key shapeKey
		var count, first, last int64
		err := scan(&in.class, &in.rule, &in.shape, &key.class, &key.rule, &key.shape, &count, &first, &last)
		sum := g.sum(key)
		sum.in[v.day] = in
		sum.add(count, time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC())
		return err
	}, args...)
}

// who finds out of some whose they were in a day, and what one of them said.
func (g *grouping) who(ctx context.Context, v *volume, sums []*shapeSum) error {
	from, err := g.refusals(ctx, v)
	if err != nil || from.none {
		return err
	}
	var whose [len(whoseColumns)]*sql.Stmt
	var args [len(whoseColumns)][]any
	for i := range whoseColumns { // the columns by themselves: all that there are together are far more
		var query string
		query, args[i] = from.names(i)
		if whose[i], err = v.f.PrepareContext(ctx, query); err != nil {
			return err
		}
		defer whose[i].Close()
	}
	for _, sum := range sums {
		in, ok := sum.in[v.day]
		if !ok {
			continue
		}
		for i, names := range [...]map[string]bool{sum.tenants, sum.providers, sum.ips} {
			if err := v.whose(ctx, whose[i], append(slices.Clone(args[i]), in.class, in.rule, in.shape), names); err != nil {
				return err
			}
		}
		if err := v.example(ctx, g.of, sum, in.shape); err != nil {
			return err
		}
	}
	return nil
}

func (v *volume) whose(ctx context.Context, stmt *sql.Stmt, args []any, names map[string]bool) error {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	var all []int64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return errors.Join(err, rows.Close())
		}
		all = append(all, n)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, n := range all {
		text, err := v.name(ctx, n)
		if err != nil {
			return err
		}
		names[text] = true
	}
	return nil
}

// shapes finds out the rest of those that are given.
func (s *Store) shapes(ctx context.Context, g *grouping, sums []*shapeSum) (all []history.Shape, err error) {
	in, err := s.reading.between(g.of.From, g.of.To)
	if err != nil {
		return nil, err
	}
	for _, l := range in {
		if err := s.reading.with(l.day, func(v *volume) error { return g.who(ctx, v, sums) }); err != nil {
			return nil, err
		}
	}
	err = s.reading.mainly(func(f *store.File) error {
		for _, sum := range sums {
			shape, err := sum.given(ctx, f)
			if err != nil {
				return err
			}
			all = append(all, shape)
		}
		return nil
	})
	return all, err
}

// example finds a reply of a shape, of those that are asked for: what another tenant was told is nobody else's.
func (v *volume) example(ctx context.Context, of *history.Filter, sum *shapeSum, shape int64) error {
	if sum.text != "" || v.level == counts {
		return nil
	}
	c := new(condition)
	c.and("t.shape = ?", shape)
	var err error
	for _, is := range [...]struct{ column, text string }{{"t.tenant", of.Tenant}, {"t.provider", of.Provider}, {"t.ip", ipOf(of.SendingIP)}} {
		if err == nil && is.text != "" {
			err = c.named(ctx, v, is.column, is.text)
		}
	}
	if err != nil || c.none {
		return err
	}
	if of.Gateway != "" {
		c.and("l.run IN (SELECT id FROM day_run WHERE gateway = ?)", of.Gateway)
	}
	if len(of.Outcomes) > 0 {
		if err := c.named(ctx, v, "t.outcome", of.Outcomes...); err != nil || c.none {
			return err
		}
	}
	first, last := rangeOf(v.day, of)
	c.and("t.id >= ? AND t.id < ?", first, last)
	var at place
	err = v.f.QueryRowContext(ctx, "SELECT l.place FROM day_trouble t CROSS JOIN day_line l ON l.id = t.id WHERE "+c.String()+" ORDER BY t.id DESC LIMIT 1", c.args...).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	e, err := v.reader().entry(ctx, at)
	if errors.Is(err, errPlace) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, r := range history.Refusals(e) {
		if r.Shape == sum.shape {
			sum.text, sum.to = r.Text, r.To
		}
	}
	return nil
}

func (s *shapeSum) given(ctx context.Context, main *store.File) (history.Shape, error) {
	shape := history.Shape{
		Class: s.class, Rule: s.rule, Shape: s.shape, Text: cmp.Or(s.text, s.shape), To: s.to, Count: s.count, First: s.first, Last: s.last, Tenants: len(s.tenants),
		Providers: sorted(s.providers),
	}
	for _, text := range sorted(s.ips) {
		if ip, err := netip.ParseAddr(text); err == nil {
			shape.SendingIPs = append(shape.SendingIPs, ip)
		}
	}
	if len(s.tenants) == 1 {
		for one := range s.tenants {
			shape.One = one // "": of mail of no tenant
		}
	}
	var first, line int64
	err := main.QueryRowContext(ctx, "SELECT first, gateway, run, line FROM main_shape WHERE hash = ?", index.Hash('S', s.class, s.rule, s.shape)).
		Scan(&first, &shape.Seen.Gateway, &shape.Seen.Run, &line)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return shape, nil
	case err != nil:
		return shape, err
	}
	shape.Seen.Line = uint64(line) //nolint:gosec // as it was written
	if at := time.UnixMilli(first).UTC(); at.Before(shape.First) {
		shape.First = at
	}
	return shape, nil
}

func sorted(set map[string]bool) (all []string) {
	for text := range set {
		if text != "" {
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return all
}
