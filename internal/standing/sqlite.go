package standing

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver

	"kanmon/internal/keep"
)

// ErrNewer is what OpenSQLite gives for a file that a later kanmon has written.
var ErrNewer = errors.New("the file is of a newer kanmon")

// SQLite is a [Store] in a file.
type SQLite struct {
	db *sql.DB
}

// migrations lead from one version of the schema to the next; the version is the number of those done. Add to the end;
// never change one that has been released. The names begin with standing_, so that other parts may share the file.
var migrations = []string{
	`CREATE TABLE standing_key (
		ip         TEXT    NOT NULL,
		provider   TEXT    NOT NULL,
		state      TEXT    NOT NULL,
		since_ms   INTEGER NOT NULL, -- wall clock, Unix
		lasts_ms   INTEGER,          -- from since_ms; NULL: has no end
		reason     TEXT    NOT NULL,
		rule       TEXT    NOT NULL,
		sample     TEXT    NOT NULL,
		lists      TEXT    NOT NULL, -- JSON
		strikes    INTEGER NOT NULL,
		length_ms  INTEGER NOT NULL, -- of the last suspension
		share      REAL    NOT NULL,
		made_by    TEXT    NOT NULL,
		PRIMARY KEY (ip, provider)
	) WITHOUT ROWID`,
}

// Schema is the version of the schema that this kanmon makes.
func Schema() int { return len(migrations) }

// Times that the disk is given.
const (
	busyTime = 2 * time.Second  // another process has the file locked
	openTime = 10 * time.Second // to open, check and migrate, and to load
	saveTime = 5 * time.Second  // one batch
)

// OpenSQLite opens the file, makes it if there is none, and brings its schema up to date. It fails for a file that is
// damaged, no database, or of a newer kanmon.
func OpenSQLite(path string) (*SQLite, error) {
	s, err := openSQLite(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

func openSQLite(path string) (*SQLite, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := keep.Make(path); err != nil {
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
	s := &SQLite{db: db}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *SQLite) prepare(ctx context.Context) error {
	var verdict string
	if err := s.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("the file is damaged: %s", verdict)
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS standing_schema (version INTEGER NOT NULL)"); err != nil {
		return err
	}
	var version int
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM standing_schema").Scan(&version); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("%w: it has schema %d, this one reads up to %d; run that version again, restore a backup of this one (kanmon restore), or move the file away to begin without what it has",
			ErrNewer, version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
			return fmt.Errorf("make schema %d: %w", version+1, err)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO standing_schema VALUES (?)", version+1); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Load gives all standings. A row that makes no sense is an error: half a memory would let mail out of suspended IPs.
func (s *SQLite) Load() ([]Standing, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT ip, provider, state, since_ms, lasts_ms, reason, rule, sample, lists, strikes,
		length_ms, share, made_by FROM standing_key ORDER BY since_ms`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Standing
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

func scan(rows *sql.Rows) (Standing, error) {
	var (
		s                Standing
		ip, state, lists string
		since, length    int64
		lasts            sql.NullInt64
	)
	if err := rows.Scan(&ip, &s.Provider, &state, &since, &lasts, &s.Reason, &s.Rule, &s.Sample, &lists, &s.Strikes,
		&length, &s.Share, &s.By); err != nil {
		return s, err
	}
	var err error
	if s.IP, err = netip.ParseAddr(ip); err != nil {
		return s, fmt.Errorf("row %q, %q: %w", ip, s.Provider, err)
	}
	var known bool
	if s.State, known = parseState(state); !known {
		return s, fmt.Errorf("row %q, %q: unknown state %q", ip, s.Provider, state)
	}
	if err := json.Unmarshal([]byte(lists), &s.Lists); err != nil {
		return s, fmt.Errorf("row %q, %q: lists: %w", ip, s.Provider, err)
	}
	s.Since, s.Length = time.UnixMilli(since), milliseconds(length)
	if lasts.Valid {
		s.Until = s.Since.Add(milliseconds(lasts.Int64))
	}
	return s, nil
}

// milliseconds does not overflow, whatever the file says.
func milliseconds(n int64) time.Duration {
	const most = int64(100 * 366 * 24 * time.Hour / time.Millisecond)
	return time.Duration(min(max(n, 0), most)) * time.Millisecond
}

// Save writes all or nothing.
func (s *SQLite) Save(changed []Standing) error {
	ctx, cancel := context.WithTimeout(context.Background(), saveTime)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	for i := range changed {
		if err := save(ctx, tx, &changed[i]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func save(ctx context.Context, tx *sql.Tx, s *Standing) error {
	if s.blank() {
		_, err := tx.ExecContext(ctx, "DELETE FROM standing_key WHERE ip = ? AND provider = ?", s.IP.String(), s.Provider)
		return err
	}
	lists, err := json.Marshal(s.Lists)
	if err != nil {
		return err
	}
	lasts := sql.NullInt64{}
	if !s.Until.IsZero() {
		lasts = sql.NullInt64{Valid: true, Int64: s.Until.Sub(s.Since).Milliseconds()}
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO standing_key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.IP.String(), s.Provider, s.State.String(), s.Since.UnixMilli(), lasts, s.Reason, s.Rule, s.Sample, string(lists),
		s.Strikes, s.Length.Milliseconds(), s.Share, s.By)
	return err
}

// DB gives the database, for what else is to be kept in the file. It is closed with the SQLite.
func (s *SQLite) DB() *sql.DB { return s.db }

// Close closes the file.
func (s *SQLite) Close() error { return s.db.Close() }
