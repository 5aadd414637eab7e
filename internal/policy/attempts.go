package policy

import (
	"kanmon/internal/event"
	"kanmon/internal/policy/limit"
)

// attemptsEach is how many attempts a limit on messages, recipients or octets allows for each that it counts. What MXs put off is tried again
// without being counted, and what is refused or given up is given back: without a bound, MAIL, RCPT and RSET would ask MXs about any number of people,
// and one large message that is refused could be sent for ever.
const attemptsEach = 5

// attempt counts what the MX is about to be asked.
func (a *pass) attempt(step event.Step) limit.Verdict {
	if a.tries = a.attempts(a.tries[:0], step); len(a.tries) == 0 {
		return limit.Verdict{OK: true}
	}
	return a.policy.limiter.Take(a.tries, &a.ofMail) // which gets the octets alone
}

// attempts adds what the bounds of attempts are asked for, one for each enforced limit. It is never given back, and of octets it is what has gone to
// an MX.
func (a *pass) attempts(wants []limit.Want, step event.Step) []limit.Want {
	retry := a.retry
	a.retry = false // an attempt is one, the first or the tenth
	defer func() { a.retry = retry }()
	for _, l := range a.set.Limits {
		if l.lets() || l.ofSession() || l.Rule().Scope == limit.PerIPProvider {
			continue
		}
		w, ok := l.want(a, step, a.size)
		if !ok {
			continue
		}
		if w.Limit, w.Spent = a.set.attemptsOf(w.Limit), true; w.Limit != nil {
			wants = append(wants, w)
		}
	}
	return wants
}

// attemptsOf returns the bound of a limit's attempts; nil if the limit is as good as none.
func (s *settings) attemptsOf(l *limit.Limit) *limit.Limit {
	if known, ok := s.attempts.Load(l); ok {
		return known.(*limit.Limit)
	}
	rule := l.Rule()
	rule.Name, rule.Amount, rule.Burst, rule.Fair = rule.Name+attemptsName, attemptsEach*rule.Amount, attemptsEach*rule.Burst, false
	rule.Brief = true // by the next start whoever was put off may try anew
	bound, err := limit.Compile(rule)
	if err != nil {
		bound = nil
	}
	known, _ := s.attempts.LoadOrStore(l, bound)
	return known.(*limit.Limit)
}

// attemptsName is no part of a name that the configuration can give.
const attemptsName = ", attempts"
