package days

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"kanmon/internal/store"
)

// A book is the file of a day that is written to, with what is remembered of it so that not every line has to ask. After a failure it is thrown away
// and read anew: what it remembers of a transaction that was taken back is not so.
type book struct {
	day   day
	level level
	f     *store.File

	names      map[string]int64
	shapes     int // of the names
	runs       map[runName]int64
	seen       map[int64]*spans
	rescued    map[rescue]bool
	block      int64 // the last
	newest     int64 // millisecond
	generation int64
	do         map[string]*sql.Stmt
}

type runName struct{ gateway, run string }

type rescue struct {
	session int64
	number  int
}

// patience is for whoever has a file locked: a reader never does, a backup for moments.
const patience = 10 * time.Second

const writeCache = 48 << 20 // octets of pages: terms lie anywhere

func openBook(dir string, d day, l level) (*book, error) {
	f, err := store.Open(filepath.Join(dir, d.file(l)), patience, daySchema)
	if err != nil {
		return nil, err
	}
	b := &book{
		day: d, level: l, f: f, names: map[string]int64{}, runs: map[runName]int64{}, seen: map[int64]*spans{}, rescued: map[rescue]bool{}, do: map[string]*sql.Stmt{},
	}
	if err := b.load(); err != nil {
		return nil, errors.Join(f.Misread(err), f.Close())
	}
	return b, nil
}

func (b *book) load() error {
	ctx := context.Background()
	if _, err := b.f.ExecContext(ctx, fmt.Sprintf("PRAGMA cache_size = -%d", writeCache>>10)); err != nil {
		return err
	}
	err := errors.Join(
		each(ctx, b.f, "SELECT id, text FROM day_name", func(scan func(...any) error) error {
			var n int64
			var text string
			err := scan(&n, &text)
			b.names[text] = n
			return err
		}),
		each(ctx, b.f, "SELECT id, gateway, run FROM day_run", func(scan func(...any) error) error {
			var n int64
			var r runName
			err := scan(&n, &r.gateway, &r.run)
			b.runs[r] = n
			return err
		}),
		each(ctx, b.f, "SELECT run, first, last FROM day_seen ORDER BY run, first", func(scan func(...any) error) error {
			var run int64
			var s span
			err := scan(&run, &s.first, &s.last)
			b.seenOf(run).all = append(b.seenOf(run).all, s)
			return err
		}),
		each(ctx, b.f, "SELECT session, number FROM day_rescued", func(scan func(...any) error) error {
			var r rescue
			err := scan(&r.session, &r.number)
			b.rescued[r] = true
			return err
		}),
		b.f.QueryRowContext(ctx, "SELECT coalesce((SELECT max(id) FROM day_block), 0), coalesce((SELECT max(id) FROM day_line), -1)").Scan(&b.block, &b.newest),
		b.f.QueryRowContext(ctx, "SELECT coalesce((SELECT value FROM day_state WHERE key = 'generation'), 0)").Scan(&b.generation),
	)
	if b.newest >= 0 {
		b.newest /= perMilli
	}
	if err != nil {
		return err
	}
	for name, text := range writes {
		if b.do[name], err = b.f.PrepareContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (b *book) seenOf(run int64) *spans {
	s := b.seen[run]
	if s == nil {
		s = new(spans)
		b.seen[run] = s
	}
	return s
}

func (b *book) close() error {
	var errs []error
	for _, stmt := range b.do {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, b.f.Close())...)
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// each calls a function with each row of an answer.
func each(ctx context.Context, of querier, query string, take func(scan func(...any) error) error, args ...any) error {
	rows, err := of.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := take(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// writes are the statements by which a day is written.
var writes = map[string]string{
	"name":    "INSERT INTO day_name VALUES (?, ?)",
	"run":     "INSERT INTO day_run VALUES (?, ?, ?)",
	"block":   "INSERT INTO day_block VALUES (?, ?)",
	"line":    "INSERT INTO day_line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	"term":    "INSERT OR IGNORE INTO day_term VALUES (?, ?)",
	"trouble": "INSERT INTO day_trouble VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	"rescued": "INSERT OR IGNORE INTO day_rescued VALUES (?, ?)",
	"count": `INSERT INTO day_count VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts,
		first = first + excluded.first, recipients = recipients + excluded.recipients, octets = octets + excluded.octets,
		rescued = rescued + excluded.rescued, tls = tls + excluded.tls`,
	"account": `INSERT INTO day_account VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts,
		first = first + excluded.first, recipients = recipients + excluded.recipients, octets = octets + excluded.octets,
		rescued = rescued + excluded.rescued, tls = tls + excluded.tls`,
	"took": `INSERT INTO day_took VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
		c0 = c0 + excluded.c0, c1 = c1 + excluded.c1, c2 = c2 + excluded.c2, c3 = c3 + excluded.c3, c4 = c4 + excluded.c4, c5 = c5 + excluded.c5,
		c6 = c6 + excluded.c6, c7 = c7 + excluded.c7, c8 = c8 + excluded.c8, c9 = c9 + excluded.c9, c10 = c10 + excluded.c10,
		c11 = c11 + excluded.c11, c12 = c12 + excluded.c12, c13 = c13 + excluded.c13, c14 = c14 + excluded.c14`,
	"refusal": `INSERT INTO day_refusal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count,
		first = min(first, excluded.first), last = max(last, excluded.last)`,
	"mark": `INSERT INTO day_mark VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET number = excluded.number, file = excluded.file,
		offset = excluded.offset, at = excluded.at`,
	"state": "INSERT INTO day_state VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
	"more":  "INSERT INTO day_state VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
	"unsee": "DELETE FROM day_seen WHERE run = ? AND first >= ? AND first <= ?",
	"see":   "INSERT INTO day_seen VALUES (?, ?, ?)",
	"paid":  "DELETE FROM day_owed",
	"owe":   "INSERT INTO day_owed VALUES (?, ?)",
	"in":    "SELECT coalesce(max(id) % 4096 + 1, 0) FROM day_line WHERE id >= ? AND id < ?",
}
