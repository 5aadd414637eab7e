package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/outlet/host"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/warm"
)

// A Today is what a configuration's sending IPs that warm up may take today, for who explains where mail leaves from and is not the kanmon
// that sends it. Close it.
type Today struct {
	Router *route.Router // as [Router], with the part of their senders that these sending IPs have today

	book *warm.Book
}

// Lacks returns which of a configuration's sending IPs mail cannot leave from on this host.
func Lacks(cfg *config.Config) (list []netip.Addr, err error) {
	for i := range cfg.SendingIPs {
		list = append(list, cfg.SendingIPs[i].Address.Unmap())
	}
	states, err := host.Look(list)
	return slices.DeleteFunc(list, func(a netip.Addr) bool { return states[a] == host.Here }), err
}

// NewToday goes by what a running kanmon has said of them, and of those that it has not named by their start dates. No
// mail leaves from sending IPs that the host lacks.
func NewToday(cfg *config.Config, said []admin.WarmUp, lacks []netip.Addr) (*Today, error) {
	members, known := warmUpsOf(cfg), heard{}
	for _, m := range members {
		for i := range said {
			if said[i].IP == m.IP {
				known = append(known, stateOf(&m, &said[i]))
			}
		}
	}
	shares := &route.Shares{}
	book, err := warm.New(warm.Options{Store: known, Shares: shares.Set})
	if err != nil {
		return nil, err
	}
	book.Configure(members)
	routes, err := routesOf(cfg)
	if err == nil {
		routes.Shares, routes.Absent = shares, &route.Absence{}
		routes.Absent.Set(lacks)
		var router *route.Router
		if router, err = route.NewRouter(routes); err == nil {
			return &Today{router, book}, nil
		}
	}
	_ = book.Close()
	return nil, err
}

// Close ends it.
func (t *Today) Close() { _ = t.book.Close() } // it keeps nothing

// Warming says how far along a sending IP is; "" where it does not warm up.
func (t *Today) Warming(ip netip.Addr) string {
	e, found := t.book.Get(ip)
	if !found || e.Done {
		return ""
	}
	return fmt.Sprintf("%s, %.3g %% of its senders", e.Words(), 100*e.Shared())
}

// Lacks says why a sending IP has no room for a mail to a provider ("": to none with a name); "" where it has.
func (t *Today) Lacks(ip netip.Addr, provider string) string {
	room := t.book.Room(ip, provider)
	if !room.Lacks() {
		return ""
	}
	return t.book.Why(ip, provider, room)
}

// heard are states that another kanmon keeps.
type heard []warm.State

func (h heard) Load() ([]warm.State, error) { return h, nil }
func (h heard) Save([]warm.State) error     { return nil }

// stateOf is what [shownWarmUp] has been made from, as far as that matters today.
func stateOf(m *warm.Member, u *admin.WarmUp) warm.State {
	s := warm.State{
		IP: m.IP, Start: m.Start, Step: u.Step, Done: u.State == admin.Warm, Day: warm.DayOf(time.Now()), Finding: u.Finding, Classes: map[string]warm.Class{},
	}
	if at := min(u.Step, len(m.Plan.Steps)); at > 0 {
		s.Times = u.Share / m.Plan.Steps[at-1].Share
	}
	for _, c := range u.Classes {
		s.Classes[c.Provider] = warm.Class{
			Behind: max(0, u.Step-c.Step), Taken: c.Mails, Over: c.Over, Tried: c.Tried, Accepted: c.Accepted, Finding: c.Finding, Until: c.Rests,
		}
	}
	return s
}
