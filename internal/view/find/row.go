package find

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/view/history"
)

// A Row is a mail in a table, or that nothing was found of a term.
type Row struct {
	Term      string            `json:"term,omitempty"`
	Found     int               `json:"found"` // mails of the term, as far as they were counted
	More      bool              `json:"more,omitempty"`
	ID        string            `json:"id,omitempty"`
	State     history.MailState `json:"state,omitempty"`
	Fate      string            `json:"fate,omitempty"`    // of the recipient that was looked for
	Outcome   string            `json:"outcome,omitempty"` // of the last attempt
	First     *time.Time        `json:"first,omitempty"`
	Last      *time.Time        `json:"last,omitempty"`
	Tries     int               `json:"tries,omitempty"`
	Tenant    string            `json:"tenant,omitempty"`
	Sender    string            `json:"sender,omitempty"`
	Recipient string            `json:"recipient,omitempty"` // the first, and how many there are beside
	SendingIP string            `json:"sending_ip,omitempty"`
	Code      int               `json:"code,omitempty"`
	Reply     string            `json:"reply,omitempty"`
	Class     string            `json:"class,omitempty"`
	Whose     string            `json:"whose,omitempty"`
	Meaning   string            `json:"meaning,omitempty"`
	QueueID   string            `json:"msa_queue_id,omitempty"`
	MXQueueID string            `json:"mx_queue_id,omitempty"`
	Probably  bool              `json:"probably,omitempty"`
	Wrong     string            `json:"error,omitempty"` // why nothing was looked for
}

// Row says a mail in few words: of whom was looked for what became of it for him.
func (t Teller) Row(ctx context.Context, f *Finder, m *Mail) Row {
	a, fate := aboutOf(m), m.fateOfAsked()
	try := Try{Attempt: *a, Sense: f.Sense(&a.Reply, a)}
	if reply, sense, other := f.told(ctx, a, m.Asked); other {
		try.Reply, try.Sense, try.Outcome, try.MXQueueID = reply, sense, fate, ""
	}
	said := t.try(&try)
	return Row{
		Found: 1, ID: m.ID, State: m.State, Fate: fate, Outcome: try.Outcome, First: &m.First, Last: &m.Last, Tries: m.Tries, Tenant: a.Tenant, Sender: cmp.Or(a.Sender, "<>"), Recipient: t.some(ordered(fates(m), m.Asked)),
		SendingIP: said.SendingIP, Code: said.Code, Reply: said.Reply, Class: said.Class, Whose: said.Whose.String(), Meaning: said.Meaning, QueueID: a.QueueID, MXQueueID: try.MXQueueID,
		Probably: m.Probably || m.Guessed,
	}
}

// Rows looks for each of a list of terms, and gives a row for each, in their order: of the newest mail, or that there is none.
func (t Teller) Rows(ctx context.Context, f *Finder, terms []string, of history.Filter) ([]Row, error) {
	if len(terms) > MaxList {
		return nil, fmt.Errorf("%d addresses or ids are too many: at most %d are looked for at once", len(terms), MaxList)
	}
	const enough = 20 // mails of one that are counted
	rows := make([]Row, 0, len(terms))
	for _, written := range terms {
		row := Row{}
		term, err := Parse(written, f.Shown)
		if err == nil {
			mails, next, err := f.Mails(ctx, term, of, history.Page{Limit: enough})
			if err != nil {
				return nil, err
			}
			if len(mails) > 0 {
				row = t.Row(ctx, f, &mails[0])
				row.Found, row.More = len(mails), next != ""
			}
		} else {
			row.Wrong = err.Error()
		}
		row.Term = written
		rows = append(rows, row)
	}
	return rows, nil
}

// RowHead are the columns of Cells.
var RowHead = []string{
	"term", "found", "mail", "state", "fate", "outcome", "first_utc", "last_utc", "attempts", "tenant", "sender", "recipient", "sending_ip", "code", "reply", "class", "whose", "meaning",
	"msa_queue_id", "mx_queue_id", "probably",
}

// Cells are a row as CSV has it. No cell is a formula.
func (r *Row) Cells() []string {
	found := strconv.Itoa(r.Found)
	switch {
	case r.Wrong != "":
		found = r.Wrong
	case r.Found == 0:
		found = "not found"
	case r.More:
		found += "+"
	}
	cells := []string{
		r.Term, found, r.ID, string(r.State), r.Fate, r.Outcome, utc(r.First), utc(r.Last), strconv.Itoa(r.Tries), r.Tenant, r.Sender, r.Recipient, r.SendingIP, strconv.Itoa(r.Code),
		strings.ReplaceAll(r.Reply, "\n", " "), r.Class, r.Whose, r.Meaning, r.QueueID, r.MXQueueID, strconv.FormatBool(r.Probably),
	}
	for i := range cells {
		cells[i] = Cell(cells[i])
	}
	return cells
}

func utc(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
