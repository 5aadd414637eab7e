package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// A day is a UTC day: how many of them passed since 1970 began.
type day int32

const aDay = 24 * time.Hour

func dayOf(at time.Time) day { return day(at.Unix() / int64(aDay/time.Second)) }

func (d day) begin() time.Time { return time.Unix(int64(d)*int64(aDay/time.Second), 0).UTC() }

// MarshalText writes a day as the server reads it.
func (d day) MarshalText() ([]byte, error) { return d.begin().AppendFormat(nil, time.DateOnly), nil }

// A level says how long a line is kept. News has one table; of the others each day has a partition.
type level int16

const (
	news level = iota
	trouble
	detail
)

var parents = map[level]string{trouble: "line_trouble", detail: "line_detail"}

func (l level) partition(d day) string { return parents[l] + d.begin().Format("_20060102") }

// mostParts is of how many days it is remembered that they have partitions.
const mostParts = 400

// partsFor makes partitions for days that have none. A table is made first and attached then: to do both at once would wait for all who read.
func (s *Store) partsFor(ctx context.Context, days []day) error {
	days = slices.DeleteFunc(slices.Clone(days), func(d day) bool { return s.parts[d] })
	if len(days) == 0 {
		return nil
	}
	if len(s.parts) > mostParts {
		clear(s.parts)
	}
	err := pgx.BeginFunc(ctx, s.write, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockPrune)); err != nil {
			return err
		}
		for _, d := range days {
			for l := range parents {
				if err := makePart(ctx, tx, l, d); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		for _, d := range days {
			s.parts[d] = true
		}
	}
	return err
}

func makePart(ctx context.Context, tx pgx.Tx, l level, d day) error {
	made, err := tx.Exec(ctx, "INSERT INTO part VALUES ($1, $2) ON CONFLICT DO NOTHING", int16(l), d.begin())
	if err != nil || made.RowsAffected() == 0 {
		return err
	}
	_, err = tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %[1]s (LIKE %[2]s INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
		ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES FROM ('%[3]s') TO ('%[4]s')`,
		l.partition(d), parents[l], d.begin().Format(time.DateOnly), (d+1).begin().Format(time.DateOnly)))
	return err
}

// dropPart takes a partition away.
func dropPart(ctx context.Context, tx pgx.Tx, l level, d day) error {
	_, err := tx.Exec(ctx, "DELETE FROM part WHERE level = $1 AND day = $2", int16(l), d.begin())
	if err == nil {
		_, err = tx.Exec(ctx, "DROP TABLE IF EXISTS "+l.partition(d))
	}
	return err
}

// daysWith gives days that have lines of a level, the newest first.
func daysWith(ctx context.Context, q querier, from, to time.Time, levels ...level) (all []day, err error) {
	first, last := day(-1<<20), day(1<<20)
	if !from.IsZero() {
		first = dayOf(from)
	}
	if !to.IsZero() {
		last = dayOf(to.Add(-time.Millisecond))
	}
	err = each(ctx, q, "SELECT DISTINCT day FROM part WHERE level = ANY($1) AND day >= $2 AND day <= $3 ORDER BY day DESC", func(scan func(...any) error) error {
		var at time.Time
		err := scan(&at)
		all = append(all, dayOf(at))
		return err
	}, levels, first.begin(), last.begin())
	return all, err
}
