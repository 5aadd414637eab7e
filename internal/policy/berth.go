package policy

import (
	"net/netip"

	"kanmon/internal/event"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// A stay is what a session holds for as long as it lasts: its place among the sessions.
type stay struct {
	ticket  limit.Ticket
	entered []entrance
}

// An entrance is a limit that the session has been counted by.
type entrance struct {
	limit   string
	subject limit.Subject
}

// A berth is what a session and its mail have of a sending IP.
type berth struct {
	ip   netip.Addr
	text string
	mail limit.Ticket
	stay stay
}

// moor makes a berth one of a sending IP. What the mail took there before is given back, and the session's place where it was another IP.
func (a *pass) moor(at int8, ip netip.Addr) {
	b := a.berths[at]
	if b == nil {
		if !ip.IsValid() {
			return
		}
		b = new(berth)
		a.berths[at] = b
	}
	a.policy.limiter.Settle(&b.mail, false, 0)
	if b.ip != ip {
		a.policy.end(&b.stay)
		b.ip, b.text = ip, ip.String()
	}
}

// leaveInstead asks for another sending IP behind a refusal. The mail keeps its own until there is news from the other.
func (a *pass) leaveInstead(ip netip.Addr) session.Decision {
	here := a.at
	a.at, a.trying = 1-here, true
	a.moor(a.at, ip)
	d := a.limits(event.StepLeave, a.size)
	if d.Refuse != session.RefuseNot {
		a.moor(a.at, netip.Addr{})
	}
	a.at, a.trying = here, false
	return d
}

// leftFrom is told which sending IP it was: the other one has nothing of the mail and of the session any more.
func (a *pass) leftFrom(ip netip.Addr) {
	other := 1 - a.at
	if b := a.berths[other]; b == nil || !b.ip.IsValid() {
		return
	}
	if ip == a.berths[other].ip {
		a.at, other = other, a.at
	}
	a.moor(other, netip.Addr{})
}

// end gives a stay back.
func (p *Policy) end(s *stay) {
	p.limiter.Settle(&s.ticket, true, 0)
	s.entered = s.entered[:0]
}
