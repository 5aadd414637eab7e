package days

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kanmon/internal/store"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A book is the file of a day that is written to, with what is remembered of it so that not every line has to ask. After a failure it is thrown away
// and read anew: what it remembers of a transaction that was taken back is not so.
type book struct {
	day   day
	level level
	f     *store.File

	names      map[string]int64
	shapes     int           // of the names
	shapesOf   map[int64]int // the same by tenant
	runs       map[runName]int64
	seen       map[int64]*index.Spans
	rescued    map[rescue]bool
	block      int64 // the last
	newest     int64 // millisecond
	generation int64
	tables     map[string]*table
}

type runName struct{ gateway, run string }

type rescue struct {
	session int64
	number  int
}

// patience is for whoever has a file locked: a reader never does, a backup for moments.
const patience = 10 * time.Second

const writeCache = 24 << 20 // octets of pages: terms lie anywhere

func openBook(dir string, d day, l level) (*book, error) {
	f, err := store.Open(filepath.Join(dir, d.file(l)), patience, daySchema)
	if err != nil {
		return nil, err
	}
	b := &book{
		day: d, level: l, f: f, names: map[string]int64{}, runs: map[runName]int64{}, seen: map[int64]*index.Spans{}, rescued: map[rescue]bool{}, shapesOf: map[int64]int{}, tables: map[string]*table{},
	}
	if err := b.load(); err != nil {
		return nil, errors.Join(f.Misread(err), f.Close())
	}
	return b, nil
}

func (b *book) load() error {
	ctx := context.Background()
	if _, err := b.f.ExecContext(ctx, fmt.Sprintf("PRAGMA cache_size = -%d; PRAGMA temp_store = MEMORY", writeCache>>10)); err != nil {
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
			var s index.Span
			err := scan(&run, &s.First, &s.Last)
			b.seenOf(run).All = append(b.seenOf(run).All, s)
			return err
		}),
		each(ctx, b.f, "SELECT session, number FROM day_rescued", func(scan func(...any) error) error {
			var r rescue
			err := scan(&r.session, &r.number)
			b.rescued[r] = true
			return err
		}),
		b.f.QueryRowContext(ctx, "SELECT coalesce((SELECT max(id) FROM day_block), 0), coalesce((SELECT max(id) FROM day_line), -1)").Scan(&b.block, &b.newest),
		each(ctx, b.f, "SELECT tenant, count(DISTINCT shape) FROM day_refusal WHERE per = 1 GROUP BY tenant", func(scan func(...any) error) error {
			var tenant int64
			var n int
			err := scan(&tenant, &n)
			b.shapesOf[tenant] = n
			return err
		}),
		b.f.QueryRowContext(ctx, "SELECT count(DISTINCT shape) FROM day_refusal WHERE per = 0").Scan(&b.shapes),
	)
	if err == nil {
		b.generation, err = generationOf(ctx, b.f)
	}
	if b.newest >= 0 {
		b.newest /= perMilli
	}
	if err != nil {
		return err
	}
	return b.prepare(ctx)
}

// prepare makes the statements that write rows: one at a time, and many.
func (b *book) prepare(ctx context.Context) error {
	for name, w := range writings {
		t := &table{writing: w}
		b.tables[name] = t
		var err, err2 error
		t.one, err = b.f.PrepareContext(ctx, w.statement(1))
		t.many, err2 = b.f.PrepareContext(ctx, w.statement(perStatement))
		if err := errors.Join(err, err2); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (b *book) seenOf(run int64) *index.Spans {
	s := b.seen[run]
	if s == nil {
		s = new(index.Spans)
		b.seen[run] = s
	}
	return s
}

func (b *book) close() error {
	var errs []error
	for _, t := range b.tables {
		errs = append(errs, t.one.Close(), t.many.Close())
	}
	return errors.Join(append(errs, b.f.Rest())...)
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

// A writing is how rows of one kind are written: what stands before their values, and behind. Many are written by one statement: what a statement costs by
// itself is most of what a row costs.
type writing struct {
	columns      int
	into, behind string
}

const (
	addUp = ` ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts, first = first + excluded.first, recipients = recipients + excluded.recipients,
		octets = octets + excluded.octets, rescued = rescued + excluded.rescued, tls = tls + excluded.tls`
	perStatement = 40 // rows
)

var writings = map[string]writing{
	"name":    {2, "INSERT INTO day_name", ""},
	"run":     {3, "INSERT INTO day_run", ""},
	"block":   {2, "INSERT INTO day_block", ""},
	"line":    {12, "INSERT INTO day_line", ""},
	"term":    {2, "INSERT OR IGNORE INTO day_term", ""},
	"trouble": {10, "INSERT INTO day_trouble", ""},
	"rescued": {2, "INSERT OR IGNORE INTO day_rescued", ""},
	"count":   {14, "INSERT INTO day_count", addUp},
	"account": {11, "INSERT INTO day_account", addUp},
	"took":    {20, "INSERT INTO day_took", tookUp()},
	"refusal": {10, "INSERT INTO day_refusal", " ON CONFLICT DO UPDATE SET count = count + excluded.count, first = min(first, excluded.first), last = max(last, excluded.last)"},
	"mark": {5, "INSERT INTO day_mark", ` ON CONFLICT DO UPDATE SET number = excluded.number, file = excluded.file, offset = excluded.offset,
		at = excluded.at`},
	"state": {2, "INSERT INTO day_state", " ON CONFLICT DO UPDATE SET value = excluded.value"},
	"more":  {2, "INSERT INTO day_state", " ON CONFLICT DO UPDATE SET value = value + excluded.value"},
	"see":   {3, "INSERT INTO day_seen", ""},
	"owe":   {2, "INSERT INTO day_owed", ""},
}

func tookUp() string {
	sums := make([]string, len(history.Buckets)+1)
	for i := range sums {
		sums[i] = fmt.Sprintf("c%[1]d = c%[1]d + excluded.c%[1]d", i)
	}
	return " ON CONFLICT DO UPDATE SET " + strings.Join(sums, ", ")
}

func (w writing) statement(rows int) string {
	row := "(?" + strings.Repeat(", ?", w.columns-1) + ")"
	return w.into + " VALUES " + row + strings.Repeat(", "+row, rows-1) + w.behind
}

// A table gathers rows of one kind.
type table struct {
	writing
	one, many *sql.Stmt
	args      []any
}

// put adds a row.
func (b *book) put(ctx context.Context, tx *sql.Tx, name string, row ...any) error {
	t := b.tables[name]
	if t.args = append(t.args, row...); len(t.args) < t.columns*perStatement {
		return nil
	}
	_, err := tx.StmtContext(ctx, t.many).ExecContext(ctx, t.args...)
	t.args = t.args[:0]
	return err
}

// flushTable writes what has been gathered of a table.
func (b *book) flushTable(ctx context.Context, tx *sql.Tx, name string) error {
	t := b.tables[name]
	if len(t.args) == 0 {
		return nil
	}
	one := tx.StmtContext(ctx, t.one)
	for row := range slices.Chunk(t.args, t.columns) {
		if _, err := one.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	t.args = t.args[:0]
	return nil
}
