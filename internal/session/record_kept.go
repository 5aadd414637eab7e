package session

import (
	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// keptTransaction is the transaction under way apart from the lines: these go when a session waits, and it stays. What it has is copied
// once when the first lines of it go, and once more when it ends.
type keptTransaction struct {
	trans event.Transaction
	texts event.Texts
}

// keepTransaction takes the transaction under way out of a record, in as little memory as it needs: the session may wait long.
func keepTransaction(r *event.Record) *keptTransaction {
	own := r.OwnTransaction()
	k := &keptTransaction{trans: *own, texts: make(event.Texts, 0, own.TextOctets())}
	k.trans.Recipients = append([]event.Recipient(nil), own.Recipients...)
	k.trans.MoveTexts(r.Texts, &k.texts)
	return k
}

// fit gives back what appending has reserved, as long as copying costs next to nothing.
func (k *keptTransaction) fit() {
	k.texts = fitted(k.texts, littleText)
	k.trans.Recipients = fitted(k.trans.Recipients, littleList)
}

// fit does the same to what is kept until the session ends.
func (l *lasting) fit() {
	l.texts = fitted(l.texts, littleText)
	l.opening = fitted(l.opening, littleList)
}

// What costs next to nothing to copy.
const (
	littleText = 1 << 10
	littleList = littleText / 64
)

func fitted[S ~[]E, E any](s S, little int) S {
	n := len(s)
	if n > little || cap(s) <= n+n/8 {
		return s
	}
	return append(make(S, 0, n), s...)
}

// keepText keeps a text of the transaction that is being gathered: as far as short once it has enough of them.
func (t *trace) keepText(text []byte, short int) event.Span {
	trans, x := t.gathered()
	return trans.Count(x.Add(text, trans.Room(short)))
}

// keepReply is keepText for a reply with all its lines.
func (t *trace) keepReply(reply *smtp.Reply, short int) event.Span {
	trans, x := t.gathered()
	return trans.Count(addReply(x, reply, trans.Room(short)))
}

// gathered returns the transaction that is being gathered, and where its texts are.
func (t *trace) gathered() (*event.Transaction, *event.Texts) {
	if t.kept != nil {
		return &t.kept.trans, &t.kept.texts
	}
	r := t.record()
	return r.OwnTransaction(), &r.Texts
}

// addReply adds a reply with all its lines, as far as most octets, and gives its span.
func addReply(x *event.Texts, reply *smtp.Reply, most int) event.Span {
	off := len(*x)
	all, left := reply.AppendRawPart(*x, most)
	*x = all
	return x.End(off, left)
}

// Once a transaction has enough texts, a recipient's address is kept as far as shortAddress (what RFC 5321 §4.5.3.1 allows) and the reply
// to it as far as shortReply (the codes and some words).
const (
	shortAddress = 320
	shortReply   = 128
)
