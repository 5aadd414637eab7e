package days

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"math"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A kind is a line's type. Those above outside are kept longest.
type kind = int64

const (
	transactions kind = iota + 1
	sessions
	refusals
	decisions
	waits
	outside // and those behind it
)

var kinds = map[string]kind{
	"transaction": transactions, "session": sessions, "refusal": refusals, "decision": decisions, "wait": waits,
	"gateway": outside, "heartbeat": outside + 1, "order": outside + 2, "changed": outside + 3, "finding": outside + 4, "dropped": outside + 5,
}

const unknown = outside + 6 // a type that a later kanmon writes

func kindOf(name string) kind {
	if k, ok := kinds[name]; ok {
		return k
	}
	return unknown
}

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
	term term
	id   id
}

type countKey struct{ unit, tenant, at, gateway, provider, ip, outcome, class int64 }

type accountKey struct {
	tenant                            int64
	account                           string
	gateway, provider, outcome, class int64
}

type tookKey struct{ unit, phase, provider, at, ip int64 }

type refusedKey struct{ class, rule, shape, tenant, provider, ip int64 }

type refused struct{ count, first, last int64 }

type tally struct{ attempts, first, recipients, octets, rescued, tls int64 }

func (t *tally) add(o tally) {
	t.attempts += o.attempts
	t.first += o.first
	t.recipients += o.recipients
	t.octets += o.octets
	t.rescued += o.rescued
	t.tls += o.tls
}

func (b *book) fill(ctx context.Context, tx *sql.Tx, main *joining, lines []history.Line) (*filling, error) {
	w := &filling{
		book: b, ctx: ctx, tx: tx, main: main, used: map[int64]int64{}, counts: map[countKey]*tally{}, account: map[accountKey]*tally{},
		took: map[tookKey]*[len(history.Buckets) + 1]int64{}, refused: map[refusedKey]*refused{}, changed: map[int64]bool{}, more: map[string]int64{},
	}
	for i := range lines {
		if err := w.line(&lines[i]); err != nil {
			return nil, err
		}
	}
	return w, w.flush()
}

// put executes one of writes.
func (w *filling) put(name string, args ...any) error {
	_, err := w.tx.StmtContext(w.ctx, w.do[name]).ExecContext(w.ctx, args...)
	return err
}

// A row is what stands of a line beside it.
type row struct {
	id, run                              int64
	kind                                 kind
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
	if !w.seenOf(run).add(e.Line) {
		return nil
	}
	w.changed[run] = true
	w.more["lines"]++
	r := row{run: run, kind: kindOf(e.Type)}
	if r.id, err = w.newID(milliOf(e.At)); err != nil {
		return err
	}
	if r.tenant, r.provider, r.ip, err = w.whence(e); err != nil {
		return err
	}
	switch r.kind {
	case transactions:
		err = w.transaction(&r, e)
	case sessions:
		err = w.session(&r, e)
	case refusals:
		if e.Action == "rescued" {
			of := rescue{int64(e.Session), e.Number} //nolint:gosec // all bits stay
			w.rescued[of] = true
			err = w.put("rescued", of.session, of.number)
		}
	case kinds["dropped"]:
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
		return r.kind >= outside
	case trouble:
		return r.kind > sessions || r.flags&isTrouble != 0
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
		w.terms = append(w.terms, termed{termOfMail(r.mail), r.id})
	}
	at := placeOf(w.book.block+1, len(w.block))
	w.block, w.octets = append(w.block, l.Raw), w.octets+len(l.Raw)
	if l.Entry.Session != 0 {
		w.terms = append(w.terms, termed{termOfSession(l.Entry.Session), r.id})
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
		if err := w.tx.StmtContext(w.ctx, w.do["in"]).QueryRowContext(w.ctx, idAt(ms), idAt(ms+1)).Scan(&n); err != nil {
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

// mostShapes is how many a day tells apart: a stranger who never says the same twice costs no more.
const mostShapes = 20_000

func (w *filling) shape(text string) (int64, error) {
	if _, known := w.names[text]; !known {
		if w.shapes >= mostShapes {
			text = "(other)"
		}
		w.shapes++
	}
	return w.name(text)
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
	mail, joined, err := w.main.join(w.day, r.id, &a)
	if err != nil {
		return err
	}
	r.mail = mail
	if joined || a.Outcome != "delivered" || len(e.Results) > 1 {
		r.flags |= isTrouble
	}
	if w.rescued[rescue{int64(e.Session), e.Number}] { //nolint:gosec // all bits stay
		r.flags |= isRescued
	}
	if err := w.troubles(r, e); err != nil {
		return err
	}
	if w.level == detail || w.keeps(r) {
		for _, t := range termsOf(&a) {
			w.terms = append(w.terms, termed{t, r.id})
		}
	}
	return w.count(r, e, &a, joined)
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
	if len(all) == 0 && r.flags&isTrouble != 0 && r.kind == transactions {
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
			if shape, err = w.shape(of.Shape); err != nil {
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
		key := refusedKey{class, rule, shape, r.tenant, r.provider, r.ip}
		sum := w.refused[key]
		if sum == nil {
			sum = &refused{0, at, at}
			w.refused[key] = sum
		}
		sum.count, sum.first, sum.last = sum.count+1, min(sum.first, at), max(sum.last, at)
		if err := w.main.saw(&of, e); err != nil {
			return err
		}
	}
	return nil
}

// Units of roll-ups, in minutes.
const (
	unitFive = 5
	unitHour = 60
	unitDay  = 24 * 60
)

var units = [...]int64{unitFive, unitHour, unitDay}

func unitOf(unit, ms int64) int64 {
	if unit == unitDay {
		return 0
	}
	return ms / (unit * time.Minute.Milliseconds())
}

func (w *filling) count(r *row, e *event.Entry, a *history.Attempt, joined bool) error {
	gateway, err := w.name(a.Gateway)
	if err != nil {
		return err
	}
	one := tally{attempts: 1, recipients: int64(len(a.Recipients) + a.More), octets: a.Octets}
	if !joined {
		one.first = 1
	}
	if r.flags&isRescued != 0 {
		one.rescued = 1
	}
	if a.TLS == "tls" {
		one.tls = 1
	}
	ms := r.id / perMilli
	for _, unit := range units {
		key := countKey{unit, 0, unitOf(unit, ms), gateway, r.provider, r.ip, r.outcome, r.class}
		addTo(w.counts, key, one)
		if unit != unitFive {
			key.tenant = r.tenant
			addTo(w.counts, key, one)
		}
	}
	if a.Account != "" {
		addTo(w.account, accountKey{r.tenant, a.Account, gateway, r.provider, r.outcome, r.class}, one)
	}
	w.more["attempts"]++
	return w.times(r, e)
}

func addTo[K comparable](all map[K]*tally, key K, one tally) {
	sum := all[key]
	if sum == nil {
		sum = new(tally)
		all[key] = sum
	}
	sum.add(one)
}

func (w *filling) times(r *row, e *event.Entry) error {
	ms := r.id / perMilli
	for _, t := range history.Took(e) {
		phase, err := w.name(t.Phase)
		if err != nil {
			return err
		}
		provider, err := w.name(t.Provider)
		if err != nil {
			return err
		}
		ip := ""
		if t.SendingIP.IsValid() {
			ip = t.SendingIP.String()
		}
		from, err := w.name(ip)
		if err != nil {
			return err
		}
		bucket, _ := slices.BinarySearch(history.Buckets[:], t.For.Seconds())
		for _, unit := range [...]int64{unitFive, unitHour} {
			key := tookKey{unit, phase, provider, unitOf(unit, ms), from}
			if w.took[key] == nil {
				w.took[key] = new([len(history.Buckets) + 1]int64)
			}
			w.took[key][bucket]++
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

func (w *filling) flushSums() error {
	for k, t := range w.counts {
		if k.unit == unitFive && w.level != detail {
			continue
		}
		if err := w.put("count", k.unit, k.tenant, k.at, k.gateway, k.provider, k.ip, k.outcome, k.class, t.attempts, t.first, t.recipients, t.octets, t.rescued, t.tls); err != nil {
			return err
		}
	}
	for k, t := range w.account {
		if err := w.put("account", k.tenant, k.account, k.gateway, k.provider, k.outcome, k.class, t.attempts, t.first, t.recipients, t.octets, t.rescued, t.tls); err != nil {
			return err
		}
	}
	for k, c := range w.took {
		if k.unit == unitFive && w.level != detail {
			continue
		}
		args := []any{k.unit, k.phase, k.provider, k.at, k.ip}
		for _, n := range c {
			args = append(args, n)
		}
		if err := w.put("took", args...); err != nil {
			return err
		}
	}
	for k, r := range w.refused {
		if err := w.put("refusal", k.class, k.rule, k.shape, k.tenant, k.provider, k.ip, r.count, r.first, r.last); err != nil {
			return err
		}
	}
	for run := range w.changed {
		if err := w.flushSeen(run); err != nil {
			return err
		}
	}
	for key, n := range w.more {
		if err := w.put("more", key, n); err != nil {
			return err
		}
	}
	return nil
}

// flushSeen writes which lines of a run have come.
func (w *filling) flushSeen(run int64) error {
	if err := w.put("unsee", run, int64(0), int64(math.MaxInt64)); err != nil {
		return err
	}
	for _, s := range w.seen[run].all {
		if err := w.put("see", run, int64(s.first), int64(s.last)); err != nil { //nolint:gosec // SQLite has no more
			return err
		}
	}
	return nil
}

// end notes what comes with the last of the lines: how far their source has been read, and what is owed to the main file.
func (w *filling) end(mark *marked) error {
	w.generation++
	owed, err := json.Marshal(&w.main.owed)
	if err != nil {
		return err
	}
	if err := w.put("state", "generation", w.generation); err != nil {
		return err
	}
	if err := w.put("paid"); err != nil {
		return err
	}
	if err := w.put("owe", w.generation, owed); err != nil {
		return err
	}
	if mark == nil {
		return nil
	}
	return w.put("mark", mark.source, mark.number, mark.File, mark.Offset, mark.At.UnixMilli())
}
