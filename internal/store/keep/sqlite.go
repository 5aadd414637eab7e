package keep

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"kanmon/internal/store"
)

// A Row is an entry as a store has it.
type Row struct {
	Key, Value string
	Put        time.Time
	Gone       bool // it is to be forgotten
}

// A Store keeps rows.
type Store interface {
	// Load returns all rows, those put first at the front, and the number of those that are no rows of ours.
	Load() (rows []Row, ignored int, err error)
	// Save writes all or nothing.
	Save(changed []Row) error
	String() string
}

// A Table is a [Store] in a table of a file.
type Table struct {
	db   *store.File
	name string
}

// Times that the disk is given.
const (
	loadTime = 10 * time.Second
	saveTime = 5 * time.Second // one batch
)

// NewTable makes the table if there is none. The form of its rows is part of its name: what another kanmon has written in another
// form is not read, and not lost.
func NewTable(db *store.File, name string, version int) (*Table, error) {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return nil, fmt.Errorf("%q: %w", name, ErrName)
	}
	t := &Table{db: db, name: fmt.Sprintf("%s_%d", name, version)}
	ctx, cancel := context.WithTimeout(context.Background(), loadTime)
	defer cancel()
	_, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+t.name+
		" (key TEXT PRIMARY KEY, value TEXT NOT NULL, put_ms INTEGER NOT NULL) WITHOUT ROWID")
	if err != nil {
		return nil, db.Misread(fmt.Errorf("make the table %s: %w", t.name, err))
	}
	return t, nil
}

// String returns the table's name.
func (t *Table) String() string { return t.name }

// longest is of a key and of a value, in octets.
const longest = 4096

// Load implements [Store].
func (t *Table) Load() (rows []Row, ignored int, err error) {
	rows, ignored, err = t.load()
	return rows, ignored, t.db.Misread(err)
}

func (t *Table) load() (rows []Row, ignored int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTime)
	defer cancel()
	const sensible = "typeof(key) = 'text' AND typeof(value) = 'text' AND typeof(put_ms) = 'integer' AND length(key) <= ? AND length(value) <= ?"
	found, err := t.db.QueryContext(ctx, "SELECT key, value, put_ms FROM "+t.name+" WHERE "+sensible+" ORDER BY put_ms", longest, longest)
	if err != nil {
		return nil, 0, err
	}
	defer found.Close()
	for found.Next() {
		var r Row
		var put int64
		if err := found.Scan(&r.Key, &r.Value, &put); err != nil {
			return nil, 0, err
		}
		r.Put = time.UnixMilli(put)
		rows = append(rows, r)
	}
	if err := found.Err(); err != nil {
		return nil, 0, err
	}
	var all int
	if err := t.db.QueryRowContext(ctx, "SELECT count(*) FROM "+t.name).Scan(&all); err != nil {
		return nil, 0, err
	}
	return rows, all - len(rows), nil
}

// Save implements [Store].
func (t *Table) Save(changed []Row) error {
	ctx, cancel := context.WithTimeout(context.Background(), saveTime)
	defer cancel()
	return t.db.Keep(ctx, t.name, changed, func(tx *sql.Tx) error {
		for i := range changed {
			if err := t.save(ctx, tx, &changed[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *Table) save(ctx context.Context, tx *sql.Tx, r *Row) error {
	if r.Gone {
		_, err := tx.ExecContext(ctx, "DELETE FROM "+t.name+" WHERE key = ?", r.Key)
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO "+t.name+" VALUES (?, ?, ?)", r.Key, r.Value, r.Put.UnixMilli())
	return err
}
