package days

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// Events gives news; see [history.Store].
func (s *Store) Events(ctx context.Context, of history.EventsOf, page history.Page) (all []event.Entry, next history.Next, err error) {
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

// newsOf gives the kinds of lines that are asked for. What happens with every other mail, and each minute, is given by its name alone.
func newsOf(of *history.EventsOf) (all []kind) {
	for _, name := range of.Types {
		all = append(all, kindOf(name))
	}
	if len(of.Types) == 0 {
		for name, k := range kinds {
			if k > sessions && of.Session != 0 || k >= outside && name != "heartbeat" && k != judged {
				all = append(all, k)
			}
		}
	}
	all = append(all, unknown) // which it was when it was written
	slices.Sort(all)
	return slices.Compact(all)
}

// askedNews says how the news that is asked for is found, by its kind.
func (v *volume) askedNews(ctx context.Context, of *history.EventsOf) (all []*plan, err error) {
	session := func(c *condition) {
		if of.Session != 0 {
			c.and("l.id IN (SELECT id FROM day_term WHERE term = ?)", termOfSession(of.Session))
		}
		if of.Reference != "" {
			c.and("l.id IN (SELECT id FROM day_term WHERE term = ?)", hashOf(byIdentity, of.Reference))
		}
	}
	add := func(kinds []kind, of history.Filter, more func(*condition)) {
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
	kinds := newsOf(of)
	if slices.Contains(of.Types, aGateway) {
		kinds = slices.DeleteFunc(kinds, func(k kind) bool { return k == kindOf(aGateway) })
		add([]kind{kindOf(aGateway)}, history.Filter{Gateway: of.Gateway}, session)
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

// aGateway is the type of steps of gateways.
const aGateway = "gateway"

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
			if err != nil {
				return err
			}
			if isNews(of, e) && !take(finger{v.day, h.id}, e) {
				return nil
			}
			last = h.id
		}
	}
}

func isNews(of *history.EventsOf, e *event.Entry) bool {
	switch {
	case len(of.Types) > 0 && !slices.Contains(of.Types, e.Type),
		of.Account != "" && !strings.EqualFold(of.Account, e.Account) && (e.Type != aGateway || len(of.Types) == 0),
		of.Session != 0 && of.Session != e.Session,
		of.Reference != "" && (e.Content == nil || of.Reference != e.Content.Reference),
		!of.From.IsZero() && e.At.Before(of.From), !of.To.IsZero() && !e.At.Before(of.To):
		return false
	}
	return true
}
