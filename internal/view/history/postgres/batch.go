package postgres

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A row is a line as it stands in the database.
type row struct {
	at                                   int64 // unix milliseconds
	day                                  day
	run                                  runName
	number                               int32 // of the run
	line                                 int64
	kind                                 index.Kind
	tenant, provider, ip, outcome, class string
	terms                                []int64
	raw                                  []byte
	entry                                *event.Entry
	attempt                              *history.Attempt // nil: it is none
	refusals                             []history.Refusal
	fresh                                bool // it has not come before
	trouble, rescued                     bool
	mail                                 int64 // 0: none
}

type runName struct{ gateway, run string }

// longest is how much of a name is kept. A name in an index has a bound in PostgreSQL, and a row that it does not take would hold up all behind it.
const longest = 330

// name is a text as PostgreSQL takes it: UTF-8 without the octet 0, and not without end.
func name(text string) string {
	if len(text) > longest {
		text = text[:longest]
	}
	if strings.IndexByte(text, 0) < 0 && utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "�"), "�")
}

// rowsOf reads lines; bad counts those that are no records.
func rowsOf(lines []history.Line) (rows []row, bad int64) {
	rows = make([]row, 0, len(lines))
	for i := range lines {
		e := lines[i].Entry
		if e == nil || e.At.Year() < 2000 || e.At.Year() > 2200 {
			bad++
			continue
		}
		r := row{
			at: e.At.UnixMilli(), day: dayOf(e.At), run: runName{name(e.Gateway), name(e.Run)}, line: int64(e.Line), kind: index.KindOf(e.Type), //nolint:gosec // all bits stay
			tenant: name(e.Tenant), provider: name(e.Provider), raw: lines[i].Raw, entry: e,
		}
		if e.SendingIP.IsValid() {
			r.ip = e.SendingIP.String()
		}
		r.read()
		rows = append(rows, r)
	}
	return rows, bad
}

// read finds out what a line says by itself.
func (r *row) read() {
	e := r.entry
	if e.Session != 0 {
		r.terms = append(r.terms, index.OfSession(e.Session))
	}
	switch r.kind {
	case index.Transactions:
		a := history.AttemptOf(e)
		r.attempt, r.outcome, r.class = &a, name(a.Outcome), name(a.Reply.Class)
		r.terms = append(r.terms, index.Terms(&a)...)
		r.trouble = a.Outcome != "delivered" || len(e.Results) > 1
	case index.Sessions:
		for i := range e.Legs {
			r.trouble = r.trouble || e.Legs[i].Failed != ""
		}
		r.trouble = r.trouble || e.EndReason != "quit" || e.Transactions > e.Delivered || e.Ungreeted != ""
	case index.Judged:
		if e.Content != nil && e.Content.Reference != "" {
			r.terms = append(r.terms, index.Hash(index.ByIdentity, e.Content.Reference))
		}
		return
	default:
		return
	}
	const most = 16 // of one line are told apart
	r.refusals = history.Refusals(e)
	r.trouble = r.trouble || len(r.refusals) > 0
	r.refusals = r.refusals[:min(len(r.refusals), most)]
	for i := range r.refusals {
		of := &r.refusals[i]
		r.terms = append(r.terms, termOfClass(of.Class), termOfShape(of.Shape), hashOfShape(of.Class, of.Rule, of.Shape))
	}
}

func termOfClass(class string) int64 { return index.Hash('c', class) }

func termOfShape(shape string) int64 { return index.Hash('h', shape) }

func hashOfShape(class, rule, shape string) int64 { return index.Hash('S', class, rule, shape) }

// level says how long a line is kept.
func (r *row) level() level {
	switch {
	case index.IsLasting(r.kind):
		return news
	case r.kind > index.Sessions || r.trouble:
		return trouble
	}
	return detail
}

const mostRuns = 10_000 // remembered

// runsOf gives the runs of lines their numbers.
func (s *Store) runsOf(ctx context.Context, rows []row) error {
	if len(s.runs) > mostRuns {
		clear(s.runs)
	}
	for i := range rows {
		r := &rows[i]
		n, known := s.runs[r.run]
		if !known {
			_, err := s.write.Exec(ctx, "INSERT INTO run (gateway, run) VALUES ($1, $2) ON CONFLICT DO NOTHING", r.run.gateway, r.run.run)
			if err == nil {
				err = s.write.QueryRow(ctx, "SELECT id FROM run WHERE gateway = $1 AND run = $2", r.run.gateway, r.run.run).Scan(&n)
			}
			if err != nil {
				return err
			}
			s.runs[r.run] = n
		}
		r.number = n
	}
	return nil
}

// stage copies lines to a table of the connection alone, before others have to wait for it.
func stage(ctx context.Context, tx pgx.Tx, rows []row) error {
	if _, err := tx.Exec(ctx, `CREATE TEMP TABLE IF NOT EXISTS staged (n integer, day date, at bigint, run integer, line bigint, kind smallint, tenant text,
		provider text, ip text, outcome text, terms bigint[], raw bytea) ON COMMIT DELETE ROWS`); err != nil {
		return err
	}
	columns := []string{"n", "day", "at", "run", "line", "kind", "tenant", "provider", "ip", "outcome", "terms", "raw"}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "staged"}, columns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		r := &rows[i]
		terms := r.terms
		if terms == nil {
			terms = []int64{}
		}
		return []any{int32(i), r.day.begin(), r.at, r.number, r.line, int16(r.kind), r.tenant, r.provider, r.ip, r.outcome, terms, r.raw}, nil //nolint:gosec // few
	}))
	return err
}

// A placed is what is known of a line only behind those before it.
type placed struct {
	N       int   `json:"n"`
	Level   level `json:"level"`
	Rescued bool  `json:"rescued"`
	Mail    int64 `json:"mail"`
	Term    int64 `json:"term"` // of the mail; 0: none
}

// place writes the lines that are new from the staging table to where they stay.
func (w *writing) place(rows []row) error {
	all := make([]placed, 0, len(rows))
	for i := range rows {
		if r := &rows[i]; r.fresh {
			one := placed{N: i, Level: r.level(), Rescued: r.rescued, Mail: r.mail}
			if r.mail != 0 {
				one.Term = index.OfMail(r.mail)
			}
			all = append(all, one)
		}
	}
	return w.put(`INSERT INTO line (level, day, seq, at, run, line, kind, tenant, provider, ip, outcome, rescued, mail, terms, raw)
		SELECT p.level, s.day, nextval('line_seq'), s.at, s.run, s.line, s.kind, s.tenant, s.provider, s.ip, s.outcome, p.rescued, p.mail, s.terms || array_remove(ARRAY[p.term], 0), s.raw
		FROM json_to_recordset($1) AS p (n integer, level smallint, rescued boolean, mail bigint, term bigint) JOIN pg_temp.staged s ON s.n = p.n
		ORDER BY p.n ON CONFLICT DO NOTHING`, all)
}
