package policy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	_ "modernc.org/sqlite" // the driver

	"kanmon/internal/contain"
)

// ErrNewer is what OpenStore gives for a file that a later kanmon has written.
var ErrNewer = errors.New("the file is of a newer kanmon")

// sqlite is a [Store] in a file.
type sqlite struct {
	db *sql.DB
}

// migrations lead from one version of the schema to the next; the version is the number of those done. Add to the end;
// never change one that has been released. The names begin with policy_, so that other parts may share the file.
var migrations = []string{
	`CREATE TABLE policy_state (
		id    INTEGER PRIMARY KEY CHECK (id = 1), -- there is one
		state TEXT    NOT NULL                    -- JSON
	);
	CREATE TABLE policy_audit (
		id      INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of the changes, whatever the clock said
		at_ms   INTEGER NOT NULL,                  -- wall clock, Unix
		made_by TEXT    NOT NULL,
		tenant  TEXT    NOT NULL,
		account TEXT    NOT NULL,                  -- '': the tenant itself
		did     TEXT    NOT NULL,
		was     TEXT    NOT NULL,
		became  TEXT    NOT NULL,
		why     TEXT    NOT NULL
	);
	CREATE INDEX policy_audit_of ON policy_audit (tenant, account, id);
	CREATE INDEX policy_audit_at ON policy_audit (at_ms)`,
}

// Bounds of the audit. What is beyond them goes when a change is added; age is what the clock says then.
const (
	auditAge  = 366 * 24 * time.Hour
	auditRows = 100_000
)

// Times that the disk is given.
const (
	busyTime = 2 * time.Second  // another process has the file locked
	openTime = 10 * time.Second // to open, check and migrate, to load, and to write the state, which is large where accounts are many
	rowTime  = 5 * time.Second  // to add to the audit, and to read from it
)

// OpenStore opens the file, makes it if there is none, and brings its schema up to date. It fails for a file that is
// damaged, no database, or of a newer kanmon.
func OpenStore(path string) (Store, error) {
	s, err := openSQLite(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

func openSQLite(path string) (*sqlite, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// SQLite gives the files beside it the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	// WAL: a reader beside us does not lock us out. FULL: what was said to be written survives a loss of power.
	name := url.URL{Scheme: "file", Path: path, RawQuery: fmt.Sprintf(
		"_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate", busyTime.Milliseconds())}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &sqlite{db: db}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *sqlite) prepare(ctx context.Context) error {
	var verdict string
	if err := s.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("the file is damaged: %s", verdict)
	}
	return s.within(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS policy_schema (version INTEGER NOT NULL)"); err != nil {
			return err
		}
		var version int
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM policy_schema").Scan(&version); err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("%w: schema %d, known are up to %d", ErrNewer, version, len(migrations))
		}
		for ; version < len(migrations); version++ {
			if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
				return fmt.Errorf("make schema %d: %w", version+1, err)
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO policy_schema VALUES (?)", version+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// within does all or nothing.
func (s *sqlite) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Load implements [Store]. A state that makes no sense is an error: half a memory would let blocked senders send.
func (s *sqlite) Load() (state State, found bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	var text []byte
	err = s.db.QueryRowContext(ctx, "SELECT state FROM policy_state").Scan(&text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return State{}, false, nil
	case err != nil:
		return State{}, false, err
	}
	if err := json.Unmarshal(text, &state); err != nil {
		return State{}, false, fmt.Errorf("the state in the file is not understood: %w", err)
	}
	return state, true, nil
}

// Save implements [Store].
func (s *sqlite) Save(state State) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	_, err = s.db.ExecContext(ctx, "INSERT OR REPLACE INTO policy_state VALUES (1, ?)", string(text))
	return err
}

// Append implements [Store].
func (s *sqlite) Append(c Change) error {
	ctx, cancel := context.WithTimeout(context.Background(), rowTime)
	defer cancel()
	return s.within(ctx, func(tx *sql.Tx) error {
		added, err := tx.ExecContext(ctx, `INSERT INTO policy_audit (at_ms, made_by, tenant, account, did, was, became, why)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			c.At.UnixMilli(), c.By, c.Subject.Tenant, c.Subject.Account, c.Did, c.Before, c.After, c.Why)
		if err != nil {
			return err
		}
		id, err := added.LastInsertId()
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM policy_audit WHERE id <= ? OR at_ms < ?", id-auditRows, c.At.Add(-auditAge).UnixMilli())
		return err
	})
}

// Changes implements [Store]. A tenant's are those of its accounts as well.
func (s *sqlite) Changes(of contain.Subject, most int) ([]Change, error) {
	ctx, cancel := context.WithTimeout(context.Background(), rowTime)
	defer cancel()
	query, args := "SELECT at_ms, made_by, tenant, account, did, was, became, why FROM policy_audit", []any{}
	if of.Tenant != "" {
		query, args = query+" WHERE tenant = ?", append(args, of.Tenant)
		if of.Account != "" {
			query, args = query+" AND account = ?", append(args, of.Account)
		}
	}
	rows, err := s.db.QueryContext(ctx, query+" ORDER BY id DESC LIMIT ?", append(args, max(most, 0))...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Change
	for rows.Next() {
		var (
			c  Change
			at int64
		)
		if err := rows.Scan(&at, &c.By, &c.Subject.Tenant, &c.Subject.Account, &c.Did, &c.Before, &c.After, &c.Why); err != nil {
			return nil, err
		}
		c.At = time.UnixMilli(at).UTC()
		all = append(all, c)
	}
	slices.Reverse(all)
	return all, rows.Err()
}

// Close implements [Store].
func (s *sqlite) Close() error { return s.db.Close() }
