package notify

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// An event waits for a moment before it is sent: the refusal that has led to it, and its mail, may stand in lines behind it.
const settle = 5 * time.Second

// mostReplies is how many replies an event has.
const mostReplies = 3

// compose adds to events what stands around them, and puts them out for each channel.
func (n *Notifier) compose(ctx context.Context) (next time.Duration, err error) {
	waiting, err := n.unready(ctx)
	if err != nil {
		return 0, err
	}
	var ready []Event
	for i := range waiting {
		if left := n.settle - time.Since(waiting[i].made); left > 0 {
			next = left
			break
		}
		e := waiting[i].Event
		if err := n.around(ctx, &e); err != nil && ctx.Err() == nil {
			n.log.Warn("a notification lacks what history would have added", "type", e.Type, "error", err)
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		ready = append(ready, e)
	}
	if len(ready) == 0 {
		return next, nil
	}
	if len(ready) == mostAtOnce {
		next = time.Millisecond
	}
	return next, n.within(ctx, func(b *batch) error {
		for i := range ready {
			if err := b.putOut(&ready[i]); err != nil {
				return err
			}
		}
		return errors.Join(b.bound(), b.sweep())
	})
}

// mostAtOnce bounds how many events are finished in one transaction.
const mostAtOnce = 100

type made struct {
	Event
	made time.Time
}

// unready are the events that have not been put out, the oldest first.
func (n *Notifier) unready(ctx context.Context) (list []made, err error) {
	rows, err := n.file.QueryContext(ctx, "SELECT id, made, event FROM notify_events WHERE ready = 0 ORDER BY number LIMIT ?", mostAtOnce)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, text string
		var at int64
		if err := rows.Scan(&id, &at, &text); err != nil {
			return nil, err
		}
		e := made{made: timeOf(at)}
		if err := json.Unmarshal([]byte(text), &e.Event); err != nil {
			return nil, n.file.Misread(err)
		}
		e.ID = id
		list = append(list, e)
	}
	return list, rows.Err()
}

// aroundTime bounds what history is given to answer.
const aroundTime = 10 * time.Second

// around asks history for replies, and for the mail that an event has come of.
func (n *Notifier) around(ctx context.Context, e *Event) error {
	ctx, cancel := context.WithTimeout(ctx, aroundTime)
	defer cancel()
	return errors.Join(n.itsMail(ctx, &e.Data), n.itsReplies(ctx, e))
}

func (n *Notifier) itsMail(ctx context.Context, d *Data) error {
	if d.Session == 0 {
		return nil
	}
	lines, err := n.past.Session(ctx, d.Session)
	if errors.Is(err, history.ErrGone) {
		return nil
	}
	for i := range lines {
		l := &lines[i]
		if l.Type == "refusal" || l.Type == "transaction" && (d.Transaction == 0 || l.Number == d.Transaction) {
			d.IP = addressOf(l.Source)
		}
		if l.Type != "transaction" || l.Number != d.Transaction {
			continue
		}
		d.Sender, d.MessageID = l.Sender, l.MessageID
		for _, r := range refusals(l) {
			d.addReply(r.Text)
		}
	}
	for i := range lines {
		if l := &lines[i]; l.Type == "refusal" && l.Reply.Code >= 400 {
			d.addReply(l.Reply.Text)
		}
	}
	return err
}

// refusals are the MX's replies of a transaction that are none.
func refusals(e *event.Entry) (list []event.EntryReply) {
	all := []event.EntryReply{e.Mail, e.Data, e.Dot}
	for i := range e.Recipients {
		all = append(all, e.Recipients[i].Reply)
	}
	for _, r := range all {
		if r.Code >= 400 && !r.Local {
			list = append(list, r)
		}
	}
	return list
}

// addReply adds what is not there yet, as far as there is room.
func (d *Data) addReply(text string) {
	const most = 500
	text = event.Printable(text, most)
	if text == "" || len(d.Replies) >= mostReplies {
		return
	}
	for _, has := range d.Replies {
		if has == text {
			return
		}
	}
	d.Replies = append(d.Replies, text)
}

// replyWindow is how far back replies are looked for.
const replyWindow = time.Hour

// itsReplies asks for other refusals of the same subject, where it has refusals.
func (n *Notifier) itsReplies(ctx context.Context, e *Event) error {
	d := &e.Data
	if ends[e.Type] || len(d.Replies) >= mostReplies {
		return nil
	}
	of := history.Filter{From: e.At.Add(-replyWindow), To: e.At.Add(time.Minute), Outcomes: []string{"refused", "deferred"}}
	switch e.Type {
	case "ip.suspended", "ip.listed", "ip.probe_failing":
		of.SendingIP, of.Provider = d.SendingIP, d.Provider
	case "provider.deferring":
		of.Provider = d.Provider
	case "account.contained", "account.would_be_contained", "tenant.contained", "tenant.would_be_contained":
		of.Tenant, of.Account = d.Tenant, d.Account
	default:
		return nil
	}
	attempts, _, err := n.past.Attempts(ctx, of, history.Page{Limit: 50})
	shapes := map[string]bool{}
	for i := range attempts {
		if r := &attempts[i].Reply; !r.Local && r.Code >= 400 && !shapes[r.Shape] {
			shapes[r.Shape] = true
			d.addReply(r.Text)
		}
	}
	return err
}
