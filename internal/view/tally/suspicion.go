package tally

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Suspicions says how suspicion has stood the test: what came of mails, by how much had spoken against them before.
type Suspicions struct {
	From    time.Time        `json:"from"`
	To      time.Time        `json:"to"`
	Tenths  [10]SuspectTenth `json:"tenths"` // of the score: from 0 to below 0.1, …, from 0.9 to 1
	Grounds []SuspectGround  `json:"grounds"`
	Without int64            `json:"without"` // mails that nobody had asked about
	Cut     bool             `json:"cut"`     // there were more than are read: the oldest are left out
}

// A SuspectTenth is the mails of one tenth.
type SuspectTenth struct {
	Least   float64 `json:"least"`
	Tenants int     `json:"tenants"` // that they are of
	Later
}

// A SuspectGround is the mails that one ground spoke against, alone or with others.
type SuspectGround struct {
	Ground string `json:"ground"`
	Later
}

// Later is how many of some mails were bad, as far as that showed later.
type Later struct {
	Mails     int64   `json:"mails"`
	Refused   int64   `json:"refused"`   // by an MX, for what is in them
	Contained int64   `json:"contained"` // for outcomes, their account, within a day behind the mail
	Bad       int64   `json:"bad"`       // one or the other
	Low       float64 `json:"low"`       // the share of bad ones is between these, with 95 % confidence (Wilson 1927)
	High      float64 `json:"high"`
}

const (
	mostSuspected = 2_000_000 // attempts that are read
	badWithin     = 24 * time.Hour
)

// OfSuspicion adds up mails that have come to an end, each with its last attempt's suspicion.
func OfSuspicion(ctx context.Context, store history.Store, of Subject, from, to time.Time) (*Suspicions, error) {
	s := &Suspicions{From: from, To: to}
	contained, err := containedAt(ctx, store, of, from, to.Add(badWithin))
	if err != nil {
		return nil, err
	}
	var tenants [10]map[string]bool
	for i := range s.Tenths {
		s.Tenths[i].Least, tenants[i] = float64(i)/10, map[string]bool{}
	}
	grounds := map[string]*Later{}
	read := 0
	for page := (history.Page{}); ; {
		all, next, err := store.Attempts(ctx, of.Filter(from, to), page)
		if err != nil {
			return nil, err
		}
		for i := range all {
			a := &all[i]
			switch {
			case !isOver(a.Outcome):
				continue
			case a.Suspicion == nil:
				s.Without++
				continue
			}
			refused, later := isContent(a), contained.within(a)
			tenth := min(9, max(0, int(a.Suspicion.Score*10+1e-9)))
			s.Tenths[tenth].count(refused, later)
			tenants[tenth][a.Tenant] = true
			for _, p := range a.Suspicion.Parts {
				if grounds[p.Ground] == nil {
					grounds[p.Ground] = &Later{}
				}
				grounds[p.Ground].count(refused, later)
			}
		}
		read += len(all)
		if page.After = next; next == "" {
			break
		}
		if read >= mostSuspected {
			s.Cut = true
			break
		}
	}
	for i := range s.Tenths {
		s.Tenths[i].Tenants = len(tenants[i])
		s.Tenths[i].bound()
	}
	for ground, l := range grounds {
		l.bound()
		s.Grounds = append(s.Grounds, SuspectGround{ground, *l})
	}
	slices.SortFunc(s.Grounds, func(a, b SuspectGround) int {
		return cmp.Or(cmp.Compare(b.Mails, a.Mails), cmp.Compare(a.Ground, b.Ground))
	})
	return s, nil
}

// isOver reports whether an attempt is a mail's last: what was put off, or given up by its MSA, comes again.
func isOver(outcome string) bool {
	switch outcome {
	case event.OutcomeDelivered.String(), event.OutcomeRefused.String(), event.OutcomeAmbiguous.String(), event.OutcomeOrphanAck.String():
		return true
	}
	return false
}

// isContent reports whether the MX has refused a mail for what is in it. What kanmon itself has said is no evidence.
func isContent(a *history.Attempt) bool {
	return a.Reply.Code >= 400 && !a.Reply.Local && a.Reply.Class == event.ContentRejected.String()
}

// containments are when accounts were contained for outcomes.
type containments map[[2]string][]time.Time

func containedAt(ctx context.Context, store history.Store, of Subject, from, to time.Time) (containments, error) {
	all := containments{}
	entries, err := events(ctx, store, of.events(from, to, "changed"))
	if err != nil {
		return nil, err
	}
	for i := range entries {
		e := &entries[i]
		if e.Account != "" && e.By == "evidence" && e.Rule != "volume" && e.State != "normal" {
			key := [2]string{e.Tenant, e.Account}
			all[key] = append(all[key], e.At)
		}
	}
	return all, nil
}

// within reports whether its account was contained within a day behind a mail.
func (c containments) within(a *history.Attempt) bool {
	return slices.ContainsFunc(c[[2]string{a.Tenant, a.Account}], func(at time.Time) bool {
		return !at.Before(a.Start) && at.Sub(a.Start) <= badWithin
	})
}

func (l *Later) count(refused, contained bool) {
	l.Mails++
	if refused {
		l.Refused++
	}
	if contained {
		l.Contained++
	}
	if refused || contained {
		l.Bad++
	}
}

// bound says between what the share of bad ones is.
func (l *Later) bound() {
	if l.Mails == 0 {
		return
	}
	const z = 1.96
	n, z2 := float64(l.Mails), z*z
	p := float64(l.Bad) / n
	middle, half := (p+z2/(2*n))/(1+z2/n), z*math.Sqrt(p*(1-p)/n+z2/(4*n*n))/(1+z2/n)
	l.Low, l.High = max(0, middle-half), min(1, middle+half)
}
