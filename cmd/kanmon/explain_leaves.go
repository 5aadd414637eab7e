package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kanmon/internal/outlet/route"
	"kanmon/internal/session"
)

// sendingIPs prints which sending IP the mail leaves from. That is where its session has got to (see
// route.Router.Course), and it may depend on whether the gateway has learnt yet whose the MX is.
func (p *explanation) sendingIPs(router *route.Router, q route.Query, choice route.Choice, err error) {
	to, family := q.Destination.Addr(), "IPv6"
	if to.Is4() {
		family = "IPv4"
	}
	course, notYet := router.Course(q, q.Provider)
	if notYet != nil {
		err = notYet // the connection, ahead of the mail, has no way out
	}
	ips := choice.IPs()
	switch {
	case err != nil:
		p.line(family, "none: "+noneText(err))
	case len(ips) == 0:
		p.line(family, "the kernel's choice")
	case len(ips) > 1 && to.IsUnspecified() && q.Provider == "":
		p.line(family, "one of "+addresses(ips)+": it depends on the MX's address (--mx)")
	case len(ips) > 1 && !p.exact && goesBySource(router, q, choice):
		p.line(family, "one of "+addresses(ips)+": it depends on the MSA's address (--source)")
	default:
		p.line(family, p.leavesFrom(router, q, course, ips))
		p.warmUp(q, course, ips)
	}
}

// noneText says what the MSA meets where there is no sending IP.
func noneText(err error) string {
	switch {
	case errors.Is(err, session.ErrNotOnHost):
		return "this host has no sending IP of the pool; the MSA is greeted, and the mail gets 451 until it has one"
	case errors.Is(err, route.ErrGreeted):
		return "the MSA is greeted, and the mail gets 451: its pool has no address of this family; the MSA goes on to the MX's other one"
	}
	return "connections to this family are reset, and the MSA goes on to the MX's other one"
}

// goesBySource reports whether the choice within the pool is the MSA's address's: its session began before anybody knew the tenant.
func goesBySource(router *route.Router, q route.Query, choice route.Choice) bool {
	if !choice.BySender {
		q.Sender, q.SenderKnown = "", false
		choice, _ = router.Choose(q) // the tenant is told with an error, too
	}
	return choice.Tenant == ""
}

// leavesFrom says where a mail leaves from whose MSA and MX are known.
func (p *explanation) leavesFrom(router *route.Router, q route.Query, course route.Choice, ips []route.SendingIP) string {
	text := fmt.Sprintf("%s (%s)", course.IP.Address, course.IP.Name)
	if to := q.Destination.Addr(); !to.IsUnspecified() {
		text += " toward " + to.String()
	}
	switch untaught, err := router.Course(q, ""); {
	case q.Destination.Addr().IsUnspecified() && q.Provider != "" && len(ips) > 1:
		text += fmt.Sprintf(" once an earlier mail has taught kanmon that the MX is of %s; before that it depends on the MX's address (--mx)", q.Provider)
	case err == nil && untaught.IP != course.IP:
		text += fmt.Sprintf(" once an earlier mail has taught kanmon that this MX is of %s, and %s (%s) before that", q.Provider,
			untaught.IP.Address, untaught.IP.Name)
	}
	if others := slices.DeleteFunc(ips, func(ip route.SendingIP) bool { return ip == course.IP }); len(others) > 0 {
		text += "; if it must be avoided: " + addresses(others)
	}
	return text
}

func addresses(ips []route.SendingIP) string {
	list := make([]netip.Addr, len(ips))
	for i, ip := range ips {
		list[i] = ip.Address
	}
	return texts(list)
}

func texts(list []netip.Addr) string {
	all := make([]string, len(list))
	for i, a := range list {
		all[i] = a.String()
	}
	return strings.Join(all, ", ")
}
