package web

import (
	"fmt"
	"net/http"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/chart"
	"kanmon/internal/view/history"
	"kanmon/internal/view/tally"
	"kanmon/internal/who/veil"
)

var timelineRoutes = []route{
	{path: "GET /timeline", title: "Timeline", menu: "Timeline", key: "l", role: Look, shows: "timeline.html", model: showTimeline, history: true},
	{path: "GET /timeline.txt", role: Look, stream: writeTimeline, history: true},
}

// A timelinePage is what came of mail, and what happened beside it.
type timelinePage struct {
	Period periodForm
	Filter history.Filter
	Over   *tally.Series

	Gateways []gatewayLink // none: there is one
	Strip    *chart.Strip
	News     []tally.News
	First    []refusalLine // of which the first was in this time
	Text     string        // the path of the same as text
	more
}

// Link makes the path of a list of the same subject.
func (p *timelinePage) Link(path string, parts ...any) string {
	return p.Period.Link(path, append(asksOf(&p.Filter, ""), parts...)...)
}

func (r *request) timeline() (page *timelinePage, err error) {
	p, err := r.period(aDay)
	if err != nil {
		return nil, err
	}
	page = &timelinePage{}
	if page.Filter, err = r.filter(p); err != nil {
		return nil, err
	}
	page.Period = p.form("/timeline", asksOf(&page.Filter, "")...)
	of := subject(&page.Filter)
	if page.Gateways, err = r.gateways(p, &page.Filter, "", "/timeline"); err != nil {
		return nil, err
	}
	if page.Over, err = tally.Over(r.Context(), r.history, of, p.From, p.To); err != nil {
		return nil, err
	}
	news, next, err := r.history.Events(r.Context(), history.EventsOf{
		From: p.From, To: p.To, Gateway: of.Gateway, Tenant: of.Tenant, Account: of.Account, Provider: of.Provider, SendingIP: of.SendingIP, Types: tally.Told,
	}, r.page())
	if err != nil {
		return nil, err
	}
	page.News = tally.AllNews(news)
	shapes, _, err := r.history.Shapes(r.Context(), page.Filter, history.Page{Limit: rowsShown})
	if err != nil {
		return nil, err
	}
	for _, l := range r.refusalLines(shapes, p, asksOf(&page.Filter, "")) {
		if !l.First.Before(p.From) {
			page.First = append(page.First, l)
		}
	}
	page.Strip = stripOf("Outcome of mail", page.Over, page.News)
	page.Text = page.Link("/timeline.txt")
	if next != "" {
		page.Next = page.Link("/timeline", "after", string(next))
	}
	return page, nil
}

func showTimeline(r *request) (any, error) { return r.timeline() }

// writeTimeline writes the same as text, for the report of an incident.
func writeTimeline(r *request, w http.ResponseWriter) error {
	page, err := r.timeline()
	if err != nil {
		return err
	}
	if !r.may(Search) {
		page, _ = veil.Model(page).(*timelinePage)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	text := func(format string, values ...any) {
		for i, v := range values {
			if s, is := v.(string); is {
				values[i] = event.Printable(s, 2048)
			}
		}
		fmt.Fprintf(w, format, values...)
	}
	utc := func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05") }
	text("%s to %s UTC\n\n", utc(page.Over.From), utc(page.Over.To))
	text("from (UTC)           attempts delivered  deferred   refused   unclear     other\n")
	for i := range page.Over.Steps {
		o := &page.Over.Steps[i]
		if o.Attempts > 0 {
			text("%s  %8d %9d %9d %9d %9d %9d\n", utc(page.Over.From.Add(time.Duration(i)*page.Over.Step)), o.Attempts, o.Delivered, o.Deferred, o.Refused, o.Unclear, o.Other)
		}
	}
	text("\nWhat happened\n")
	for i := len(page.News) - 1; i >= 0; i-- {
		n := &page.News[i]
		text("%s  %s  %s: %s\n", utc(n.At), n.Gateway, n.Who, n.What)
	}
	if page.Next != "" {
		text("There is more before this: ask for a shorter time.\n")
	}
	for _, g := range page.Over.Gaps {
		text("%s to %s  not all is on record: %s\n", utc(g.From), utc(g.To), g.Why)
	}
	if len(page.First) > 0 {
		text("\nRefusals of a kind that was not seen before\n")
	}
	for _, l := range page.First {
		text("%s  %d times, %s: %s\n", utc(l.First), l.Count, l.Class, l.Text)
	}
	return nil
}
