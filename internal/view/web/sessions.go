package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
)

var sessionRoutes = []route{
	{path: "GET /sessions", title: "Sessions", menu: "Sessions", key: "s", role: Look, shows: "sessions.html", model: showSessions},
	{path: "GET /sessions/{session}", title: "Session", role: Look, shows: "session.html", model: showSession},
	{path: "GET /sessions/{session}/trace", role: Search, stream: traceSession},
	{path: "POST /sessions/{session}/end", role: Act, act: endSession},
}

// mostSessions is how many are listed on one page.
const mostSessions = 200

// A sessionsPage lists sessions, those that are held first.
type sessionsPage struct {
	All   admin.Sessions
	Asked admin.SessionQuery
	Held  string // as it was asked for
	IP    string
	MX    string
	Left  int // that are not listed

	Providers, Tenants, IPs []admin.TopGroup // of all
}

func (sessionsPage) isLive() {}

func showSessions(r *request) (any, error) {
	if past, err := r.asOf("sessions", "/sessions"); past != nil || err != nil {
		return r.past(past, err, r.sessionsAsOf)
	}
	q, err := r.sessionQuery()
	if err != nil {
		return nil, err
	}
	s, err := r.server.watch.now(r.Context())
	if err != nil {
		return nil, err
	}
	p := sessionsPage{Asked: q, Held: r.ask("held"), IP: r.ask("ip"), MX: r.ask("mx")}
	p.Providers, p.Tenants, p.IPs = few(s.Top.Providers), few(s.Top.Tenants), few(s.Top.SendingIPs)
	if all := s.Top.Sessions; (q == admin.SessionQuery{Most: mostSessions}) && all.Matching == len(all.Sessions) {
		p.All = all
	} else if p.All, err = r.admin.Sessions(r.Context(), q); err != nil {
		return nil, err
	}
	p.Left = p.All.Matching - len(p.All.Sessions)
	return p, nil
}

// few are the groups that most is held of.
func few(all []admin.TopGroup) []admin.TopGroup { return all[:min(len(all), 10)] }

// sessionQuery reads which sessions are asked for.
func (r *request) sessionQuery() (q admin.SessionQuery, err error) {
	q = admin.SessionQuery{Tenant: r.ask("tenant"), Provider: r.ask("provider"), State: r.ask("state"), Account: r.ask("account"), Most: mostSessions}
	for name, addr := range map[string]*netip.Addr{"ip": &q.IP, "mx": &q.MX} {
		if text := r.ask(name); text != "" {
			if *addr, err = netip.ParseAddr(text); err != nil {
				return q, &Problem{Status: http.StatusBadRequest, Text: "“" + event.Printable(text, 60) + "” is no IP address."}
			}
			*addr = addr.Unmap()
		}
	}
	if text := r.ask("held"); text != "" {
		if q.Held, err = time.ParseDuration(text); err != nil || q.Held <= 0 {
			return q, &Problem{Status: http.StatusBadRequest, Text: "“" + event.Printable(text, 60) + "” is no duration: want one such as 30s or 5m."}
		}
	}
	return q, nil
}

// States are what the time of a session is spent on, for a choice.
func (sessionsPage) States() []string {
	return []string{
		event.SpentOnMX.String(), event.SpentOpening.String(), event.SpentOnBodyMX.String(), event.SpentOnMSA.String(), event.SpentOnBodyMSA.String(),
		event.SpentHeld.String(), event.SpentResting.String(), event.SpentMoving.String(), event.SpentRescuing.String(), event.SpentPassing.String(),
	}
}

// A sessionPage is one session.
type sessionPage struct {
	ID    string
	One   *admin.Session // nil: it does not run any more
	Past  bool           // there is a history to look into
	Trace bool           // the person may hear it
}

// PageTitle implements the title of the page.
func (p sessionPage) PageTitle() string { return "Session " + p.ID }

func showSession(r *request) (any, error) {
	var id event.ID
	if err := id.UnmarshalText([]byte(r.PathValue("session"))); err != nil {
		return nil, &Problem{Status: http.StatusNotFound, Text: "“" + event.Printable(r.PathValue("session"), 40) + "” is no session: want 16 characters, as the records name one."}
	}
	p := sessionPage{ID: id.String(), Past: r.history != nil, Trace: r.may(Search)}
	all, err := r.admin.Sessions(r.Context(), admin.SessionQuery{Session: p.ID, Most: 1})
	if err != nil {
		return nil, err
	}
	if len(all.Sessions) > 0 {
		p.One = &all.Sessions[0]
	}
	return p, nil
}

// traceSession tells a browser what is said in a session from now on.
func traceSession(r *request, w http.ResponseWriter) error {
	leave, err := r.server.watch.join(r.Who.Name)
	if err != nil {
		return err
	}
	defer leave()
	e, err := newEvents(w)
	if err != nil {
		return err
	}
	err = r.admin.Trace(r.Context(), admin.SessionQuery{Session: r.PathValue("session")}, &lines{e: e})
	if err != nil && r.Context().Err() == nil {
		text, _ := json.Marshal(err.Error()) // a text is always one
		_ = e.send("end", string(text))
	}
	return nil
}

// lines sends what is written as events of whole lines.
type lines struct {
	e    *events
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	if end == 0 {
		return len(p), nil
	}
	text, err := json.Marshal(strings.ToValidUTF8(string(l.rest[:end]), "?"))
	if err != nil {
		return 0, err
	}
	l.rest = slices.Clone(l.rest[end:])
	return len(p), l.e.send("line", string(text))
}
