package history

import (
	"net/netip"
	"regexp"
	"strings"
	"time"

	"kanmon/internal/event"
)

// AttemptOf reads an attempt out of a "transaction" line. What no line of it alone says (Rescued, Mail) is left to whoever keeps it.
func AttemptOf(e *event.Entry) Attempt {
	a := Attempt{
		Key: Key{e.Gateway, e.Run, e.Line},
		At:  e.At, Start: e.Start, Session: e.Session, Number: e.Number, Destination: e.Destination,
		SendingIP: e.SendingIP, Pool: e.Pool, Provider: e.Provider, Tenant: e.Tenant, Account: e.Account, Sender: e.Sender,
		More: e.MoreRecipients, MessageID: e.MessageID, QueueID: e.QueueID, Received: e.Received,
		Outcome: e.Outcome, Octets: e.BodyBytes, Duration: e.Duration.Duration(), TLS: e.TLSMX.State,
	}
	a.Suspicion = e.Suspicion
	a.Source, _ = netip.ParseAddrPort(e.Source)
	for i := range e.Recipients {
		r := &e.Recipients[i]
		a.Recipients = append(a.Recipients, Recipient{r.Address, r.Reply.Code, r.Fate})
	}
	if e.Dot.Code/100 == 2 {
		a.MXQueueID = QueueIDIn(e.Dot.Text)
	}
	if e.Content != nil {
		a.Reference = e.Content.Reference
	}
	a.Reply = ReplyOf(e)
	for _, t := range Took(e) {
		if t.For > a.SlowestTook {
			a.Slowest, a.SlowestTook = t.Phase, t.For
		}
	}
	return a
}

// A Wait is what one step of the MX took.
type Wait struct {
	Phase     string
	For       time.Duration
	SendingIP netip.Addr
	Provider  string
}

// Took gives what the MX took in the steps of a line: of a transaction its commands and the way of its message, of a session the opening of each of its
// connections.
func Took(e *event.Entry) (all []Wait) {
	add := func(phase string, took event.Milliseconds) {
		if took > 0 {
			all = append(all, Wait{phase, took.Duration(), e.SendingIP, e.Provider})
		}
	}
	reply := func(phase string, r *event.EntryReply) {
		if !r.Local && r.Code != 0 {
			add(phase, r.Took)
		}
	}
	if e.Type != "transaction" {
		for i := range e.Legs {
			leg := &e.Legs[i]
			for key, took := range leg.Phases {
				all = append(all, Wait{strings.TrimSuffix(key, "_ms"), took.Duration(), leg.SendingIP, leg.Provider})
			}
		}
		return all
	}
	reply("mail", &e.Mail)
	for i := range e.Recipients {
		reply("rcpt", &e.Recipients[i].Reply)
	}
	reply("data", &e.Data)
	add("body", e.Times["body_mx_ms"])
	reply("dot", &e.Dot)
	return all
}

// Refusals gives the replies of a line by which something was refused, each with its phase and how many recipients it was said to; that which decided
// about an attempt is the first.
func Refusals(e *event.Entry) (all []Refusal) {
	add := func(phase string, r *event.EntryReply, to ...string) {
		if r.Code < 400 {
			return
		}
		for i := range all {
			if was := &all[i]; was.Phase == phase && was.Code == r.Code && was.Text == r.Text {
				was.Times++
				return
			}
		}
		all = append(all, Refusal{replyIn(phase, r, nil), 1, to})
	}
	if e.Type != "transaction" {
		for i := range e.Opening {
			add(e.Opening[i].Phase, &e.Opening[i].Reply)
		}
	} else {
		add("mail", &e.Mail)
		add("dot", &e.Dot)
		add("data", &e.Data)
		for i := range e.Recipients {
			add("rcpt", &e.Recipients[i].Reply, e.Recipients[i].Address)
		}
		decided := ReplyOf(e)
		for i := range all {
			if all[i].Phase == decided.Phase && all[i].Code == decided.Code && all[i].Text == decided.Text {
				all[0], all[i] = all[i], all[0]
				break
			}
		}
	}
	hide := hidden(e)
	for i := range all {
		all[i].Shape = ShapeOf(all[i].Text, hide...)
		all[i].To = append(append(all[i].To, hide...), e.Account)
	}
	return all
}

// A Refusal is a reply by which something was refused.
type Refusal struct {
	Reply
	Times int      // recipients whom it was said to
	To    []string // whom it may name: the recipient, if it was said to one, then others of the mail, its sender and account
}

// ReplyOf is the reply that decided about an attempt; the zero Reply where none did.
func ReplyOf(e *event.Entry) Reply {
	phase, r := decides(e)
	if r == nil {
		return Reply{}
	}
	return replyIn(phase, r, hidden(e))
}

func decides(e *event.Entry) (phase string, r *event.EntryReply) {
	if e.Mail.Code >= 400 {
		return "mail", &e.Mail
	}
	if e.Outcome == "delivered" || e.Outcome == "orphan_ack" {
		return "dot", &e.Dot
	}
	if e.Dot.Code >= 400 {
		return "dot", &e.Dot
	}
	if e.Data.Code >= 400 {
		return "data", &e.Data
	}
	for i := range e.Recipients { // what made it what it is: of a mail that waits, a recipient for whom it does
		of := &e.Recipients[i].Reply
		if of.Code < 400 {
			continue
		}
		if r == nil || r.Code/100 != 4 && of.Code/100 == 4 && e.Outcome == "deferred" {
			phase, r = "rcpt", of
		}
	}
	return phase, r
}

func replyIn(phase string, r *event.EntryReply, hide []string) Reply {
	of := Reply{Code: r.Code, Enhanced: r.Enhanced, Text: r.Text, Phase: phase, Class: r.Class, Scope: r.Scope, Rule: r.Rule, Local: r.Local}
	if r.Code >= 400 && hide != nil {
		of.Shape = ShapeOf(r.Text, hide...)
	}
	return of
}

// hidden is what a reply may say again of its mail.
func hidden(e *event.Entry) []string {
	words := append(make([]string, 0, 2+len(e.Recipients)), e.Sender)
	for i := range e.Recipients {
		const enough = 20 // a reply names one or two
		if i == enough {
			break
		}
		words = append(words, e.Recipients[i].Address)
	}
	return words
}

// How receivers name what they took: "queued as X" (Postfix), "id=X" (Exim), "X Message accepted" (sendmail), "ok T qp X" (qmail), "OK T X - gsmtp",
// "[InternalId=N" (Exchange).
var queued = []*regexp.Regexp{
	regexp.MustCompile(`(?i)queued as ([^\s.,;)]{3,64})`),
	regexp.MustCompile(`(?i)\bid=<?([^\s>,;)]{3,64})`),
	regexp.MustCompile(`(?i)\b(\w{8,32}) message accepted for delivery`),
	regexp.MustCompile(`(?i)\bok \d+ qp (\d+)`),
	regexp.MustCompile(`(?i)\bok\s+\d+ (\S{8,64}) - gsmtp`),
	regexp.MustCompile(`(?i)\[InternalId=(\d+)`),
	regexp.MustCompile(`(?i)\bqueued(?: mail)?:? ?(?:for delivery)?,? ?id ([^\s.,;)]{3,64})`),
}

// QueueIDIn finds what the MX calls the message that it took; "" where it does not say.
func QueueIDIn(text string) string {
	for _, form := range queued {
		if m := form.FindStringSubmatch(text); m != nil {
			return m[1]
		}
	}
	return ""
}
