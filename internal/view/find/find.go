package find

import (
	"context"
	"slices"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/view/history"
)

// A Finder asks a history.
type Finder struct {
	Store history.Store
	Rules *classify.Rules // what refusals mean, and where lists take requests; nil: what the records say
	Shown journal.Mask    // how the records show names
}

// A Mail is one that was found.
type Mail struct {
	history.Mail
	Guessed bool   // no id says that it is the one that is meant: recipient, time and reply do
	Unlike  bool   // it was guessed, and no reply on record is such as the one that is quoted
	Asked   string // the recipient that was looked for, as the records have him; "": it was found otherwise
}

// Mails finds the mails that a term means, that with the newest attempt first. Of gives what must hold beside; its page goes on where the
// last one ended.
func (f *Finder) Mails(ctx context.Context, t Term, of history.Filter, page history.Page) ([]Mail, history.Next, error) {
	if t.Bounce != nil {
		mails, err := f.returned(ctx, t, of, page)
		return mails, "", err
	}
	all, next, err := f.any(ctx, slices.Concat(t.Any, t.Plain), of, page)
	if err == nil && t.Number > 0 {
		all = slices.DeleteFunc(all, func(m Mail) bool {
			return !slices.ContainsFunc(m.Attempts, func(a history.Attempt) bool { return a.Session == t.Any[0].Session && a.Number == t.Number })
		})
	}
	return all, next, err
}

// pageMark parts where each of several filters goes on.
const pageMark = "\x1f"

// any finds what holds of one of several filters. Each has a page of its own.
func (f *Finder) any(ctx context.Context, filters []history.Filter, of history.Filter, page history.Page) (all []Mail, next history.Next, err error) {
	marks := make([]string, len(filters))
	begun := page.After != ""
	if begun {
		marks = strings.Split(string(page.After), pageMark)
	}
	seen, left := map[string]bool{}, false
	for i, one := range filters {
		if i >= len(marks) || begun && marks[i] == "" {
			continue
		}
		both, can := join(one, of)
		if !can {
			continue
		}
		mails, more, err := f.Store.Mails(ctx, both, history.Page{Limit: page.Limit, After: history.Next(marks[i])})
		if err != nil {
			return nil, "", err
		}
		marks[i], left = string(more), left || more != ""
		for _, m := range mails {
			if !seen[m.ID] {
				seen[m.ID] = true
				all = append(all, Mail{Mail: m, Asked: askedIn(one.Recipient, &m)})
			}
		}
	}
	newestFirst(all)
	if left {
		next = history.Next(strings.Join(marks, pageMark))
	}
	return all, next, nil
}

// askedIn gives the recipient of a mail that a filter means, if it means one.
func askedIn(recipient string, m *history.Mail) string {
	if recipient == "" || recipient[0] == '@' {
		return ""
	}
	for i := range m.Attempts {
		for _, r := range m.Attempts[i].Recipients {
			if strings.EqualFold(r.Address, recipient) {
				return r.Address
			}
		}
	}
	return ""
}

func newestFirst(all []Mail) {
	slices.SortStableFunc(all, func(a, b Mail) int { return b.Last.Compare(a.Last) })
}

// join makes a filter of two; false: nothing holds of both.
func join(a, b history.Filter) (history.Filter, bool) {
	if a.From.Before(b.From) {
		a.From = b.From
	}
	if a.To.IsZero() || !b.To.IsZero() && b.To.Before(a.To) {
		a.To = b.To
	}
	can := a.To.IsZero() || a.From.Before(a.To)
	both(&a.Gateway, b.Gateway, &can)
	both(&a.Tenant, b.Tenant, &can)
	both(&a.Account, b.Account, &can)
	both(&a.Provider, b.Provider, &can)
	both(&a.SendingIP, b.SendingIP, &can)
	both(&a.MX, b.MX, &can)
	both(&a.Sender, b.Sender, &can)
	both(&a.Recipient, b.Recipient, &can)
	both(&a.ID, b.ID, &can)
	both(&a.Session, b.Session, &can)
	both(&a.Class, b.Class, &can)
	both(&a.Shape, b.Shape, &can)
	both(&a.Mail, b.Mail, &can)
	if len(b.Outcomes) > 0 {
		a.Outcomes = b.Outcomes
	}
	return a, can
}

func both[T comparable](a *T, b T, can *bool) {
	var zero T
	switch {
	case *a == zero:
		*a = b
	case b != zero && *a != b:
		*can = false
	}
}

// A Detail is a mail with all that is kept of its attempts.
type Detail struct {
	Mail
	Each   []Try
	Before int // attempts that are not among them: only the newest are read
}

// A Try is one attempt.
type Try struct {
	history.Attempt
	Entry *event.Entry // nil: no more kept
	Sense Sense
	Parts []Part // what single recipients were told beside that
	Steps []Step
	Deeds []Deed

	Policies []Policy // what its recipients' domains ask of TLS
}

// maxTries is how many attempts of a mail are read in detail.
const maxTries = 30

// Detail reads all that is kept of a mail.
func (f *Finder) Detail(ctx context.Context, m Mail) (*Detail, error) {
	m.Attempts = slices.Clone(m.Attempts)
	d := &Detail{Mail: m, Before: max(0, m.Tries-min(len(m.Attempts), maxTries))}
	sessions := map[event.ID][]event.Entry{}
	shown := m.Attempts[max(0, len(m.Attempts)-maxTries):]
	for i := range shown {
		a := shown[i]
		lines, is := sessions[a.Session]
		if !is {
			var err error
			if lines, err = f.Store.Session(ctx, a.Session); err != nil {
				return nil, err
			}
			sessions[a.Session] = lines
		}
		entry := entryOf(lines, &a)
		if entry != nil && !a.SendingIP.IsValid() { // none is configured: the one that the kernel chose
			a.SendingIP = entry.Local.Addr()
			shown[i].SendingIP = a.SendingIP
		}
		try := Try{Attempt: a, Sense: f.Sense(&a.Reply, &a), Entry: entry}
		if try.Entry != nil {
			try.Steps = stepsOf(try.Entry)
			try.Parts = f.partsOf(try.Entry, &a, m.Asked)
			try.Policies = policiesOf(try.Entry, m.Asked)
		}
		try.Deeds = deedsOf(lines, &a, try.Entry)
		d.Each = append(d.Each, try)
	}
	return d, nil
}

func entryOf(lines []event.Entry, a *history.Attempt) *event.Entry {
	for i := range lines {
		if e := &lines[i]; e.Type == "transaction" && e.Number == a.Number && e.Gateway == a.Gateway && e.Run == a.Run {
			return e
		}
	}
	return nil
}

// ByID finds the mail that has this id, and nothing by any other word: whoever has a link to a mail looks for nobody.
func (f *Finder) ByID(ctx context.Context, id string) ([]Mail, error) {
	mails, _, err := f.any(ctx, []history.Filter{{Mail: id}}, history.Filter{}, history.Page{Limit: 2})
	return mails, err
}

// One finds the mail that an id names: of a mail, as others print it, or whatever else means one and no other.
func (f *Finder) One(ctx context.Context, id string, of history.Filter) ([]Mail, error) {
	mails, err := f.ByID(ctx, id)
	if err != nil || len(mails) > 0 {
		return mails, err
	}
	t, err := Parse(id, f.Shown)
	if err != nil {
		return nil, err
	}
	mails, _, err = f.Mails(ctx, t, of, history.Page{Limit: 20})
	return mails, err
}
