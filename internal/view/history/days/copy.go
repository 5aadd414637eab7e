package days

import (
	"context"
	"database/sql"
	"errors"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// copies are what a day with less has of a day with more, but for the lines themselves.
var copies = [...]string{
	"INSERT INTO day_state SELECT key, value FROM old.day_state",
	"INSERT INTO day_mark SELECT source, number, file, offset, at FROM old.day_mark",
	"INSERT INTO day_owed SELECT generation, data FROM old.day_owed",
	"INSERT INTO day_name SELECT id, text FROM old.day_name",
	"INSERT INTO day_run SELECT id, gateway, run FROM old.day_run",
	"INSERT INTO day_seen SELECT run, first, last FROM old.day_seen",
	"INSERT INTO day_rescued SELECT session, number FROM old.day_rescued",
	"INSERT INTO day_count SELECT * FROM old.day_count WHERE unit <> 5",
	"INSERT INTO day_took SELECT * FROM old.day_took WHERE unit <> 5",
	"INSERT INTO day_account SELECT * FROM old.day_account",
	"INSERT INTO day_refusal SELECT * FROM old.day_refusal",
}

// copyOf fills an empty book with what it is to have of another file.
func (b *book) copyOf(ctx context.Context, path string, forSize bool) error {
	if _, err := b.f.ExecContext(ctx, "ATTACH DATABASE ? AS old", path); err != nil {
		return err
	}
	err := b.f.Within(ctx, func(tx *sql.Tx) error {
		for _, text := range copies {
			if _, err := tx.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		if err := b.copyLines(ctx, tx); err != nil {
			return err
		}
		more := []string{"INSERT INTO day_term SELECT term, id FROM old.day_term WHERE id IN (SELECT id FROM day_line)"}
		if b.level == trouble {
			more = append(more, "INSERT INTO day_trouble SELECT * FROM old.day_trouble")
		}
		if forSize {
			more = append(more, "INSERT INTO day_state VALUES ('shortened', 1) ON CONFLICT DO NOTHING")
		}
		for _, text := range more {
			if _, err := tx.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
	_, detached := b.f.ExecContext(context.WithoutCancel(ctx), "DETACH DATABASE old")
	return errors.Join(err, detached)
}

// copyLines packs the lines that stay into blocks of their own.
func (b *book) copyLines(ctx context.Context, tx *sql.Tx) error {
	w := &filling{book: b, ctx: ctx, tx: tx}
	from := &lineCopy{filling: w, last: -1, blocks: map[int64][][]byte{}}
	for {
		n, err := from.some()
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if err := w.closeBlock(); err != nil {
			return err
		}
		return errors.Join(b.flushTable(ctx, tx, "block"), b.flushTable(ctx, tx, "line"))
	}
}

type lineCopy struct {
	*filling
	last   int64              // id
	blocks map[int64][][]byte // those at hand, by their number
}

// mostBlocks is how many blocks are at hand. Lines are copied by their times, and lie as they came: those of several gateways, and of files that were
// read late, lie in turns.
const mostBlocks = 32

const nextLines = `SELECT id, run, line, kind, place, tenant, provider, ip, outcome, class, flags, coalesce(mail, 0) FROM old.day_line
	WHERE id > ? ORDER BY id LIMIT ?`

// some copies the next lines, and says how many there were.
func (c *lineCopy) some() (n int, err error) {
	const most = 2000
	type copied struct {
		row
		line  int64
		place place
	}
	var rows []copied
	err = each(c.ctx, c.tx, nextLines, func(scan func(...any) error) error {
		var r copied
		err := scan(&r.id, &r.run, &r.line, &r.kind, &r.place, &r.tenant, &r.provider, &r.ip, &r.outcome, &r.class, &r.flags, &r.mail)
		rows = append(rows, r)
		return err
	}, c.last, most)
	if err != nil {
		return 0, err
	}
	for i := range rows {
		r := &rows[i]
		c.last = r.id
		if !c.keeps(&r.row) {
			continue
		}
		raw, err := c.raw(r.place)
		if errors.Is(err, errPlace) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if err := c.keep(&r.row, &history.Line{Raw: raw, Entry: &event.Entry{Line: uint64(r.line)}}); err != nil { //nolint:gosec // as it was written
			return 0, err
		}
	}
	return len(rows), nil
}

func (c *lineCopy) raw(at place) ([]byte, error) {
	number := at / perBlock
	lines, known := c.blocks[number]
	if !known {
		var data []byte
		err := c.tx.QueryRowContext(c.ctx, "SELECT data FROM old.day_block WHERE id = ?", number).Scan(&data)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		if lines, err = unpack(data); err != nil {
			lines = nil
		}
		if len(c.blocks) == mostBlocks {
			clear(c.blocks)
		}
		c.blocks[number] = lines
	}
	nth := int(at % perBlock)
	if nth >= len(lines) {
		return nil, errPlace
	}
	return lines[nth], nil
}
