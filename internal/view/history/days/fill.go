package days

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"slices"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// Flags of a line.
const (
	isTrouble = 1 << iota // it was not delivered, or not at once
	isRescued
)

// A filling is what lines add to a day, in one transaction.
type filling struct {
	*book
	ctx  context.Context //nolint:containedctx // it lasts as long as the call
	tx   *sql.Tx
	main *joining

	used    map[int64]int64 // ids of a millisecond
	block   [][]byte
	octets  int
	terms   []termed
	counts  map[countKey]*tally
	account map[accountKey]*tally
	took    map[tookKey]*[len(history.Buckets) + 1]int64
	refused map[refusedKey]*refused
	changed map[int64]bool // runs
	more    map[string]int64
}

type termed struct {
	term index.Term
	id   id
}

func (b *book) fill(ctx context.Context, tx *sql.Tx, main *joining, lines []history.Line) (*filling, error) {
	w := &filling{
		book: b, ctx: context.WithoutCancel(ctx), tx: tx, main: main, used: map[int64]int64{}, counts: map[countKey]*tally{}, account: map[accountKey]*tally{},
		took: map[tookKey]*[len(history.Buckets) + 1]int64{}, refused: map[refusedKey]*refused{}, changed: map[int64]bool{}, more: map[string]int64{},
	}
	for i := range lines { // to look whether it is called off in each statement costs more than the statement
		if err := cmp.Or(ctx.Err(), w.line(&lines[i])); err != nil {
			return nil, err
		}
	}
	return w, w.flush()
}

// put adds a row to a table.
func (w *filling) put(name string, row ...any) error { return w.book.put(w.ctx, w.tx, name, row...) }

// A row is what stands of a line beside it.
type row struct {
	id, run                              int64
	kind                                 index.Kind
	tenant, provider, ip, outcome, class int64
	flags                                int64
	mail                                 int64 // 0: it is the first of its own, or none
}

func (w *filling) line(l *history.Line) error {
	e := l.Entry
	run, err := w.runOf(e)
	if err != nil {
		return err
	}
	if !w.seenOf(run).Add(e.Line) {
		return nil
	}
	w.changed[run] = true
	w.more["lines"]++
	r := row{run: run, kind: index.KindOf(e.Type)}
	if r.id, err = w.newID(milliOf(e.At)); err != nil {
		return err
	}
	if r.tenant, r.provider, r.ip, err = w.whence(e); err != nil {
		return err
	}
	switch r.kind {
	case index.Transactions:
		err = w.transaction(&r, e)
	case index.Sessions:
		err = w.session(&r, e)
	case index.Refusals:
		if of := (rescue{int64(e.Session), e.Number}); e.Action == "rescued" && len(w.rescued) < mostRescued { //nolint:gosec // all bits stay
			w.rescued[of] = true
			err = w.put("rescued", of.session, of.number)
		}
	case index.Dropped:
		w.more["gaps"] += int64(e.Records) //nolint:gosec // records that a process has written
	}
	if err != nil || !w.keeps(&r) {
		return err
	}
	return w.keep(&r, l)
}

// keeps reports whether the day has such lines still.
func (w *filling) keeps(r *row) bool {
	switch w.level {
	case counts:
		return index.IsLasting(r.kind)
	case trouble:
		return r.kind > index.Sessions || r.flags&isTrouble != 0
	}
	return true
}

// keep writes a line and by what it is found.
func (w *filling) keep(r *row, l *history.Line) error {
	if len(w.block) >= perBlock || w.octets+len(l.Raw) > blockOctets {
		if err := w.closeBlock(); err != nil {
			return err
		}
	}
	var mail any
	if r.mail != 0 {
		mail = r.mail
		w.terms = append(w.terms, termed{index.OfMail(r.mail), r.id})
	}
	at := placeOf(w.book.block+1, len(w.block))
	w.block, w.octets = append(w.block, l.Raw), w.octets+len(l.Raw)
	if l.Entry.Session != 0 {
		w.terms = append(w.terms, termed{index.OfSession(l.Entry.Session), r.id})
	}
	if c := l.Entry.Content; r.kind == index.Judged && c != nil && c.Reference != "" {
		w.terms = append(w.terms, termed{index.Hash(index.ByIdentity, c.Reference), r.id})
	}
	return w.put("line", r.id, r.run, int64(l.Entry.Line), r.kind, at, r.tenant, r.provider, r.ip, r.outcome, r.class, r.flags, mail) //nolint:gosec // SQLite has no more
}

func (w *filling) closeBlock() error {
	if len(w.block) == 0 {
		return nil
	}
	data, err := pack(w.block)
	if err != nil {
		return err
	}
	w.book.block++
	w.block, w.octets = w.block[:0], 0
	return w.put("block", w.book.block, data)
}

func (w *filling) newID(ms int64) (id, error) {
	n, known := w.used[ms]
	if !known && ms <= w.newest {
		if err := w.flushTable(w.ctx, w.tx, "line"); err != nil {
			return 0, err
		}
		err := w.tx.QueryRowContext(w.ctx, "SELECT coalesce(max(id) % 4096 + 1, 0) FROM day_line WHERE id >= ? AND id < ?", idAt(ms), idAt(ms+1)).Scan(&n)
		if err != nil {
			return 0, err
		}
	}
	if n == perMilli {
		return w.newID(ms + 1)
	}
	w.used[ms] = n + 1
	return idAt(ms) + n, nil
}

func (w *filling) runOf(e *event.Entry) (int64, error) {
	of := runName{e.Gateway, e.Run}
	run, ok := w.runs[of]
	if ok {
		return run, nil
	}
	run = int64(len(w.runs)) + 1
	w.runs[of] = run
	return run, w.put("run", run, of.gateway, of.run)
}

// name gives the number of a name.
func (w *filling) name(text string) (int64, error) {
	n, ok := w.names[text]
	if ok {
		return n, nil
	}
	n = int64(len(w.names)) + 1
	w.names[text] = n
	return n, w.put("name", n, text)
}

// mostShapes is how many a day tells apart: a stranger who never says the same twice costs no more. Of these, who has as many as are left gets no more.
const mostShapes = 20_000

const otherShape = "(other)"

// shape gives the number of a shape. One that is not told apart is another one from here on.
func (w *filling) shape(text *string, tenant int64) (int64, error) {
	if _, known := w.names[*text]; !known {
		if w.shapesOf[tenant] >= mostShapes-w.shapes {
			*text = otherShape
			return w.name(*text)
		}
		w.shapes++
		w.shapesOf[tenant]++
	}
	return w.name(*text)
}

func (w *filling) whence(e *event.Entry) (tenant, provider, ip int64, err error) {
	if tenant, err = w.name(e.Tenant); err != nil {
		return 0, 0, 0, err
	}
	if provider, err = w.name(e.Provider); err != nil {
		return 0, 0, 0, err
	}
	ip, err = w.name(ipName(e))
	return tenant, provider, ip, err
}

func ipName(e *event.Entry) string {
	if !e.SendingIP.IsValid() {
		return ""
	}
	return e.SendingIP.String()
}

func (w *filling) transaction(r *row, e *event.Entry) (err error) {
	a := history.AttemptOf(e)
	if r.outcome, err = w.name(a.Outcome); err != nil {
		return err
	}
	if r.class, err = w.name(a.Reply.Class); err != nil {
		return err
	}
	mail, joined, err := index.Join(w.main, &a, mailOfFirst(w.day, r.id))
	if err != nil {
		return err
	}
	r.mail = mail
	if joined || a.Outcome != "delivered" || len(e.Results) > 1 {
		r.flags |= isTrouble
	}
	if of := (rescue{int64(e.Session), e.Number}); w.rescued[of] { //nolint:gosec // all bits stay
		r.flags |= isRescued
		if err := w.over(of); err != nil {
			return err
		}
	}
	if err := w.troubles(r, e); err != nil {
		return err
	}
	if w.level == detail || w.keeps(r) {
		for _, t := range index.Terms(&a) {
			w.terms = append(w.terms, termed{t, r.id})
		}
	}
	return w.count(r, e, &a, joined)
}

// mostRescued is of how many rescues the attempt is waited for: it comes behind them.
const mostRescued = 100_000

// over forgets a rescue whose attempt has come.
func (w *filling) over(of rescue) error {
	delete(w.rescued, of)
	if err := w.flushTable(w.ctx, w.tx, "rescued"); err != nil {
		return err
	}
	_, err := w.tx.ExecContext(w.ctx, "DELETE FROM day_rescued WHERE session = ? AND number = ?", of.session, of.number)
	return err
}

func (w *filling) session(r *row, e *event.Entry) error {
	for i := range e.Legs {
		if e.Legs[i].Failed != "" {
			r.flags |= isTrouble
		}
	}
	if e.EndReason != "quit" || e.Transactions > e.Delivered || e.Ungreeted != "" {
		r.flags |= isTrouble
	}
	if err := w.troubles(r, e); err != nil {
		return err
	}
	return w.times(r, e)
}

// mostRefusals is how many of one line are told apart.
const mostRefusals = 16

// troubles notes what was refused, and of an attempt that there was trouble.
func (w *filling) troubles(r *row, e *event.Entry) error {
	all := history.Refusals(e)
	if len(all) > 0 {
		r.flags |= isTrouble
	}
	if len(all) == 0 && r.flags&isTrouble != 0 && r.kind == index.Transactions {
		all = []history.Refusal{{}}
	}
	at := e.At.UnixMilli()
	for n, of := range all[:min(len(all), mostRefusals)] {
		class, err := w.name(of.Class)
		if err != nil {
			return err
		}
		rule, err := w.name(of.Rule)
		if err != nil {
			return err
		}
		shape := int64(0)
		if of.Code > 0 && !of.Local {
			if shape, err = w.shape(&of.Shape, r.tenant); err != nil {
				return err
			}
		}
		if w.level > counts {
			if err := w.put("trouble", r.id, n, r.kind, shape, r.tenant, r.provider, r.ip, r.outcome, class, rule); err != nil {
				return err
			}
		}
		if shape == 0 {
			continue
		}
		w.refuse(refusedKey{tenant: r.tenant, provider: r.provider, ip: r.ip, class: class, rule: rule, shape: shape}, at)
		if err := w.main.saw(&of, e); err != nil {
			return err
		}
	}
	return nil
}

// flush writes what has been gathered.
func (w *filling) flush() error {
	if err := w.closeBlock(); err != nil {
		return err
	}
	for ms := range w.used {
		w.newest = max(w.newest, ms)
	}
	slices.SortFunc(w.terms, func(a, b termed) int { // what lies together is written together
		return cmp.Or(cmp.Compare(a.term, b.term), cmp.Compare(a.id, b.id))
	})
	for _, t := range w.terms {
		if err := w.put("term", t.term, t.id); err != nil {
			return err
		}
	}
	return w.flushSums()
}

// flushSeen writes which lines of a run have come.
func (w *filling) flushSeen(run int64) error {
	if _, err := w.tx.ExecContext(w.ctx, "DELETE FROM day_seen WHERE run = ?", run); err != nil {
		return err
	}
	for _, s := range w.seen[run].All {
		if err := w.put("see", run, int64(s.First), int64(s.Last)); err != nil { //nolint:gosec // SQLite has no more
			return err
		}
	}
	return nil
}

// end notes what comes with the last of the lines: how far their source has been read, and what is owed to the main file.
func (w *filling) end(ctx context.Context, mark *marked) error {
	w.generation++
	owed, err := json.Marshal(&w.main.owed)
	if err != nil {
		return err
	}
	if err := w.put("state", "generation", w.generation); err != nil {
		return err
	}
	if _, err := w.tx.ExecContext(w.ctx, "DELETE FROM day_owed"); err != nil {
		return err
	}
	if err := w.put("owe", w.generation, owed); err != nil {
		return err
	}
	if mark != nil {
		if err := w.put("mark", mark.source, mark.number, mark.File, mark.Offset, mark.At.UnixMilli()); err != nil {
			return err
		}
	}
	for name := range writings {
		if err := w.flushTable(w.ctx, w.tx, name); err != nil {
			return err
		}
	}
	return ctx.Err()
}
