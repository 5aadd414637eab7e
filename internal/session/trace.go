package session

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// trace gathers what a session sees into the Record at hand, and hands that over at the end of a transaction, of the
// session, or before a long wait. With no Recorder it does nothing.
type trace struct {
	to   Recorder
	info *event.Session
	rec  *event.Record    // nil: nothing gathered
	kept *keptTransaction // the transaction under way, once lines of it have been handed over; nil: it is in rec
	tx   bool             // a transaction is being gathered
	body time.Time

	opening *openingReplies // nil: none yet

	parting parting // of an MSA that is left without a greeting

	begun, count                 int // transactions that began, and that ended
	fromMSA, toMSA, fromMX, toMX int64
}

// openingReplies are kept until the session ends.
type openingReplies struct {
	replies []event.Opening // with their texts in texts
	texts   event.Texts
}

func (t *trace) record() *event.Record {
	if t.rec == nil {
		t.rec = event.NewRecord()
	}
	return t.rec
}

// transaction is the one being gathered.
func (t *trace) transaction() *event.Transaction {
	trans, _ := t.gathered()
	return trans
}

// talks reports whether the dialogue is wanted.
func (t *trace) talks() bool {
	if t.to == nil {
		return false
	}
	l, chooses := t.to.(Listener)
	return !chooses || l.Dialogue()
}

// line adds a line of the session log.
func (t *trace) line(m event.Mark, text []byte) {
	if !t.talks() {
		return
	}
	r := t.record()
	r.Lines = append(r.Lines, event.Line{Mark: m, Text: r.Add(text), At: time.Since(t.info.Start)})
}

func (t *trace) note(text string) { t.line(event.MarkNote, []byte(text)) }

func (t *trace) notef(format string, args ...any) {
	if t.talks() {
		t.line(event.MarkNote, fmt.Appendf(nil, format, args...))
	}
}

// reply adds a reply of the MX with all its lines.
func (t *trace) reply(m event.Mark, reply *smtp.Reply, first, took time.Duration) {
	t.replyAsFar(m, reply, event.MaxText, first, took)
}

func (t *trace) replyAsFar(m event.Mark, reply *smtp.Reply, most int, first, took time.Duration) {
	if !t.talks() {
		return
	}
	r := t.record()
	r.Lines = append(r.Lines, event.Line{Mark: m, Text: addReply(&r.Texts, reply, most), At: time.Since(t.info.Start), First: first, Took: took})
}

// opened adds a reply to a step of opening the MX leg. It is kept for the session's last record.
func (t *trace) opened(phase event.Phase, reply *smtp.Reply, first, took time.Duration) {
	if t.to == nil {
		return
	}
	if t.opening == nil {
		t.opening = &openingReplies{make([]event.Opening, 0, 3), make(event.Texts, 0, 256)}
	}
	o := t.opening
	if len(o.replies) >= maxOpenings {
		return
	}
	o.replies = append(o.replies, event.Opening{Phase: phase, Reply: event.Reply{
		Code: reply.Code, Text: addReply(&o.texts, reply, event.MaxText), First: first, Took: took,
	}})
}

// maxOpenings bounds how many of these replies a session keeps: each rescue opens another MX leg.
const maxOpenings = 32

// acted adds what was done about a refusal.
func (t *trace) acted(a event.Action, refusal []byte) {
	if t.to != nil {
		t.action(a, t.record().Add(refusal))
	}
}

// actedOn is acted for the refusal just read.
func (t *trace) actedOn(a event.Action, reply *smtp.Reply) {
	if t.to != nil {
		t.action(a, addReply(&t.record().Texts, reply, event.MaxText))
	}
}

func (t *trace) action(a event.Action, refusal event.Span) {
	r := t.record()
	a.Reply = refusal
	if t.tx {
		a.Transaction = t.transaction().Number
	}
	r.Actions = append(r.Actions, a)
}

// decided adds what the gate has decided.
func (t *trace) decided(step event.Step, n event.Note) {
	if t.to == nil {
		return
	}
	r := t.record()
	d := event.Decided{At: time.Since(t.info.Start), Step: step, Note: n}
	if t.tx {
		d.Transaction = t.transaction().Number
	}
	r.Decisions = append(r.Decisions, d)
}

// answered adds a reply as the MSA got it; the times are those of the MX's reply, a local one has none.
func (t *trace) answered(reply *smtp.Reply, local bool, first, took time.Duration) {
	if local {
		first, took = 0, 0
	}
	most := event.MaxText
	if t.tx { // as much as of the transaction itself
		most = t.transaction().Room(shortReply)
	}
	t.replyAsFar(event.MarkToMSA, reply, most, first, took)
}

// sentToMSA adds a reply that was put together on the wire.
func (t *trace) sentToMSA(wire []byte) {
	if !t.talks() {
		return
	}
	text := bytes.ReplaceAll(bytes.TrimSuffix(wire, []byte("\r\n")), []byte("\r\n"), []byte("\n"))
	t.line(event.MarkToMSA, text)
}

// held adds a command that was not forwarded. Of what is no SMTP command only the size is kept: it may be anything,
// also the text of a mail; and of AUTH nothing but the verb.
func (t *trace) held(cmd smtp.Command) {
	if !t.talks() {
		return
	}
	switch cmd.Verb {
	case smtp.VerbUnknown:
		t.line(event.MarkFromMSA, fmt.Appendf(nil, "(unknown command, %d octets)", len(cmd.Line)))
	case smtp.VerbAUTH, smtp.VerbBDAT, smtp.VerbBURL, smtp.VerbRetired: // some X… commands carry credentials, too
		word := cmd.Line[:max(bytes.IndexAny(cmd.Line, " \t"), 0)]
		t.line(event.MarkFromMSA, append(bytes.Clone(word), " [redacted]"...))
	default:
		t.line(event.MarkFromMSA, cmd.Line)
	}
}

// command adds a command that was put into the group for the MX. For an RCPT it gives the recipient that its reply
// belongs to; -1 for none.
func (t *trace) command(cmd smtp.Command) (rcpt int) {
	if t.to == nil {
		return -1
	}
	if cmd.Verb == smtp.VerbMAIL {
		t.endTransaction(event.OutcomeReset, "")
	}
	t.line(event.MarkToMX, cmd.Line)
	switch {
	case cmd.Verb == smtp.VerbMAIL:
		t.beginTransaction(cmd)
	case cmd.Verb == smtp.VerbRCPT && t.tx:
		return t.recipient(cmd)
	}
	return -1
}

// answeredHere adds kanmon's own answer to a MAIL or RCPT that the MX does not get to see.
func (t *trace) answeredHere(cmd smtp.Command, reply *smtp.Reply) {
	if t.to == nil {
		return
	}
	switch {
	case cmd.Verb == smtp.VerbMAIL && !t.tx: // else it is one too many
		t.beginTransaction(cmd)
		t.transaction().Mail = event.Reply{Code: reply.Code, Local: true, Text: t.keepReply(reply, event.MaxText)}
	case cmd.Verb == smtp.VerbRCPT && t.tx:
		if rcpt := t.recipient(cmd); rcpt >= 0 {
			t.transaction().Recipients[rcpt].Reply = event.Reply{Code: reply.Code, Local: true, Text: t.keepReply(reply, shortReply)}
		}
	}
}

func (t *trace) beginTransaction(cmd smtp.Command) {
	r := t.record()
	t.begun++
	mailbox, _, _ := cmd.Path()
	own := r.OwnTransaction()
	*own = event.Transaction{Number: t.begun, At: time.Since(t.info.Start), Recipients: own.Recipients[:0]}
	own.Sender = t.keepText(mailbox, event.MaxText)
	t.tx = true
}

// recipient adds one to the transaction; -1 if there are too many to be recorded.
func (t *trace) recipient(cmd smtp.Command) int {
	trans := t.transaction()
	if len(trans.Recipients) >= maxRecordedRcpts {
		trans.MoreRcpts++
		return -1
	}
	mailbox, _, _ := cmd.Path()
	trans.Recipients = append(trans.Recipients, event.Recipient{Address: t.keepText(mailbox, shortAddress)})
	return len(trans.Recipients) - 1
}

const maxRecordedRcpts = 1000

func (t *trace) mailReply(reply *smtp.Reply, softened bool, first, took time.Duration) {
	if t.tx && t.transaction().Mail.Code == 0 {
		t.transaction().Mail = t.replyRecord(reply, event.MaxText, softened, first, took)
	}
}

func (t *trace) rcptReply(rcpt int, reply *smtp.Reply, softened bool, first, took time.Duration) {
	if t.tx && rcpt >= 0 && rcpt < len(t.transaction().Recipients) {
		t.transaction().Recipients[rcpt].Reply = t.replyRecord(reply, shortReply, softened, first, took)
	}
	t.handOverIfLarge() // one group may have a thousand of these replies
}

func (t *trace) dataReply(reply *smtp.Reply, softened bool, first, took time.Duration) {
	if !t.tx {
		return
	}
	short := event.MaxText
	if t.transaction().Data.Code != 0 { // an MSA may say DATA again and again
		short = 0
	}
	t.transaction().Data = t.replyRecord(reply, short, softened, first, took)
}

func (t *trace) dotReply(reply *smtp.Reply, softened bool, first, took time.Duration) {
	if t.tx {
		t.transaction().Dot = t.replyRecord(reply, event.MaxText, softened, first, took)
	}
}

func (t *trace) replyRecord(reply *smtp.Reply, short int, softened bool, first, took time.Duration) event.Reply {
	return event.Reply{Code: reply.Code, Softened: softened, Text: t.keepReply(reply, short), First: first, Took: took}
}

func (t *trace) bodyBegins(now time.Time) { t.body = now }

func (t *trace) bodyEnds(size int64, body *smtp.Body) {
	if t.to == nil {
		return
	}
	if t.talks() {
		text := strconv.AppendInt(append(make([]byte, 0, 64), "(message, "...), size, 10)
		text = append(text, " octets)"...)
		if body.BareCR+body.BareLF > 0 {
			text = fmt.Appendf(text[:len(text)-1], ", %d bare CR, %d bare LF)", body.BareCR, body.BareLF)
		}
		t.line(event.MarkToMX, text)
	}
	if t.tx {
		tx := t.transaction()
		tx.Body, tx.BodyBytes = time.Since(t.body), size
	}
}

// endTransaction closes the transaction being gathered, if there is one, and hands it over. OutcomeReset stands for "the
// MSA moved on": then the replies say what became of it, as they do where MAIL was refused, whatever came after.
func (t *trace) endTransaction(o event.Outcome, cause string) {
	if !t.tx {
		return
	}
	t.tx = false
	trans := t.transaction()
	if o == event.OutcomeReset || trans.Mail.Code >= 400 {
		o = trans.OfReplies()
	}
	trans.Outcome, trans.Cause = o, cause
	t.count++
	full := t.record()
	if t.kept != nil {
		full.OwnTransaction().Copy(trans, t.kept.texts, &full.Texts)
		t.kept = nil
	}
	t.rec = nil
	full.Transaction = full.OwnTransaction()
	full.Session = *t.info
	t.to.Record(full)
}

// handOverIfLarge keeps a session that never waits, and never ends a transaction, from gathering without bound.
func (t *trace) handOverIfLarge() {
	if r := t.rec; r != nil && (len(r.Texts) > maxGathered || len(r.Lines)+len(r.Actions)+len(r.Decisions) > maxGatheredLines) {
		t.handOver()
	}
}

const (
	maxGathered      = 64 << 10
	maxGatheredLines = 500
)

// handOver gives what is gathered to the Recorder, before a wait. A transaction under way stays, in as little memory as it needs.
func (t *trace) handOver() {
	full := t.rec
	if full == nil {
		return
	}
	t.rec = nil
	switch {
	case t.kept != nil:
		t.kept.fit()
	case t.tx:
		t.kept = keepTransaction(full)
	}
	if len(full.Lines)+len(full.Actions)+len(full.Decisions) == 0 {
		full.Release()
		return
	}
	full.Session = *t.info
	t.to.Record(full)
}

// waits tells of something of the MX that has not come yet.
func (t *trace) waits(w event.Wait) {
	if t.to == nil {
		return
	}
	w.Session = t.info.ID
	if t.tx {
		w.Transaction = t.transaction().Number
	}
	r := event.NewRecord()
	r.Session, r.News = *t.info, w
	t.to.Record(r)
}

// end hands over the last record of a session that ended in a phase, for a reason, with an error behind it or nil.
func (t *trace) end(s *session, phase event.Phase, reason string, cause error) {
	if t.to == nil {
		return
	}
	t.note("connections closed")
	r := t.record()
	r.Session = s.info
	own := r.OwnEnd()
	*own = event.End{
		Duration: time.Since(t.info.Start), Transactions: t.count, Delivered: int(s.delivered), Opening: own.Opening,
		FromMSA: t.fromMSA, ToMSA: t.toMSA, FromMX: t.fromMX, ToMX: t.toMX,
		Phase: phase, Reason: reason, Ungreeted: partings[t.parting],
	}
	if cause != nil {
		own.Cause = cause.Error()
	}
	if t.opening != nil {
		for _, o := range t.opening.replies {
			o.Reply.Text = r.Texts.Take(t.opening.texts, o.Reply.Text)
			own.Opening = append(own.Opening, o)
		}
	}
	r.End = own
	t.rec = nil
	t.to.Record(r)
}
