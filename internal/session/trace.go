package session

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"kanmon/internal/smtp"
)

// trace gathers what a session sees into the Record at hand, and hands that over at the end of a transaction, of the
// session, or before a long wait. With no Recorder it does nothing.
type trace struct {
	to   Recorder
	info *SessionInfo
	rec  *Record          // nil: nothing gathered
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
	replies []OpeningReply // with their texts in texts
	texts   texts
}

func (t *trace) record() *Record {
	if t.rec == nil {
		t.rec = NewRecord()
	}
	return t.rec
}

// transaction is the one being gathered.
func (t *trace) transaction() *Transaction {
	trans, _ := t.gathered()
	return trans
}

// line adds a line of the session log.
func (t *trace) line(m Mark, text []byte) {
	if t.to == nil {
		return
	}
	r := t.record()
	r.Lines = append(r.Lines, Line{Mark: m, Text: r.Add(text), At: time.Since(t.info.Start)})
}

func (t *trace) note(text string) { t.line(MarkNote, []byte(text)) }

func (t *trace) notef(format string, args ...any) {
	if t.to != nil {
		t.line(MarkNote, fmt.Appendf(nil, format, args...))
	}
}

// reply adds a reply of the MX with all its lines.
func (t *trace) reply(m Mark, reply *smtp.Reply, first, took time.Duration) {
	t.replyAsFar(m, reply, maxText, first, took)
}

func (t *trace) replyAsFar(m Mark, reply *smtp.Reply, most int, first, took time.Duration) {
	if t.to == nil {
		return
	}
	r := t.record()
	r.Lines = append(r.Lines, Line{Mark: m, Text: r.texts.addReply(reply, most), At: time.Since(t.info.Start), First: first, Took: took})
}

// opened adds a reply to a step of opening the MX leg. It is kept for the session's last record.
func (t *trace) opened(phase Phase, reply *smtp.Reply, first, took time.Duration) {
	if t.to == nil {
		return
	}
	if t.opening == nil {
		t.opening = &openingReplies{make([]OpeningReply, 0, 3), make(texts, 0, 256)}
	}
	o := t.opening
	if len(o.replies) >= maxOpenings {
		return
	}
	o.replies = append(o.replies, OpeningReply{phase, ReplyRecord{
		Code: reply.Code, Text: o.texts.addReply(reply, maxText), First: first, Took: took,
	}})
}

// maxOpenings bounds how many of these replies a session keeps: each rescue opens another MX leg.
const maxOpenings = 32

// acted adds what was done about a refusal.
func (t *trace) acted(a Action, refusal []byte) {
	if t.to != nil {
		t.action(a, t.record().Add(refusal))
	}
}

// actedOn is acted for the refusal just read.
func (t *trace) actedOn(a Action, reply *smtp.Reply) {
	if t.to != nil {
		t.action(a, t.record().texts.addReply(reply, maxText))
	}
}

func (t *trace) action(a Action, refusal Span) {
	r := t.record()
	a.Reply = refusal
	if t.tx {
		a.Transaction = t.transaction().Number
	}
	r.Actions = append(r.Actions, a)
}

// decided adds what the gate has decided.
func (t *trace) decided(step Step, n Note) {
	if t.to == nil {
		return
	}
	r := t.record()
	d := Decided{At: time.Since(t.info.Start), Step: step, Note: n}
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
	most := maxText
	if t.tx { // as much as of the transaction itself
		most = t.transaction().room(shortReply)
	}
	t.replyAsFar(MarkToMSA, reply, most, first, took)
}

// sentToMSA adds a reply that was put together on the wire.
func (t *trace) sentToMSA(wire []byte) {
	if t.to == nil {
		return
	}
	text := bytes.ReplaceAll(bytes.TrimSuffix(wire, []byte("\r\n")), []byte("\r\n"), []byte("\n"))
	t.line(MarkToMSA, text)
}

// held adds a command that was not forwarded. Of what is no SMTP command only the size is kept: it may be anything,
// also the text of a mail; and of AUTH nothing but the verb.
func (t *trace) held(cmd smtp.Command) {
	if t.to == nil {
		return
	}
	switch cmd.Verb {
	case smtp.VerbUnknown:
		t.line(MarkFromMSA, fmt.Appendf(nil, "(unknown command, %d octets)", len(cmd.Line)))
	case smtp.VerbAUTH, smtp.VerbBDAT, smtp.VerbBURL, smtp.VerbRetired: // some X… commands carry credentials, too
		word := cmd.Line[:max(bytes.IndexAny(cmd.Line, " \t"), 0)]
		t.line(MarkFromMSA, append(bytes.Clone(word), " [redacted]"...))
	default:
		t.line(MarkFromMSA, cmd.Line)
	}
}

// command adds a command that was put into the group for the MX. For an RCPT it gives the recipient that its reply
// belongs to; -1 for none.
func (t *trace) command(cmd smtp.Command) (rcpt int) {
	if t.to == nil {
		return -1
	}
	if cmd.Verb == smtp.VerbMAIL {
		t.endTransaction(OutcomeReset, "")
	}
	t.line(MarkToMX, cmd.Line)
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
		t.transaction().Mail = ReplyRecord{Code: reply.Code, Local: true, Text: t.keepReply(reply, maxText)}
	case cmd.Verb == smtp.VerbRCPT && t.tx:
		if rcpt := t.recipient(cmd); rcpt >= 0 {
			t.transaction().Recipients[rcpt].Reply = ReplyRecord{Code: reply.Code, Local: true, Text: t.keepReply(reply, shortReply)}
		}
	}
}

func (t *trace) beginTransaction(cmd smtp.Command) {
	r := t.record()
	t.begun++
	mailbox, _, _ := cmd.Path()
	rcpts := r.trans.Recipients[:0]
	r.trans = Transaction{Number: t.begun, At: time.Since(t.info.Start), Recipients: rcpts}
	r.trans.Sender = t.keepText(mailbox, maxText)
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
	trans.Recipients = append(trans.Recipients, Recipient{Address: t.keepText(mailbox, shortAddress)})
	return len(trans.Recipients) - 1
}

const maxRecordedRcpts = 1000

func (t *trace) mailReply(reply *smtp.Reply, softened bool, first, took time.Duration) {
	if t.tx && t.transaction().Mail.Code == 0 {
		t.transaction().Mail = t.replyRecord(reply, maxText, softened, first, took)
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
	short := maxText
	if t.transaction().Data.Code != 0 { // an MSA may say DATA again and again
		short = 0
	}
	t.transaction().Data = t.replyRecord(reply, short, softened, first, took)
}

func (t *trace) dotReply(reply *smtp.Reply, softened bool, first, took time.Duration) {
	if t.tx {
		t.transaction().Dot = t.replyRecord(reply, maxText, softened, first, took)
	}
}

func (t *trace) replyRecord(reply *smtp.Reply, short int, softened bool, first, took time.Duration) ReplyRecord {
	return ReplyRecord{Code: reply.Code, Softened: softened, Text: t.keepReply(reply, short), First: first, Took: took}
}

func (t *trace) bodyBegins(now time.Time) { t.body = now }

func (t *trace) bodyEnds(size int64, body *smtp.Body) {
	if t.to == nil {
		return
	}
	text := strconv.AppendInt(append(make([]byte, 0, 64), "(message, "...), size, 10)
	text = append(text, " octets)"...)
	if body.BareCR+body.BareLF > 0 {
		text = fmt.Appendf(text[:len(text)-1], ", %d bare CR, %d bare LF)", body.BareCR, body.BareLF)
	}
	t.line(MarkToMX, text)
	if t.tx {
		tx := t.transaction()
		tx.Body, tx.BodyBytes = time.Since(t.body), size
	}
}

// endTransaction closes the transaction being gathered, if there is one, and hands it over. OutcomeReset stands for "the
// MSA moved on": then the replies say what became of it, as they do where MAIL was refused, whatever came after.
func (t *trace) endTransaction(o Outcome, cause string) {
	if !t.tx {
		return
	}
	t.tx = false
	trans := t.transaction()
	if o == OutcomeReset || trans.Mail.Code >= 400 {
		o = trans.refusal()
	}
	trans.Outcome, trans.Cause = o, cause
	t.count++
	full := t.record()
	if t.kept != nil {
		full.trans.move(trans, t.kept.texts, &full.texts)
		t.kept = nil
	}
	t.rec = nil
	full.Transaction = &full.trans
	full.Session = *t.info
	t.to.Record(full)
}

// refusal is how a transaction that never came to its body ended: by its replies, else by the MSA's wish.
func (t *Transaction) refusal() Outcome {
	classes := []int{t.Mail.class(), t.Data.class()}
	if len(t.Recipients) > 0 {
		worst := 5
		for i := range t.Recipients {
			worst = min(worst, t.Recipients[i].Reply.class()) // one accepted recipient: not refused here; one 4xx: worth another try
		}
		classes = []int{t.Mail.class(), worst, t.Data.class()}
	}
	for _, class := range classes {
		switch class {
		case 4:
			return OutcomeDeferred
		case 5:
			return OutcomeRefused
		}
	}
	return OutcomeReset
}

// handOverIfLarge keeps a session that never waits, and never ends a transaction, from gathering without bound.
func (t *trace) handOverIfLarge() {
	if r := t.rec; r != nil && (len(r.texts) > maxGathered || len(r.Lines)+len(r.Actions)+len(r.Decisions) > maxGatheredLines) {
		t.handOver()
	}
}

const (
	maxGathered      = 64 << 10
	maxGatheredLines = 500
)

// handOver gives what is gathered to the Recorder, before a wait. A transaction under way stays, in as little memory as it needs.
func (t *trace) handOver() {
	if t.rec == nil || len(t.rec.Lines) == 0 {
		return
	}
	full := t.rec
	t.rec = nil
	switch {
	case t.kept != nil:
		t.kept.fit()
	case t.tx:
		t.kept = keepTransaction(full)
	}
	full.Session = *t.info
	t.to.Record(full)
}

// end hands over the last record of a session that ended in a phase, for a reason, with an error behind it or nil.
func (t *trace) end(s *session, phase Phase, reason string, cause error) {
	if t.to == nil {
		return
	}
	t.note("connections closed")
	r := t.record()
	r.Session = s.info
	r.end = SessionEnd{
		Duration: time.Since(t.info.Start), Transactions: t.count, Delivered: int(s.delivered), Opening: r.end.Opening,
		FromMSA: t.fromMSA, ToMSA: t.toMSA, FromMX: t.fromMX, ToMX: t.toMX,
		Phase: phase, Reason: reason, Ungreeted: partings[t.parting],
	}
	if cause != nil {
		r.end.Cause = cause.Error()
	}
	if t.opening != nil {
		for _, o := range t.opening.replies {
			o.Reply.Text = r.texts.take(t.opening.texts, o.Reply.Text)
			r.end.Opening = append(r.end.Opening, o)
		}
	}
	r.End = &r.end
	t.rec = nil
	t.to.Record(r)
}
