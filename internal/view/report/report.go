package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// Options say what is reported.
type Options struct {
	Tenant   string
	From, To time.Time // From ≤ t < To, both at a full hour of In
	In       *time.Location
	Clear    bool      // addresses stand in the records as they were
	Now      time.Time // when it is made
}

// A Report is what has become of a tenant's mail.
type Report struct {
	Tenant string    `json:"tenant"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Made   time.Time `json:"made"`
	Zone   string    `json:"zone"`                    // of its beginning: days are those of its place
	Early  int       `json:"early_minutes,omitempty"` // days begin, and end, so much sooner than there: history counts by hours of UTC

	Total     Sums       `json:"total"`
	Before    *Sums      `json:"before,omitempty"` // of a time as long, or the month before; nil: nothing is kept of it
	Since     time.Time  `json:"before_from,omitzero"`
	Days      []Day      `json:"days"`
	Providers []Provider `json:"destinations"`
	Waits     Waits      `json:"waits"`
	Refusals  []Refusal  `json:"refusals"`
	Replies   []Reply    `json:"replies"`
	Accounts  []Account  `json:"accounts"`
	Missing   Missing    `json:"missing_recipients"`
	Limits    []Limit    `json:"limits"`
	LimitsCut bool       `json:"limits_cut,omitempty"` // not all decisions were looked at
	Deeds     []Deed     `json:"measures"`
	DeedsCut  bool       `json:"measures_cut,omitempty"`
	Gaps      Gaps       `json:"gaps"`
}

// Sums are attempts, added up.
type Sums struct {
	Mails      int64 `json:"mails"` // of which no attempt was known before
	First      int64 `json:"delivered_first"`
	Attempts   int64 `json:"attempts"`
	Delivered  int64 `json:"delivered"` // attempts, as the rest
	Deferred   int64 `json:"deferred"`
	Refused    int64 `json:"refused"`
	Unclear    int64 `json:"unclear"` // the receiver may have it
	Other      int64 `json:"given_back"`
	Recipients int64 `json:"recipients"`
	Octets     int64 `json:"octets"`
	Rescued    int64 `json:"rescued"`
	TLS        int64 `json:"tls"`
}

func (s *Sums) add(c *history.Count) {
	s.Mails += c.First
	s.Attempts += c.Attempts
	s.Recipients += c.Recipients
	s.Octets += c.Octets
	s.Rescued += c.Rescued
	s.TLS += c.TLS
	switch c.Outcome {
	case event.OutcomeDelivered.String(), event.OutcomeOrphanAck.String():
		s.Delivered += c.Attempts
		s.First += c.First
	case event.OutcomeDeferred.String():
		s.Deferred += c.Attempts
	case event.OutcomeRefused.String():
		s.Refused += c.Attempts
	case event.OutcomeAmbiguous.String():
		s.Unclear += c.Attempts
	default:
		s.Other += c.Attempts
	}
}

// A Day is a calendar day.
type Day struct {
	Date string `json:"date"`
	Sums
}

// A Provider is a destination.
type Provider struct {
	Name string `json:"name"`
	Sums
}

// A Refusal is what refusals mean, and how many attempts they decided.
type Refusal struct {
	Class    string `json:"class"`
	Deferred int64  `json:"deferred"`
	Refused  int64  `json:"refused"`
}

// A Reply is what receivers have said in like words.
type Reply struct {
	Class     string   `json:"class"`
	Count     int64    `json:"count"`
	Text      string   `json:"text"` // one of them
	Providers []string `json:"destinations"`
}

// An Account is one of the tenant's.
type Account struct {
	Name string `json:"name"`
	Sums
}

// ErrSpan is seen where a time cannot be reported.
var ErrSpan = errors.New("a report is about a time from one full hour to another")

// Make gathers a report.
func Make(ctx context.Context, s history.Store, o Options) (*Report, error) {
	o.From, o.To = o.From.In(o.In), o.To.In(o.In)
	if o.Tenant == "" || !o.From.Before(o.To) || !fullHour(o.From) || !fullHour(o.To) {
		return nil, fmt.Errorf("%w: from %s to %s", ErrSpan, o.From.Format(time.RFC3339), o.To.Format(time.RFC3339))
	}
	// Days of a time zone of half hours begin within an hour of UTC, which is counted as a whole: each of these hours is of the day in which it ends.
	// So days do not overlap, none is left out, and neither are months.
	days := [2]time.Time{o.From, o.To}
	o.From, o.To = o.From.Truncate(time.Hour), o.To.Truncate(time.Hour)
	r := &Report{
		Tenant: o.Tenant, From: o.From, To: o.To, Made: o.Now.In(o.In).Truncate(time.Second), Zone: zoneOf(o.From),
		Early: int(max(days[0].Sub(o.From), days[1].Sub(o.To)) / time.Minute),
	}
	g := &gathering{Report: r, Options: o, store: s, of: history.Filter{Tenant: o.Tenant, From: o.From, To: o.To}, asked: days}
	for _, gather := range []func(context.Context) error{
		g.kept, g.days, g.before, g.providers, g.accounts, g.refusals, g.replies, g.waits, g.missing, g.measures, g.gaps,
	} {
		if err := gather(ctx); err != nil {
			return nil, fmt.Errorf("report about %s: %w", o.Tenant, err)
		}
	}
	return r, nil
}

func fullHour(at time.Time) bool { return at.Minute() == 0 && at.Second() == 0 && at.Nanosecond() == 0 }

// zoneOf names the time zone of a time, as people there do.
func zoneOf(at time.Time) string {
	name, _ := at.Zone()
	return name
}

// A gathering fills in a report.
type gathering struct {
	*Report
	Options
	store  history.Store
	of     history.Filter
	asked  [2]time.Time // where the days that were asked for begin and end
	status history.Status
}

func (g *gathering) kept(ctx context.Context) (err error) {
	g.status, err = g.store.Status(ctx)
	return err
}

func (g *gathering) counts(ctx context.Context, from, to time.Time, step time.Duration, by ...string) ([]history.Count, error) {
	of := g.of
	of.From, of.To = from, to
	return g.store.Counts(ctx, history.CountsOf{Filter: of, Step: step, By: append(by, history.ByOutcome)})
}

// days are those of a calendar, which begin at other hours where the clocks change: so they are added up of hours.
func (g *gathering) days(ctx context.Context) error {
	hours, err := g.counts(ctx, g.Options.From, g.Options.To, time.Hour)
	if err != nil {
		return err
	}
	for day := g.asked[0]; day.Before(g.asked[1]); day = time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, g.In) {
		g.Days = append(g.Days, Day{Date: day.Format(time.DateOnly)})
	}
	for i := range hours {
		g.Total.add(&hours[i])
		date := hours[i].Begin.Add(time.Hour - 1).In(g.In).Format(time.DateOnly)
		if at := slices.IndexFunc(g.Days, func(d Day) bool { return d.Date == date }); at >= 0 {
			g.Days[at].add(&hours[i])
		}
	}
	return nil
}

// before compares with the month before, or with a time as long.
func (g *gathering) before(ctx context.Context) error {
	from := g.asked[0].Add(-g.asked[1].Sub(g.asked[0]))
	if g.asked[0].AddDate(0, 1, 0).Equal(g.asked[1]) {
		from = g.asked[0].AddDate(0, -1, 0)
	}
	if first := g.status.Counts[0]; first.IsZero() || first.After(from) {
		return nil
	}
	all, err := g.counts(ctx, from.Truncate(time.Hour), g.Options.From, 0)
	if err != nil {
		return err
	}
	g.Before, g.Since = &Sums{}, from
	for i := range all {
		g.Before.add(&all[i])
	}
	return nil
}

func (g *gathering) providers(ctx context.Context) error {
	all, err := g.counts(ctx, g.Options.From, g.Options.To, 0, history.ByProvider)
	for i := range all {
		at := slices.IndexFunc(g.Providers, func(p Provider) bool { return p.Name == all[i].Provider })
		if at < 0 {
			at, g.Providers = len(g.Providers), append(g.Providers, Provider{Name: all[i].Provider})
		}
		g.Providers[at].add(&all[i])
	}
	slices.SortFunc(g.Providers, func(a, b Provider) int {
		return cmp.Or(cmp.Compare(b.Attempts, a.Attempts), cmp.Compare(a.Name, b.Name))
	})
	return err
}

// mostAccounts is how many accounts are named.
const mostAccounts = 20

// accounts are those with most refusals. They are counted by whole days, in UTC.
func (g *gathering) accounts(ctx context.Context) error {
	all, err := g.counts(ctx, g.Options.From, g.Options.To, 0, history.ByAccount)
	var found []Account
	known := map[string]int{} // a tenant may have thousands
	for i := range all {
		at, is := known[all[i].Account]
		if !is {
			at, found = len(found), append(found, Account{Name: all[i].Account})
			known[all[i].Account] = at
		}
		found[at].add(&all[i])
	}
	found = slices.DeleteFunc(found, func(a Account) bool { return a.Refused+a.Deferred == 0 })
	slices.SortFunc(found, func(a, b Account) int {
		return cmp.Or(cmp.Compare(b.Refused, a.Refused), cmp.Compare(b.Deferred, a.Deferred), cmp.Compare(a.Name, b.Name))
	})
	g.Accounts = found[:min(len(found), mostAccounts)]
	return err
}

func (g *gathering) refusals(ctx context.Context) error {
	all, err := g.counts(ctx, g.Options.From, g.Options.To, 0, history.ByClass)
	for i := range all {
		c := &all[i]
		if c.Class == "" || c.Class == event.NoRefusal.String() {
			continue
		}
		at := slices.IndexFunc(g.Refusals, func(r Refusal) bool { return r.Class == c.Class })
		if at < 0 {
			at, g.Refusals = len(g.Refusals), append(g.Refusals, Refusal{Class: c.Class})
		}
		switch c.Outcome {
		case event.OutcomeRefused.String():
			g.Refusals[at].Refused += c.Attempts
		default:
			g.Refusals[at].Deferred += c.Attempts
		}
	}
	slices.SortFunc(g.Refusals, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(b.Refused+b.Deferred, a.Refused+a.Deferred), cmp.Compare(a.Class, b.Class))
	})
	return err
}

// mostReplies is how many replies are quoted.
const mostReplies = 20

func (g *gathering) replies(ctx context.Context) error {
	all, _, err := g.store.Shapes(ctx, g.of, history.Page{Limit: mostReplies})
	for i := range all {
		g.Replies = append(g.Replies, Reply{Class: all[i].Class, Count: all[i].Count, Text: withoutOurs(all[i].Text, all[i].SendingIPs), Providers: all[i].Providers})
	}
	return err
}
