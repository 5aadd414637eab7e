package find

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"kanmon/internal/view/history"
)

// returned finds the mails that a bounce is about. Where an id finds some, the others are not asked for: what has the same recipient is
// another mail. Without one the recipient says who, the time says when, and the reply which: that whose reply is most like it.
func (f *Finder) returned(ctx context.Context, t Term, of history.Filter, page history.Page) ([]Mail, error) {
	ids, likes := t.Any[:0:0], t.Any[:0:0]
	for _, one := range slices.Concat(t.Any, t.Plain) {
		if one.ID != "" {
			ids = append(ids, one)
		} else {
			likes = append(likes, one)
		}
	}
	if mails, _, err := f.any(ctx, ids, of, page); err != nil || len(mails) > 0 {
		return concerned(mails, likes), err
	}
	mails, _, err := f.any(ctx, likes, of, page)
	if err != nil {
		return nil, err
	}
	best := 0
	for _, m := range mails {
		best = max(best, t.Bounce.likeness(&m.Mail))
	}
	mails = slices.DeleteFunc(mails, func(m Mail) bool { return t.Bounce.likeness(&m.Mail) < best })
	for i := range mails {
		mails[i].Guessed, mails[i].Unlike = true, t.Bounce.isUnlike(&mails[i].Mail)
	}
	return mails, nil
}

// concerned leaves those that one of the recipients is of, if there are any.
func concerned(mails []Mail, recipients []history.Filter) []Mail {
	has := func(m Mail) bool {
		return slices.ContainsFunc(m.Attempts, func(a history.Attempt) bool {
			return slices.ContainsFunc(a.Recipients, func(r history.Recipient) bool {
				return slices.ContainsFunc(recipients, func(f history.Filter) bool {
					return isOf(r.Address, f.Recipient)
				})
			})
		})
	}
	if !slices.ContainsFunc(mails, has) {
		return mails
	}
	mails = slices.DeleteFunc(mails, func(m Mail) bool { return !has(m) })
	for i := range mails {
		for _, f := range recipients {
			mails[i].Asked = cmp.Or(mails[i].Asked, askedIn(f.Recipient, &mails[i].Mail))
		}
	}
	return mails
}

// isOf reports whether an address is the one that a filter names, or of the domain that it names as "@domain".
func isOf(address, named string) bool {
	if strings.HasPrefix(named, "@") {
		return strings.EqualFold(address[max(0, strings.LastIndexByte(address, '@')):], named)
	}
	return strings.EqualFold(address, named)
}

// likeness is how much of what a bounce says is said by an attempt of a mail, the one that says most: the reply's words, its codes, its sender.
func (b *Bounce) likeness(m *history.Mail) int {
	best := 0
	for i := range m.Attempts {
		a := &m.Attempts[i]
		n := 0
		for _, said := range b.Replies {
			n = max(n, alike(said, a.Reply.Text))
		}
		if b.quotes(a) {
			n += 20
		}
		if b.Status != "" && a.Reply.Enhanced == b.Status {
			n += 20
		}
		if b.Sender != "" && strings.EqualFold(b.Sender, a.Sender) {
			n += 40
		}
		if b.Action == "failed" && m.State == history.Refused || b.Action == "delayed" && m.State == history.Waits {
			n += 5
		}
		best = max(best, n)
	}
	return best
}

// quotes reports whether an attempt's reply, or what one of the bounce's recipients was told in it, has the code that a bounce quotes.
func (b *Bounce) quotes(a *history.Attempt) bool {
	if b.Code == 0 {
		return false
	}
	if softened := a.Outcome == "deferred" && a.Reply.Code >= 500; softened && b.Code/100 == 4 { // the MSA was told so
		return true
	}
	return a.Reply.Code == b.Code || slices.ContainsFunc(a.Recipients, func(r history.Recipient) bool {
		return r.Code == b.Code && (len(b.Recipients) == 0 || slices.ContainsFunc(b.Recipients, func(of string) bool { return strings.EqualFold(of, r.Address) }))
	})
}

// isUnlike reports whether a bounce quotes a reply, and no attempt of a mail had such a one.
func (b *Bounce) isUnlike(m *history.Mail) bool {
	return b.Code > 0 && !slices.ContainsFunc(m.Attempts, func(a history.Attempt) bool { return b.quotes(&a) })
}

// alike is how many of a hundred words of one text the other has, too.
func alike(one, other string) int {
	words, has := wordsOf(one), map[string]bool{}
	for _, w := range wordsOf(other) {
		has[w] = true
	}
	common := 0
	for _, w := range words {
		if has[w] {
			common++
		}
	}
	return 100 * common / max(1, len(words))
}

func wordsOf(text string) []string {
	const most = 200
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune(" \t\n\r-<>()[]'\",;:", r) })
	return words[:min(most, len(words))]
}
