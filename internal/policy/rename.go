package policy

import (
	"cmp"
	"slices"

	"kanmon/internal/contain"
	"kanmon/internal/limit"
)

// rename brings the accounts of a state into normal form: one of an older kanmon, or of a configuration that folded less, has them by
// other names, and a person's block must go on. Of several that are one account now the strictest stays.
func (s *Settings) rename(state *State) {
	at := map[contain.Subject]int{}
	var all []contain.Saved
	for _, one := range state.Containment.Subjects {
		one.Subject = s.normal(one.Subject)
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
		state.Given[i].Subject = s.normal(state.Given[i].Subject)
	}
	for i := range state.Marks {
		state.Marks[i].Subject = s.normal(state.Marks[i].Subject)
	}
	for i := range state.Limits.Debts {
		if d := &state.Limits.Debts[i]; s.perAccount(d.Limit) && d.To != "" { // of two debts the larger is owed
			d.Of = s.normal(contain.Subject{Tenant: d.To, Account: d.Of}).Account
		}
	}
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
