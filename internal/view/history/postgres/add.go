package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A writing is what lines change, in one transaction.
type writing struct {
	ctx context.Context //nolint:containedctx // it lasts as long as the call
	tx  pgx.Tx
	*sums
}

// put writes rows, which the statement takes as $1.
func (w *writing) put(statement string, rows any, more ...any) error {
	data, err := json.Marshal(rows)
	if err != nil || string(data) == "[]" || string(data) == "null" {
		return err
	}
	_, err = w.tx.Exec(w.ctx, statement, append([]any{string(data)}, more...)...)
	return err
}

// Add keeps lines; see [history.Store].
func (s *Store) Add(ctx context.Context, lines []history.Line, source string, read history.Mark) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return err
	}
	defer end()
	rows, bad := rowsOf(lines)
	var days []day
	for i := range rows {
		days = append(days, rows[i].day)
	}
	slices.Sort(days)
	days = slices.Compact(days)
	if err = cmp.Or(s.runsOf(ctx, rows), s.partsFor(ctx, days)); err == nil {
		err = pgx.BeginFunc(ctx, s.write, func(tx pgx.Tx) error { return s.add(ctx, tx, rows, days, bad, source, read) })
	}
	if err != nil { // what is remembered may have been taken back, or gone
		clear(s.runs)
		clear(s.parts)
		clear(s.shapes)
	}
	return s.told(err)
}

func (s *Store) add(ctx context.Context, tx pgx.Tx, rows []row, days []day, bad int64, source string, read history.Mark) error {
	w := &writing{ctx: ctx, tx: tx, sums: newSums()}
	if len(rows) > 0 {
		if err := stage(ctx, tx, rows); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockWrite)); err != nil {
		return err
	}
	if len(rows) > 0 {
		if err := s.fill(w, rows, days); err != nil {
			return err
		}
	}
	if bad > 0 {
		w.more(dayOf(cmp.Or(read.At, time.Now())), "bad", bad)
	}
	if err := w.flush(); err != nil {
		return err
	}
	if source == "" {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO mark VALUES ($1, $2, $3, $4, $5) ON CONFLICT (host, source) DO UPDATE
		SET file = excluded.file, octets = excluded.octets, at = excluded.at`, s.host, name(source), read.File, read.Offset, read.At.UnixMilli())
	return err
}

var errForgotten = errors.New("the runs of these lines were taken away meanwhile")

// fill writes the lines that have not been written before, and all that they change.
func (s *Store) fill(w *writing, rows []row, days []day) error {
	if err := w.fresh(rows, days); err != nil {
		return err
	}
	rescued, err := w.rescues(rows)
	if err != nil {
		return err
	}
	l, err := openLedger(w, rows)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		if !r.fresh {
			continue
		}
		switch {
		case r.attempt != nil:
			if err := w.attempt(l, r, rescued); err != nil {
				return err
			}
		case r.kind == index.Refusals && r.entry.Action == "rescued":
			rescued[rescue{r.entry.Session, r.entry.Number}] = rescueNew
		case r.kind == index.Dropped:
			w.more(r.day, "gaps", int64(r.entry.Records)) //nolint:gosec // records that a process has written
		}
		if err := s.refused(w, r); err != nil {
			return err
		}
		w.times(r)
	}
	return cmp.Or(l.flush(), w.flushRescues(rescued), w.place(rows))
}

// attempt joins an attempt to its mail, and counts it.
func (w *writing) attempt(l *ledger, r *row, rescued map[rescue]rescueState) error {
	first := index.Hash('F', r.run.gateway, r.run.run, string(binaryOf(r.line)))
	mail, joined, err := index.Join(l, r.attempt, first)
	if err != nil {
		return err
	}
	r.mail = cmp.Or(mail, first)
	r.trouble = r.trouble || joined
	of := rescue{r.entry.Session, r.entry.Number}
	if state, is := rescued[of]; is && state != rescueOver {
		r.rescued, r.trouble, rescued[of] = true, true, rescueOver
	}
	w.count(r, joined)
	return nil
}

// fresh finds the lines that have not come before, and notes that they have.
func (w *writing) fresh(rows []row, days []day) error {
	type of struct {
		day day
		run int32
	}
	seen, changed := map[of]*index.Spans{}, map[of]bool{}
	var runs []int32
	begins := make([]time.Time, 0, len(days))
	for _, d := range days {
		begins = append(begins, d.begin())
	}
	for i := range rows {
		key := of{rows[i].day, rows[i].number}
		if seen[key] == nil {
			seen[key] = new(index.Spans)
			runs = append(runs, key.run)
		}
	}
	slices.Sort(runs)
	runs = slices.Compact(runs)
	var has int
	if err := w.tx.QueryRow(w.ctx, "SELECT count(*) FROM run WHERE id = ANY($1)", runs).Scan(&has); err != nil || has < len(runs) {
		return cmp.Or(err, errForgotten)
	}
	err := each(w.ctx, w.tx, "SELECT day, run, first, last FROM seen WHERE day = ANY($1) AND run = ANY($2) ORDER BY day, run, first", func(scan func(...any) error) error {
		var at time.Time
		var key of
		var first, last int64
		err := scan(&at, &key.run, &first, &last)
		key.day = dayOf(at)
		if s := seen[key]; s != nil {
			s.All = append(s.All, index.Span{First: uint64(first), Last: uint64(last)}) //nolint:gosec // as they were written
		}
		return err
	}, begins, runs)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		key := of{r.day, r.number}
		if r.fresh = seen[key].Add(r.entry.Line); r.fresh {
			changed[key] = true
		}
	}
	type span struct {
		Day   day   `json:"day"`
		Run   int32 `json:"run"`
		First int64 `json:"first"`
		Last  int64 `json:"last"`
	}
	var all []span
	for key := range changed {
		for _, s := range seen[key].All {
			all = append(all, span{key.day, key.run, int64(s.First), int64(s.Last)}) //nolint:gosec // all bits stay
		}
	}
	return cmp.Or(
		w.put("DELETE FROM seen WHERE (day, run) IN (SELECT day, run FROM json_populate_recordset(null::seen, $1))", all),
		w.put("INSERT INTO seen SELECT * FROM json_populate_recordset(null::seen, $1)", all))
}
