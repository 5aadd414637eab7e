package warm

import (
	"net/netip"
	"time"
)

// Others is the class of all destinations that are of no provider with a name.
const Others = ""

// A Plan says what an IP may take on each day.
type Plan struct {
	Name  string
	Steps []Step // at least one
}

// A Step is what holds for one day, or longer.
type Step struct {
	Share    float64 // of the senders that it would have with its full weight, 0 to 1
	Provider int     // mails a day to each provider with a name
	Others   int     // mails a day to all others together
}

// amount is the day's for a class.
func (s Step) amount(class string) int {
	if class == Others {
		return s.Others
	}
	return s.Provider
}

// A Member is an IP with a plan.
type Member struct {
	IP    netip.Addr
	Start Day // its first day
	Plan  *Plan
}

// A Day is one in UTC, counted from 1970-01-01. The zero Day is none.
type Day int32

const secondsOfDay = 24 * 60 * 60

// DayOf gives the day of a time.
func DayOf(t time.Time) Day { return Day(t.Unix() / secondsOfDay) }

// Time gives the day's beginning.
func (d Day) Time() time.Time { return time.Unix(int64(d)*secondsOfDay, 0).UTC() }

// String gives the day as an operator writes it; "" for none.
func (d Day) String() string {
	if d == 0 {
		return ""
	}
	return d.Time().Format(time.DateOnly)
}
