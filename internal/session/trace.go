package session

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// trace gathers what a session sees into the Record at hand, and hands that over at the end of a transaction, of the
// session, or before a long wait. With no Recorder it does nothing.
type trace struct {
	of   *session         // that it is of
	rec  *event.Record    // nil: nothing gathered
	kept *keptTransaction // the transaction under way, once lines of it have been handed over; nil: it is in rec

	own *lasting // until the session ends; nil: nothing is recorded

	named int32 // of the sender and the recipients being gathered, those that records without the transaction have named

	parting parting // of an MSA that is left without a greeting
	tx      bool    // a transaction is being gathered
	heard   uint16  // as Listener.Listeners: who these records went to

	on       event.Spending // what time is spent on
	rule     uint8          // meaning of kanmon's own refusal that is next; 0: none
	dials    uint16         // connections to MXs that were tried
	refusals uint16         // of MXs that were judged
	refusal  uint16         // of them, the one at hand

	begun, count int32 // transactions that began, and that ended
}

// A lasting is what is kept until the session ends, in memory of its own.
type lasting struct {
	opening []event.Opening // with their texts in texts
	texts   event.Texts
	legs    *legs         // nil: there is none but the present one
	spent   sixteenths    // since the last transaction began, or ended
	before  sixteenths    // that
	since   time.Duration // from then on, since the session began, time is spent that is in neither
	body    time.Duration // when the message of the transaction began, likewise
	fromMX  int64
	toMX    int64
}

// to is who gets the records; nil: nothing is recorded.
func (t *trace) to() Recorder { return t.of.e.Recorder }

// session is what is known of the session now.
func (t *trace) session() event.Session { return event.Session{Arrival: t.of.info, Leg: t.of.mx.info} }

// isOf notes what a record is of that is about to be handed over.
func (t *trace) isOf(r *event.Record) {
	r.Session = t.session()
	if f := t.of.shown.whose.Load(); f != nil {
		r.Account = f.account
	}
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
	if t.to() == nil {
		return false
	}
	l, chooses := t.to().(Listener)
	return !chooses || l.Dialogue()
}

// identifies reports whether how others name a message is wanted.
func (t *trace) identifies() bool {
	l, chooses := t.to().(Listener)
	return chooses && l.Identity()
}

// line adds a line of the session log.
func (t *trace) line(m event.Mark, text []byte) {
	if !t.talks() {
		return
	}
	r := t.record()
	r.Lines = append(r.Lines, event.Line{Mark: m, Text: r.Add(text), At: time.Since(t.of.info.Start)})
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
	r.Lines = append(r.Lines, event.Line{Mark: m, Text: addReply(&r.Texts, reply, most), At: time.Since(t.of.info.Start), First: first, Took: took})
}

// opened adds a reply to a step of opening the MX leg. It is kept for the session's last record.
func (t *trace) opened(phase event.Phase, reply *smtp.Reply, first, took time.Duration) {
	if t.to() == nil {
		return
	}
	o := t.own
	if o.opening == nil {
		o.opening, o.texts = make([]event.Opening, 0, 2), make(event.Texts, 0, 256)
	}
	if len(o.opening) >= maxOpenings {
		return
	}
	o.opening = append(o.opening, event.Opening{Phase: phase, Leg: t.of.mx.info.Number, Reply: event.Reply{
		Code: reply.Code, Text: addReply(&o.texts, reply, event.MaxText), First: event.MicrosOf(first), Took: event.MicrosOf(took), Pieces: reply.Pieces(),
	}})
}

// openings is how many of these replies are kept.
func (t *trace) openings() int {
	if t.own == nil {
		return 0
	}
	return len(t.own.opening)
}

// openingSoftened notes that the MSA gets a 4xx in place of one of them.
func (t *trace) openingSoftened(at int) {
	if at >= 0 && at < t.openings() {
		t.own.opening[at].Reply.Softened = true
	}
}

// openingMeans notes what the last of them was taken for.
func (t *trace) openingMeans(code int, j *Judgement) {
	if at := t.openings() - 1; at >= 0 && code != 0 && t.own.opening[at].Reply.Code == code && j.Class != event.Unjudged {
		t.own.opening[at].Meaning = &event.Meaning{Class: j.Class, Scope: j.Scope, Rule: j.Rule, Lists: j.Lists}
	}
}

// maxOpenings bounds how many of these replies a session keeps: each rescue opens another MX leg.
const maxOpenings = 32

// acted adds what was done about a refusal, with as much of the reply as is kept; where it has no code, there was no reply.
func (t *trace) acted(a event.Action, refusal *smtp.Reply) {
	if t.to() == nil {
		return
	}
	r := t.record()
	a.Done = time.Since(t.of.info.Start)
	if a.Code != 0 {
		a.Reply = addReply(&r.Texts, refusal, event.MaxText)
	}
	if t.tx {
		a.Transaction = t.transaction().Number
	}
	r.Actions = append(r.Actions, a)
}

// decided adds what the gate has decided.
func (t *trace) decided(step event.Step, n event.Note) {
	if t.to() == nil {
		return
	}
	r := t.record()
	d := event.Decided{At: time.Since(t.of.info.Start), Step: step, Note: n}
	if t.tx {
		d.Transaction = t.transaction().Number
	}
	r.Decisions = append(r.Decisions, d)
	if !isObserved(n) {
		t.notef("%s at %s by %s: %s", n.Did, step, n.Rule, n.Why)
	}
}

// isObserved reports whether a note tells what would be done, and is not.
func isObserved(n event.Note) bool { return strings.HasPrefix(n.Did, "would_") }

// refuses keeps the rule by which a decision refuses, for kanmon's own reply that follows: the last one that has done
// anything. What is asked about again behind a delay has said it before; what passes is refused by none.
func (t *trace) refuses(d *Decision) {
	if d.Refuse == RefuseNot {
		t.rule = 0
		return
	}
	for _, n := range d.Notes {
		if !isObserved(n) {
			t.refusedBy(n.Rule)
		}
	}
}

// refusedBy keeps the rule by which kanmon refuses, for its own reply that follows.
func (t *trace) refusedBy(rule string) {
	if t.tx {
		t.rule = t.transaction().Means(event.Meaning{Rule: rule})
	}
}

// passedOn adds a reply as the MSA got it; the times are those of the MX's reply, one of kanmon's own has none.
func (t *trace) passedOn(reply *smtp.Reply, by event.Side, first, took time.Duration) {
	if by == event.ByKanmon {
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

// unsaid adds a MAIL or RCPT that nobody is there for any more: it goes to no MX.
func (t *trace) unsaid(cmd smtp.Command) {
	t.notForwarded(cmd)
	if t.tx && cmd.Verb == smtp.VerbRCPT {
		t.recipient(cmd)
	}
}

// notForwarded adds a command that kanmon answers itself. Of what is no SMTP command only the size is kept: it may be anything,
// also the text of a mail; and of AUTH nothing but the verb.
func (t *trace) notForwarded(cmd smtp.Command) {
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

// handOverIfLarge keeps a session that never waits, and never ends a transaction, from gathering without bound.
func (t *trace) handOverIfLarge() {
	if r := t.rec; r != nil && (len(r.Texts) > maxGathered || len(r.Lines)+len(r.Names)+len(r.Actions)+len(r.Decisions) > maxGatheredLines) {
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
	t.own.fit()
	switch {
	case t.kept != nil:
		t.kept.fit()
	case t.tx:
		t.kept = keepTransaction(full)
	}
	if len(full.Lines)+len(full.Names)+len(full.Actions)+len(full.Decisions) == 0 {
		full.Release()
		return
	}
	t.nameGathered(full)
	t.isOf(full)
	t.to().Record(full)
}

// waits tells of something of the MX that has not come yet.
func (t *trace) waits(w event.Wait) {
	if t.to() == nil {
		return
	}
	w.Session = t.of.info.ID
	if t.of.mx.info.Way != nil {
		w.Tenant = t.of.mx.info.Way.Tenant
	}
	if t.tx {
		trans, texts := t.gathered()
		w.Transaction = trans.Number
		w.RcptsRefused, w.Size, w.Window = trans.RcptsRefused, trans.BodyBytes, trans.Window
		if whose := texts.Of(trans.Tenant); len(whose) > 0 {
			w.Tenant = string(whose)
		}
	}
	w.InAll = t.waitedForMX(&w)
	t.handOver() // it was before
	r := event.NewRecord()
	t.isOf(r)
	r.News = w
	t.to().Record(r)
}

// octets counts those of a leg that is about to be closed.
func (t *trace) octets(l *mxLeg) {
	if t.own != nil {
		t.own.fromMX += l.total()
		t.own.toMX += l.written
	}
}

// over ends the session's time, and gives it. What comes now is only for the MSA to read what it was told last.
func (t *trace) over() (total time.Duration) {
	total = t.book()
	if t.own != nil {
		t.own.anew()
	}
	return total
}

// end hands over the last record of a session, of whose end the duration, the phase, the reason and the cause are given.
func (t *trace) end(s *session, how event.End) {
	if t.to() == nil {
		return
	}
	t.note("connections closed")
	r := t.record()
	t.isOf(r)
	own := r.OwnEnd()
	how.Opening, how.Legs = own.Opening, own.Legs
	*own = how
	own.Spent, own.Transactions, own.Delivered, own.BadCommands = t.own.before.times(), int(t.count), int(s.talk.delivered), int(s.talk.bad)
	own.FromMSA, own.ToMSA, own.FromMX, own.ToMX = s.msa.total(), s.msa.written, t.own.fromMX, t.own.toMX
	own.Ungreeted = partings[t.parting]
	for _, o := range t.own.opening {
		o.Reply.Text = r.Texts.Take(t.own.texts, o.Reply.Text)
		own.Opening = append(own.Opening, o)
	}
	if t.own.legs == nil && s.mx.info.Number > 0 { // as nearly always, there was but one
		own.Legs = append(own.Legs, s.mx.info)
	} else if t.leaves(&s.mx.info); t.own.legs != nil {
		own.Legs, own.MoreLegs = append(own.Legs, t.own.legs.all...), t.own.legs.more
		slices.SortFunc(own.Legs, func(a, b event.Leg) int { return int(a.Number) - int(b.Number) })
	}
	r.End = own
	t.rec = nil
	t.to().Record(r)
}
