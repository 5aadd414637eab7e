package days

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/store"
	"kanmon/internal/view/history"
)

// Attempts are joined to mails as they come: the main file has who waits for mail, and which. An attempt is of the mail that waits for one of its
// recipients, of the same message id, or else of the same queue id of the same MSA, or else of the same sender and about the same size. What is refused
// before its header has come has no id and no size, whatever its gateway looks for: so a mail is asked for by its ids and by its sender, and who has an id
// is never one whose id is another.

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
	Waits  []waiting
	For    []waitsFor
	Shapes []firstSeen
	Expire int64 // unix milliseconds; 0: none
}

// A waiting is a mail of which recipients wait. Times are unix milliseconds.
type waiting struct {
	Mail                 int64
	Tenant, Provider, IP string
	First, Last, Size    int64
	Deferred, Gone       bool
	Named                bool // an attempt had an id
}

type waitsFor struct {
	Key, Mail, Who int64
	Gone           bool // whatever the key is
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
		WHERE f.key = ? LIMIT 500`, // who has one recipient wait for more mails than that has none of them told apart
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

func (j *joining) wait(w *waiting) error {
	if w.Gone {
		return j.put("gone", w.Mail)
	}
	return j.put("waits", w.Mail, w.Tenant, w.Provider, w.IP, w.First, w.Last, w.Size, w.Deferred, w.Named)
}

func (j *joining) waitFor(f waitsFor) error {
	if f.Gone {
		return j.put("settled", f.Mail, f.Who)
	}
	j.waitsFor(f.Key)
	return j.put("for", f.Key, f.Mail, f.Who)
}

func (j *joining) first(s *firstSeen) error {
	return j.put("shape", s.Hash, s.Class, s.Rule, s.Shape, s.First, s.Gateway, s.Run, int64(s.Line), s.Last) //nolint:gosec // SQLite has no more
}

// join says of which mail an attempt is, 0 where it is the first of one that has no id, and whether mail waited for it.
func (j *joining) join(d day, of id, a *history.Attempt) (mail int64, joined bool, err error) {
	k := keysOf(a)
	found, err := j.asked(a, k.ids, func(*waiting) bool { return true }) // of that id
	if err == nil && found == nil {
		found, err = j.asked(a, k.senders, func(w *waiting) bool { return mayBe(a, w) })
	}
	if err != nil {
		return 0, false, err
	}
	mail = k.mail
	if found != nil {
		mail = found.Mail
	}
	number := mail
	if number == 0 {
		number = mailOfFirst(d, of)
	}
	return mail, found != nil, j.settle(number, a, &k, found)
}

// asked finds the mail that waits for one of the recipients; nil: none does.
func (j *joining) asked(a *history.Attempt, keys []int64, is func(*waiting) bool) (found *waiting, err error) {
	stmt := j.tx.StmtContext(j.ctx, j.do["asked"])
	for _, key := range keys {
		if _, may := j.keys[key]; !may && j.keys != nil {
			continue
		}
		rows, err := stmt.QueryContext(j.ctx, key)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var w waiting
			if err := rows.Scan(&w.Mail, &w.Tenant, &w.Provider, &w.IP, &w.First, &w.Last, &w.Size, &w.Deferred, &w.Named); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			if is(&w) && (found == nil || nearer(a, &w, found)) {
				found = &w
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return found, nil
}

const (
	sizeMayDiffer = 64 // octets: a Received field more
	timeMayDiffer = time.Second
)

// mayBe reports whether an attempt may be one of a mail, where no id says so.
func mayBe(a *history.Attempt, w *waiting) bool {
	if w.Named && (a.MessageID != "" || a.QueueID != "") {
		return false
	}
	since := a.Start.UnixMilli() - w.Last
	if since < -timeMayDiffer.Milliseconds() || since > history.Keeps.Milliseconds() {
		return false
	}
	return a.Octets == 0 || w.Size == 0 || max(a.Octets-w.Size, w.Size-a.Octets) <= sizeMayDiffer // of what was refused early nobody knows the size
}

// nearer reports which of two mails an attempt is rather of: that whose size it has, then that which has waited longer for its turn.
func nearer(a *history.Attempt, w, than *waiting) bool {
	if same := w.Size == a.Octets; same != (than.Size == a.Octets) {
		return same
	}
	return w.Last < than.Last
}

// waitingFor gives a mail that is waited for; nil: it is not.
func (j *joining) waitingFor(mail int64) (*waiting, error) {
	var w waiting
	err := j.tx.StmtContext(j.ctx, j.do["which"]).QueryRowContext(j.ctx, mail).
		Scan(&w.Mail, &w.Tenant, &w.Provider, &w.IP, &w.First, &w.Last, &w.Size, &w.Deferred, &w.Named)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // it is said so
	}
	return &w, err
}

// opens reports whether a recipient waits behind an attempt, as far as it tells.
func opens(a *history.Attempt, fate string, known bool) bool {
	switch fate {
	case "delivered", "refused":
		return a.Outcome == "orphan_ack" // the MSA has not heard of it
	case "not_sent":
		return known || a.Outcome != "reset" // which asked, and sent nothing
	}
	return true
}

// settle notes who waits for a mail behind an attempt.
func (j *joining) settle(mail int64, a *history.Attempt, k *keys, was *waiting) (err error) {
	if was == nil && mail&byID != 0 && slices.ContainsFunc(a.Recipients, func(r history.Recipient) bool { return opens(a, r.Fate, false) }) {
		if was, err = j.waitingFor(mail); err != nil { // by others of its recipients
			return err
		}
	}
	at := a.At.UnixMilli()
	if was != nil && at < was.Last { // it came late: what was told behind it stands
		return nil
	}
	w := waiting{Mail: mail, Tenant: a.Tenant, Provider: a.Provider, First: a.Start.UnixMilli(), Last: at, Size: a.Octets, Named: k.mail != 0}
	if a.SendingIP.IsValid() {
		w.IP = a.SendingIP.String()
	}
	if was != nil {
		w.First, w.Named = min(w.First, was.First), w.Named || was.Named
		if w.Size == 0 {
			w.Size = was.Size
		}
	}
	open := 0
	for i, who := range k.who {
		fate := a.Recipients[i].Fate
		if !opens(a, fate, was != nil) {
			if was != nil {
				err = errors.Join(err, j.noteFor(waitsFor{Mail: mail, Who: who, Gone: true}))
			}
			continue
		}
		open++
		w.Deferred = w.Deferred || fate == "deferred"
		err = errors.Join(err, j.noteFor(waitsFor{Key: k.senders[i], Mail: mail, Who: who}))
		if k.ids != nil {
			err = errors.Join(err, j.noteFor(waitsFor{Key: k.ids[i], Mail: mail, Who: who}))
		}
	}
	if err != nil || open == 0 && was == nil {
		return err
	}
	if was != nil {
		var left int
		if err := j.tx.StmtContext(j.ctx, j.do["left"]).QueryRowContext(j.ctx, mail).Scan(&left); err != nil {
			return err
		}
		w.Gone = left == 0
		w.Deferred = w.Deferred || was.Deferred && left > open
	}
	j.owed.Waits = append(j.owed.Waits, w)
	return j.wait(&w)
}

func (j *joining) noteFor(f waitsFor) error {
	j.owed.For = append(j.owed.For, f)
	return j.waitFor(f)
}

// saw notes a refusal's shape, once a day.
func (j *joining) saw(r *history.Refusal, e *event.Entry) error {
	hash, today := hashOf('S', r.Class, r.Rule, r.Shape), int64(dayOf(e.At))
	if last, known := j.seen[hash]; known && last == today {
		return nil
	}
	j.seen[hash] = today
	s := firstSeen{hash, r.Class, r.Rule, r.Shape, e.At.UnixMilli(), today, e.Gateway, e.Run, e.Line}
	j.owed.Shapes = append(j.owed.Shapes, s)
	return j.first(&s)
}
