package index

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/view/history"
)

// Units of roll-ups, in minutes.
const (
	UnitFive = 5
	UnitHour = 60
	UnitDay  = 24 * 60
)

// Units are all of them.
var Units = [...]int64{UnitFive, UnitHour, UnitDay}

// UnitOf is in which unit of a day a millisecond of it is.
func UnitOf(unit, ms int64) int64 {
	if unit == UnitDay {
		return 0
	}
	return ms / (unit * time.Minute.Milliseconds())
}

const (
	aDay        = 24 * time.Hour
	fiveMinutes = 5 * time.Minute
)

// A Summing adds up roll-ups of several days.
type Summing struct {
	From, To time.Time
	Step     time.Duration
}

var errStep = errors.New("a step is 5 minutes, an hour, a day, or a multiple of one of these")

func (s *Summing) check(least time.Duration) error {
	if s.Step < 0 || s.Step%least != 0 {
		return fmt.Errorf("%w, and here at least %s: %s", errStep, least, s.Step)
	}
	return nil
}

// Unit is what a day is added up by: what is coarsest of that which says where steps and edges are.
func (s *Summing) Unit(day time.Time, coarsest, finest int64) int64 {
	end := day.Add(aDay)
	whole := !s.From.After(day) && (s.To.IsZero() || !s.To.Before(end))
	fits := func(unit time.Duration) bool {
		return s.Step == 0 || s.Step%unit == 0 && (s.From.IsZero() || s.From.Truncate(unit).Equal(s.From))
	}
	aligned := func(at time.Time) bool { return at.IsZero() || at.Truncate(time.Hour).Equal(at) }
	switch {
	case coarsest == UnitDay && whole && fits(aDay):
		return UnitDay
	case finest == UnitHour, fits(time.Hour) && (whole || aligned(s.From) && aligned(s.To)):
		return UnitHour
	}
	return UnitFive
}

// Offset is how many milliseconds a day begins behind where steps are counted from: a time that long behind the day's begin is in the step
// (offset + time) / step.
func (s *Summing) Offset(day time.Time) int64 {
	return day.Sub(s.zero()).Milliseconds() + stepsBefore*s.Step.Milliseconds()
}

// zero is where steps are counted from: far enough before all of them that none has a number below 0.
func (s *Summing) zero() time.Time {
	if s.From.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return s.From
}

const stepsBefore = 1000

// Begin is when a step begins.
func (s *Summing) Begin(n int64) time.Time {
	if s.Step == 0 {
		return s.From
	}
	return s.zero().Add(time.Duration(n-stepsBefore) * s.Step).UTC()
}

// Edges are the first and the last behind of what counts in a day, in units.
func (s *Summing) Edges(day time.Time, unit int64) (first, last int64) {
	per := time.Duration(unit) * time.Minute
	last = 1 << 40
	if s.From.After(day) {
		first = int64(s.From.Sub(day) / per)
	}
	if !s.To.IsZero() && s.To.Before(day.Add(aDay)) {
		last = int64((s.To.Sub(day) + per - 1) / per)
	}
	return first, last
}

// OfCounts is how counts are added up; the error says that they are not kept so.
func OfCounts(of *history.CountsOf) (Summing, error) {
	s := Summing{of.From.UTC(), of.To.UTC(), of.Step}
	for _, at := range []*time.Time{&s.From, &s.To} {
		if at.IsZero() {
			*at = time.Time{}
		}
	}
	for _, by := range of.By {
		if !slices.Contains(names, by) {
			return s, fmt.Errorf("counts are not kept by %.40q", by)
		}
	}
	if ByAccounts(of) {
		if of.SendingIP.IsValid() || of.Provider != "" || slices.Contains(of.By, history.BySending) || slices.Contains(of.By, history.ByProvider) {
			return s, errors.New("counts of accounts are not kept by provider, nor by sending IP")
		}
		return s, s.check(aDay)
	}
	if ByTenants(of) {
		return s, s.check(time.Hour)
	}
	return s, s.check(fiveMinutes)
}

var names = []string{history.ByGateway, history.ByProvider, history.BySending, history.ByTenant, history.ByAccount, history.ByOutcome, history.ByClass}

// OfTimes is how times are added up.
func OfTimes(of *history.TimesOf) (Summing, error) {
	s := Summing{of.From, of.To, of.Step}
	return s, s.check(fiveMinutes)
}

// ByAccounts reports whether counts of accounts are asked for.
func ByAccounts(of *history.CountsOf) bool {
	return of.Account != "" || slices.Contains(of.By, history.ByAccount)
}

// ByTenants reports whether counts of tenants are asked for.
func ByTenants(of *history.CountsOf) bool {
	return of.Tenant != "" || slices.Contains(of.By, history.ByTenant) || ByAccounts(of)
}

// ByProviders reports whether counts of providers or sending IPs are asked for.
func ByProviders(of *history.CountsOf) bool {
	return of.Provider != "" || of.SendingIP.IsValid() || slices.Contains(of.By, history.ByProvider) || slices.Contains(of.By, history.BySending)
}

// SetName says of a count what it is by.
func SetName(c *history.Count, by, text string) {
	switch by {
	case history.ByGateway:
		c.Gateway = text
	case history.ByProvider:
		c.Provider = text
	case history.BySending:
		c.SendingIP, _ = netip.ParseAddr(text) // "": none is configured
	case history.ByTenant:
		c.Tenant = text
	case history.ByAccount:
		c.Account = text
	case history.ByOutcome:
		c.Outcome = text
	case history.ByClass:
		c.Class = text
	}
}
