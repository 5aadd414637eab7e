package session

import (
	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// What an MX says may name people of the mail at hand, and a record of it may go before that mail has ended. Whoever hides people has to
// know them by then: from the commands among the lines, or, where nobody wants these, from the names.

// nameGathered adds to a record that goes without the transaction under way whom that names and no record has named, to
// those who listen now.
func (t *trace) nameGathered(r *event.Record) {
	if !t.tx {
		return
	}
	l, chooses := t.to().(Listener)
	others := chooses && t.heard != l.Listeners()
	if others { // who has heard the names until now has gone
		t.heard, t.named = l.Listeners(), 0
	}
	if t.talks() && !others {
		return
	}
	trans, texts := t.gathered()
	if t.named == 0 {
		r.Names = append(r.Names, r.Texts.Take(*texts, trans.Sender))
		t.named++
	}
	for i := int(t.named) - 1; i < len(trans.Recipients); i++ {
		r.Names = append(r.Names, r.Texts.Take(*texts, trans.Recipients[i].Address))
	}
	t.named = int32(len(trans.Recipients)) + 1 //nolint:gosec // there are few
}

// alsoNames adds a command that names more people than its mailbox (RFC 3461 §4): the transaction keeps no more of it than that.
func (t *trace) alsoNames(cmd smtp.Command) {
	if _, params, _ := cmd.Path(); len(params) > 0 && (smtp.HasParam(params, "ORCPT") || smtp.HasParam(params, "ENVID")) {
		t.nameAlone(cmd.Line)
	}
}

// nameAlone adds a name that is not in the transaction.
func (t *trace) nameAlone(name []byte) {
	if !t.talks() {
		r := t.record()
		r.Names = append(r.Names, r.Add(name))
	}
}
