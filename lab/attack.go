package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
)

// An attack is what of the compromised account's mail the MXs saw. A mail is counted when an MX is first asked about its recipient.
type attack struct {
	Mails, Unknown int // of Mails the recipients of Unknown do not exist
	First          time.Duration
	Steps          []step
	seen           []sight // in their order
}

type sight struct {
	at      time.Duration
	unknown bool
}

// A step is when kanmon first treated a mail of the account at a level, or would have.
type step struct {
	Level          string
	Reached        bool
	After          time.Duration // the account's first mail was at an MX
	Mails, Unknown int           // that had been at an MX
}

// see looks for the account's mails in what providers were asked.
func (a *attack) see(providers []*provider, mails []mail) {
	ours := map[string]*mail{}
	for i := range mails {
		ours[mails[i].to] = &mails[i]
	}
	first := map[string]time.Duration{}
	for _, p := range providers {
		for _, q := range p.questions() {
			if at, again := first[q.to]; ours[q.to] != nil && (!again || q.at < at) {
				first[q.to] = q.at
			}
		}
	}
	for to, at := range first {
		a.seen = append(a.seen, sight{at: at, unknown: !ours[to].exists()})
	}
	slices.SortFunc(a.seen, func(x, y sight) int { return cmp.Compare(x.at, y.at) })
	if a.Mails, a.Unknown = a.before(time.Hour); a.Mails > 0 {
		a.First = a.seen[0].at
	}
}

// before counts what the MXs had seen at a time.
func (a *attack) before(at time.Duration) (mails, unknown int) {
	for _, s := range a.seen {
		if s.at >= at {
			break
		}
		mails++
		if s.unknown {
			unknown++
		}
	}
	return mails, unknown
}

// mark counts what the MXs had seen when each level was first acted upon.
func (a *attack) mark(first map[string]time.Duration) {
	for _, level := range []string{admin.LevelSlow, admin.LevelDivert, admin.LevelStop} {
		s := step{Level: level}
		var at time.Duration
		if at, s.Reached = first[level]; s.Reached {
			s.After = at - a.First
			s.Mails, s.Unknown = a.before(at)
		}
		a.Steps = append(a.Steps, s)
	}
}

// times gives when mails were first seen.
func (a *attack) times() (at []time.Duration) {
	for _, s := range a.seen {
		at = append(at, s.at)
	}
	return at
}

func (p *provider) questions() []question {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// A listing is that of a sending IP by a provider.
type listing struct {
	Provider string
	IP       netip.Addr
	At       time.Duration
	Refused  int // RCPTs since
}

// listings gives them in any order.
func (p *provider) listings() (all []listing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ip, at := range p.listed {
		l := listing{Provider: p.name, IP: ip, At: at}
		for _, q := range p.asked {
			if q.client == ip && q.answer == listedNow {
				l.Refused++
			}
		}
		all = append(all, l)
	}
	return all
}

// An experience is what senders noticed who did nothing bad.
type experience struct {
	Mails        audit
	Unknown      int    // mails to recipients that do not exist
	Refused      int    // other mails that came back, or were about to
	Deferred     int    // other mails that their MSA put off
	Before, Then delays // of mails to recipients that exist, due between the start and the break-in, and from that on
}

// experienceOf finds what became of the mails of a kind. Deferred are those that were found put off.
func (l *ledger) experienceOf(k kind, found, deferred queued, breakIn time.Duration) experience {
	e := experience{Mails: l.audit(ofKind(k), found)}
	var before, then []mail
	for _, m := range l.selected(ofKind(k)) {
		switch {
		case !m.exists():
			e.Unknown++
			continue
		case len(m.returned) > 0 || found.notices[m.id]:
			e.Refused++
		case len(m.arrivals) == 0 && deferred.mails[m.id]:
			e.Deferred++
		}
		switch {
		case m.due >= breakIn:
			then = append(then, m)
		case m.due >= 0:
			before = append(before, m)
		}
	}
	e.Before, e.Then = delaysOf(before, l.now()), delaysOf(then, l.now())
	return e
}

// Decisions are what kanmon's records say that it did about senders.
type decisions struct {
	first  map[string]time.Duration // acts of containment upon the compromised account, by the level: the first one
	acts   map[string]int           // all of them, by the word in the records
	others int                      // upon all other accounts
}

func readDecisions(records string, start time.Time) (d decisions, err error) {
	d.first, d.acts = map[string]time.Duration{}, map[string]int{}
	for record, err := range event.NewReader(strings.NewReader(records)).All() {
		if err != nil {
			return d, fmt.Errorf("kanmon's records: %w", err)
		}
		if record.Type != "decision" {
			continue
		}
		n := max(1, record.Count)
		if record.Account != compromisedAddress {
			d.others += n
			continue
		}
		d.acts[record.Action] += n
		level, ofContainment := strings.CutPrefix(record.Rule, "containment: ")
		if at, again := d.first[level]; ofContainment && (!again || record.Time.Sub(start) < at) {
			d.first[level] = record.Time.Sub(start)
		}
	}
	return d, nil
}
