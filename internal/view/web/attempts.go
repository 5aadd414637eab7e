package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/view/history"
)

var attemptRoutes = []route{
	{path: "GET /attempts", title: "Attempts", role: Look, shows: "attempts.html", model: showAttempts, history: true},
	{path: "GET /attempts.csv", role: Look, stream: writeAttempts, history: true},
}

// An attemptsPage is the list behind a figure.
type attemptsPage struct {
	Period   periodForm
	Filter   history.Filter
	Group    string // of outcomes
	Attempts []history.Attempt
	more
}

// Of says which attempts they are.
func (p *attemptsPage) Of() string {
	var parts []string
	for _, part := range []struct{ name, value string }{
		{"gateway", p.Filter.Gateway},
		{"tenant", p.Filter.Tenant},
		{"account", p.Filter.Account},
		{"provider", p.Filter.Provider},
		{"outcome", p.Group},
		{"meaning", p.Filter.Class},
		{"like", p.Filter.Shape},
	} {
		if part.value != "" {
			parts = append(parts, part.name+" "+part.value)
		}
	}
	if p.Filter.SendingIP.IsValid() {
		parts = append(parts, "sending IP "+p.Filter.SendingIP.String())
	}
	if parts == nil {
		return "all mail"
	}
	return strings.Join(parts, ", ")
}

// Link makes the path of a list of the same attempts.
func (p *attemptsPage) Link(path string, parts ...any) string {
	return p.Period.Link(path, append(asksOf(&p.Filter, p.Group), parts...)...)
}

func showAttempts(r *request) (any, error) {
	p, err := r.period(aDay)
	if err != nil {
		return nil, err
	}
	f, err := r.filter(p)
	if err != nil {
		return nil, err
	}
	attempts, next, err := r.history.Attempts(r.Context(), f, r.page())
	if err != nil {
		return nil, err
	}
	page := &attemptsPage{Period: p.form("/attempts", asksOf(&f, r.ask("outcome"))...), Filter: f, Group: r.ask("outcome"), Attempts: attempts}
	page.CSV = page.Link("/attempts.csv")
	if next != "" {
		page.Next = page.Link("/attempts", "after", string(next))
	}
	return page, nil
}

var attemptHead = []string{
	"at_utc", "session", "number", "gateway", "tenant", "account", "sender", "recipients", "provider", "sending_ip", "mx", "outcome", "code", "enhanced",
	"class", "rule", "reply", "duration_ms", "slowest", "slowest_ms", "rescued", "tls", "octets", "message_id", "msa_queue_id", "mx_queue_id", "mail",
}

func attemptCells(a *history.Attempt) []string {
	var to []string
	for _, rcpt := range a.Recipients {
		to = append(to, rcpt.Address)
	}
	if a.More > 0 {
		to = append(to, fmt.Sprintf("and %d more", a.More))
	}
	ip := ""
	if a.SendingIP.IsValid() {
		ip = a.SendingIP.String()
	}
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	return []string{
		stamp(a.At), a.Session.String(), strconv.Itoa(a.Number), a.Gateway, a.Tenant, a.Account, a.Sender, strings.Join(to, " "), a.Provider, ip,
		a.Destination.String(), a.Outcome, strconv.Itoa(a.Reply.Code), a.Reply.Enhanced, a.Reply.Class, a.Reply.Rule, a.Reply.Text, ms(a.Duration), a.Slowest,
		ms(a.SlowestTook), strconv.FormatBool(a.Rescued), a.TLS, strconv.FormatInt(a.Octets, 10), a.MessageID, a.QueueID, a.MXQueueID, a.Mail,
	}
}

// stamp writes a time in a table.
func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02T15:04:05Z")
}

func writeAttempts(r *request, w http.ResponseWriter) error {
	p, err := r.period(aDay)
	if err != nil {
		return err
	}
	f, err := r.filter(p)
	if err != nil {
		return err
	}
	return writeCSV(r, w, "attempts", attemptHead, func(page history.Page) ([][]string, history.Next, error) {
		attempts, next, err := r.history.Attempts(r.Context(), f, page)
		rows := make([][]string, len(attempts))
		for i := range attempts {
			rows[i] = attemptCells(&attempts[i])
		}
		return rows, next, err
	})
}
