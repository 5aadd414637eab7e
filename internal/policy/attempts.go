package policy

import (
	"kanmon/internal/event"
	"kanmon/internal/policy/limit"
)

// attemptsEach is how many attempts a limit on messages, recipients or octets allows for each that it counts. What MXs
// put off is tried again without being counted, and what is refused or given up is given back: without a bound, MAIL,
// RCPT and RSET would ask MXs about any number of people, and one large message that is refused could be sent for ever.
const attemptsEach = 5

// attempt counts what the MX is about to be asked.
func (a *pass) attempt(step event.Step) limit.Verdict {
	if a.tries = a.attempts(a.tries[:0], step); len(a.tries) == 0 {
		return limit.Verdict{OK: true}
	}
	return a.policy.limiter.Take(a.tries, &a.ofMail) // which gets the octets alone
}

// attempts adds what the bounds of attempts are asked for at a step.
func (a *pass) attempts(wants []limit.Want, step event.Step) []limit.Want {
	retry := a.retry
	a.retry = false // an attempt is one, the first or the tenth
	defer func() { a.retry = retry }()
	for i, l := range a.set.Limits {
		if !l.boundsAttempts() {
			continue
		}
		if w, ok := l.want(a, step, a.size); ok {
			w.Number = int32(i) //nolint:gosec // a file has not so many
			wants = a.attemptOf(wants, w)
		}
	}
	return wants
}

// boundsAttempts reports whether attempts have a bound by a limit. A sending IP's would be used up for all by one tenant.
func (l *Limit) boundsAttempts() bool {
	return !l.lets() && !l.ofSession() && l.Rule().Scope.Of() != limit.OfIP
}

// attemptOf adds what the bound of attempts is asked for beside a limit. It is never given back, and of octets it is
// what has gone to an MX.
func (a *pass) attemptOf(wants []limit.Want, of limit.Want) []limit.Want {
	if of.Limit, of.Spent = a.set.attemptsOf(of.Limit), true; of.Limit == nil {
		return wants
	}
	return append(wants, of)
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
