package daemon

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/outlet/slow"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/policy/contain"
	"kanmon/internal/who/witness"
)

// What is not normal, for whoever asks every minute whether a person has to look: docs/howto/monitor.md has the list.

// From when on it is not normal.
const (
	heldLong     = 10 * time.Minute // that sessions are held
	sessionsMany = .8               // of those that there can be
)

// problems are what is not normal of a status.
func (o *operator) problems(s *admin.Status, rulesFine bool) (all []admin.Problem) {
	about := func(p admin.Problem, what string, args ...any) {
		p.What = fmt.Sprintf(what, args...)
		all = append(all, p)
	}
	add := func(is bool, id, do, what string, args ...any) {
		if is {
			about(admin.Problem{ID: id, Do: do}, what, args...)
		}
	}
	add(!rulesFine, "rules", "kanmon rules status", "firewall rules: %s", s.Rules)
	all = append(all, o.exhausted()...)
	for _, missing := range o.d.outlets.Absent() {
		if !missing.Floating {
			about(admin.Problem{ID: "absent", Do: "kanmon ip show " + missing.Address.String(), IP: missing.Address}, "sending IP %s: %s", missing.Address, missing.State)
		}
	}
	for _, dead := range o.d.outlets.DeadPaths() {
		for _, ip := range dead.IPs {
			about(admin.Problem{ID: "path", Do: "kanmon ip show " + ip.String(), IP: ip}, "sending IP %s: %s", ip, noWayOut(dead))
		}
	}
	all = append(all, suspended(o.d.book.List())...)
	all = append(all, o.unseemly()...)
	for _, t := range s.Stopped {
		about(admin.Problem{ID: "stopped", Do: "kanmon tenant explain " + t, Tenant: t}, "all mail of %s waits: replies to it are against it", t)
	}
	all = append(all, slowly(o.d.times.Found())...)
	all = append(all, o.unresolved()...)
	all = append(all, o.unscanned()...)
	add(s.Held.Long > 0, "held", "kanmon sessions --held 10m", "%d sessions are held for 10 minutes or longer", s.Held.Long)
	add(float64(s.Sessions) >= sessionsMany*float64(s.SessionsMost), "sessions", "raise limits.sessions", "%d of at most %d sessions run", s.Sessions, s.SessionsMost)
	add(s.Lately.Refused > 0, "refused", "see who has the sessions below", "%d sessions were refused in the last ten minutes, as too many", s.Lately.Refused)
	for _, h := range s.Holders {
		if h.Slowed {
			about(admin.Problem{ID: "busy", Do: "docs/bounds.md", Tenant: h.Tenant, Of: h.Source}, "this host has more to do than it can, and sessions of %s rest for the others", cmp.Or(h.Tenant, h.Source))
		}
	}
	add(s.Lately.Dropped > 0, "records", "see that the disk keeps up", "%d records were dropped in the last ten minutes", s.Lately.Dropped)
	add(s.ListenersOff > 0, "defect", "see kanmon's log, restart it, report it", "%d listeners of what happens have failed", s.ListenersOff)
	add(o.d.leaving.Load(), "leaving", "nothing: it ends by itself", "kanmon hands over: it takes no new sessions, and ends with those that there are")
	add(s.ReloadRefused != "", "reload", "kanmon check", "the last reload was refused, and what was before holds: %s", s.ReloadRefused)
	for _, what := range o.d.toDo() {
		about(admin.Problem{ID: "reload", Of: what}, "the last reload is not all: %s", what)
	}
	return all
}

// suspended are the sending IPs that evidence keeps from a provider, or from all. What one MX of a stranger's says is none of it.
func suspended(stand []standing.Standing) (all []admin.Problem) {
	for _, s := range stand {
		name, place := standing.Split(s.Provider)
		if s.State != standing.Suspended && s.State != standing.Probing || place != "" || strings.HasPrefix(name, witness.Strange) || strings.HasPrefix(s.By, standing.ByOperator) {
			continue
		}
		all = append(all, admin.Problem{
			ID: "suspended", Do: "kanmon ip show " + s.IP.String(), IP: s.IP, Provider: strings.TrimPrefix(name, standing.Every),
			What: fmt.Sprintf("sending IP %s is %s at %s: %s", s.IP, s.State, cmp.Or(strings.TrimPrefix(name, standing.Every), "all providers"), s.Reason),
		})
	}
	return all
}

// mostSlow is how many findings by timing are told one by one.
const mostSlow = 20

// slowly are the findings by timing that people have been told of.
func slowly(found []slow.Found) (all []admin.Problem) {
	more := 0
	for i := range found {
		switch f := &found[i]; {
		case !f.Told:
		case len(all) == mostSlow:
			more++
		case !f.Key.IP.IsValid():
			all = append(all, admin.Problem{ID: "slow", Do: "kanmon provider show " + f.Key.Provider, Provider: f.Key.Provider, What: f.Key.Provider + " is slow to answer all sending IPs"})
		default:
			all = append(all, admin.Problem{
				ID: "slow", Do: "kanmon ip show " + f.Key.IP.String(), IP: f.Key.IP, Provider: f.Key.Provider,
				What: fmt.Sprintf("%s is slow to answer sending IP %s", cmp.Or(f.Key.Provider, "an MX of no provider that is known"), f.Key.IP),
			})
		}
	}
	if more > 0 {
		all = append(all, admin.Problem{ID: "slow", Do: "kanmon ip list", Of: "others", What: fmt.Sprintf("%d more times a provider is slow to answer a sending IP", more)})
	}
	return all
}

// standingIPs counts the sending IPs by how they stand anywhere.
func (o *operator) standingIPs() admin.IPCounts {
	o.d.mu.Lock()
	n := admin.IPCounts{Configured: len(o.d.cfg.SendingIPs)}
	o.d.mu.Unlock()
	for _, missing := range o.d.outlets.Absent() {
		if missing.Floating {
			n.Standby++
		} else {
			n.Absent++
		}
	}
	n.CutOff = len(o.cutOff(netip.Addr{}))
	ips := map[standing.State]map[netip.Addr]bool{}
	for _, s := range o.d.book.List() {
		if ips[s.State] == nil {
			ips[s.State] = map[netip.Addr]bool{}
		}
		ips[s.State][s.IP] = true
	}
	n.Suspended, n.Probing, n.Slowed, n.Stopped = len(ips[standing.Suspended]), len(ips[standing.Probing]), len(ips[standing.Slowed]), len(ips[standing.Stopped])
	n.Warming = len(o.warming(netip.Addr{}))
	return n
}

// standingSenders counts the tenants and accounts by how they stand, and gives the tenants that evidence has stopped.
func (o *operator) standingSenders() (n admin.SenderCounts, stopped []string) {
	for _, s := range o.d.policy.List() {
		switch {
		case s.Block != nil:
			n.Blocked++
		case s.Exempt != nil:
			n.Exempt++
		case s.Level == contain.Slow:
			n.Slowed++
		case s.Level == contain.Divert:
			n.Diverted++
		case s.Level == contain.Stop:
			n.Stopped++
			if s.Subject.Account == "" {
				stopped = append(stopped, s.Subject.Tenant)
			}
		}
	}
	return n, stopped
}

// held counts the sessions that are held, by for how long.
func (o *operator) held() (n admin.HeldCounts) {
	now := time.Now()
	for s := range o.d.live.All() {
		if !s.Held() {
			continue
		}
		n.All++
		switch long := now.Sub(s.Start) - s.Since; {
		case long >= heldLong:
			n.Long++
			fallthrough
		case long >= time.Minute:
			n.Minute++
		}
	}
	return n
}

// lately knows what some counts were ten minutes ago: what was lost then is over.
type lately struct {
	mu      sync.Mutex
	minutes []admin.Lately // the oldest first
	refused string         // why the last reload was; "": it was not
}

const latelyMinutes = 10

// note is called each minute with the counts since the start.
func (l *lately) note(now admin.Lately) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.minutes = append(l.minutes, now)
	if len(l.minutes) > latelyMinutes {
		l.minutes = slices.Delete(l.minutes, 0, 1)
	}
}

// since gives what has been added to the counts in these minutes.
func (l *lately) since(now admin.Lately) admin.Lately {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.minutes) > 0 {
		now.Dropped -= l.minutes[0].Dropped
		now.Refused -= l.minutes[0].Refused
	}
	return now
}

// reloaded notes how a reload has ended.
func (l *lately) reloaded(refused error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused = ""; refused != nil {
		l.refused, _, _ = strings.Cut(refused.Error(), "\n")
	}
}

func (l *lately) reloadRefused() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// lost are the counts of what was lost since the start.
func (d *Daemon) lost() admin.Lately {
	return admin.Lately{Dropped: d.files.Dropped(), Refused: d.live.Refused()}
}
