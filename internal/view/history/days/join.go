package days

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"kanmon/internal/event"
	"kanmon/internal/store"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A joining is what a day's lines change in the main file. It is written behind them, and stands among them until it is: so it is done exactly once,
// whenever the process ends.
type joining struct {
	ctx  context.Context //nolint:containedctx // it lasts as long as the call
	tx   *sql.Tx
	owed owed
	*ledger
}

// owed are changes of the main file, in order: each says how something is from then on, so done twice they are done once.
type owed struct {
	Waits  []index.Waiting
	For    []index.WaitsFor
	Shapes []firstSeen
	Expire int64 // unix milliseconds; 0: none
}

type firstSeen struct {
	Hash               int64
	Class, Rule, Shape string
	First              int64 // unix milliseconds
	Last               int64 // day
	Gateway, Run       string
	Line               uint64
}

var mainWrites = map[string]string{
	"waits": `INSERT INTO main_waits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET tenant = excluded.tenant, provider = excluded.provider,
		ip = excluded.ip, first = excluded.first, last = excluded.last, size = excluded.size, deferred = excluded.deferred,
		named = excluded.named`,
	"gone":    "DELETE FROM main_waits WHERE mail = ?",
	"for":     "INSERT OR IGNORE INTO main_for VALUES (?, ?, ?)",
	"settled": "DELETE FROM main_for WHERE mail = ? AND who = ?",
	"shape": `INSERT INTO main_shape VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
		gateway = iif(excluded.first < first, excluded.gateway, gateway), run = iif(excluded.first < first, excluded.run, run),
		line = iif(excluded.first < first, excluded.line, line), first = min(first, excluded.first), last = max(last, excluded.last)`,
	"expire":     "DELETE FROM main_waits WHERE last < ?",
	"expire for": "DELETE FROM main_for WHERE mail IN (SELECT mail FROM main_waits WHERE last < ?)",
	"day":        "INSERT INTO main_day VALUES (?, ?) ON CONFLICT DO UPDATE SET generation = excluded.generation",
	"mark": `INSERT INTO main_mark VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET number = excluded.number, file = excluded.file,
		offset = excluded.offset, at = excluded.at`,
	"asked": `SELECT w.mail, w.tenant, w.provider, w.ip, w.first, w.last, w.size, w.deferred, w.named FROM main_for f JOIN main_waits w ON w.mail = f.mail
		WHERE f.key = ? LIMIT ` + strconv.Itoa(index.MostAsked),
	"left":  "SELECT count(DISTINCT who) FROM main_for WHERE mail = ?",
	"which": "SELECT mail, tenant, provider, ip, first, last, size, deferred, named FROM main_waits WHERE mail = ?",
}

// A ledger is the main file as it is written to.
type ledger struct {
	f    *store.File
	do   map[string]*sql.Stmt
	seen map[int64]int64    // shapes, and the day on which each was told of last
	keys map[int64]struct{} // for which mail may wait; nil: it is not known
	many bool               // there are more keys than are remembered
}

// mostKeys is how many keys are remembered. Beyond, the file is asked each time.
const mostKeys = 1_000_000

// forget has everything read anew: what was remembered has been taken back.
func (l *ledger) forget() {
	l.seen, l.keys, l.many = map[int64]int64{}, nil, false
}

func (l *ledger) remember(ctx context.Context) error {
	if l.keys != nil || l.many {
		return nil
	}
	keys := map[int64]struct{}{}
	err := each(ctx, l.f, "SELECT DISTINCT key FROM main_for LIMIT ?", func(scan func(...any) error) error {
		var key int64
		err := scan(&key)
		keys[key] = struct{}{}
		return err
	}, mostKeys)
	if l.many = len(keys) == mostKeys; err == nil && !l.many {
		l.keys = keys
	}
	return err
}

// waitsFor remembers a key, as long as there are not too many.
func (l *ledger) waitsFor(key int64) {
	if l.keys == nil {
		return
	}
	l.keys[key] = struct{}{}
	if len(l.keys) > mostKeys {
		l.keys, l.many = nil, true
	}
}

func openLedger(path string) (*ledger, error) {
	f, err := store.Open(path, patience, mainSchema)
	if err != nil {
		return nil, err
	}
	l := &ledger{f: f, do: map[string]*sql.Stmt{}, seen: map[int64]int64{}}
	for name, text := range mainWrites {
		if l.do[name], err = f.Prepare(text); err != nil {
			return nil, errors.Join(f.Misread(err), f.Close())
		}
	}
	return l, nil
}

func (l *ledger) close() error {
	var errs []error
	for _, stmt := range l.do {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, l.f.Rest())...)
}

func (l *ledger) begin(ctx context.Context) (*joining, error) {
	if err := l.remember(ctx); err != nil {
		return nil, err
	}
	tx, err := l.f.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	const most = 100_000
	if len(l.seen) > most {
		clear(l.seen)
	}
	return &joining{ctx: context.WithoutCancel(ctx), tx: tx, ledger: l}, nil
}

func (j *joining) put(name string, args ...any) error {
	_, err := j.tx.StmtContext(j.ctx, j.do[name]).ExecContext(j.ctx, args...)
	return err
}

// apply does what is owed.
func (j *joining) apply(o *owed) error {
	if o.Expire != 0 {
		if err := errors.Join(j.put("expire for", o.Expire), j.put("expire", o.Expire)); err != nil {
			return err
		}
	}
	for i := range o.Waits {
		if err := j.wait(&o.Waits[i]); err != nil {
			return err
		}
	}
	for _, f := range o.For {
		if err := j.waitFor(f); err != nil {
			return err
		}
	}
	for i := range o.Shapes {
		if err := j.first(&o.Shapes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (j *joining) wait(w *index.Waiting) error {
	if w.Gone {
		return j.put("gone", w.Mail)
	}
	return j.put("waits", w.Mail, w.Tenant, w.Provider, w.IP, w.First, w.Last, w.Size, w.Deferred, w.Named)
}

func (j *joining) waitFor(f index.WaitsFor) error {
	if f.Gone {
		return j.put("settled", f.Mail, f.Who)
	}
	j.waitsFor(f.Key)
	return j.put("for", f.Key, f.Mail, f.Who)
}

func (j *joining) first(s *firstSeen) error {
	return j.put("shape", s.Hash, s.Class, s.Rule, s.Shape, s.First, s.Gateway, s.Run, int64(s.Line), s.Last) //nolint:gosec // SQLite has no more
}

// For gives the mails that wait by a key; see [index.Ledger].
func (j *joining) For(key int64) (all []index.Waiting, err error) {
	if _, may := j.keys[key]; !may && j.keys != nil {
		return nil, nil
	}
	rows, err := j.tx.StmtContext(j.ctx, j.do["asked"]).QueryContext(j.ctx, key)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var w index.Waiting
		if err := rows.Scan(&w.Mail, &w.Tenant, &w.Provider, &w.IP, &w.First, &w.Last, &w.Size, &w.Deferred, &w.Named); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		all = append(all, w)
	}
	return all, errors.Join(rows.Err(), rows.Close())
}

// Waiting gives a mail that is waited for; see [index.Ledger].
func (j *joining) Waiting(mail int64) (*index.Waiting, error) {
	var w index.Waiting
	err := j.tx.StmtContext(j.ctx, j.do["which"]).QueryRowContext(j.ctx, mail).
		Scan(&w.Mail, &w.Tenant, &w.Provider, &w.IP, &w.First, &w.Last, &w.Size, &w.Deferred, &w.Named)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // it is said so
	}
	return &w, err
}

// Left counts who waits for a mail; see [index.Ledger].
func (j *joining) Left(mail int64) (n int, err error) {
	err = j.tx.StmtContext(j.ctx, j.do["left"]).QueryRowContext(j.ctx, mail).Scan(&n)
	return n, err
}

// Note has the main file say how a mail is; see [index.Ledger].
func (j *joining) Note(w index.Waiting) error {
	j.owed.Waits = append(j.owed.Waits, w)
	return j.wait(&w)
}

// NoteFor has it say who waits; see [index.Ledger].
func (j *joining) NoteFor(f index.WaitsFor) error {
	j.owed.For = append(j.owed.For, f)
	return j.waitFor(f)
}

// saw notes a refusal's shape, once a day.
func (j *joining) saw(r *history.Refusal, e *event.Entry) error {
	hash, today := index.Hash('S', r.Class, r.Rule, r.Shape), int64(dayOf(e.At))
	if last, known := j.seen[hash]; known && last == today {
		return nil
	}
	j.seen[hash] = today
	s := firstSeen{hash, r.Class, r.Rule, r.Shape, e.At.UnixMilli(), today, e.Gateway, e.Run, e.Line}
	j.owed.Shapes = append(j.owed.Shapes, s)
	return j.first(&s)
}
