package web

import (
	"net/netip"

	"kanmon/internal/admin"
)

// A providerNow is what is so with a provider at this moment, as kanmon says: a page of a past time has none.
type providerNow struct {
	Silent   string // why nobody knows; the rest is empty
	Sessions admin.Sessions
	Stands   []nowStanding // of sending IPs that are not plainly active there
	Takes    []admin.Takes
}

// A nowStanding is how a sending IP stands there.
type nowStanding struct {
	admin.Standing
	Mark stateMark
	Page string
}

// mostHeld is how many sessions stand there; the page of the sessions has all.
const mostHeld = 5

func (r *request) providerNow(name string) *providerNow {
	now := &providerNow{}
	var err error
	if now.Sessions, err = r.admin.Sessions(r.Context(), admin.SessionQuery{Provider: name, Most: mostHeld}); err != nil {
		now.Silent = err.Error()
		return now
	}
	now.Sessions.Sessions = held(now.Sessions.Sessions)
	standings, err := r.admin.Standings(r.Context(), netip.Addr{})
	for i := range standings {
		if s := &standings[i]; err == nil && s.IP.IsValid() && (s.Provider == name || s.Provider == "") {
			now.Stands = append(now.Stands, nowStanding{*s, markOfState(s.State), link("/ips", s.IP)})
		}
	}
	shaping, err := r.admin.Shaping(r.Context(), netip.Addr{})
	for i := range shaping.Takes {
		if err == nil && shaping.Takes[i].Provider == name {
			now.Takes = append(now.Takes, shaping.Takes[i])
		}
	}
	if err != nil {
		now.Silent = err.Error()
	}
	return now
}
