package session

import (
	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// dataHere notes kanmon's own answer to DATA, whose message it keeps, or has no room for.
func (t *trace) dataHere(reply *smtp.Reply) {
	if t.tx {
		t.transaction().Data = t.ownReply(reply, shortReply, event.ByKanmon)
		t.transaction().Data.Told = uint16(reply.Code) //nolint:gosec // a code has three digits
	}
}

// dotHere notes kanmon's own answer to a message that it has kept.
func (t *trace) dotHere(reply *smtp.Reply) {
	if t.tx {
		t.transaction().Dot = t.ownReply(reply, event.MaxText, event.ByKanmon)
	}
}

// judges notes how the content of the message is judged. What it points to changes until the transaction ends.
func (t *trace) judges(told *event.Content) {
	if t.tx {
		t.transaction().Content = told
	}
}
