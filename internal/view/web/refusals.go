package web

import (
	"net/http"
	"strconv"
	"strings"

	"kanmon/internal/view/history"
	"kanmon/internal/who/veil"
)

var refusalRoutes = []route{
	{path: "GET /refusals", title: "Refusals", menu: "Refusals", key: "r", role: Look, shows: "refusals.html", model: showRefusals, history: true},
	{path: "GET /refusals.csv", role: Look, stream: writeRefusals, history: true},
	{path: "GET /refusals/rule", title: "A rule for this refusal", role: Look, shows: "rule.html", model: showRule, history: true},
}

// A refusalsPage groups refusals by meaning and shape.
type refusalsPage struct {
	Period periodForm
	Filter history.Filter
	Group  string // of outcomes

	Gateways []gatewayLink // none: there is one
	New      []refusalLine // first seen in the last day
	Known    []refusalLine
	more
}

// Link makes the path of a list of the same subject.
func (p *refusalsPage) Link(path string, parts ...any) string {
	return p.Period.Link(path, append(asksOf(&p.Filter, p.Group), parts...)...)
}

func showRefusals(r *request) (any, error) {
	p, err := r.period(aDay)
	if err != nil {
		return nil, err
	}
	f, err := r.filter(p)
	if err != nil {
		return nil, err
	}
	shapes, next, err := r.history.Shapes(r.Context(), f, r.page())
	if err != nil {
		return nil, err
	}
	group := r.ask("outcome")
	page := &refusalsPage{Period: p.form("/refusals", asksOf(&f, group)...), Filter: f, Group: group}
	if page.Gateways, err = r.gateways(p, &f, group, "/refusals"); err != nil {
		return nil, err
	}
	for _, l := range r.refusalLines(shapes, p, asksOf(&f, group)) {
		if l.New {
			page.New = append(page.New, l)
		} else {
			page.Known = append(page.Known, l)
		}
	}
	page.CSV = page.Link("/refusals.csv")
	if next != "" {
		page.Next = page.Link("/refusals", "after", string(next))
	}
	return page, nil
}

func writeRefusals(r *request, w http.ResponseWriter) error {
	p, err := r.period(aDay)
	if err != nil {
		return err
	}
	f, err := r.filter(p)
	if err != nil {
		return err
	}
	head := []string{"class", "rule", "shape", "example", "count", "first_utc", "last_utc", "tenants", "only_tenant", "sending_ips", "providers", "whose", "advice"}
	return writeCSV(r, w, "refusals", head, func(page history.Page) ([][]string, history.Next, error) {
		shapes, next, err := r.history.Shapes(r.Context(), f, page)
		rows := make([][]string, len(shapes))
		lines := r.refusalLines(shapes, p, nil)
		if !r.may(Search) {
			lines, _ = veil.Model(lines).([]refusalLine)
		}
		for i, l := range lines {
			ips := make([]string, len(l.SendingIPs))
			for j := range ips {
				ips[j] = l.SendingIPs[j].String()
			}
			rows[i] = []string{
				l.Class, l.Rule, l.Shape, l.Text, strconv.FormatInt(l.Count, 10), stamp(l.First), stamp(l.Last), strconv.Itoa(l.Tenants), l.Tenant,
				strings.Join(ips, " "), strings.Join(l.Providers, " "), l.WhoseText, l.Advice,
			}
		}
		return rows, next, err
	})
}

// A rulePage prints a rule, and changes nothing.
type rulePage struct {
	Reply history.Reply
	TOML  string
	To    []string // whose mail it was about; not shown, so that whoever may not see people is not shown them by the reply either
}

func showRule(r *request) (any, error) {
	key, err := r.key()
	if err != nil {
		return nil, err
	}
	a, _, err := r.history.Attempt(r.Context(), key)
	if err != nil {
		return nil, err
	}
	if a.Reply.Code < 400 || a.Reply.Local {
		return nil, &Problem{Status: http.StatusBadRequest, Text: "No rule is made of this: it is no refusal of an MX.", Do: "Rules say what a refusal of an MX means."}
	}
	rule, err := ruleFor(a)
	page := &rulePage{Reply: a.Reply, TOML: rule, To: []string{a.Sender, a.Account}}
	for i := range a.Recipients {
		page.To = append(page.To, a.Recipients[i].Address)
	}
	return page, err
}

// key reads which line of the records is meant.
func (r *request) key() (history.Key, error) {
	n, err := strconv.ParseUint(r.ask("line"), 10, 64)
	if err != nil || r.ask("gateway") == "" || r.ask("run") == "" {
		return history.Key{}, &Problem{Status: http.StatusBadRequest, Text: "Which refusal is meant is not said.", Do: "Come here from a refusal of the list."}
	}
	return history.Key{Gateway: r.ask("gateway"), Run: r.ask("run"), Line: n}, nil
}
