package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"kanmon/internal/view/history"
)

// Prune takes away what is older than is to be kept, or more; see [history.Store]. A time of 0 is for ever. Of several hosts that prune one database at a
// time one does; the shortest of their times counts.
func (s *Store) Prune(ctx context.Context, now time.Time, keep history.Keep) (gone history.Pruned, err error) {
	s.mu.Lock() // of this process: what it remembers of partitions goes with them
	defer s.mu.Unlock()
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return gone, err
	}
	defer end()
	defer clear(s.parts)
	defer clear(s.runs)
	past := func(keeps time.Duration) (d day, is bool) { return dayOf(now.Add(-keeps)) - 1, keeps > 0 } // days up to it have ended that long ago
	for _, of := range []struct {
		level level
		keeps time.Duration
		gone  *int
	}{{detail, keep.Detail, &gone.Detail}, {trouble, keep.Trouble, &gone.Trouble}} {
		last, is := past(of.keeps)
		if !is || err != nil {
			continue
		}
		*of.gone, err = s.dropUpTo(ctx, of.level, last)
	}
	if last, is := past(keep.Counts); is && err == nil {
		gone.Counts, err = s.forget(ctx, last)
	}
	if err == nil {
		err = s.expire(ctx, now)
	}
	if err == nil && keep.Octets > 0 {
		err = s.pruneForSize(ctx, now, keep.Octets, &gone)
	}
	return gone, s.told(err)
}

// exclusively does something in a transaction, while nobody makes partitions or drops them. Who reads is not waited for long: it is tried again.
func (s *Store) exclusively(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.write, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockPrune)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
			return err
		}
		return do(tx)
	})
}

// dropUpTo drops the partitions of a level up to a day.
func (s *Store) dropUpTo(ctx context.Context, l level, last day) (n int, err error) {
	for { // one at a time: each waits for those who read
		dropped := false
		err := s.exclusively(ctx, func(tx pgx.Tx) error {
			var of *time.Time
			if err := tx.QueryRow(ctx, "SELECT min(day) FROM part WHERE level = $1 AND day <= $2", int16(l), last.begin()).Scan(&of); err != nil || of == nil {
				return err
			}
			dropped = true
			return cmp.Or(dropPart(ctx, tx, l, dayOf(*of)), s.forgetFine(ctx, tx, l, dayOf(*of)))
		})
		if err != nil || !dropped {
			return n, err
		}
		n++
	}
}

// forgetFine takes away what is kept as long as detail beside the lines.
func (s *Store) forgetFine(ctx context.Context, tx pgx.Tx, l level, d day) error {
	if l != detail {
		return nil
	}
	for _, text := range [...]string{"DELETE FROM tally WHERE unit = 5 AND day = $1", "DELETE FROM took WHERE unit = 5 AND day = $1"} {
		if _, err := tx.Exec(ctx, text, d.begin()); err != nil {
			return err
		}
	}
	return nil
}

var lasting = [...]string{"tally", "account", "took", "refused", "state", "seen"}

const (
	mostSearches = 1_000_000
)

// forget takes away all of days up to one.
func (s *Store) forget(ctx context.Context, last day) (n int, err error) {
	err = pgx.BeginFunc(ctx, s.write, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockWrite)); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT count(DISTINCT day) FROM seen WHERE day <= $1", last.begin()).Scan(&n); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM line WHERE level = 0 AND day <= $1", last.begin()); err != nil {
			return err
		}
		for _, table := range lasting {
			if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE day <= $1", last.begin()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "DELETE FROM run r WHERE NOT EXISTS (SELECT 1 FROM seen s WHERE s.run = r.id)")
		if err == nil {
			_, err = tx.Exec(ctx, "DELETE FROM shape WHERE last < $1", (last + 1).begin().UnixMilli())
		}
		if err == nil {
			_, err = tx.Exec(ctx, "DELETE FROM search WHERE at < $1", (last + 1).begin().UnixMilli())
		}
		return err
	})
	return n, err
}

// expire forgets mail that nobody waits for any more, and what is too much.
func (s *Store) expire(ctx context.Context, now time.Time) error {
	return pgx.BeginFunc(ctx, s.write, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockWrite)); err != nil {
			return err
		}
		oldest := now.Add(-history.Keeps - aDay)
		for text, args := range map[string][]any{
			"WITH gone AS (DELETE FROM waits WHERE last < $1 RETURNING mail) DELETE FROM waits_for f USING gone WHERE f.mail = gone.mail": {oldest.UnixMilli()},
			"DELETE FROM rescued WHERE day < $1":                                            {dayOf(oldest).begin()},
			"DELETE FROM search WHERE id <= (SELECT coalesce(max(id), 0) FROM search) - $1": {mostSearches},
		} {
			if _, err := tx.Exec(ctx, text, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// pruneForSize takes from days, the oldest first, what was delivered, then all that is known of single mails, until the tables are small enough. Today stays.
func (s *Store) pruneForSize(ctx context.Context, now time.Time, most int64, gone *history.Pruned) error {
	for _, of := range []struct {
		level level
		gone  *int
	}{{detail, &gone.Detail}, {trouble, &gone.Trouble}} {
		all, err := daysWith(ctx, s.read, time.Time{}, dayOf(now).begin(), of.level)
		if err != nil {
			return err
		}
		slices.Sort(all)
		for _, d := range all {
			if has, err := octets(ctx, s.read); err != nil || has <= most {
				return err
			}
			err := s.exclusively(ctx, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "INSERT INTO state VALUES ($1, 'shortened', 1) ON CONFLICT DO NOTHING", d.begin())
				return cmp.Or(err, dropPart(ctx, tx, of.level, d), s.forgetFine(ctx, tx, of.level, d))
			})
			if err != nil {
				return err
			}
			*of.gone++
			gone.ForSize = true
		}
	}
	return nil
}
