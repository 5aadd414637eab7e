package find

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Part is what some of an attempt's recipients were told, beside the reply that decided about it: in a mail that was delivered, who was
// refused.
type Part struct {
	history.Reply          // to one of them: to whom was asked for, if he is among them
	Sense         Sense    // of it
	Recipients    []string // whom like words were said to
}

// mostParts bounds how many are told apart.
const mostParts = 20

// partsOf groups the refusals of single recipients of an attempt by their words.
func (f *Finder) partsOf(e *event.Entry, a *history.Attempt, asked string) (parts []Part) {
	if e.Mail.Code >= 400 { // what was said to its recipients says no more than that
		return nil
	}
	at := map[string]int{}
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if r.Reply.Code < 400 {
			continue
		}
		shape := history.ShapeOf(r.Reply.Text, e.Sender, r.Address)
		if a.Reply.Code == r.Reply.Code && history.ShapeOf(a.Reply.Text, e.Sender, r.Address) == shape {
			continue // it has decided about all
		}
		n, is := at[shape]
		if !is {
			if len(parts) == mostParts {
				continue
			}
			n, at[shape] = len(parts), len(parts)
			parts = append(parts, Part{Reply: partOf(&r.Reply, shape)})
		}
		parts[n].Recipients = append(parts[n].Recipients, r.Address)
		if strings.EqualFold(r.Address, asked) {
			parts[n].Reply = partOf(&r.Reply, shape)
		}
	}
	for i := range parts {
		of := *a
		of.Recipients = []history.Recipient{{Address: parts[i].Recipients[0]}}
		parts[i].Sense = f.Sense(&parts[i].Reply, &of)
	}
	return parts
}

func partOf(r *event.EntryReply, shape string) history.Reply {
	return history.Reply{
		Code: r.Code, Enhanced: r.Enhanced, Text: r.Text, Phase: "rcpt", Class: r.Class, Scope: r.Scope, Rule: r.Rule, Shape: shape, Local: r.Local,
	}
}

// has reports whether a part is of a recipient.
func (p *Part) has(address string) bool {
	return slices.ContainsFunc(p.Recipients, func(r string) bool { return strings.EqualFold(r, address) })
}

// reason is the refusal that a mail is where it is for, and its meaning: of whom was asked for, else of all, else of some. Nil: there is none.
func (d *Detail) reason() (*history.Reply, *Sense) {
	for i := len(d.Each) - 1; i >= 0; i-- {
		y := &d.Each[i]
		if asked := d.fateOfAsked(); asked != "delivered" && !d.asks(&y.Attempt) {
			continue // what another receiver said of others
		}
		for j := range y.Parts {
			if p := &y.Parts[j]; p.has(d.Asked) {
				return &p.Reply, &p.Sense
			}
		}
		if y.Reply.Code >= 400 {
			return &y.Reply, &y.Sense
		}
		if len(y.Parts) > 0 {
			return &y.Parts[0].Reply, &y.Parts[0].Sense
		}
	}
	return nil, nil
}

// told is what one recipient was told in an attempt, where that is not what decided about it; false: it is.
func (f *Finder) told(ctx context.Context, a *history.Attempt, address string) (history.Reply, Sense, bool) {
	for _, r := range a.Recipients {
		if !strings.EqualFold(r.Address, address) || r.Code < 400 || r.Code == a.Reply.Code {
			continue
		}
		if _, e, err := f.Store.Attempt(ctx, a.Key); err == nil {
			for _, p := range f.partsOf(e, a, address) {
				if p.has(address) {
					return p.Reply, p.Sense, true
				}
			}
		}
	}
	return history.Reply{}, Sense{}, false
}

// ordered gives recipients as people look for them: who was asked for, and of many first those who do not have the mail.
func ordered(all []ToldRecipient, asked string) []ToldRecipient {
	const few = 10
	rank := func(r *ToldRecipient) int {
		switch {
		case asked != "" && strings.EqualFold(r.Address, asked):
			return 0
		case len(all) <= few || r.Fate != "delivered" || r.Times > 1:
			return 1
		default:
			return 2
		}
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b ToldRecipient) int { return cmp.Compare(rank(&a), rank(&b)) })
	return all
}
