package policy

import (
	"net/netip"

	"kanmon/internal/event"
)

// steps are those at which any limit may be asked: at the others there is nothing to ask, and most sites have few limits.
type steps [event.StepAccount + 1]bool

// stepsOf asks each limit as if it were for everybody.
func (p *Policy) stepsOf(set *settings) (asked steps) {
	a := newPass(p, set)
	a.begun, a.own.ip = true, netip.IPv4Unspecified()
	for _, l := range set.Limits {
		everybodys := Limit{Limit: l.Limit}
		for step := range asked {
			_, ok := everybodys.want(a, event.Step(step), 0) //nolint:gosec // there are few
			asked[step] = asked[step] || ok
		}
	}
	return asked
}
