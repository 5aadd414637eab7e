package web

import (
	"cmp"
	"slices"

	"kanmon/internal/view/chart"
	"kanmon/internal/view/history"
	"kanmon/internal/view/tally"
)

var whoseRoutes = []route{
	{path: "GET /tenants/{tenant}/history", title: "History of a tenant", role: Look, shows: "whose.html", model: showWhose, history: true},
}

// A whosePage is what became of a tenant's mail, or of an account's.
type whosePage struct {
	Period   periodForm
	Tenant   string
	Account  string // "": all of the tenant
	Over     *tally.Series
	Strip    *chart.Strip
	News     []tally.News
	Refused  []refusalLine
	Accounts []accountLine
	more
}

// PageTitle names whose it is.
func (p *whosePage) PageTitle() string { return "History of " + cmp.Or(p.Account, p.Tenant) }

// Link makes the path of the list behind a figure.
func (p *whosePage) Link(path string, parts ...any) string {
	return p.Period.Link(path, append([]any{"tenant", p.Tenant, "account", p.Account}, parts...)...)
}

// Self is the path of the same page, of an account or, with "", of the tenant.
func (p *whosePage) Self(account string) string {
	return p.Period.Link(link("/tenants", p.Tenant, "history"), "account", account)
}

// An accountLine is what became of an account's mail.
type accountLine struct {
	Name     string
	Outcomes tally.Outcomes
}

func showWhose(r *request) (any, error) {
	p, err := r.period("7d")
	if err != nil {
		return nil, err
	}
	page := &whosePage{Tenant: r.PathValue("tenant"), Account: r.ask("account")}
	page.Period = p.form(link("/tenants", page.Tenant, "history"), "account", page.Account)
	of := tally.Subject{Tenant: page.Tenant, Account: page.Account}
	if page.Over, err = tally.Over(r.Context(), r.history, of, p.From, p.To); err != nil {
		return nil, err
	}
	news, _, err := r.history.Events(r.Context(), history.EventsOf{
		From: p.From, To: p.To, Tenant: of.Tenant, Account: of.Account, Types: []string{"order", "changed"},
	}, history.Page{Limit: rowsShown})
	if err != nil {
		return nil, err
	}
	page.News = tally.AllNews(news)
	f := of.Filter(p.From, p.To)
	shapes, next, err := r.history.Shapes(r.Context(), f, history.Page{Limit: rowsShown})
	if err != nil {
		return nil, err
	}
	page.Refused, page.CSV = r.refusalLines(shapes, p, asksOf(&f, "")), page.Link("/attempts.csv")
	if next != "" {
		page.Next = page.Link("/refusals", "after", string(next))
	}
	page.Strip = stripOf("Outcome of mail of "+cmp.Or(page.Account, page.Tenant), page.Over, page.News)
	if page.Account == "" {
		page.Accounts, err = r.accountLines(of, p)
	}
	return page, err
}

// mostAccounts is how many a page has: those with the most trouble.
const mostAccounts = 50

func (r *request) accountLines(of tally.Subject, p period) ([]accountLine, error) {
	counts, err := r.history.Counts(r.Context(), history.CountsOf{Filter: of.Filter(p.From, p.To), By: []string{history.ByAccount, history.ByOutcome}})
	if err != nil {
		return nil, err
	}
	byName := map[string]*accountLine{}
	for i := range counts {
		l := byName[counts[i].Account]
		if l == nil {
			l = &accountLine{Name: counts[i].Account}
			byName[l.Name] = l
		}
		l.Outcomes.Add(&counts[i])
	}
	lines := make([]accountLine, 0, len(byName))
	for _, l := range byName {
		lines = append(lines, *l)
	}
	slices.SortFunc(lines, func(a, b accountLine) int {
		return cmp.Or(cmp.Compare(b.Outcomes.Refused, a.Outcomes.Refused), cmp.Compare(b.Outcomes.Deferred, a.Outcomes.Deferred),
			cmp.Compare(b.Outcomes.Attempts, a.Outcomes.Attempts), cmp.Compare(a.Name, b.Name))
	})
	return lines[:min(len(lines), mostAccounts)], nil
}
