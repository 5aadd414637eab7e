package days

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// Attempts gives attempts; see [history.Store].
func (s *Store) Attempts(ctx context.Context, of history.Filter, page history.Page) (got []history.Attempt, more history.Next, err error) {
	err = whole(func() (err error) {
		got, more, err = s.onceAttempts(ctx, of, page)
		return err
	})
	return got, more, err
}

func (s *Store) onceAttempts(ctx context.Context, of history.Filter, page history.Page) (all []history.Attempt, next history.Next, err error) {
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
func (s *Store) Attempt(ctx context.Context, key history.Key) (got *history.Attempt, more *event.Entry, err error) {
	err = whole(func() (err error) {
		got, more, err = s.onceAttempt(ctx, key)
		return err
	})
	return got, more, err
}

func (s *Store) onceAttempt(ctx context.Context, key history.Key) (*history.Attempt, *event.Entry, error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	began, err := time.Parse(time.RFC3339Nano, key.Run) // no line of a run is of a day before it
	if err != nil {
		began = time.Time{}
	}
	in, err := s.reading.between(began, time.Time{})
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
			if errors.Is(err, errPlace) {
				return nil
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
func (s *Store) Session(ctx context.Context, of event.ID) (got []event.Entry, err error) {
	err = whole(func() (err error) {
		got, err = s.onceSession(ctx, of)
		return err
	})
	return got, err
}

func (s *Store) onceSession(ctx context.Context, of event.ID) (all []event.Entry, err error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	in, err := s.reading.between(time.Time{}, time.Time{})
	if err != nil {
		return nil, err
	}
	for _, l := range in { // the newest first: a session is of one day, or of some that follow each other
		if l.level == counts {
			continue
		}
		var some []event.Entry
		err := s.reading.with(l.day, func(v *volume) (err error) {
			some, err = v.session(ctx, of)
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(some) == 0 && len(all) > 0 {
			break
		}
		all = append(some, all...)
	}
	return all, nil
}

func (v *volume) session(ctx context.Context, of event.ID) (all []event.Entry, err error) {
	var places []place
	err = each(ctx, v.f, "SELECT l.place FROM day_term t CROSS JOIN day_line l ON l.id = t.id WHERE t.term = ? ORDER BY l.run, l.line", func(scan func(...any) error) error {
		var at place
		err := scan(&at)
		places = append(places, at)
		return err
	}, index.OfSession(of))
	if err != nil {
		return nil, err
	}
	reads := v.reader()
	for _, at := range places {
		e, err := reads.entry(ctx, at)
		if errors.Is(err, errPlace) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if e.Session == of {
			all = append(all, *e)
		}
	}
	return all, nil
}
