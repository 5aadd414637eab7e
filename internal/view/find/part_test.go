package find

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// aList is a mail to a hundred, of whom some do not exist and one has no space, and its line.
func aList(asked string) (Mail, event.Entry) {
	a := attempt(0, "delivered", "delivered", accepted)
	a.Recipients, a.MXQueueID = nil, "4jYX"
	e := event.Entry{Type: "transaction", Gateway: a.Gateway, Run: a.Run, Number: a.Number, Sender: a.Sender, Outcome: a.Outcome, Dot: event.EntryReply{Code: 250, Text: accepted.Text}}
	for i := range 100 {
		to, fate := fmt.Sprintf("member%d@example.net", i), "delivered"
		reply := event.EntryReply{Code: 250, Text: "250 2.1.5 Ok"}
		switch {
		case i%10 == 5:
			fate, reply = "refused", event.EntryReply{Code: 550, Enhanced: "5.1.1", Text: "550 5.1.1 <" + to + ">: User unknown", Class: "recipient_invalid", Scope: "recipient"}
		case i == 77:
			fate, reply = "deferred", event.EntryReply{Code: 452, Enhanced: "4.2.2", Text: "452 4.2.2 mailbox is full", Class: "mailbox_full", Scope: "recipient"}
		}
		a.Recipients = append(a.Recipients, history.Recipient{Address: to, Fate: fate, Code: reply.Code})
		e.Recipients = append(e.Recipients, event.EntryRecipient{Address: to, Fate: fate, Reply: reply})
	}
	m := mailOf(history.Partly, a)
	m.Asked = asked
	return m, e
}

// oneLine is a history that has one line.
type oneLine struct {
	history.Store
	entry *event.Entry
}

func (s oneLine) Attempt(context.Context, history.Key) (*history.Attempt, *event.Entry, error) {
	a := history.AttemptOf(s.entry)
	return &a, s.entry, nil
}

// In a mail that others got, whom it was refused for is told with his own reply, and like replies once; who was looked for stands first, and what
// is said to the customer and in a table is about him.
func TestWhoWasRefusedBesideOthersIsTold(t *testing.T) {
	m, e := aList("member55@example.net")
	d := detail(t, m, e)
	told := Teller{}.Tell(d)
	if r := told.Recipients; len(r) != 100 || r[0].Address != "member55@example.net" || r[0].Fate != "refused" || r[1].Fate == "delivered" || r[99].Fate != "delivered" {
		t.Errorf("recipients %v", r[:3])
	}
	parts := told.Attempts[0].Parts
	if len(parts) != 2 || len(parts[0].Recipients) != 10 || parts[0].Reply != "550 5.1.1 <member55@example.net>: User unknown" || parts[0].Whose != FaultRecipient || len(parts[1].Recipients) != 1 ||
		!strings.Contains(parts[1].Meaning, "full") {
		t.Errorf("parts %+v", parts)
	}
	if notes := strings.Join(told.Notes, "\n"); !strings.Contains(notes, "member55@example.net: refused.") {
		t.Errorf("notes %q", notes)
	}
	letter := Teller{}.ForCustomer(d)
	for _, want := range []string{"About your message to member55@example.net and 99 others", "member55@example.net: refused", "550 5.1.1 <member55@example.net>: User unknown", "does not exist"} {
		if !strings.Contains(letter, want) {
			t.Errorf("%q is not in\n%s", want, letter)
		}
	}
	if letter = (Teller{}).ForPostmaster(d, nil); !strings.Contains(letter, "answer at RCPT: 550 5.1.1 <member55@example.net>: User unknown") {
		t.Errorf("the reply is not in\n%s", letter)
	}

	f := finder(t)
	f.Store = oneLine{entry: &e}
	row := Teller{}.Row(t.Context(), f, &m)
	if row.Fate != "refused" || row.Code != 550 || row.Class != "recipient_invalid" || row.MXQueueID != "" || row.State != history.Partly || !strings.HasPrefix(row.Recipient, "member55@example.net and 99") {
		t.Errorf("in a table it is %+v", row)
	}
	m.Asked = "member1@example.net"
	if row = (Teller{}).Row(t.Context(), f, &m); row.Fate != "delivered" || row.Code != 250 || row.MXQueueID != "4jYX" {
		t.Errorf("of one who has it, in a table it is %+v", row)
	}
}
