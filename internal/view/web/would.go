package web

import (
	"fmt"
	"net/http"
	"strconv"

	"kanmon/internal/view/history"
	"kanmon/internal/view/tally"
)

var wouldRoutes = []route{
	{path: "GET /would", title: "What would have been done", menu: "Would have", role: Look, shows: "would.html", model: showWould, history: true},
	{path: "GET /would.csv", role: Look, stream: writeWould, history: true},
}

// aWeek is for how long people observe before they enforce.
const aWeek = "7d"

// A wouldPage is what rules would have done that only observe: how often, to whom, and what came of their mail.
type wouldPage struct {
	Period periodForm
	Filter history.Filter
	Rules  []tally.Would
	All    bool
	CSV    string
}

// would reads what would have been done; of each rule so many are named whom it would have acted upon.
func (r *request) would(most int) (*wouldPage, error) {
	p, err := r.period(aWeek)
	if err != nil {
		return nil, err
	}
	f, err := r.filter(p)
	if err != nil {
		return nil, err
	}
	page := &wouldPage{Period: p.form("/would", asksOf(&f, "")...), Filter: f, CSV: p.Link("/would.csv", asksOf(&f, "")...)}
	page.Rules, page.All, err = tally.WouldHave(r.Context(), r.history, subject(&f), p.From, p.To, most)
	return page, err
}

func showWould(r *request) (any, error) { return r.would(tally.MostHit) }

func writeWould(r *request, w http.ResponseWriter) error {
	head := []string{"action", "rule", "times", "tenants", "accounts", "tenant", "account", "times_there", "cause", "attempts", "delivered", "deferred", "refused"}
	return writeCSV(r, w, "would", head, func(history.Page) (rows [][]string, next history.Next, err error) {
		page, err := r.would(mostCSV)
		if err != nil {
			return nil, "", err
		}
		for _, rule := range page.Rules {
			for _, h := range rule.Most {
				row := []string{rule.Action, rule.Rule, strconv.Itoa(rule.Times), strconv.Itoa(rule.Tenants), strconv.Itoa(rule.Accounts), h.Tenant, h.Account, strconv.Itoa(h.Times), h.Cause}
				for _, n := range []int64{h.Came.Attempts, h.Came.Delivered, h.Came.Deferred, h.Came.Refused} {
					row = append(row, fmt.Sprint(n))
				}
				rows = append(rows, row)
			}
		}
		return rows, "", nil
	})
}
