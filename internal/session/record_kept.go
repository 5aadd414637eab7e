package session

import "kanmon/internal/smtp"

// keptTransaction is the transaction under way apart from the lines: these go when a session waits, and it stays. What it has is copied
// once when the first lines of it go, and once more when it ends.
type keptTransaction struct {
	trans Transaction
	texts texts
}

// keepTransaction takes the transaction under way out of a record, in as little memory as it needs: the session may wait long.
func keepTransaction(r *Record) *keptTransaction {
	k := &keptTransaction{trans: r.trans, texts: make(texts, 0, r.trans.octets)}
	k.trans.Recipients = append([]Recipient(nil), r.trans.Recipients...)
	k.trans.moveTexts(r.texts, &k.texts)
	return k
}

// move makes the transaction a copy of another one, with its texts in another place. It uses the memory that it has.
func (t *Transaction) move(from *Transaction, texts texts, to *texts) {
	rcpts := append(t.Recipients[:0], from.Recipients...)
	*t = *from
	t.Recipients = rcpts
	t.moveTexts(texts, to)
}

func (t *Transaction) moveTexts(from texts, to *texts) {
	for _, s := range [...]*Span{&t.Sender, &t.Mail.Text, &t.Data.Text, &t.Dot.Text} {
		*s = to.take(from, *s)
	}
	for i := range t.Recipients {
		r := &t.Recipients[i]
		r.Address = to.take(from, r.Address)
		r.Reply.Text = to.take(from, r.Reply.Text)
	}
}

// fit gives back what appending has reserved, as long as copying costs next to nothing.
func (k *keptTransaction) fit() {
	const little = 1 << 10
	if n := len(k.texts); n <= little && cap(k.texts) > n+n/8 {
		k.texts = append(make(texts, 0, n), k.texts...)
	}
	if n := len(k.trans.Recipients); n <= little/64 && cap(k.trans.Recipients) > n {
		k.trans.Recipients = append(make([]Recipient, 0, n), k.trans.Recipients...)
	}
}

// keepText keeps a text of the transaction that is being gathered: as far as short once it has enough of them.
func (t *trace) keepText(text []byte, short int) Span {
	trans, x := t.gathered()
	return trans.count(x.add(text, trans.room(short)))
}

// keepReply is keepText for a reply with all its lines.
func (t *trace) keepReply(reply *smtp.Reply, short int) Span {
	trans, x := t.gathered()
	return trans.count(x.addReply(reply, trans.room(short)))
}

// gathered gives the transaction that is being gathered, and where its texts are.
func (t *trace) gathered() (*Transaction, *texts) {
	if t.kept != nil {
		return &t.kept.trans, &t.kept.texts
	}
	r := t.record()
	return &r.trans, &r.texts
}

func (t *Transaction) room(short int) int {
	if t.octets >= maxTransactionText {
		return short
	}
	return maxText
}

func (t *Transaction) count(s Span) Span {
	t.octets += s.n()
	return s
}
