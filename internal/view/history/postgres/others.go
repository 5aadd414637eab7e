package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/view/history"
)

// Waiting counts mail that waits; see [history.Store].
func (s *Store) Waiting(ctx context.Context, of history.Filter, now time.Time) (all []history.Waiting, err error) {
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	c := new(condition)
	c.and("deferred AND last >= ? AND last <= ?", now.Add(-history.Keeps).UnixMilli(), now.UnixMilli())
	c.is("tenant", of.Tenant)
	c.is("provider", of.Provider)
	if of.SendingIP.IsValid() {
		c.is("ip", of.SendingIP.String())
	}
	ages := make([]string, 0, len(history.Ages)+1)
	from := int64(-1)
	for _, age := range history.Ages {
		ages = append(ages, fmt.Sprintf("count(*) FILTER (WHERE age > %d AND age <= %d)", from, age.Milliseconds()))
		from = age.Milliseconds()
	}
	ages = append(ages, fmt.Sprintf("count(*) FILTER (WHERE age > %d)", from))
	err = each(ctx, s.read, fmt.Sprintf(`SELECT provider, count(DISTINCT tenant), %s FROM (SELECT provider, tenant, greatest(0, %d - first) AS age FROM waits WHERE %s) w
		GROUP BY provider ORDER BY provider COLLATE "C"`, strings.Join(ages, ", "), now.UnixMilli(), c), func(scan func(...any) error) error {
		var w history.Waiting
		into := []any{&w.Provider, &w.Tenants}
		for i := range w.Ages {
			into = append(into, &w.Ages[i])
		}
		err := scan(into...)
		all = append(all, w)
		return err
	}, c.args...)
	return all, s.told(err)
}

// Searched notes a search; see [history.Store].
func (s *Store) Searched(ctx context.Context, of history.Search) error {
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return err
	}
	defer end()
	_, err = s.read.Exec(ctx, "INSERT INTO search (at, by, what, why) VALUES ($1, $2, $3, $4)", of.At.UnixMilli(), name(of.By), name(of.What), name(of.Why))
	return s.told(err)
}

// Searches gives them; see [history.Store].
func (s *Store) Searches(ctx context.Context, page history.Page) (all []history.Search, next history.Next, err error) {
	before := int64(1) << 62
	if page.After != "" {
		if before, err = strconv.ParseInt(string(page.After), 10, 64); err != nil {
			return nil, "", errNext
		}
	}
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return nil, "", err
	}
	defer end()
	limit, last := limitOf(page), int64(0)
	err = each(ctx, s.read, "SELECT id, at, by, what, why FROM search WHERE id < $1 ORDER BY id DESC LIMIT $2", func(scan func(...any) error) error {
		var n, at int64
		var one history.Search
		if err := scan(&n, &at, &one.By, &one.What, &one.Why); err != nil {
			return err
		}
		if len(all) == limit {
			next = history.Next(strconv.FormatInt(last, 10))
			return nil
		}
		one.At, last = time.UnixMilli(at).UTC(), n
		all = append(all, one)
		return nil
	}, before, limit+1)
	return all, next, s.told(err)
}

// Status says what there is; see [history.Store]. Marks are those of this host, and of others with their names before them.
func (s *Store) Status(ctx context.Context) (st history.Status, err error) {
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return st, err
	}
	defer end()
	st.Marks = map[string]history.Mark{}
	err = each(ctx, s.read, "SELECT host, source, file, octets, at FROM mark", func(scan func(...any) error) error {
		var host, source string
		var at int64
		var m history.Mark
		err := scan(&host, &source, &m.File, &m.Offset, &at)
		m.At = markedAt(at)
		if host != s.host {
			source = host + ":" + source
		}
		st.Marks[source] = m
		return err
	})
	if err == nil {
		err = each(ctx, s.read, "SELECT key, sum(value)::bigint FROM state GROUP BY key", func(scan func(...any) error) error {
			var key string
			var n int64
			err := scan(&key, &n)
			switch key {
			case "attempts":
				st.Attempts = n
			case "gaps":
				st.Gaps = n
			case "bad":
				st.BadLines = n
			case "shortened":
				st.Shortened = true
			}
			return err
		})
	}
	if err == nil {
		err = s.daysKept(ctx, &st)
	}
	return st, s.told(err)
}

// daysKept says which days there are, and how large they are.
func (s *Store) daysKept(ctx context.Context, st *history.Status) error {
	for of, query := range map[*[2]time.Time]string{
		&st.Detail: "SELECT min(day), max(day) FROM part WHERE level = 2", &st.Trouble: "SELECT min(day), max(day) FROM part WHERE level IN (1, 2)",
		&st.Counts: "SELECT min(day), max(day) FROM seen",
	} {
		var first, last *time.Time
		if err := s.read.QueryRow(ctx, query).Scan(&first, &last); err != nil {
			return err
		}
		if first != nil {
			of[0], of[1] = first.UTC(), last.UTC()
		}
	}
	var last int64
	if err := s.read.QueryRow(ctx, "SELECT coalesce((SELECT at FROM line WHERE day >= (SELECT max(day) FROM seen) ORDER BY at DESC LIMIT 1), 0)").Scan(&last); err != nil {
		return err
	}
	if last != 0 {
		st.Last = time.UnixMilli(last).UTC()
	}
	var err error
	st.Octets, err = octets(ctx, s.read)
	return err
}

// octets is how much all tables have, with their indexes.
func octets(ctx context.Context, q querier) (n int64, err error) {
	err = q.QueryRow(ctx, `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'kanmon' AND c.relkind = 'r'`).Scan(&n)
	return n, err
}
