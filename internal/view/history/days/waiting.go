package days

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/store"
	"kanmon/internal/view/history"
)

// Waiting counts mail that waits; see [history.Store].
func (s *Store) Waiting(ctx context.Context, of history.Filter, now time.Time) (got []history.Waiting, err error) {
	err = whole(func() (err error) {
		got, err = s.onceWaiting(ctx, of, now)
		return err
	})
	return got, err
}

func (s *Store) onceWaiting(ctx context.Context, of history.Filter, now time.Time) (all []history.Waiting, err error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	c := new(condition)
	c.and("deferred AND last >= ? AND last <= ?", now.Add(-history.Keeps).UnixMilli(), now.UnixMilli())
	if of.Tenant != "" {
		c.and("tenant = ?", of.Tenant)
	}
	if of.Provider != "" {
		c.and("provider = ?", of.Provider)
	}
	if of.SendingIP.IsValid() {
		c.and("ip = ?", of.SendingIP.String())
	}
	ages := make([]string, 0, len(history.Ages)+1)
	from := "-1"
	for _, age := range history.Ages {
		ages = append(ages, fmt.Sprintf("sum(age > %s AND age <= %d)", from, age.Milliseconds()))
		from = fmt.Sprint(age.Milliseconds())
	}
	ages = append(ages, fmt.Sprintf("sum(age > %s)", from))
	query := "SELECT provider, count(DISTINCT tenant), " + strings.Join(ages, ", ") + " FROM (SELECT provider, tenant, max(0, ? - first) AS age FROM main_waits WHERE " +
		c.String() + ") GROUP BY provider"
	err = s.reading.mainly(func(f *store.File) error {
		return each(ctx, f, query, func(scan func(...any) error) error {
			var w history.Waiting
			into := []any{&w.Provider, &w.Tenants}
			for i := range w.Ages {
				into = append(into, &w.Ages[i])
			}
			err := scan(into...)
			all = append(all, w)
			return err
		}, append([]any{now.UnixMilli()}, c.args...)...)
	})
	slices.SortFunc(all, func(a, b history.Waiting) int { return strings.Compare(a.Provider, b.Provider) })
	return all, err
}
