package tally

import (
	"cmp"
	"context"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Stand is how a gateway stood at a time, as far as lines before it tell: what has changed last still held. What nobody has told is not in it: what stood
// before the first line that is kept, and who waited for what in that moment.
type Stand struct {
	At       time.Time
	From     time.Time     // lines since then were looked through
	Steps    []event.Entry // the last of each gateway
	IPs      []event.Entry // of each sending IP and provider where it was not plainly active
	Senders  []event.Entry // of each tenant and account that was not treated as others are: a change of its level, or an order
	Findings []event.Entry // that had begun and not ended
	Sessions int           // that ran
	Counted  time.Time     // when they were counted; the zero Time: nobody has told
}

// lookedBack is how far back a Stand looks: what has not changed for so long is mostly in order.
const lookedBack = 60 * day

// StandAt says how a gateway stood at a time.
func StandAt(ctx context.Context, store history.Store, gateway string, at time.Time) (*Stand, error) {
	s := &Stand{At: at, From: at.Add(-lookedBack)}
	of := history.EventsOf{From: s.From, To: at, Gateway: gateway, Types: []string{"gateway", "changed", "order", "finding"}}
	all, err := events(ctx, store, of)
	if err != nil {
		return nil, err
	}
	if len(all) >= mostEvents {
		s.From = all[len(all)-1].At
	}
	known := map[[5]string]bool{} // each gateway judges by itself
	for i := range all {          // the newest first
		e := &all[i]
		who := [5]string{"sender", e.Gateway, e.Tenant, e.Account}
		switch {
		case e.Type == "gateway":
			who = [5]string{"gateway", e.Gateway}
		case e.Type == "finding":
			who = [5]string{"finding", e.Gateway, ipText(e), e.Provider, e.Phase}
		case e.SendingIP.IsValid():
			who = [5]string{"ip", e.Gateway, ipText(e), e.Provider}
		}
		if known[who] || e.Type == "order" && !ofState[e.Action] || e.Type == "changed" && e.Would {
			continue
		}
		known[who] = true
		s.note(who[0], e)
	}
	slices.SortStableFunc(s.IPs, func(a, b event.Entry) int {
		return cmp.Or(a.SendingIP.Compare(b.SendingIP), cmp.Compare(a.Provider, b.Provider))
	})
	return s, s.sessions(ctx, store, gateway)
}

// ofState are orders after which somebody is treated otherwise than before.
var ofState = map[string]bool{"block": true, "unblock": true, "exempt": true, "unexempt": true, "suspend": true, "resume": true}

func ipText(e *event.Entry) string {
	if !e.SendingIP.IsValid() {
		return ""
	}
	return e.SendingIP.String()
}

func (s *Stand) note(of string, e *event.Entry) {
	over := !e.Until.IsZero() && e.Until.Before(s.At)
	switch of {
	case "gateway":
		s.Steps = append(s.Steps, *e)
	case "finding":
		if e.Action != "cleared" {
			s.Findings = append(s.Findings, *e)
		}
	case "ip":
		if state := StateOf(e); state != "active" && state != "" && !over {
			s.IPs = append(s.IPs, *e)
		}
	case "sender":
		if state := StateOf(e); e.Tenant != "" && state != "normal" && state != "" {
			s.Senders = append(s.Senders, *e)
		}
	}
}

// StateOf is the state that a change, or an order, has led to.
func StateOf(e *event.Entry) string {
	switch {
	case e.Type != "order":
		return e.State
	case e.Action == "suspend":
		return "stopped"
	case e.Action == "resume":
		return "active"
	}
	return e.After
}

// sessions is what the last heartbeat of each gateway before has told; they were counted when the one that lies furthest back was.
func (s *Stand) sessions(ctx context.Context, store history.Store, gateway string) error {
	const usual = 3 * time.Minute // one comes each minute
	beats, _, err := store.Events(ctx, history.EventsOf{From: s.At.Add(-usual), To: s.At, Gateway: gateway, Types: []string{"heartbeat"}}, history.Page{})
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for i := range beats { // the newest first
		e := &beats[i]
		if known[e.Gateway] {
			continue
		}
		known[e.Gateway] = true
		s.Sessions, s.Counted = s.Sessions+e.Sessions, e.At
	}
	return nil
}

// mostUnderWay bounds how many attempts are looked at for those that were under way.
const mostUnderWay = 10 * history.MaxPage

// endsWithin is how soon an attempt has ended that was under way: phases last fifteen minutes at most, and few attempts have more than one such.
const endsWithin = 30 * time.Minute

// UnderWay gives the attempts that had begun at a time and not ended, the longest first. Of more than can be looked at, those are left out that ended last:
// until says so, and is when the last one ended that was looked at.
func UnderWay(ctx context.Context, store history.Store, of history.Filter, at time.Time) (all []history.Attempt, until time.Time, err error) {
	seen := 0
	for from, step := at, time.Minute; from.Before(at.Add(endsWithin)); from, step = from.Add(step), 2*step {
		of.From, of.To = from, from.Add(step)
		for page := (history.Page{}); ; {
			some, next, err := store.Attempts(ctx, of, page)
			if err != nil {
				return nil, until, err
			}
			for i := range some {
				if !some[i].Start.After(at) {
					all = append(all, some[i])
				}
			}
			seen += len(some)
			if page.After = next; next == "" || seen >= mostUnderWay {
				break
			}
		}
		if until = of.To; seen >= mostUnderWay {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b history.Attempt) int { return a.Start.Compare(b.Start) })
	return all, until, nil
}
