package standing

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/store"
)

// SQLite is a [Store] in a file.
type SQLite struct {
	db *store.File
}

// Part is the name of the standings in the file, and for the heir of the file ([store.File.Keep]), which is told []Standing.
const Part = "standing"

var schema = store.Schema{Part: Part, Steps: []string{
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
	`CREATE TABLE standing_warm_up ( -- package warm
		ip        TEXT    NOT NULL PRIMARY KEY,
		start_day INTEGER NOT NULL, -- days since 1970-01-01, as all of them
		step      INTEGER NOT NULL,
		done      INTEGER NOT NULL,
		times     REAL    NOT NULL, -- the plan's share
		begun_day INTEGER NOT NULL,
		since_day INTEGER NOT NULL,
		repeats   INTEGER NOT NULL,
		why       TEXT    NOT NULL,
		day       INTEGER NOT NULL,
		used_day  INTEGER NOT NULL,
		finding   TEXT    NOT NULL,
		classes   TEXT    NOT NULL  -- JSON
	) WITHOUT ROWID`,
}}

// Schema is the version of the schema that this kanmon makes.
func Schema() int { return schema.Version() }

// Times that the disk is given.
const (
	busyTime = 2 * time.Second // another process has the file locked
	loadTime = 10 * time.Second
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

// Load returns all standings. A row that makes no sense is an error: half a memory would let mail out of suspended IPs.
func (s *SQLite) Load() ([]Standing, error) {
	all, err := s.load()
	return all, s.db.Misread(err)
}

func (s *SQLite) load() ([]Standing, error) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTime)
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

// A keptList is a [List] in the file. A weight that another release had a word for is unknown to this one.
type keptList struct {
	Name      string `json:"name"`
	Zone      string `json:"zone,omitempty"`
	Weight    string `json:"weight,omitempty"`
	Confirmed bool   `json:"confirmed,omitempty"`
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
	if s.State, known = states.Of(state); !known {
		return s, fmt.Errorf("row %q, %q: unknown state %q", ip, s.Provider, state)
	}
	var kept []keptList
	if err := json.Unmarshal([]byte(lists), &kept); err != nil {
		return s, fmt.Errorf("row %q, %q: lists: %w", ip, s.Provider, err)
	}
	for _, l := range kept {
		s.Lists = append(s.Lists, List{l.Name, l.Zone, event.WeightOf(l.Weight), l.Confirmed})
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
	return s.db.Keep(ctx, Part, changed, func(tx *sql.Tx) error {
		for i := range changed {
			if err := save(ctx, tx, &changed[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func save(ctx context.Context, tx *sql.Tx, s *Standing) error {
	if s.blank() {
		_, err := tx.ExecContext(ctx, "DELETE FROM standing_key WHERE ip = ? AND provider = ?", s.IP.String(), s.Provider)
		return err
	}
	kept := make([]keptList, 0, len(s.Lists))
	for _, l := range s.Lists {
		kept = append(kept, keptList{l.Name, l.Zone, l.Weight.String(), l.Confirmed})
	}
	lists, err := json.Marshal(kept)
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

// File returns the open file, for what else is to be kept in it. It is closed with the SQLite.
func (s *SQLite) File() *store.File { return s.db }

// Close closes the file.
func (s *SQLite) Close() error { return s.db.Close() }
