package days

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// Events gives news; see [history.Store].
func (s *Store) Events(ctx context.Context, of history.EventsOf, page history.Page) (got []event.Entry, more history.Next, err error) {
	err = whole(func() (err error) {
		got, more, err = s.onceEvents(ctx, of, page)
		return err
	})
	return got, more, err
}

func (s *Store) onceEvents(ctx context.Context, of history.EventsOf, page history.Page) (all []event.Entry, next history.Next, err error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, "", err
	}
	defer done()
	behind, err := fingerOf(page.After)
	if err != nil {
		return nil, "", err
	}
	in, err := s.reading.between(of.From, of.To)
	if err != nil {
		return nil, "", err
	}
	limit := limitOf(page)
	var last finger
	take := func(at finger, e *event.Entry) bool {
		if len(all) == limit {
			next = last.next()
			return false
		}
		last = at
		all = append(all, *e)
		return true
	}
	for _, l := range in {
		if next != "" || behind.day != 0 && l.day > behind.day {
			continue
		}
		before := id(-1)
		if l.day == behind.day {
			before = behind.id
		}
		if err := s.reading.with(l.day, func(v *volume) error { return v.news(ctx, &of, before, take) }); err != nil {
			return nil, "", err
		}
	}
	return all, next, nil
}

// askedNews says how the news that is asked for is found, by its kind.
func (v *volume) askedNews(ctx context.Context, of *history.EventsOf) (all []*plan, err error) {
	session := func(c *condition) {
		if of.Session != 0 {
			c.and("l.id IN (SELECT id FROM day_term WHERE term = ?)", index.OfSession(of.Session))
		}
		if of.Reference != "" {
			c.and("l.id IN (SELECT id FROM day_term WHERE term = ?)", index.Hash(index.ByIdentity, of.Reference))
		}
	}
	add := func(kinds []index.Kind, of history.Filter, more func(*condition)) {
		if err != nil {
			return
		}
		c, failed := v.common(ctx, &of)
		if err = failed; err != nil || c.none {
			return
		}
		more(c)
		for _, k := range kinds {
			all = append(all, &plan{v: v, args: append([]any{k}, c.args...), query: "SELECT " + hitColumns + " FROM day_line l WHERE l.kind = ? AND l.kind > 2 AND " +
				c.String() + " AND l.id < ? AND l.id >= ? ORDER BY l.id DESC LIMIT ?"})
		}
	}
	kinds := index.News(of)
	if slices.Contains(of.Types, index.AGateway) {
		kinds = slices.DeleteFunc(kinds, func(k index.Kind) bool { return k == index.KindOf(index.AGateway) })
		add([]index.Kind{index.KindOf(index.AGateway)}, history.Filter{Gateway: of.Gateway}, session)
	}
	add(kinds, history.Filter{Gateway: of.Gateway, Tenant: of.Tenant, Provider: of.Provider, SendingIP: of.SendingIP}, session)
	if of.Provider != "" {
		add(kinds, history.Filter{Gateway: of.Gateway, Tenant: of.Tenant, SendingIP: of.SendingIP}, func(c *condition) {
			session(c)
			const none = "(SELECT id FROM day_name WHERE text = '')"
			c.and("l.provider = " + none + " AND l.ip <> " + none) // everywhere
		})
	}
	return all, err
}

func (v *volume) news(ctx context.Context, of *history.EventsOf, before id, take func(finger, *event.Entry) bool) error {
	asked, err := v.askedNews(ctx, of)
	if err != nil {
		return err
	}
	first, last := rangeOf(v.day, &history.Filter{From: of.From, To: of.To})
	if before >= 0 {
		last = min(last, before)
	}
	reads := v.reader()
	for {
		var hits []hit
		for _, p := range asked {
			some, err := p.some(ctx, first, last, chunk)
			if err != nil {
				return err
			}
			hits = append(hits, some...)
		}
		slices.SortFunc(hits, func(a, b hit) int { return cmp.Compare(b.id, a.id) })
		if len(hits) == 0 {
			return nil
		}
		for _, h := range hits[:min(len(hits), chunk)] {
			e, err := reads.entry(ctx, h.place)
			last = h.id
			if errors.Is(err, errPlace) {
				continue
			}
			if err != nil {
				return err
			}
			if index.IsNews(of, e) && !take(finger{v.day, h.id}, e) {
				return nil
			}
		}
	}
}
