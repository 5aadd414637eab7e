package policy

import (
	"cmp"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
)

// limitFor returns a limit as it holds for the sender at hand: an operator's word goes before the rule's amount, an account's before
// its tenant's.
func (s *settings) limitFor(l *limit.Limit, a *pass) *limit.Limit {
	given := *a.policy.given.Load()
	if len(given) == 0 {
		return l
	}
	name := l.Rule().Name
	amount := cmp.Or(given[override{contain.Subject{Tenant: a.tenant, Account: a.account}, name}],
		given[override{contain.Subject{Tenant: a.tenant}, name}])
	if amount == 0 {
		return l
	}
	return s.resize(l, amount)
}

// resizing is a limit of the settings and the amount that a person has set in place of its own.
type resizing struct {
	*limit.Limit
	amount int64
}

// resize returns a limit with another amount. An amount that this limit cannot have, because it was set for a rule that a reload has
// changed since, leaves it as it is.
func (s *settings) resize(l *limit.Limit, amount int64) *limit.Limit {
	if known, ok := s.resized.Load(resizing{l, amount}); ok {
		return known.(*limit.Limit)
	}
	other, err := withAmount(l, amount)
	if err != nil {
		other = l
	}
	known, _ := s.resized.LoadOrStore(resizing{l, amount}, other)
	return known.(*limit.Limit)
}

// withAmount returns a limit with another amount, its burst in proportion.
func withAmount(l *limit.Limit, amount int64) (*limit.Limit, error) {
	rule := l.Rule()
	if rule.Burst > 0 {
		rule.Burst = max(1, int64(float64(rule.Burst)*float64(amount)/float64(rule.Amount)))
		if rule.Fair {
			rule.Burst = max(2, rule.Burst)
		}
	}
	rule.Amount = amount
	return limit.Compile(rule)
}
