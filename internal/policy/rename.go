package policy

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"kanmon/internal/contain"
	"kanmon/internal/limit"
)

// rename brings the accounts of a state into normal form: one of an older kanmon, or of a configuration that folded less, has them by
// other names, and a person's block must go on. Of several that are one account now the strictest stays. What it returns has to be kept, else
// the rows of the other names would come back with the next start, whatever people had said meanwhile.
func (s *Settings) rename(state *State) *renamed {
	var r renamed
	at := map[contain.Subject]int{}
	var all []contain.Saved
	for _, one := range state.Containment.Subjects {
		old := one.Subject
		if one.Subject = s.normal(old); one.Subject != old {
			r.senders = append(r.senders, [2]contain.Subject{old, one.Subject})
		}
		i, twice := at[one.Subject]
		switch {
		case !twice:
			at[one.Subject] = len(all)
			all = append(all, one)
		case stricter(&one, &all[i]):
			all[i] = one
		}
	}
	state.Containment.Subjects = all
	for i := range state.Given {
		old := state.Given[i]
		if state.Given[i].Subject = s.normal(old.Subject); state.Given[i] != old {
			old.Amount = 0
			r.orders.Given = append(r.orders.Given, old, state.Given[i])
		}
	}
	for i := range state.Marks {
		old := state.Marks[i].Subject
		if state.Marks[i].Subject = s.normal(old); state.Marks[i].Subject != old {
			r.orders.Unmarked, r.orders.Marks = append(r.orders.Unmarked, old), append(r.orders.Marks, state.Marks[i])
		}
	}
	for i := range state.Limits.Debts {
		if d := &state.Limits.Debts[i]; s.perAccount(d.Limit) && d.To != "" { // of two debts the larger is owed
			d.Of = s.normal(contain.Subject{Tenant: d.To, Account: d.Of}).Account
		}
	}
	return &r
}

// renamed is what a state has other names for since it was kept.
type renamed struct {
	senders [][2]contain.Subject // by their old names, and their new ones
	orders  Part
}

// keepNames has the store keep what was renamed by its new names alone.
func (p *Policy) keepNames(r *renamed) error {
	ctx, cancel := context.WithTimeout(context.Background(), keepTime)
	defer cancel()
	if err := p.write(ctx, nil, func(part *Part) bool {
		*part = r.orders
		return len(part.Given)+len(part.Marks) > 0
	}); err != nil {
		return fmt.Errorf("keep limits and kinds by new names: %w", err)
	}
	for some := range slices.Chunk(r.senders, saveBatch) {
		if err := p.write(ctx, nil, func(part *Part) bool {
			for _, names := range some { // in one transaction: a kill leaves no sender without its row
				part.Senders.Gone = append(part.Senders.Gone, names[0])
				p.detector.ChangedOf(&part.Senders, names[1])
			}
			return true
		}); err != nil {
			return fmt.Errorf("keep senders by new names: %w", err)
		}
	}
	return nil
}

// perAccount reports whether a limit counts accounts; that of contained senders does, where it does not count their tenant.
func (s *Settings) perAccount(name string) bool {
	return name == containedName || slices.ContainsFunc(s.Limits, func(l *Limit) bool {
		return l.Rule().Name == name && l.Rule().Scope == limit.PerAccount
	})
}

// stricter reports whether more is done about the first.
func stricter(a, b *contain.Saved) bool {
	rank := func(s *contain.Saved) int {
		r := int(s.Level)
		if s.Block != nil {
			r += 100
		}
		return r
	}
	return cmp.Compare(rank(a), rank(b)) > 0
}
