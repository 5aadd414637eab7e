package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Locks of the database, for transactions: one migrates, one writes, one prunes.
const (
	lockMigrate = 0x6b616e6d6f6e + iota
	lockWrite
	lockPrune
)

var errNewer = errors.New("a later kanmon has changed the tables of history in a way that this one does not know: upgrade it")

// ready makes the tables, or changes them, where they are not as this program knows them.
func (s *Store) ready(ctx context.Context) error {
	s.migrating.Lock()
	defer s.migrating.Unlock()
	if s.migrated {
		return nil
	}
	if err := pgx.BeginFunc(ctx, s.write, func(tx pgx.Tx) error { return migrate(ctx, tx) }); err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	s.migrated = true
	return nil
}

func migrate(ctx context.Context, tx pgx.Tx) error {
	if has, needs, err := version(ctx, tx); err != nil || has >= len(steps) { // a server that is only read has it already, or it fails
		return errors.Join(err, known(needs))
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockMigrate)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS kanmon;
		CREATE TABLE IF NOT EXISTS kanmon.schema_version (step integer PRIMARY KEY, needs integer NOT NULL, done timestamptz NOT NULL DEFAULT now())`); err != nil {
		return err
	}
	has, needs, err := version(ctx, tx) // another one may have been faster
	if err := errors.Join(err, known(needs)); err != nil {
		return err
	}
	for n := has; n < len(steps); n++ {
		if _, err := tx.Exec(ctx, steps[n].sql); err != nil {
			return fmt.Errorf("step %d of the tables: %w", n+1, err)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO schema_version (step, needs) VALUES ($1, $2)", n+1, steps[n].needs); err != nil {
			return err
		}
	}
	return nil
}

func known(needs int) error {
	if needs > len(steps) {
		return errNewer
	}
	return nil
}

// version says how many steps have been done, and which of them a program must know.
func version(ctx context.Context, tx pgx.Tx) (has, needs int, err error) {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('kanmon.schema_version') IS NOT NULL").Scan(&there); err != nil || !there {
		return 0, 0, err
	}
	err = tx.QueryRow(ctx, "SELECT coalesce(max(step), 0), coalesce(max(needs), 0) FROM kanmon.schema_version").Scan(&has, &needs)
	return has, needs, err
}
