package web

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/view/history"
	"kanmon/internal/view/notes"
)

var nowRoutes = []route{
	{path: "GET /{$}", title: "Now", menu: "Now", key: "n", role: Look, shows: "now.html", model: showNow},
}

// A nowPage says what is not normal.
type nowPage struct {
	Silent  string // why kanmon does not answer; the rest is empty
	Status  admin.Status
	Cards   []card // worst first, those that are acknowledged last
	Known   int    // of them: acknowledged
	Flow    *admin.Flow
	Held    []admin.Session
	Refused []admin.TopRefusal
	Empty   string    // no mail has been seen yet, because …
	Before  time.Time // there is none at this moment; when the last one was, as history has it
	Past    bool      // there is a history
	At      time.Time
}

func (nowPage) isLive() {}

// A card is something that is not normal.
type card struct {
	admin.Problem
	About notes.Subject
	Page  string      // that shows more
	Ack   *notes.Note // nil: nobody has acknowledged it
}

// ranks puts first what keeps mail from leaving, and behind it what may.
var ranks = []string{"rules", "defect", "sessions", "refused", "exhausted", "stopped", "absent", "path", "suspended", "listed", "resolver", "scanner", "busy", "held", "slow", "names", "list", "reload", "records"}

func showNow(r *request) (any, error) {
	if past, err := r.asOf("now", "/"); past != nil || err != nil {
		return r.past(past, err, r.nowAsOf)
	}
	s, err := r.server.watch.now(r.Context())
	switch {
	case s == nil:
		return nil, err
	case err != nil:
		return nowPage{Silent: err.Error(), At: s.At}, nil
	}
	p := nowPage{Past: r.history != nil, Status: s.Top.Status, At: s.At, Held: held(s.Top.Sessions.Sessions), Refused: s.Top.Refusals[:min(len(s.Top.Refusals), 10)]}
	if f := s.Top.Flow; f.Mails > 0 {
		p.Flow = &f
	}
	if p.Cards, p.Known, err = r.cards(s.Top.Status.Problems); err != nil {
		return nil, err
	}
	if p.Flow == nil && s.Top.Sessions.Running == 0 {
		p.Before, p.Empty = r.server.whyEmpty(r.Context(), r.now)
	}
	return p, nil
}

// held are the sessions whose MSA waits.
func held(all []admin.Session) []admin.Session {
	i := slices.IndexFunc(all, func(s admin.Session) bool { return !s.Held })
	if i < 0 {
		i = len(all)
	}
	return all[:min(i, 10)]
}

// cards puts problems in order, with what people have said of them.
func (r *request) cards(problems []admin.Problem) (all []card, known int, err error) {
	acked := map[notes.Subject]notes.Note{}
	if r.server.Notes != nil {
		if acked, err = r.server.Notes.Acknowledged(r.Context(), r.now); err != nil {
			return nil, 0, err
		}
	}
	for _, p := range problems {
		c := card{Problem: p, About: alarm(&p), Page: r.pageOf(&p)}
		if n, is := notes.Acknowledges(acked, c.About); is {
			c.Ack = &n
			known++
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b card) int {
		return cmp.Or(compareBool(a.Ack != nil, b.Ack != nil), cmp.Compare(rank(a.ID), rank(b.ID)))
	})
	return all, known, nil
}

// alarm is what an acknowledgement of a problem is about.
func alarm(p *admin.Problem) notes.Subject {
	about := notes.Subject{Alarm: p.ID, Provider: p.Provider, Tenant: p.Tenant, Of: p.Of}
	if p.IP.IsValid() {
		about.SendingIP = p.IP.String()
	}
	return about
}

func rank(id string) int {
	if i := slices.Index(ranks, id); i >= 0 {
		return i
	}
	return len(ranks)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// pageOf is the page that shows more of a problem; "": there is none.
func (r *request) pageOf(p *admin.Problem) string {
	switch {
	case p.ID == "slow" && p.Provider != "" && r.history != nil:
		return link("/providers", p.Provider)
	case p.ID == "exhausted" && p.Provider != "" && r.history != nil:
		return link("/providers", p.Provider)
	case p.ID == "exhausted":
		return "/ips"
	case p.IP.IsValid():
		return link("/ips", p.IP)
	case p.Tenant != "":
		return link("/tenants", p.Tenant)
	case p.ID == "held":
		return "/sessions?held=10m"
	case p.ID == "sessions", p.ID == "refused", p.ID == "busy":
		return "/sessions"
	case p.ID == "slow":
		return "/ips"
	}
	return ""
}

// Sentence says all in one.
func (p nowPage) Sentence() string {
	switch worst := len(p.Cards) - p.Known; {
	case p.Silent != "":
		return "kanmon does not answer."
	case worst == 1:
		return "One thing is not normal: " + p.Cards[0].What + "."
	case worst > 1:
		return strconv.Itoa(worst) + " things are not normal, first of all: " + p.Cards[0].What + "."
	case p.Known > 0:
		return "All is normal but what is acknowledged."
	}
	return "All is normal."
}

// State is the sentence in a word.
func (p nowPage) State() string {
	switch {
	case p.Silent != "":
		return "bad"
	case len(p.Cards) > p.Known:
		return "warn"
	}
	return "good"
}

// whyEmpty says why no connection has been seen yet; or when the last mail was, where history has one: kanmon counts since somebody looks. To find
// out takes a while: it holds for a minute.
func (s *Server) whyEmpty(ctx context.Context, now time.Time) (last time.Time, why string) {
	s.emptied.Lock()
	defer s.emptied.Unlock()
	if now.Sub(s.emptyAt) <= time.Minute {
		return s.before, s.empty
	}
	s.emptyAt, s.before, s.empty = now, time.Time{}, ""
	if s.History != nil {
		of := history.Filter{Gateway: s.Gateway, To: now}
		if all, _, err := s.History.Attempts(ctx, of, history.Page{Limit: 1}); err == nil && len(all) > 0 {
			s.before = all[0].At
			return s.before, ""
		}
	}
	if s.Empty != nil {
		s.empty = s.Empty()
	}
	return s.before, s.empty
}
