package session

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// The facts of the mail at hand, as they go on record: what was said to each of its commands, by whom and how soon,
// what it was taken for, and whether the MSA was told. Each is noted where it becomes one. What became of the mail and
// of its recipients follows from them.

// beginsMail is called with each MAIL that becomes the mail at hand, as it comes: what is decided about it from now on is about this one.
func (t *trace) beginsMail(cmd smtp.Command) {
	if t.to() == nil {
		return
	}
	t.tellsAhead()
	t.endTransaction(event.OutcomeReset, event.ByMSA, "")
	t.begun++
	own := t.record().OwnTransaction()
	recipients := own.Recipients[:0]
	*own = event.Transaction{} // in place: it is large, and made anew for each mail
	own.Number, own.At, own.Recipients = int(t.begun), t.book(), recipients
	t.own.anew()
	own.Sender = t.keepText(written(cmd), event.MaxText)
	t.tx, t.rule, t.named = true, 0, 0
	if l, chooses := t.to().(Listener); chooses {
		t.heard = l.Listeners()
	}
	t.alsoNames(cmd)
}

// whose notes the tenant and the account that the mail at hand is of.
func (t *trace) whose(tenant, account string) {
	if !t.tx || tenant == "" {
		return
	}
	if t.kept == nil {
		t.record().Tenant = tenant
	}
	trans := t.transaction()
	trans.Tenant, trans.Account = t.keepText([]byte(tenant), shortAddress), t.keepText([]byte(account), shortAddress)
}

// suspects notes what speaks against the mail at hand.
func (t *trace) suspects(s *event.Suspicion) {
	if t.tx {
		t.transaction().Suspicion = s
	}
}

// tellsAhead notes what the MSA will be told by the group of commands at hand, of which the next mail is a part.
func (t *trace) tellsAhead() {
	if !t.tx {
		return
	}
	trans := t.transaction()
	trans.Mail.TellAhead()
	for i := range trans.Recipients {
		trans.Recipients[i].Reply.TellAhead()
	}
}

// command adds a command that was put into the group for the MX. It gives the place that its reply has in the record: for an RCPT the
// recipient, for MAIL and DATA any; -1 for none.
func (t *trace) command(cmd smtp.Command) (place int32) {
	if t.to() == nil {
		return -1
	}
	t.line(event.MarkToMX, cmd.Line)
	switch {
	case !t.tx:
	case cmd.Verb == smtp.VerbRCPT:
		return t.recipient(cmd)
	case cmd.Verb == smtp.VerbMAIL, cmd.Verb == smtp.VerbDATA:
		return 0
	}
	return -1
}

// answeredHere adds the answer to a MAIL or RCPT that the MX does not get to see: kanmon's own, or what the MX said
// before it went. It gives the place of the reply as command does.
func (t *trace) answeredHere(cmd smtp.Command, reply *smtp.Reply, by event.Side) (place int32) {
	if t.to() == nil {
		return -1
	}
	switch {
	case cmd.Verb == smtp.VerbMAIL && !t.nested():
		if !t.tx || t.transaction().Mail.Code != 0 {
			t.beginsMail(cmd)
		}
		t.transaction().Mail = t.ownReply(reply, event.MaxText, by)
		return 0
	case cmd.Verb == smtp.VerbRCPT && t.tx:
		place = t.recipient(cmd)
		kept := t.ownReply(reply, shortReply, by)
		if place >= 0 {
			t.transaction().Recipients[place].Reply = kept
		} else {
			t.transaction().AnswerMore(kept.Code / 100)
		}
		return place
	}
	return -1
}

// answeredInstead notes that kanmon has another answer to the command of a slot.
func (t *trace) answeredInstead(sl *slot, reply *smtp.Reply) {
	if r := t.replyOf(sl); r != nil {
		*r = t.ownReply(reply, shortReply, event.ByKanmon)
	}
}

// nested reports whether a MAIL that is next is one too many: the one before has been taken.
func (t *trace) nested() bool { return t.tx && t.transaction().Mail.Code/100 == 2 }

// ownReply is the record of a reply that is made here, by the rule that has just refused, if one has.
func (t *trace) ownReply(reply *smtp.Reply, short int, by event.Side) event.Reply {
	r := event.Reply{Code: reply.Code, Local: by == event.ByKanmon, Text: t.keepReply(reply, short), Meaning: t.rule}
	t.rule = 0
	return r
}

// recipient adds one to the transaction; -1 if there are too many to be recorded.
func (t *trace) recipient(cmd smtp.Command) int32 {
	t.alsoNames(cmd)
	trans := t.transaction()
	if len(trans.Recipients) >= maxRecordedRcpts {
		trans.MoreRcpts++
		t.nameAlone(written(cmd))
		return -1
	}
	trans.Recipients = append(trans.Recipients, event.Recipient{Address: t.keepText(written(cmd), shortAddress)})
	return int32(len(trans.Recipients) - 1) //nolint:gosec // there are few
}

const maxRecordedRcpts = 1000

// trusts adds what the domain of a slot's recipient asks for; nil: nobody has asked.
func (t *trace) trusts(sl *slot, p *proof) {
	if p != nil && t.tx && sl.place >= 0 && int(sl.place) < len(t.transaction().Recipients) {
		t.transaction().Recipients[sl.place].Trust = p.forRecord()
	}
}

// keptBack notes that a MAIL, which was to go to the MX, does not.
func (t *trace) keptBack(line []byte) {
	t.note("MAIL is kept back: none of its recipients may be named to this MX")
	if t.rec == nil {
		return
	}
	for i := len(t.rec.Lines) - 1; i >= 0; i-- {
		if l := &t.rec.Lines[i]; l.Mark == event.MarkToMX && bytes.HasPrefix(line, t.rec.Text(l.Text)) {
			l.Mark = event.MarkFromMSA
			return
		}
	}
}

// A heard is a reply of the MX with all that is known of it.
type heard struct {
	reply       *smtp.Reply
	judged      *Judgement // nil: nobody has
	softened    bool
	first, took time.Duration
}

// answered adds the MX's reply to the command of a slot.
func (t *trace) answered(sl *slot, h heard) {
	if !t.tx {
		return
	}
	trans := t.transaction()
	switch sl.verb {
	case smtp.VerbMAIL:
		if trans.Mail.Code == 0 {
			trans.Mail = t.replyRecord(h, event.MaxText)
		}
	case smtp.VerbRCPT:
		if h.reply.Class() >= 4 {
			trans.RcptsRefused++
		}
		switch {
		case sl.place >= 0 && int(sl.place) < len(trans.Recipients):
			trans.Recipients[sl.place].Reply = t.replyRecord(h, shortReply)
		case h.softened:
			trans.AnswerMore(4)
		default:
			trans.AnswerMore(h.reply.Code / 100)
		}
		t.handOverIfLarge() // one group may have a thousand of these replies
	case smtp.VerbDATA:
		short := event.MaxText
		if trans.Data.Code != 0 { // an MSA may say DATA again and again
			short = 0
		}
		trans.Data = t.replyRecord(h, short)
	}
}

// answeredDot adds the MX's reply to the message.
func (t *trace) answeredDot(h heard) {
	if t.tx {
		t.transaction().Dot = t.replyRecord(h, event.MaxText)
	}
}

func (t *trace) replyRecord(h heard, short int) event.Reply {
	r := event.Reply{Code: h.reply.Code, Softened: h.softened, Text: t.keepReply(h.reply, short), First: event.MicrosOf(h.first), Took: event.MicrosOf(h.took), Pieces: h.reply.Pieces()}
	if h.reply.Code >= 400 && h.judged != nil {
		j := h.judged
		r.Meaning = t.transaction().Means(event.Meaning{Class: j.Class, Scope: j.Scope, Rule: j.Rule, Lists: j.Lists})
	}
	return r
}

// told notes what the MSA was given for the command of a slot.
func (t *trace) told(sl *slot, code int) {
	if r := t.replyOf(sl); r != nil {
		r.Told = uint16(code)
	}
}

// untold notes that the MSA has not heard what was written for the commands of some slots.
func (t *trace) untold(slots []slot) {
	for i := range slots {
		if r := t.replyOf(&slots[i]); r != nil {
			r.Told = 0
		}
	}
}

// toldDot is told for a message.
func (t *trace) toldDot(code int) {
	if t.tx {
		t.transaction().Dot.Told = uint16(code)
	}
}

// replyOf returns the record of the reply to the command of a slot; nil: there is none.
func (t *trace) replyOf(sl *slot) *event.Reply {
	if !t.tx || sl.place < 0 || sl.mail != t.begun {
		return nil
	}
	trans := t.transaction()
	switch {
	case sl.verb == smtp.VerbMAIL:
		return &trans.Mail
	case sl.verb == smtp.VerbRCPT && int(sl.place) < len(trans.Recipients):
		return &trans.Recipients[sl.place].Reply
	case sl.verb == smtp.VerbDATA:
		return &trans.Data
	default:
		return nil
	}
}

// lastWord notes the reply that ends the session, and gives its record, if it has one: it stands for the one that the
// MSA waits for, to a message where the slot is nil, and in place of what kanmon was about to answer there.
func (t *trace) lastWord(sl *slot, reply *smtp.Reply, by event.Side) *event.Reply {
	if !t.tx {
		return nil
	}
	r := &t.transaction().Dot
	if sl != nil {
		r = t.replyOf(sl)
	}
	if r != nil && (r.Code == 0 || r.Local && r.Told == 0) {
		*r = t.ownReply(reply, event.MaxText, by)
	}
	return r
}

func (t *trace) bodyBegins(now time.Duration) {
	if t.own != nil {
		t.own.body = now
	}
}

// identified notes how others name the message, as its header says.
func (t *trace) identified(header *smtp.HeaderFilter) {
	messageID, received := header.Identity()
	queueID, at := smtp.ParseReceived(received.Text)
	id := messageID.Text
	if inside, _, whole := strings.Cut(strings.TrimPrefix(id, "<"), ">"); whole && id[0] == '<' {
		id = inside
	}
	if !t.tx || id == "" && queueID == "" && at.IsZero() {
		return
	}
	own := &event.Identity{Received: at}
	own.MessageID, own.QueueID = t.keepText([]byte(id), event.MaxText), t.keepText([]byte(queueID), event.MaxText)
	t.transaction().Identity = own
}

// bodyGoes notes how much of a message has come.
func (t *trace) bodyGoes(size int64) {
	if t.tx {
		t.transaction().BodyBytes = size
	}
}

// windowFull notes for how long a piece of a message could not be written, since there was no room for it. It gives for
// how long all of it was kept before, and is now.
func (t *trace) windowFull(long time.Duration) (before, now time.Duration) {
	if !t.tx || long <= 0 {
		return 0, 0
	}
	trans := t.transaction()
	before = trans.Window
	trans.Window += long
	return before, trans.Window
}

// bodyAgain begins anew with a message that is written to another MX.
func (t *trace) bodyAgain() {
	if t.tx {
		t.transaction().Window = 0
	}
}

// dotted adds the dot, and what there is to say of the message before it.
func (t *trace) dotted() {
	if t.tx {
		if long := t.transaction().Window; long >= time.Second {
			t.notef("the MX's window kept the message from being written for %s", long.Round(time.Millisecond))
		}
	}
	t.line(event.MarkToMX, []byte("."))
}

func (t *trace) bodyEnds(size int64, body *smtp.Body) {
	if t.to() == nil {
		return
	}
	if t.talks() {
		mark := event.MarkToMX
		if t.of.mail.content.isHeld() {
			mark = event.MarkFromMSA
		}
		text := strconv.AppendInt(append(make([]byte, 0, 64), "(message, "...), size, 10)
		text = append(text, " octets)"...)
		if body.BareCR+body.BareLF > 0 {
			text = fmt.Appendf(text[:len(text)-1], ", %d bare CR, %d bare LF)", body.BareCR, body.BareLF)
		}
		t.line(mark, text)
	}
	if t.tx {
		tx := t.transaction()
		tx.Body, tx.BodyBytes = time.Since(t.of.info.Start)-t.own.body, size
	}
}

// endTransaction closes the transaction being gathered, if there is one, and hands it over. What the replies have decided by then is what
// became of it, whatever ended it: who hangs up behind a refusal, and who waits to be told, has the same.
func (t *trace) endTransaction(o event.Outcome, by event.Side, cause string) {
	if !t.tx {
		return
	}
	now := t.book()
	t.tx = false
	trans := t.transaction()
	if o != event.OutcomeDelivered && o != event.OutcomeOrphanAck {
		if decided := trans.OfReplies(); decided != event.OutcomeReset || o == event.OutcomeReset {
			o = decided
		}
	}
	trans.Outcome, trans.EndedBy, trans.Cause, trans.Leg = o, by, cause, t.of.mx.info.Number
	if t.of.mx.info.Number > 0 && t.of.mx.info.Mails < math.MaxUint8 {
		t.of.mx.info.Mails++
	}
	t.count++
	full := t.record()
	if t.kept != nil {
		full.OwnTransaction().Copy(trans, t.kept.texts, &full.Texts)
		full.Tenant = string(full.Text(full.OwnTransaction().Tenant)) // else whose has noted it there
		t.kept = nil
	}
	t.rec = nil
	full.Took, full.Spent = now-trans.At, t.own.spent.times()
	t.own.anew()
	full.Transaction = full.OwnTransaction()
	t.isOf(full)
	t.to().Record(full)
}
