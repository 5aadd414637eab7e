package policy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
)

// rename brings the accounts of a state into normal form: one of an older kanmon, or of a configuration that folded
// less, has them by other names, and a person's block must go on. Of several that are one account now the strictest
// stays; of people's orders, what was said by the account's own name, else the smallest amount and the latest mark.
// What it returns has to be kept, else the rows of the other names would come back with the next start, whatever people
// had said meanwhile.
func (s *Settings) rename(state *State) *renamed {
	var r renamed
	senders := renaming[contain.Saved]{list: state.Containment.Subjects}
	for i := range senders.list {
		one := &senders.list[i]
		old := one.Subject
		if one.Subject = s.normal(old); senders.note(one.Subject != old) {
			r.senders = append(r.senders, [2]contain.Subject{old, one.Subject})
		}
	}
	state.Containment.Subjects, _ = fold(&senders, func(one *contain.Saved) contain.Subject { return one.Subject },
		func(a, b int) bool { return stricter(&senders.list[a], &senders.list[b]) })

	given := renaming[Given]{list: state.Given}
	for i := range given.list {
		old := given.list[i]
		if given.list[i].Subject = s.normal(old.Subject); given.note(given.list[i] != old) {
			old.Amount = 0
			r.orders.Given = append(r.orders.Given, old)
		}
	}
	all, moved := fold(&given, func(g *Given) override { return override{g.Subject, g.Limit} },
		given.ownFirst(func(a, b *Given) bool { return a.Amount < b.Amount }))
	state.Given, r.orders.Given = all, append(r.orders.Given, moved...)

	marked := renaming[Mark]{list: state.Marks}
	for i := range marked.list {
		m := &marked.list[i]
		old := m.Subject
		if m.Subject = s.normal(old); marked.note(m.Subject != old) {
			r.orders.Unmarked = append(r.orders.Unmarked, old)
		}
	}
	state.Marks, r.orders.Marks = fold(&marked, func(m *Mark) contain.Subject { return m.Subject },
		marked.ownFirst(func(a, b *Mark) bool { return a.At.After(b.At) }))

	s.renameDebts(state, &r)
	return &r
}

// renameDebts does the same with what is owed: of several the most.
func (s *Settings) renameDebts(state *State, r *renamed) {
	debts := renaming[limit.Debt]{list: state.Limits.Debts}
	for i := range debts.list {
		d := &debts.list[i]
		old := *d
		if s.perAccount(d.Limit) && d.To != "" {
			d.Of = s.normal(contain.Subject{Tenant: d.To, Account: d.Of}).Account
		}
		if debts.note(d.Of != old.Of) {
			old.Owes = 0
			r.orders.Debts = append(r.orders.Debts, old)
		}
	}
	all, moved := fold(&debts, func(d *limit.Debt) limit.Debt {
		return limit.Debt{Limit: d.Limit, Measure: d.Measure, Of: d.Of, To: d.To}
	},
		func(a, b int) bool { return freeAt(&debts.list[a]).After(freeAt(&debts.list[b])) })
	state.Limits.Debts, r.orders.Debts = all, append(r.orders.Debts, moved...)
}

func freeAt(d *limit.Debt) time.Time { return d.Taken.Add(d.Owes) }

// A renaming is a list that is given new names.
type renaming[T any] struct {
	list    []T
	renamed []bool // each
}

func (r *renaming[T]) note(renamed bool) bool {
	r.renamed = append(r.renamed, renamed)
	return renamed
}

// ownFirst has what was said by the name that all of them have now go before what was said by others.
func (r *renaming[T]) ownFirst(before func(a, b *T) bool) func(a, b int) bool {
	return func(a, b int) bool {
		if r.renamed[a] != r.renamed[b] {
			return r.renamed[b]
		}
		return before(&r.list[a], &r.list[b])
	}
}

// fold leaves one of each name, the first if none goes before another. Moved are those that stand for one that was
// renamed: they are to be kept.
func fold[T any, K comparable](r *renaming[T], name func(*T) K, before func(a, b int) bool) (all, moved []T) {
	if !slices.Contains(r.renamed, true) { // as nearly always: a file has each name once
		return r.list, nil
	}
	at, holds, moves := map[K]int{}, []int(nil), []bool(nil)
	for i := range r.list {
		n := name(&r.list[i])
		k, known := at[n]
		if !known {
			at[n] = len(holds)
			holds, moves = append(holds, i), append(moves, r.renamed[i])
			continue
		}
		moves[k] = moves[k] || r.renamed[i]
		if before(i, holds[k]) {
			holds[k] = i
		}
	}
	for k, i := range holds {
		all = append(all, r.list[i])
		if moves[k] {
			moved = append(moved, r.list[i])
		}
	}
	return all, moved
}

// renamed is what a state has other names for since it was kept.
type renamed struct {
	senders [][2]contain.Subject // by their old names, and their new ones
	orders  Part                 // and what is owed
}

// keepNames has the store keep what was renamed by its new names alone.
func (p *Policy) keepNames(r *renamed) error {
	ctx, cancel := context.WithTimeout(context.Background(), keepTime)
	defer cancel()
	if err := p.write(ctx, nil, func(part *Part) bool {
		*part = r.orders
		return len(part.Given)+len(part.Marks)+len(part.Debts) > 0
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
		return l.Rule().Name == name && l.Rule().Scope.Of() == limit.OfAccount
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
