package web

import (
	"net/http"
	"net/netip"

	"kanmon/internal/admin"
	"kanmon/internal/event"
)

var trialRoutes = []route{
	{path: "GET /try", title: "Try from each sending IP", role: Act, shows: "try.html", model: showTryForm},
	{path: "POST /try", role: Act, act: beginTry},
	{path: "GET /tries/{try}", title: "Try", role: Act, shows: "tried.html", model: showTried},
}

// A tryForm is what is asked before an MX is.
type tryForm struct {
	To   string // an address, or a domain
	From string
	IPs  []SendingIP
}

func showTryForm(r *request) (any, error) {
	return tryForm{To: r.ask("to"), From: r.ask("from"), IPs: r.server.ways().IPs}, nil
}

func beginTry(r *request) (done, error) {
	o := admin.TryOrder{From: r.ask("from"), Sender: r.ask("sender"), Recipient: r.ask("recipient"), Reason: r.ask("reason")}
	to := r.ask("to")
	if to == "" {
		return done{}, &Problem{Status: http.StatusBadRequest, Text: "Whom to ask is wanted: the address of an MX, or a domain whose mail it takes.", Do: "Go back and name one."}
	}
	if mx, err := netip.ParseAddr(to); err == nil {
		o.MX = mx
	} else {
		o.Domain = to
	}
	begun, err := r.admin.Try(r.Context(), o)
	if err != nil {
		return done{}, err
	}
	return done{to: link("/tries", begun.ID)}, nil
}

// A triedPage shows dialogues side by side.
type triedPage struct {
	admin.Try
	Columns []string
	Rows    []triedRow
}

// PageTitle implements the title of the page.
func (p *triedPage) PageTitle() string { return "How " + p.MX.String() + " answers each sending IP" }

type triedRow struct {
	admin.TryDialogue
	Mark  stateMark
	Cells []triedCell
}

// A triedCell is a step: what it was answered, and how long that took. The zero cell: it did not come to it.
type triedCell struct {
	Is   bool
	Code int
	Took float64 // seconds
}

// What stands in the columns.
var trialColumns = []struct{ phase, title string }{
	{event.PhaseDial.String(), "Connection"},
	{event.PhaseBanner.String(), "Greeting"},
	{event.PhaseEHLO.String(), "EHLO"},
	{event.PhaseHandshake.String(), "TLS"},
	{event.PhaseMail.String(), "MAIL"},
	{event.PhaseRcpt.String(), "RCPT"},
}

var triedMarks = map[string]stateMark{
	admin.TryWaiting: {"…", "w", "waits", "warn"}, admin.TryLetIn: {"●", "a", "let in", "good"}, admin.TryRefused: {"✕", "x", "refused", "bad"},
	admin.TryFailed: {"■", "f", "failed", "bad"},
}

func showTried(r *request) (any, error) {
	try, err := r.admin.Tried(r.Context(), r.PathValue("try"))
	if err != nil {
		return nil, err
	}
	p := &triedPage{Try: try}
	for _, c := range trialColumns {
		p.Columns = append(p.Columns, c.title)
	}
	for _, d := range try.Dialogues {
		row := triedRow{TryDialogue: d, Mark: triedMarks[d.State]}
		for _, c := range trialColumns {
			row.Cells = append(row.Cells, cellOfStep(d.Steps, c.phase))
		}
		p.Rows = append(p.Rows, row)
	}
	return p, nil
}

func cellOfStep(steps []admin.TryStep, phase string) triedCell {
	for _, s := range steps {
		if s.Phase == phase {
			return triedCell{true, s.Code, s.Took}
		}
	}
	return triedCell{}
}

// endSession has one session end.
func endSession(r *request) (done, error) {
	reason, err := r.reason()
	if err != nil {
		return done{}, err
	}
	end, err := r.admin.EndSession(r.Context(), r.PathValue("session"), reason)
	if err != nil {
		return done{}, err
	}
	said := map[string]string{
		admin.SessionEnded: "It has ended.",
		admin.SessionWaits: "It waits for the reply of the MX, which has its message, and ends behind that.",
		admin.SessionSoon:  "It ends as soon as what it does now is done.",
	}[end.Came]
	return done{link("/sessions", end.Session), said}, nil
}
