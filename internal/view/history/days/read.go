package days

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// Attempts gives attempts; see [history.Store].
func (s *Store) Attempts(ctx context.Context, of history.Filter, page history.Page) (all []history.Attempt, next history.Next, err error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, "", err
	}
	defer done()
	behind, err := fingerOf(page.After)
	if err != nil {
		return nil, "", err
	}
	limit := limitOf(page)
	var last finger
	err = s.reading.walk(ctx, &of, behind, func(at finger, f *found) bool {
		if len(all) == limit {
			next = last.next()
			return false
		}
		last = at
		all = append(all, f.Attempt)
		return true
	})
	return all, next, err
}

// Attempt gives one; see [history.Store].
func (s *Store) Attempt(ctx context.Context, key history.Key) (*history.Attempt, *event.Entry, error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	in, err := s.reading.between(time.Time{}, time.Time{})
	if err != nil {
		return nil, nil, err
	}
	var got *found
	for _, l := range in {
		err := s.reading.with(l.day, func(v *volume) error {
			var h hit
			err := v.f.QueryRowContext(ctx, "SELECT "+hitColumns+` FROM day_line l JOIN day_run r ON r.id = l.run
				WHERE r.gateway = ? AND r.run = ? AND l.line = ? AND l.kind = 1`, key.Gateway, key.Run, int64(key.Line)). //nolint:gosec // SQLite has no more
				Scan(&h.id, &h.place, &h.flags, &h.mail)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err == nil {
				got, err = v.reader().attempt(ctx, h)
			}
			return err
		})
		if err != nil {
			return nil, nil, err
		}
		if got != nil {
			return &got.Attempt, got.entry, nil
		}
	}
	return nil, nil, history.ErrGone
}

// Session gives all lines of a session; see [history.Store].
func (s *Store) Session(ctx context.Context, of event.ID) (all []event.Entry, err error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	in, err := s.reading.between(time.Time{}, time.Time{})
	if err != nil {
		return nil, err
	}
	slices.Reverse(in)
	for _, l := range in {
		err := s.reading.with(l.day, func(v *volume) error {
			reads := v.reader()
			return v.lines(ctx, "SELECT l.place FROM day_term t JOIN day_line l ON l.id = t.id WHERE t.term = ? ORDER BY l.run, l.line", func(at place) error {
				e, err := reads.entry(ctx, at)
				if err == nil && e.Session == of {
					all = append(all, *e)
				}
				return err
			}, termOfSession(of))
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// lines calls a function with the places of lines.
func (v *volume) lines(ctx context.Context, query string, take func(place) error, args ...any) error {
	var places []place
	err := each(ctx, v.f, query, func(scan func(...any) error) error {
		var at place
		err := scan(&at)
		places = append(places, at)
		return err
	}, args...)
	if err != nil {
		return err
	}
	for _, at := range places {
		if err := take(at); err != nil {
			return err
		}
	}
	return nil
}
