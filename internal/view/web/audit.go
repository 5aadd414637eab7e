package web

import (
	"net/http"

	"kanmon/internal/view/history"
	"kanmon/internal/view/tally"
)

var auditRoutes = []route{
	{path: "GET /audit", title: "Audit", menu: "Audit", role: Look, shows: "audit.html", model: showAudit, history: true},
	{path: "GET /audit.csv", role: Look, stream: writeAudit, history: true},
	{path: "GET /audit/searches", title: "Searches", role: Search, shows: "searches.html", model: showSearches, history: true},
	{path: "GET /audit/searches.csv", role: Search, stream: writeSearches, history: true},
}

// An auditPage is who had kanmon do what.
type auditPage struct {
	Period periodForm
	Orders []tally.News
	more
}

func (r *request) orders(f *history.Filter, page history.Page) ([]tally.News, history.Next, error) {
	entries, next, err := r.history.Events(r.Context(), history.EventsOf{
		From: f.From, To: f.To, Types: []string{"order"}, Gateway: f.Gateway, Tenant: f.Tenant, Account: f.Account, Provider: f.Provider, SendingIP: f.SendingIP,
	}, page)
	return tally.AllNews(entries), next, err
}

// aMonth is for how long back there are orders to be seen: there are few.
const aMonth = "30d"

func showAudit(r *request) (any, error) {
	p, err := r.period(aMonth)
	if err != nil {
		return nil, err
	}
	f, err := r.filter(p)
	if err != nil {
		return nil, err
	}
	also := asksOf(&f, "")
	page := &auditPage{Period: p.form("/audit", also...)}
	orders, next, err := r.orders(&f, r.page())
	if err != nil {
		return nil, err
	}
	page.Orders, page.CSV = orders, p.Link("/audit.csv", also...)
	if next != "" {
		page.Next = p.Link("/audit", append(also, "after", string(next))...)
	}
	return page, nil
}

func writeAudit(r *request, w http.ResponseWriter) error {
	p, err := r.period(aMonth)
	if err != nil {
		return err
	}
	f, err := r.filter(p)
	if err != nil {
		return err
	}
	return writeCSV(r, w, "audit", []string{"at_utc", "gateway", "who", "what"}, func(page history.Page) ([][]string, history.Next, error) {
		orders, next, err := r.orders(&f, page)
		rows := make([][]string, len(orders))
		for i, o := range orders {
			rows[i] = []string{stamp(o.At), o.Gateway, o.Who, o.What}
		}
		return rows, next, err
	})
}

// A searchesPage is who looked for whom.
type searchesPage struct {
	Searches []history.Search
	more
}

func showSearches(r *request) (any, error) {
	searches, next, err := r.history.Searches(r.Context(), r.page())
	if err != nil {
		return nil, err
	}
	page := &searchesPage{Searches: searches, more: more{CSV: "/audit/searches.csv"}}
	if next != "" {
		page.Next = link("/audit/searches?", "after", string(next))
	}
	return page, nil
}

func writeSearches(r *request, w http.ResponseWriter) error {
	return writeCSV(r, w, "searches", []string{"at_utc", "who", "what", "why"}, func(page history.Page) ([][]string, history.Next, error) {
		searches, next, err := r.history.Searches(r.Context(), page)
		rows := make([][]string, len(searches))
		for i, s := range searches {
			rows[i] = []string{stamp(s.At), s.By, s.What, s.Why}
		}
		return rows, next, err
	})
}
