package web

import (
	"net/http"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/view/chart"
	"kanmon/internal/view/history"
	"kanmon/internal/view/tally"
)

var ipPastRoutes = []route{
	{path: "GET /ips/{ip}/history", title: "History of a sending IP", role: Look, shows: "ippast.html", model: showIPPast, history: true},
}

// aFortnight is for how long a new sending IP is watched.
const aFortnight = "14d"

// An ipPastPage is how a sending IP has done, day by day, beside the others.
type ipPastPage struct {
	Period    periodForm
	IP        netip.Addr
	WarmUps   []admin.WarmUp
	Over      *tally.Series
	Strip     *chart.Strip
	Days      []tally.Beside // the newest first
	Providers []tally.Beside
	News      []tally.News
}

// PageTitle names it.
func (p *ipPastPage) PageTitle() string { return "History of " + p.IP.String() }

// Link makes the path of the list behind a figure.
func (p *ipPastPage) Link(path string, parts ...any) string {
	return p.Period.Link(path, append([]any{"ip", p.IP}, parts...)...)
}

// Day makes the path of the list of one day.
func (p *ipPastPage) Day(b tally.Beside, parts ...any) string {
	of := period{From: b.Begin, To: b.Begin.Add(24 * time.Hour)}
	return of.Link("/attempts", append([]any{"ip", p.IP}, parts...)...)
}

func showIPPast(r *request) (any, error) {
	p, err := r.period(aFortnight)
	if err != nil {
		return nil, err
	}
	page := &ipPastPage{Period: p.form(link("/ips", r.PathValue("ip"), "history"))}
	if page.IP, err = netip.ParseAddr(r.PathValue("ip")); err != nil {
		return nil, &Problem{Status: http.StatusNotFound, Text: "There is no such sending IP.", Do: "The page of the sending IPs has all."}
	}
	of := tally.Subject{SendingIP: page.IP}
	if page.Over, err = tally.Over(r.Context(), r.history, of, p.From, p.To); err != nil {
		return nil, err
	}
	if page.Days, page.Providers, err = tally.OfIP(r.Context(), r.history, page.IP, p.From, p.To); err != nil {
		return nil, err
	}
	slices.Reverse(page.Days)
	news, _, err := r.history.Events(r.Context(), history.EventsOf{
		From: p.From, To: p.To, SendingIP: page.IP, Types: []string{"order", "changed", "finding", "sighting"},
	}, history.Page{Limit: rowsShown})
	if err != nil {
		return nil, err
	}
	page.News = tally.AllNews(news)
	page.Strip = stripOf("Outcome of mail from "+page.IP.String(), page.Over, page.News)
	if up, err := r.admin.WarmUps(r.Context(), page.IP); err == nil { // one that is not warming up has none
		page.WarmUps = up
	}
	return page, nil
}
