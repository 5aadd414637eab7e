package report

import (
	"cmp"
	"context"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// Bounds of what is looked at one by one.
const (
	mostMails     = 40 * history.MaxPage
	mostAttempts  = 10 * history.MaxPage
	mostMissing   = 500
	mostMeasures  = 200
	mostDecisions = 40 * history.MaxPage
)

// Waits are mails that were not delivered at once.
type Waits struct {
	Delivered int       `json:"delivered"` // later
	P50       float64   `json:"p50_s,omitempty"`
	P95       float64   `json:"p95_s,omitempty"`
	Waiting   int       `json:"waiting"` // when the report was made
	GivenUp   int       `json:"given_up"`
	Refused   int       `json:"refused"` // for good, at last
	Cut       bool      `json:"cut,omitempty"`
	From      time.Time `json:"known_from,omitzero"` // attempts are kept from then on; the zero Time: of all of it
}

// notYet are the outcomes after which an MSA tries again.
var notYet = []string{event.OutcomeDeferred.String(), event.OutcomeAmbiguous.String(), event.OutcomeWithheld.String(), event.OutcomeAborted.String(), event.OutcomeReset.String()}

func (g *gathering) waits(ctx context.Context) error {
	of := g.of
	of.Outcomes = notYet
	g.Waits.From = g.detailFrom()
	var took []float64
	seen := 0
	err := pages(func(page history.Page) (history.Next, error) {
		mails, next, err := g.store.Mails(ctx, of, page)
		for i := range mails {
			if m := &mails[i]; g.own(m) {
				took = g.waited(m, took)
			}
		}
		if seen += len(mails); seen >= mostMails && next != "" {
			g.Waits.Cut, next = true, ""
		}
		return next, err
	})
	slices.Sort(took)
	g.Waits.Delivered, g.Waits.P50, g.Waits.P95 = len(took), quantile(took, .5), quantile(took, .95)
	return err
}

// waited notes what has become of a mail that was not delivered at once.
func (g *gathering) waited(m *history.Mail, took []float64) []float64 {
	last := &m.Attempts[len(m.Attempts)-1]
	state := history.StateOf(m.Attempts, g.Now)
	if state == history.Partly { // what became of the rest
		switch {
		case !history.Waited(m.Attempts):
			state = history.Refused
		case g.Now.Sub(last.At) > history.Keeps:
			state = history.GivenUp
		}
	}
	switch state {
	case history.Delivered:
		if last.At.Before(g.Options.To) {
			begun := m.First
			if r := m.Attempts[0].Received; !r.IsZero() && r.Before(begun) {
				begun = r
			}
			took = append(took, max(0, last.At.Sub(begun).Seconds()))
		}
	case history.Waits, history.Partly:
		g.Waits.Waiting++
	case history.GivenUp:
		g.Waits.GivenUp++
	case history.Refused:
		g.Waits.Refused++
	}
	return took
}

// own reports whether all of a mail is the tenant's.
func (g *gathering) own(m *history.Mail) bool {
	return len(m.Attempts) > 0 && !slices.ContainsFunc(m.Attempts, func(a history.Attempt) bool { return a.Tenant != g.Options.Tenant })
}

// detailFrom is from when on single attempts that were not delivered are kept, where that is later than the report begins.
func (g *gathering) detailFrom() time.Time {
	first := g.status.Trouble[0]
	if d := g.status.Detail[0]; first.IsZero() || !d.IsZero() && d.Before(first) {
		first = d
	}
	if first.After(g.Options.From) && first.After(g.status.Counts[0]) {
		return first
	}
	return time.Time{}
}

// quantile of sorted numbers.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// pages asks for page after page.
func pages(ask func(history.Page) (history.Next, error)) error {
	page := history.Page{Limit: history.MaxPage}
	for {
		next, err := ask(page)
		if err != nil || next == "" {
			return err
		}
		page.After = next
	}
}

// Missing are recipients that do not exist.
type Missing struct {
	Hidden    bool        `json:"hidden,omitempty"` // addresses are not kept as they were
	Addresses []Recipient `json:"addresses"`
	More      int         `json:"more,omitempty"`
	Cut       bool        `json:"cut,omitempty"` // not all attempts were looked at
}

// A Recipient is one that does not exist.
type Recipient struct {
	Address string    `json:"address"`
	Times   int       `json:"times"`
	Last    time.Time `json:"last"`
}

func (g *gathering) missing(ctx context.Context) error {
	if g.Missing.Hidden = !g.Clear; g.Missing.Hidden {
		return nil
	}
	of := g.of
	of.Class = event.RecipientInvalid.String()
	found := map[string]*Recipient{}
	seen := 0
	err := pages(func(page history.Page) (history.Next, error) {
		attempts, next, err := g.store.Attempts(ctx, of, page)
		for i := range attempts {
			if attempts[i].Tenant == g.Options.Tenant {
				if err := g.missed(ctx, &attempts[i], found); err != nil {
					return "", err
				}
			}
		}
		if seen += len(attempts); seen >= mostAttempts && next != "" {
			g.Missing.Cut, next = true, ""
		}
		return next, err
	})
	for _, r := range found {
		g.Missing.Addresses = append(g.Missing.Addresses, *r)
	}
	slices.SortFunc(g.Missing.Addresses, func(a, b Recipient) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Address, b.Address))
	})
	if n := len(g.Missing.Addresses); n > mostMissing {
		g.Missing.Addresses, g.Missing.More = g.Missing.Addresses[:mostMissing], n-mostMissing
	}
	return err
}

// missed notes the recipients of an attempt that were refused as unknown.
func (g *gathering) missed(ctx context.Context, a *history.Attempt, found map[string]*Recipient) error {
	_, e, err := g.store.Attempt(ctx, a.Key)
	if err != nil {
		return err
	}
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if r.Reply.Class != event.RecipientInvalid.String() {
			continue
		}
		was := found[r.Address]
		if was == nil {
			was = &Recipient{Address: r.Address}
			found[r.Address] = was
		}
		if was.Times++; a.At.After(was.Last) {
			was.Last = a.At
		}
	}
	return nil
}

// A Limit is how often a rule of this gateway has acted.
type Limit struct {
	Rule   string `json:"rule"`
	Action string `json:"action"`
	Count  int64  `json:"count"`
}

// A Deed is what this gateway, or its operators, have decided for the mail to come.
type Deed struct {
	At      time.Time `json:"at"`
	Account string    `json:"account,omitempty"` // "": the whole tenant
	Did     string    `json:"did"`               // state or order
	Would   bool      `json:"only_observed,omitempty"`
	Why     string    `json:"why,omitempty"`
}

// Gaps are what is not known of the time.
type Gaps struct {
	Nothing  bool        `json:"nothing_kept,omitempty"`
	From     time.Time   `json:"kept_from,omitzero"`   // nothing is kept of before
	Until    time.Time   `json:"known_until,omitzero"` // records reach so far
	Lost     uint64      `json:"lost"`                 // records of the tenant's
	Anybodys uint64      `json:"lost_of_unknown"`      // and of nobody knows whom
	Killed   []time.Time `json:"killed,omitempty"`     // the gateway was killed before it began again then: what it did last may be missing
}

// measures are limits that were reached, containment and orders.
func (g *gathering) measures(ctx context.Context) error {
	limits, seen := map[[2]string]int64{}, 0
	err := g.events(ctx, []string{"decision"}, g.Options.Tenant, func(e *event.Entry) bool {
		limits[[2]string{e.Rule, e.Action}] += int64(max(1, e.Count))
		seen++
		g.LimitsCut = seen > mostDecisions
		return !g.LimitsCut
	})
	for at, n := range limits {
		g.Limits = append(g.Limits, Limit{at[0], at[1], n})
	}
	slices.SortFunc(g.Limits, func(a, b Limit) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Action, b.Action))
	})
	if err != nil {
		return err
	}
	return g.events(ctx, []string{"changed", "order"}, g.Options.Tenant, func(e *event.Entry) bool {
		if e.SendingIP.IsValid() { // how the gateway's addresses stand is nobody's business
			return true
		}
		d := Deed{At: e.At, Account: e.Account, Did: e.State, Would: e.Would, Why: e.Cause}
		if e.Type == "order" {
			d.Did = e.Action
		}
		if g.DeedsCut = len(g.Deeds) == mostMeasures; !g.DeedsCut {
			g.Deeds = append(g.Deeds, d)
		}
		return !g.DeedsCut
	})
}

// events gives news of a tenant, or with "" of all, the newest first, until take has enough.
func (g *gathering) events(ctx context.Context, types []string, tenant string, take func(*event.Entry) bool) error {
	return pages(func(page history.Page) (history.Next, error) {
		all, next, err := g.store.Events(ctx, history.EventsOf{From: g.Options.From, To: g.Options.To, Types: types, Tenant: tenant}, page)
		for i := range all {
			if (tenant == "" || all[i].Tenant == tenant) && !take(&all[i]) {
				return "", err
			}
		}
		return next, err
	})
}

func (g *gathering) gaps(ctx context.Context) error {
	g.Gaps.Nothing = g.status.Last.IsZero()
	if first := g.status.Counts[0]; first.After(g.Options.From) {
		g.Gaps.From = first
	}
	if end := g.Options.To; g.status.Last.Before(end) {
		g.Gaps.Until = g.status.Last
	}
	return g.events(ctx, []string{"dropped", "gateway"}, "", func(e *event.Entry) bool {
		switch {
		case e.Type == "gateway" && e.Unclean:
			g.Gaps.Killed = append(g.Gaps.Killed, e.At)
		case e.Type == "dropped" && e.Tenant == g.Options.Tenant:
			g.Gaps.Lost += e.Records
		case e.Type == "dropped" && e.Tenant == "":
			g.Gaps.Anybodys += e.Records
		}
		return true
	})
}
