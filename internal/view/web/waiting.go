package web

import (
	"slices"

	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
)

var waitingRoutes = []route{
	{path: "GET /waiting", title: "Who waits", role: Look, shows: "waiting.html", model: showWaiting, history: true},
}

// A waitingPage lists mails that are held back: the last attempt was deferred, and nothing has been seen of them since.
type waitingPage struct {
	Period periodForm
	Filter history.Filter
	Mails  []foundLine
	more
}

// Link makes the path of a list of the same subject.
func (p *waitingPage) Link(path string, parts ...any) string {
	return p.Period.Link(path, append(asksOf(&p.Filter, ""), parts...)...)
}

// mostPassed is how many pages of mails that wait no more are passed over for one page.
const mostPassed = 10

func showWaiting(r *request) (any, error) {
	p, err := r.period("5d") // then mail servers give up
	if err != nil {
		return nil, err
	}
	f, err := r.filter(p)
	if err != nil {
		return nil, err
	}
	page := &waitingPage{Period: p.form("/waiting", asksOf(&f, "")...), Filter: f}
	f.Outcomes = []string{"deferred"}
	at := r.page()
	for range mostPassed {
		mails, next, err := r.history.Mails(r.Context(), f, at)
		if err != nil {
			return nil, err
		}
		for i := range mails {
			if waits(&mails[i]) {
				page.Mails = append(page.Mails, foundLine{r.teller().Tell(&find.Detail{Mail: find.Mail{Mail: mails[i]}}), link("/mails", mails[i].ID)})
			}
		}
		if at.After = next; next == "" || len(page.Mails) >= rowsShown/2 {
			break
		}
	}
	if at.After != "" {
		page.Next = page.Link("/waiting", "after", string(at.After))
	}
	return page, nil
}

// waits reports whether a mail waits, all of it or for some of its recipients.
func waits(m *history.Mail) bool {
	if m.State != history.Partly || len(m.Attempts) == 0 {
		return m.State == history.Waits
	}
	last := &m.Attempts[len(m.Attempts)-1]
	return slices.ContainsFunc(last.Recipients, func(r history.Recipient) bool { return r.Fate == "deferred" })
}
