package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// Attempts gives attempts; see [history.Store].
func (s *Store) Attempts(ctx context.Context, of history.Filter, page history.Page) (all []history.Attempt, next history.Next, err error) {
	behind, err := fingerOf(page.After)
	if err != nil {
		return nil, "", err
	}
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return nil, "", err
	}
	defer end()
	limit := limitOf(page)
	err = s.walk(ctx, &of, behind, func(f *found) bool {
		if len(all) == limit {
			next = behind.next()
			return false
		}
		behind = f.at
		all = append(all, f.Attempt)
		return true
	})
	return all, next, s.told(err)
}

// Attempt gives one; see [history.Store].
func (s *Store) Attempt(ctx context.Context, key history.Key) (*history.Attempt, *event.Entry, error) {
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	f, err := s.line(ctx, key)
	if err != nil {
		return nil, nil, s.told(err)
	}
	return &f.Attempt, f.entry, nil
}

// line finds a line by its number: the days that have lines of its run are known.
func (s *Store) line(ctx context.Context, key history.Key) (f *found, err error) {
	err = each(ctx, s.read, `WITH of AS (SELECT id FROM run WHERE gateway = $1 AND run = $2)
		SELECT `+columns+` FROM line WHERE run = (SELECT id FROM of) AND line = $3 AND kind = 1 AND level IN (1, 2)
		AND day = (SELECT day FROM seen WHERE run = (SELECT id FROM of) AND $3 BETWEEN first AND last ORDER BY day DESC LIMIT 1)`, func(scan func(...any) error) (err error) {
		f, err = scanFound(scan)
		return err
	}, name(key.Gateway), name(key.Run), int64(key.Line)) //nolint:gosec // all bits stay
	if err == nil && f == nil || errors.Is(err, pgx.ErrNoRows) {
		err = history.ErrGone
	}
	return f, err
}

// Session gives all lines of a session; see [history.Store].
func (s *Store) Session(ctx context.Context, of event.ID) (all []event.Entry, err error) {
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	err = each(ctx, s.read, "SELECT raw FROM line WHERE terms @> $1 ORDER BY day, run, line LIMIT $2", func(scan func(...any) error) error {
		var raw []byte
		if err := scan(&raw); err != nil {
			return err
		}
		e, err := event.ParseEntry(raw)
		if err == nil && e.Session == of {
			all = append(all, *e)
		}
		return err
	}, []int64{index.OfSession(of)}, mostOfSession)
	return all, s.told(err)
}

// mostOfSession is how many lines of a session are given.
const mostOfSession = 100_000

// Events gives news; see [history.Store].
func (s *Store) Events(ctx context.Context, of history.EventsOf, page history.Page) (all []event.Entry, next history.Next, err error) {
	behind, err := fingerOf(page.After)
	if err != nil {
		return nil, "", err
	}
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return nil, "", err
	}
	defer end()
	limit, last := limitOf(page), behind
	for {
		c := newsAsked(&of)
		c.and("(at, seq) < (?, ?)", behind.at, behind.seq)
		n := 0
		err := each(ctx, s.read, fmt.Sprintf("SELECT at, seq, raw FROM line WHERE %s ORDER BY at DESC, seq DESC LIMIT %d", c, chunk), func(scan func(...any) error) error {
			var raw []byte
			if err := scan(&behind.at, &behind.seq, &raw); err != nil {
				return err
			}
			n++
			e, err := event.ParseEntry(raw)
			switch {
			case err != nil || next != "" || !index.IsNews(&of, e):
			case len(all) == limit:
				next = last.next()
			default:
				all, last = append(all, *e), behind
			}
			return err
		}, c.args...)
		if err != nil || n < chunk || next != "" {
			return all, next, s.told(err)
		}
	}
}

// newsAsked is what is wanted of the rows of news.
func newsAsked(of *history.EventsOf) *condition {
	c := new(condition)
	kinds := index.News(of)
	levels := []level{news}
	for _, k := range kinds {
		if !index.IsLasting(k) {
			levels = []level{news, trouble}
		}
	}
	c.and("level = ANY(?) AND kind = ANY(?) AND kind > 2", levels, kinds)
	c.within(of.From, of.To)
	if of.Session != 0 {
		c.and("terms @> ?", []int64{index.OfSession(of.Session)})
	}
	if of.Reference != "" {
		c.and("terms @> ?", []int64{index.Hash(index.ByIdentity, of.Reference)})
	}
	c.common(&history.Filter{Gateway: of.Gateway})
	whose := new(condition)
	whose.args = c.args
	whose.common(&history.Filter{Tenant: of.Tenant, SendingIP: of.SendingIP})
	if of.Provider != "" {
		whose.and("(provider = ? OR provider = '' AND ip <> '')", name(of.Provider)) // everywhere
	}
	is := "(" + whose.String() + ")"
	for _, t := range of.Types {
		if t == index.AGateway { // of all whose mail it has
			is = "(" + is + " OR kind = " + fmt.Sprint(index.KindOf(t)) + ")"
		}
	}
	c.args, c.where = whose.args, append(c.where, is)
	return c
}
