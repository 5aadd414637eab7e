package daemon

import (
	"slices"
	"sync"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
)

// Top implements [admin.Process].
func (o *operator) Top(q admin.SessionQuery) (admin.Top, error) {
	groups := [3]map[string]*admin.TopGroup{{}, {}, {}}
	sessions, err := o.eachSession(q, func(s *admin.Session) {
		ip := ""
		if s.SendingIP.IsValid() {
			ip = s.SendingIP.String()
		}
		for i, name := range [...]string{s.Provider, ip, s.Tenant} {
			of := groups[i][name]
			if of == nil {
				of = &admin.TopGroup{Name: name}
				groups[i][name] = of
			}
			if of.Sessions++; s.Held {
				of.Held++
				of.Longest = max(of.Longest, s.For)
			}
		}
	})
	if err != nil {
		return admin.Top{}, err
	}
	top := admin.Top{At: time.Now(), Status: o.Status(), Sessions: sessions, Providers: inOrder(groups[0]), SendingIPs: inOrder(groups[1]), Tenants: inOrder(groups[2])}
	top.Flow, top.Refusals = o.d.look.at(o.d.stream)
	top.News = o.d.look.newsSince(&q)
	return top, nil
}

func inOrder(groups map[string]*admin.TopGroup) []admin.TopGroup {
	all := make([]admin.TopGroup, 0, len(groups))
	for _, g := range groups {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b admin.TopGroup) int { return a.Before(&b) })
	return all[:min(len(all), admin.TopGroups)]
}

// A look counts what becomes of mail for as long as somebody looks: nobody pays for it else.
type look struct {
	mu       sync.Mutex
	asked    time.Time
	leave    func() // nil: nobody looks
	flow     admin.Flow
	refusals map[refusedAs]*admin.TopRefusal
	news     []admin.TopNews // the oldest first
}

// refusedAs are refusals that are told of together.
type refusedAs struct {
	provider string
	class    event.Class
	rule     string
	local    bool // kanmon said so itself
}

const (
	lookFor      = time.Minute // behind the last question
	mostRefusals = 256         // that are told apart: those of rules and providers that are known by name, mostly
)

// at gives what has been counted, and begins with it if nobody has looked.
func (l *look) at(stream *event.Stream) (admin.Flow, []admin.TopRefusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = time.Now()
	if l.leave == nil {
		l.flow, l.refusals = admin.Flow{Since: l.asked}, map[refusedAs]*admin.TopRefusal{}
		l.leave = stream.Subscribe("look", l.hear)
		time.AfterFunc(lookFor, l.looksStill)
	}
	all := make([]admin.TopRefusal, 0, len(l.refusals))
	for _, r := range l.refusals {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b admin.TopRefusal) int { return b.Last.Compare(a.Last) })
	return l.flow, all[:min(len(all), admin.TopGroups)]
}

// looksStill ends the look if nobody has asked for long.
func (l *look) looksStill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := lookFor - time.Since(l.asked); left > 0 {
		time.AfterFunc(left, l.looksStill)
		return
	}
	if l.leave != nil {
		l.leave()
		l.leave, l.refusals, l.news = nil, nil, nil
	}
}

func (l *look) hear(f *event.Facts) {
	if f.Transaction == nil && f.End == nil && f.News == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusals == nil {
		return // it has just ended
	}
	if f.News != nil {
		l.told(f.News)
	}
	if t := f.Transaction; t != nil {
		l.flow.Mails++
		l.flow.Delivered += uint64(f.Results[event.FateDelivered]) //nolint:gosec // a count
		l.flow.Deferred += uint64(f.Results[event.FateDeferred])   //nolint:gosec // a count
		l.flow.Refused += uint64(f.Results[event.FateRefused])     //nolint:gosec // a count
		l.flow.Other += uint64(f.Results[event.FateNotSent] + f.Results[event.FateUnknown])
		if len(f.Recipients) == 0 { // its sender was refused, and it has named nobody
			switch t.Mail.Code / 100 {
			case 4:
				l.flow.Deferred++
			case 5:
				l.flow.Refused++
			}
		}
		for _, r := range [...]*event.Reply{&t.Mail, &t.Data, &t.Dot} {
			l.refused(f, r, t.Meaning(r))
		}
		for i := range f.Recipients {
			l.refused(f, &f.Recipients[i].Reply, t.Meaning(&f.Recipients[i].Reply))
		}
	}
	if f.End != nil {
		for i := range f.End.Opening {
			var means event.Meaning
			if of := f.End.Opening[i].Meaning; of != nil {
				means = *of
			}
			l.refused(f, &f.End.Opening[i].Reply, means)
		}
	}
}

func (l *look) refused(f *event.Facts, r *event.Reply, means event.Meaning) {
	if r.Code < 400 {
		return
	}
	as := refusedAs{class: means.Class, rule: means.Rule, local: r.Local}
	if f.Session.Way != nil {
		as.provider = f.Session.Way.Provider
	}
	seen := l.refusals[as]
	if seen == nil {
		if len(l.refusals) >= mostRefusals {
			return
		}
		seen = &admin.TopRefusal{Provider: as.provider, Class: as.class.String(), Rule: as.rule}
		if as.local {
			seen.Class = admin.ClassOwn
		}
		l.refusals[as] = seen
	}
	seen.Count++
	seen.Code, seen.Tenant, seen.SendingIP, seen.Last = r.Code, f.Tenant, leftFrom(f.Session), time.Now()
}
