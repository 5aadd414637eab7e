package daemon

import (
	"fmt"
	"slices"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/session"
)

// Sessions implements [admin.Process].
func (o *operator) Sessions(q admin.SessionQuery) (admin.Sessions, error) {
	return o.eachSession(q, func(*admin.Session) {})
}

// eachSession is Sessions, for whoever wants to see each of them.
func (o *operator) eachSession(q admin.SessionQuery, see func(*admin.Session)) (admin.Sessions, error) {
	if states := stateNames(); q.State != "" && !slices.Contains(states, q.State) {
		return admin.Sessions{}, fmt.Errorf("%.40q is no state of a session: want one of %q", q.State, states)
	}
	o.d.mu.Lock()
	all := admin.Sessions{Most: o.d.cfg.Limits.Sessions}
	o.d.mu.Unlock()
	first := topSessions{most: q.Most}
	now := time.Now()
	for seen := range o.d.live.All() {
		all.Running++
		shown := shownSession(seen, now)
		if !q.Matches(&shown) {
			continue
		}
		all.Matching++
		if shown.Held {
			all.Held++
		}
		see(&shown)
		first.add(&shown)
	}
	all.Sessions = first.list()
	return all, nil
}

// topSessions are the first of many, in their order.
type topSessions struct {
	most int
	some []admin.Session
}

func (t *topSessions) add(s *admin.Session) {
	if t.some = append(t.some, *s); len(t.some) >= 2*t.most+100 {
		t.some = t.list()
	}
}

func (t *topSessions) list() []admin.Session {
	slices.SortFunc(t.some, func(a, b admin.Session) int { return a.Before(&b) })
	return t.some[:min(t.most, len(t.some))]
}

func shownSession(s *session.Seen, now time.Time) admin.Session {
	return admin.Session{
		Session: s.ID.String(), Start: s.Start, State: s.Doing.String(), Step: s.Phase.String(), For: max(0, now.Sub(s.Start)-s.Since).Seconds(),
		WaitsFor: waitsFor(s.Doing), Held: s.Held(), Tenant: s.Tenant, Account: s.Account, Provider: s.Provider, Pool: s.Pool, SendingIP: s.SendingIP,
		MX: s.Destination, Source: s.Source,
	}
}

func waitsFor(doing event.Spending) string {
	switch doing {
	case event.SpentOnMSA, event.SpentOnBodyMSA:
		return admin.WaitsForMSA
	case event.SpentByKanmon, event.SpentHeld, event.SpentResting:
		return admin.WaitsForKanmon
	case event.SpentPassing:
		return admin.WaitsForBoth
	default:
		return admin.WaitsForMX
	}
}

func stateNames() (names []string) {
	for s := range event.SpendingCount {
		names = append(names, s.String())
	}
	return names
}
