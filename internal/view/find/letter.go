package find

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kanmon/internal/view/history"
)

// ForCustomer writes to whoever sent a mail: what became of it, what the receiver said, what that means and what he can do. Nothing of
// this gateway and of other tenants is in it, but the reply as it stands.
func (t Teller) ForCustomer(d *Detail) string {
	var w letter
	last := latest(&d.Mail)
	all := ordered(fates(&d.Mail), d.Asked)
	w.line(customerTitle.in(t.Lang, t.some(all)))
	w.line("")
	w.row(letterFrom.in(t.Lang), last.Sender)
	w.row(letterTo.in(t.Lang), t.some(all))
	if last.MessageID != "" {
		w.row(letterMessageID.in(t.Lang), "<"+last.MessageID+">")
	}
	w.row(letterSent.in(t.Lang), t.stamp(began(&d.Mail)))
	w.line("")

	about := aboutOf(&d.Mail)
	as := ""
	if about.MXQueueID != "" {
		as = customerAs.in(t.Lang, about.MXQueueID)
	}
	w.line(customerStates[d.State].in(t.Lang, ip(about.Destination.Addr()), t.stamp(about.At), as, d.tries(), t.day(began(&d.Mail).Add(givesUp))) + "\x00")
	if len(all) > 1 {
		w.line("")
		for _, r := range all[:min(len(all), mostInLetter)] {
			w.line("  " + r.Address + ": " + customerFates[r.Fate].in(t.Lang))
		}
	}
	if d.State != history.Delivered && d.State != history.Unclear {
		t.reason(&w, d)
	}
	return w.String()
}

// mostInLetter is how many recipients, or attempts, a letter names.
const mostInLetter = 10

// reason says why a mail is not where it should be.
func (t Teller) reason(w *letter, d *Detail) {
	reply, sense := d.reason()
	if reply == nil {
		return
	}
	if !reply.Local {
		w.part(letterSaid.in(t.Lang), reply.Text)
	}
	says, remedy := t.toCustomer(sense)
	w.part(letterMean.in(t.Lang), Fold(says, letterWidth-2))
	if remedy == "" && d.State == history.Waits {
		remedy = waitForIt.in(t.Lang)
	}
	if remedy != "" {
		w.part(letterDo.in(t.Lang), Fold(remedy, letterWidth-2))
	}
}

// toCustomer says what a reply means to whoever sent the mail, and what he can do. Limits are named, not numbered.
func (t Teller) toCustomer(s *Sense) (says, remedy string) {
	if s.Own == nil && s.Whose != FaultLimit {
		row := &classTexts[s.Class]
		return row.customer.in(t.Lang), row.remedy.in(t.Lang)
	}
	switch {
	case s.Whose == FaultLimit || s.Own != nil && (s.Own.Name == "stopped" || s.Own.Name == "slowed"):
		return ownLimitSays.in(t.Lang), ownLimitDo.in(t.Lang)
	case s.Whose == FaultAccount:
		return ownSenderSays.in(t.Lang), ownSenderDo.in(t.Lang)
	case s.Whose == FaultReceiver:
		return ownRemoteSays.in(t.Lang), waitForIt.in(t.Lang)
	default:
		return ownHeldSays.in(t.Lang), waitForIt.in(t.Lang)
	}
}

// aboutOf is the attempt that most is to be said about: that which decided for whom was looked for; else that by which the mail was delivered,
// else the last.
func aboutOf(m *Mail) *history.Attempt {
	if fate := m.fateOfAsked(); fate != "" {
		for i := len(m.Attempts) - 1; i >= 0; i-- {
			if a := &m.Attempts[i]; fateIn(a, m.Asked) == fate {
				return a
			}
		}
	}
	for i := range m.Attempts {
		if taken(m.Attempts[i].Outcome) {
			return &m.Attempts[i]
		}
	}
	return latest(m)
}

// some names a recipient, and counts the others.
func (t Teller) some(all []ToldRecipient) string {
	switch len(all) {
	case 0:
		return "-"
	case 1:
		return all[0].Address
	case 2:
		return letterTo1.in(t.Lang, all[0].Address)
	default:
		return letterTo2.in(t.Lang, all[0].Address, len(all)-1)
	}
}

// Names are PTR names of sending IPs.
type Names map[netip.Addr]string

// A Resolver finds the names of an address.
type Resolver interface {
	LookupAddr(ctx context.Context, address string) ([]string, error)
}

// NamesOf looks up the names of the sending IPs of a mail, as far as that is done at once: they are left out where there are none.
func NamesOf(ctx context.Context, r Resolver, d *Detail) Names {
	const enough = 2 * time.Second
	ctx, end := context.WithTimeout(ctx, enough)
	defer end()
	names := Names{}
	for _, ip := range d.SendingIPs() {
		if ctx.Err() != nil {
			break
		}
		names[ip] = ""
		if found, err := r.LookupAddr(ctx, ip.String()); err == nil && len(found) > 0 {
			names[ip] = strings.TrimSuffix(slices.Min(found), ".") // of several always the same
		}
	}
	return names
}

// SendingIPs are those that a mail left from, each once.
func (d *Detail) SendingIPs() (all []netip.Addr) {
	for i := range d.Each {
		if ip := d.Each[i].SendingIP; ip.IsValid() && !slices.Contains(all, ip) {
			all = append(all, ip)
		}
	}
	return all
}

// ForPostmaster writes to the receiver's postmaster, or into the form of a list: which sending IP, what was said to it and when (UTC), and
// what the receiver itself calls the mail.
func (t Teller) ForPostmaster(d *Detail, names Names) string {
	var w letter
	utc := Teller{t.Lang, time.UTC}
	about := aboutOf(&d.Mail)
	d = d.atReceiverOf(about)
	answer := postmasterNone.in(t.Lang)
	if !about.Reply.Local {
		answer = cmp.Or(firstLine(about.Reply.Text), answer)
	}
	w.line(utc.subject(d, about, answer))
	w.line("")
	w.line(postmasterGreets.in(t.Lang) + "\x00")
	w.line("")
	from := cmp.Or(ip(about.SendingIP), "?")
	if name := names[about.SendingIP]; name != "" {
		from += " (" + name + ")"
	}
	w.line(postmasterAsk(about).in(t.Lang, from) + "\x00")
	w.line("")
	w.row(postmasterIP.in(t.Lang), ip(about.SendingIP))
	if name := names[about.SendingIP]; name != "" {
		w.row(postmasterPTR.in(t.Lang), name)
	}
	for i := range d.Each {
		try := &d.Each[i]
		if try.Key == about.Key {
			if try.Entry != nil && try.Entry.EHLOMX != "" {
				w.row(postmasterEHLO.in(t.Lang), try.Entry.EHLOMX)
			}
			for _, l := range try.Sense.Lists {
				w.row(postmasterList.in(t.Lang), strings.TrimSpace(l.Name+" "+l.Delist))
			}
		}
	}
	w.row(letterFrom.in(t.Lang), "<"+about.Sender+">")
	w.row(letterTo.in(t.Lang), t.some(ordered(fates(&d.Mail), d.Asked)))
	if about.MessageID != "" {
		w.row(letterMessageID.in(t.Lang), "<"+about.MessageID+">")
	}
	w.line("")
	w.line(postmasterAttempts.in(t.Lang))
	utc.tries(&w, d)
	w.line("")
	w.line(postmasterThanks.in(t.Lang))
	return w.String()
}

// atReceiverOf leaves of a mail what one receiver had to do with: what others said, and to whom, is not to be told to it.
func (d *Detail) atReceiverOf(about *history.Attempt) *Detail {
	elsewhere := func(a *history.Attempt) bool {
		switch {
		case a.Key == about.Key:
			return false
		case a.Provider != "" || about.Provider != "":
			return a.Provider != about.Provider
		default:
			return !slices.ContainsFunc(a.Recipients, func(r history.Recipient) bool {
				return slices.ContainsFunc(about.Recipients, func(of history.Recipient) bool { return strings.EqualFold(domain(r.Address), domain(of.Address)) })
			})
		}
	}
	one := *d
	one.Attempts = slices.DeleteFunc(slices.Clone(d.Attempts), func(a history.Attempt) bool { return elsewhere(&a) })
	one.Each = slices.DeleteFunc(slices.Clone(d.Each), func(y Try) bool { return elsewhere(&y.Attempt) })
	return &one
}

func domain(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

func (t Teller) subject(d *Detail, about *history.Attempt, answer string) string {
	to := ip(about.Destination.Addr())
	if all := ordered(fates(&d.Mail), d.Asked); len(all) > 0 {
		to = domain(all[0].Address)
	}
	return postmasterSubject.in(t.Lang, cmp.Or(ip(about.SendingIP), "?"), to, answer)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	const enough = 80
	if utf8.RuneCountInString(line) > enough {
		line = string([]rune(line)[:enough]) + "…"
	}
	return line
}

func postmasterAsk(about *history.Attempt) text {
	s := (&Finder{}).Sense(&about.Reply, about)
	switch {
	case taken(about.Outcome):
		return postmasterTook
	case about.Outcome == "ambiguous":
		return postmasterUnclear
	case s.Whose == FaultOurs && !about.Reply.Local:
		return postmasterOurs
	default:
		return postmasterAsks
	}
}

// tries lists the attempts that reached the receiver, the newest last.
func (t Teller) tries(w *letter, d *Detail) {
	reached := slices.DeleteFunc(slices.Clone(d.Each), func(y Try) bool { return y.Reply.Local && y.Outcome != "ambiguous" })
	for i := range reached[max(0, len(reached)-mostInLetter):] {
		y := &reached[max(0, len(reached)-mostInLetter)+i]
		w.line("  " + postmasterTo.in(t.Lang, t.local(y.At).Format("2006-01-02 15:04:05"), cmp.Or(ip(y.SendingIP), "?"), ip(y.Destination.Addr())))
		answer := postmasterNone.in(t.Lang)
		if y.Reply.Text != "" && !y.Reply.Local {
			answer = y.Reply.Text
		}
		w.indented("    ", postmasterAt.in(t.Lang, strings.ToUpper(cmp.Or(y.Reply.Phase, "dot")), answer))
		for j := range y.Parts {
			if !y.Parts[j].Local {
				w.indented("    ", postmasterAt.in(t.Lang, "RCPT", y.Parts[j].Text))
			}
		}
		if y.MXQueueID != "" {
			w.line("    " + postmasterID.in(t.Lang, y.MXQueueID))
		}
	}
}

const letterWidth = 76

// A letter is plain text in lines of at most so many columns where they are sentences of ours; what others wrote is left as it is.
type letter struct{ strings.Builder }

// line writes a line. One that ends in NUL is a sentence, and is folded.
func (w *letter) line(text string) {
	sentence, is := strings.CutSuffix(text, "\x00")
	if is {
		text = Fold(sentence, letterWidth)
	}
	w.WriteString(text)
	w.WriteByte('\n')
}

func (w *letter) row(name, value string) {
	w.line(fmt.Sprintf("%s: %s", name, cmp.Or(value, "-")))
}

func (w *letter) part(title, body string) {
	w.line("")
	w.line(title)
	w.indented("  ", body)
}

func (w *letter) indented(by, body string) {
	for line := range strings.SplitSeq(body, "\n") {
		w.line(by + line)
	}
}
