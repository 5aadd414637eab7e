package sts

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"kanmon/internal/store"
)

// SQLite is a [Store] in a file.
type SQLite struct{ db *store.File }

var schema = store.Schema{Part: "sts", Steps: []string{
	`CREATE TABLE sts_policy (
		domain     TEXT    NOT NULL PRIMARY KEY,
		owner      TEXT    NOT NULL, -- whose mail had it looked up first
		id         TEXT    NOT NULL,
		mode       TEXT    NOT NULL,
		mx         TEXT    NOT NULL, -- patterns, one a line
		max_age_s  INTEGER NOT NULL,
		lines      TEXT    NOT NULL, -- as served
		fetched_ms INTEGER NOT NULL, -- Unix, by a clock that never goes back
		used_day   INTEGER NOT NULL  -- days since 1970-01-01
	) WITHOUT ROWID;
	CREATE TABLE sts_clock (
		one     INTEGER NOT NULL PRIMARY KEY,
		seen_ms INTEGER NOT NULL -- Unix: the latest time that was seen
	)`,
}}

// Schema is the version of the schema that this kanmon makes.
func Schema() int { return schema.Version() }

// Times that the disk is given.
const (
	busyTime = 2 * time.Second // another process has the file locked
	loadTime = 30 * time.Second
	saveTime = 5 * time.Second // one batch
)

// OpenSQLite opens the file, or makes it; see package store.
func OpenSQLite(path string) (*SQLite, error) {
	db, err := store.Open(path, busyTime, schema)
	if err != nil {
		return nil, err
	}
	return &SQLite{db}, nil
}

// Load implements [Store]. A row that makes no sense is an error: where a policy is left out, mail goes to whoever asks for it.
func (s *SQLite) Load() (rows []Row, seen time.Time, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTime)
	defer cancel()
	if rows, err = s.policies(ctx); err == nil {
		seen, err = s.seen(ctx)
	}
	return rows, seen, s.db.Misread(err)
}

func (s *SQLite) seen(ctx context.Context) (time.Time, error) {
	var at sql.NullInt64
	err := s.db.QueryRowContext(ctx, "SELECT max(seen_ms) FROM sts_clock").Scan(&at)
	return time.UnixMilli(at.Int64), err
}

func (s *SQLite) policies(ctx context.Context) (all []Row, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT domain, owner, id, mode, mx, max_age_s, lines, fetched_ms, used_day FROM sts_policy")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

func scan(rows *sql.Rows) (Row, error) {
	var (
		p               Policy
		r               Row
		mode, mx, lines string
		age, fetched    int64
	)
	if err := rows.Scan(&r.Domain, &r.Owner, &p.ID, &mode, &mx, &age, &lines, &fetched, &r.Used); err != nil {
		return r, err
	}
	if err := p.Mode.UnmarshalText([]byte(mode)); err != nil {
		return r, fmt.Errorf("policy of %q: %w", r.Domain, err)
	}
	for pattern := range strings.Lines(mx) {
		form, ok := readPattern(strings.TrimSuffix(pattern, "\n"))
		if !ok {
			return r, fmt.Errorf("policy of %q: %q is no pattern of an MX", r.Domain, pattern)
		}
		p.MX = append(p.MX, form)
	}
	for line := range strings.Lines(lines) {
		p.Lines = append(p.Lines, strings.TrimSuffix(line, "\n"))
	}
	if p.Mode != None && len(p.MX) == 0 || age < 0 || !canHave(r.Domain) || p.size() > mostText {
		return r, fmt.Errorf("policy of %q makes no sense", r.Domain)
	}
	p.MaxAge = min(time.Duration(min(age, int64(longestAge/time.Second)))*time.Second, longestAge)
	r.Policy, r.Fetched = &p, time.UnixMilli(fetched)
	return r, nil
}

// Save implements [Store]. It writes all or nothing.
func (s *SQLite) Save(rows []Row, seen time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), saveTime)
	defer cancel()
	return s.db.Within(ctx, func(tx *sql.Tx) error {
		for i := range rows {
			if err := save(ctx, tx, &rows[i]); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO sts_clock VALUES (1, ?)", seen.UnixMilli())
		return err
	})
}

func save(ctx context.Context, tx *sql.Tx, r *Row) error {
	if r.Gone {
		_, err := tx.ExecContext(ctx, "DELETE FROM sts_policy WHERE domain = ?", r.Domain)
		return err
	}
	p := r.Policy
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO sts_policy VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", r.Domain, r.Owner, p.ID, p.Mode.String(),
		strings.Join(p.MX, "\n"), int64(p.MaxAge/time.Second), strings.Join(p.Lines, "\n"), r.Fetched.UnixMilli(), r.Used)
	return err
}

// Close closes the file.
func (s *SQLite) Close() error { return s.db.Close() }
