package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
	"kanmon/internal/view/notes"
	"kanmon/internal/view/tally"
)

// An asOf is a page of what is live as it was at a time (?at=TIME), made of history. What history cannot know it says.
type asOf struct {
	At   time.Time
	Path string // of the page as it is now
	Also []asked
	What string // the page shows: "now", "sessions", "ips" or "tenants"
	*tally.Stand

	// Of "now".
	Hour    *tally.Series
	Refused []refusalLine
	// Of "sessions".
	Sending []history.Attempt
	Until   time.Time
	Most    int // of Sending
	// Of "ips".
	Matrix *matrix
	// Of "tenants".
	Tenants []pastTenant
	Others  []event.Entry // accounts that were treated otherwise
	Hidden  bool
}

// ShownBy names the file of templates.
func (*asOf) ShownBy() string { return "asof.html" }

// PageTitle says that it is a past one.
func (p *asOf) PageTitle() string {
	return map[string]string{"now": "As it was", "sessions": "Mail that was under way", "ips": "Sending IPs × providers, as they stood", "tenants": "Tenants and accounts, as they stood"}[p.What]
}

// AtInput is the time as a field of a form has it.
func (p *asOf) AtInput() string { return p.At.Local().Format("2006-01-02T15:04") }

// Link makes the path of a page made of history about the day before.
func (p *asOf) Link(path string, parts ...any) string {
	return period{To: p.At, Last: aDay, Past: true}.Link(path, parts...)
}

// Ago is how long before something had begun.
func (p *asOf) Ago(e time.Time) time.Duration { return p.At.Sub(e) }

// State is what a change has led to.
func (*asOf) State(e event.Entry) string { return tally.StateOf(&e) }

// Told says it in a sentence.
func (*asOf) Told(e event.Entry) tally.News { return tally.NewsOf(&e) }

// A pastTenant is a tenant as it stood.
type pastTenant struct {
	Name     string
	Changed  *event.Entry // nil: it was treated as others
	Outcomes tally.Outcomes
}

// asOf reads whether a past time is asked for; nil: it is the page as it is now.
func (r *request) asOf(what, path string) (*asOf, error) {
	text := r.ask("at")
	if text == "" {
		return nil, nil //nolint:nilnil // it is said so
	}
	at, err := find.Time(text, r.now, time.Local)
	switch {
	case err != nil:
		return nil, &Problem{Status: http.StatusBadRequest, Text: "at: " + err.Error()}
	case at.After(r.now):
		return nil, &Problem{Status: http.StatusBadRequest, Text: "at: this time has not come yet.", Do: "Ask for a time before now."}
	case r.history == nil:
		return nil, &Problem{Status: http.StatusOK, Text: "There is no history, so nobody knows how it was.", Do: "Add a line “[history]” to the configuration, then: systemctl restart kanmon-view. What is kept begins then."}
	}
	p := &asOf{At: at, Path: path, What: what}
	p.Stand, err = tally.StandAt(r.Context(), r.history, r.server.Gateway, at)
	return p, err
}

// past makes a page as it was, if it can be.
func (*request) past(p *asOf, err error, of func(*asOf) (any, error)) (any, error) {
	if err != nil {
		return nil, err
	}
	return of(p)
}

func (r *request) nowAsOf(p *asOf) (any, error) {
	of := tally.Subject{Gateway: r.server.Gateway}
	var err error
	if p.Hour, err = tally.Over(r.Context(), r.history, of, p.At.Add(-time.Hour), p.At); err != nil {
		return nil, err
	}
	f := of.Filter(p.At.Add(-time.Hour), p.At)
	shapes, _, err := r.history.Shapes(r.Context(), f, history.Page{Limit: 10})
	if err != nil {
		return nil, err
	}
	p.Refused = r.refusalLines(shapes, period{From: f.From, To: f.To}, asksOf(&f, ""))
	return p, nil
}

// mostSending is how many attempts are listed.
const mostSending = 200

func (r *request) sessionsAsOf(p *asOf) (any, error) {
	q, err := r.sessionQuery()
	if err != nil {
		return nil, err
	}
	if q.State != "" || q.Held > 0 {
		return nil, &Problem{Status: http.StatusBadRequest, Text: "What sessions waited for at a past time, nobody has kept.", Do: "Ask without “state” and “held”: those come first that had been under way for longest."}
	}
	for _, a := range []asked{{"provider", q.Provider}, {"tenant", q.Tenant}, {"account", q.Account}, {"ip", r.ask("ip")}, {"mx", r.ask("mx")}} {
		if a.Value != "" {
			p.Also = append(p.Also, a)
		}
	}
	of := history.Filter{Gateway: r.server.Gateway, Tenant: q.Tenant, Account: q.Account, Provider: q.Provider, SendingIP: q.IP, MX: q.MX}
	if p.Sending, p.Until, err = tally.UnderWay(r.Context(), r.history, of, p.At); err != nil {
		return nil, err
	}
	p.Most = len(p.Sending)
	p.Sending = p.Sending[:min(p.Most, mostSending)]
	return p, nil
}

func (r *request) ipsAsOf(p *asOf) (any, error) {
	counts, err := r.countsByIP(netip.Addr{}, p.At)
	if err != nil {
		return nil, err
	}
	var stood []admin.Standing
	for i := range p.IPs {
		e := &p.IPs[i]
		s := admin.Standing{IP: e.SendingIP, Provider: e.Provider, State: tally.StateOf(e), Since: e.At, Until: e.Until, Reason: e.Cause, Rule: e.Rule, Share: 1, By: e.By}
		if e.Share > 0 {
			s.Share = e.Share
		}
		stood = append(stood, s)
	}
	p.Matrix = r.matrixOf(stood, counts, map[notes.Subject]notes.Note{})
	p.Matrix.Past = &p.At
	return p, nil
}

func (r *request) tenantsAsOf(p *asOf) (any, error) {
	p.Hidden = !r.may(Search)
	list, err := tally.Tenants(r.Context(), r.history, tally.Subject{Gateway: r.server.Gateway}, p.At.Add(-24*time.Hour), p.At)
	if err != nil {
		return nil, err
	}
	for i := range list {
		p.Tenants = append(p.Tenants, pastTenant{Name: list[i].Name, Outcomes: list[i].Outcomes})
	}
	for i := range p.Senders {
		e := &p.Senders[i]
		switch at := slices.IndexFunc(p.Tenants, func(t pastTenant) bool { return t.Name == e.Tenant }); {
		case e.Account != "" && !p.Hidden:
			p.Others = append(p.Others, *e)
		case e.Account != "":
		case at < 0:
			p.Tenants = append(p.Tenants, pastTenant{Name: e.Tenant, Changed: e})
		default:
			p.Tenants[at].Changed = e
		}
	}
	slices.SortStableFunc(p.Tenants, func(a, b pastTenant) int { return compareBool(b.Changed != nil, a.Changed != nil) })
	return p, nil
}

// Cannot says what nobody has kept of the page that is shown.
func (p *asOf) Cannot() string {
	var all []string
	switch p.What {
	case "now":
		all = append(all, "which sessions were held, what was acknowledged, and what the host lacked")
	case "sessions":
		all = append(all, "sessions without a mail under way, and what each waited for")
	case "ips":
		all = append(all, "which sending IPs were configured, and what was acknowledged")
	case "tenants":
		all = append(all, "tenants without mail, and how far limits were used")
	}
	all = append(all, "what had not changed since "+p.From.Local().Format("2006-01-02 15:04"))
	return strings.Join(all, "; ")
}
