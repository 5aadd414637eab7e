package web

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/view/history"
	"kanmon/internal/view/tally"
)

var aboutRoutes = []route{
	{path: "GET /about", title: "About", menu: "About", role: Look, shows: "about.html", model: showAbout},
}

// A Site is what can be said of the configuration and the host.
type Site struct {
	File          string // where the configuration is
	Configuration string // its text, without what is secret
	Findings      []Finding
}

// A Finding is what kanmon check has found.
type Finding struct {
	Severity string
	What     string
	Do       string
}

// An aboutPage is what kanmon is, how it is configured, and what of its past is kept.
type aboutPage struct {
	Status  *admin.Status // nil: kanmon does not answer
	Silent  string        // why
	Site    *Site         // nil: nobody knows
	Unknown string        // why
	Kept    *history.Status
	Sources []sourceLine
	Behind  time.Duration  // how old the newest line is
	Late    bool           // so old that something is wrong
	Steps   []tally.News   // of the gateways
	Content *tally.Content // nil: nothing was judged in the last days
	Away    []string       // scanners that are, in words
}

// judgedFor is how far back it is looked what scanners have said.
const judgedFor = 7 * 24 * time.Hour

// A sourceLine is how far a file of records has been read.
type sourceLine struct {
	Name string
	history.Mark
}

func showAbout(r *request) (any, error) {
	p := &aboutPage{}
	if status, err := r.admin.Status(r.Context()); err == nil {
		p.Status = &status
		for _, problem := range status.Problems {
			if problem.ID == "scanner" {
				p.Away = append(p.Away, problem.What)
			}
		}
	} else {
		p.Silent = err.Error()
	}
	if r.server.Site != nil {
		site, err := r.server.Site(r.Context())
		if p.Site = site; err != nil {
			p.Unknown = err.Error()
		}
	}
	if r.history == nil {
		return p, nil
	}
	return p, p.kept(r.Context(), r)
}

// kept asks what history has.
func (p *aboutPage) kept(ctx context.Context, r *request) error {
	status, err := r.history.Status(ctx)
	if err != nil {
		return err
	}
	p.Kept = &status
	for name, mark := range status.Marks {
		p.Sources = append(p.Sources, sourceLine{name, mark})
	}
	slices.SortFunc(p.Sources, func(a, b sourceLine) int { return cmp.Or(b.At.Compare(a.At), strings.Compare(a.Name, b.Name)) })
	if !status.Last.IsZero() {
		const usual = 2 * time.Minute // a heartbeat comes each minute
		p.Behind = max(r.now.Sub(status.Last), 0)
		p.Late = p.Behind > usual
	}
	steps, _, err := r.history.Events(ctx, history.EventsOf{From: r.now.Add(-30 * 24 * time.Hour), To: r.now.Add(time.Hour), Types: []string{"gateway"}}, history.Page{Limit: 20})
	if p.Steps = tally.AllNews(steps); err != nil {
		return err
	}
	content, err := tally.OfContent(ctx, r.history, r.now.Add(-judgedFor), r.now.Add(time.Hour))
	if err == nil && content.Judged > 0 {
		p.Content = content
	}
	return err
}
