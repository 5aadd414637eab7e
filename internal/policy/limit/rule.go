package limit

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"
	"unique"
)

// A Rule is a limit as an operator says it.
type Rule struct {
	Name    string // with the measure, what the counters are found by again after a reload or a restart
	Scope   Scope
	Measure Measure
	Amount  int64         // allowed per Per; of Sessions: at once
	Per     time.Duration // 1 s to Longest; of Sessions: 0
	// Burst is how much may come at once after silence. 0: a tenth of Amount, but 10 where Amount is more than that, and
	// all of Amount where it is less; a refusal costs the mail minutes in its MSA's queue. Of Sessions: 0.
	Burst int64
	// Fair keeps a part of the limit for the members that use less than their share (see the package comment). Amount of
	// Sessions, or Burst, must be at least 2.
	Fair bool
	// Brief is not worth keeping over a restart: its debts are not given to whoever keeps them.
	Brief bool
}

// Longest is the most that Per, and the time in which Burst comes back, may be.
const Longest = 31 * 24 * time.Hour

const (
	mostAmount   = 1 << 50 // a petabyte a second needs no limit; keeps sums of counts far from overflow
	mostSessions = 1 << 30
	longest      = int64(Longest)
)

// A Limit is a Rule that has been checked, with what follows from it. It does not change.
type Limit struct {
	rule      Rule
	id        name  // of its counters
	shareID   name  // of its members' shares
	burst     int64 // in units
	reserve   int64 // in units: what only members within their share may take
	full      int64 // ns of debt at which the bucket is empty
	fullShare int64 // the same of a member's share
}

// Compile checks a rule.
func Compile(r Rule) (*Limit, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("limit %q: %w", r.Name, err)
	}
	id := counterID(r.Measure.String(), r.Name)
	l := &Limit{rule: r, id: id, shareID: unique.Make("share of " + id.Value())}
	if r.Measure == Sessions {
		l.burst, l.reserve = r.Amount, max(1, r.Amount/4)
		return l, nil
	}
	l.burst = r.Burst
	if l.burst == 0 {
		l.burst = max(r.Amount/10, min(r.Amount, 10))
	}
	l.rule.Burst, l.reserve = l.burst, l.burst/2
	l.full, l.fullShare = l.cost(l.burst), l.cost(l.reserve)
	if r.Fair && l.burst < 2 {
		return nil, fmt.Errorf("limit %q: a fair limit needs a burst of at least 2", r.Name)
	}
	return l, nil
}

func (r *Rule) check() error {
	switch {
	case r.Name == "":
		return errors.New("no name")
	case r.Scope >= scopeCount || r.Measure >= measureCount:
		return errors.New("unknown scope or measure")
	case !r.Scope.Counts(r.Measure):
		return fmt.Errorf("%s of a %s cannot be counted", r.Measure, r.Scope)
	case r.Amount < 1 || r.Amount > mostAmount:
		return fmt.Errorf("amount %d is not within 1 to %d", r.Amount, int64(mostAmount))
	case r.Measure == Sessions && r.Amount > mostSessions:
		return fmt.Errorf("%d sessions are more than %d", r.Amount, mostSessions)
	case r.Measure == Sessions && (r.Per != 0 || r.Burst != 0):
		return errors.New("sessions are counted at once: no period, no burst")
	case r.Measure == Sessions && r.Fair && r.Amount < 2:
		return errors.New("a fair limit of sessions needs at least 2")
	case r.Measure == Sessions:
		return nil
	case r.Per < time.Second || r.Per > Longest:
		return fmt.Errorf("period %v is not within 1s to %v", r.Per, Longest)
	case r.Burst < 0 || r.Burst > mostAmount:
		return fmt.Errorf("burst %d is not within 0 to %d", r.Burst, int64(mostAmount))
	case scale(r.Burst, int64(r.Per), r.Amount) > longest:
		return fmt.Errorf("a burst of %d takes longer than %v to come back", r.Burst, Longest)
	}
	return nil
}

// A name is the same for all limits of the same rule, and quicker to look up than its text.
type name = unique.Handle[string]

func counterID(measure, rule string) name { return unique.Make(measure + " " + rule) }

// Rule returns the rule, with its Burst filled in.
func (l *Limit) Rule() Rule { return l.rule }

// cost is the time in which the units come back, rounded up so that rounding never allows more, and at most Longest.
func (l *Limit) cost(units int64) int64 {
	return min(scale(units, int64(l.rule.Per), l.rule.Amount), longest)
}

// units is how much a debt stands for, to the nearest.
func (l *Limit) units(debt int64) int64 {
	per := int64(l.rule.Per)
	return scale(max(0, debt-per/l.rule.Amount/2), l.rule.Amount, per)
}

// scale is a×b/c rounded up, and MaxInt64 where that is too small to hold it. None is negative; c is not 0.
func scale(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) {
		return math.MaxInt64
	}
	q, rest := bits.Div64(hi, lo, uint64(c))
	if rest > 0 {
		q++
	}
	if q > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(q)
}
