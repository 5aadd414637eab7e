package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// A Session is what a running one does.
type Session struct {
	Session   string         `json:"session"` // as the records name it
	Start     time.Time      `json:"start"`
	State     string         `json:"state"` // what its time is spent on, as "times" in the records
	Step      string         `json:"step"`  // the last one that was waited in: a phase of the records
	For       float64        `json:"for_s"` // seconds that this has lasted
	WaitsFor  string         `json:"waits_for"`
	Held      bool           `json:"held"` // the MSA is waiting
	Tenant    string         `json:"tenant,omitempty"`
	Account   string         `json:"account,omitempty"` // of the mail at hand, or the last one
	Provider  string         `json:"provider,omitempty"`
	Pool      string         `json:"pool,omitempty"`
	SendingIP netip.Addr     `json:"sending_ip,omitzero"`
	MX        netip.AddrPort `json:"mx"`
	Source    netip.AddrPort `json:"source"` // the MSA
}

// Whom a session waits for.
const (
	WaitsForMX     = "mx"
	WaitsForMSA    = "msa"
	WaitsForKanmon = "kanmon" // a limit, or its own work
	WaitsForBoth   = "both"   // it is passed through, and nobody knows
)

// Sessions are those that run, or of which is asked.
type Sessions struct {
	Running  int       `json:"running"`
	Most     int       `json:"most"`     // that there can be
	Matching int       `json:"matching"` // of which is asked
	Held     int       `json:"held"`     // of these
	Sessions []Session `json:"sessions"` // of these, held ones first, and what lasts longest before the others; not more than were asked for
}

// A SessionQuery says which sessions are asked for. The zero values are all of them.
type SessionQuery struct {
	Session  string
	Tenant   string
	Account  string
	Provider string
	IP       netip.Addr    // they leave from
	MX       netip.Addr    // they go to
	State    string        // of Session
	Held     time.Duration // at least
	Most     int           // are listed
}

// Matches reports whether a session is asked for.
func (q *SessionQuery) Matches(s *Session) bool {
	as := func(want, is string) bool { return want == "" || want == is }
	return as(q.Session, s.Session) && as(q.Tenant, s.Tenant) && as(q.Account, s.Account) && as(q.Provider, s.Provider) && as(q.State, s.State) &&
		(!q.IP.IsValid() || q.IP == s.SendingIP) && (!q.MX.IsValid() || q.MX == s.MX.Addr()) &&
		(q.Held == 0 || s.Held && s.For >= q.Held.Seconds())
}

// Before orders sessions: held ones first, and what lasts longest before the others.
func (s *Session) Before(other *Session) int {
	if s.Held != other.Held {
		if s.Held {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(other.For, s.For), cmp.Compare(s.Session, other.Session))
}

// MostSessions is how many are listed at most.
const MostSessions = 10_000

func (s *Server) listSessions(w http.ResponseWriter, r *http.Request) {
	q, err := sessionQuery(r.URL.Query())
	if err != nil {
		s.refuse(w, http.StatusBadRequest, err)
		return
	}
	all, err := s.process.Sessions(q)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, err)
		return
	}
	if all.Sessions == nil {
		all.Sessions = []Session{}
	}
	s.answer(w, r, all)
}

var sessionParameters = []string{"session", "tenant", "account", "provider", "ip", "mx", "state", "held", "most"}

func sessionQuery(values url.Values) (q SessionQuery, err error) {
	for name := range values {
		if !slices.Contains(sessionParameters, name) {
			return q, fmt.Errorf("%.40q is nothing that sessions can be asked by: want one of %q", name, sessionParameters)
		}
	}
	q = SessionQuery{
		Session: values.Get("session"), Tenant: values.Get("tenant"), Account: values.Get("account"), Provider: values.Get("provider"), State: values.Get("state"),
	}
	for name, addr := range map[string]*netip.Addr{"ip": &q.IP, "mx": &q.MX} {
		if asked := values.Get(name); asked != "" {
			if *addr, err = netip.ParseAddr(asked); err != nil {
				return q, fmt.Errorf("%q is %.60q, want an IP address", name, asked)
			}
			*addr = addr.Unmap()
		}
	}
	if asked := values.Get("held"); asked != "" {
		if q.Held, err = time.ParseDuration(asked); err != nil || q.Held <= 0 {
			return q, fmt.Errorf("\"held\" is %.60q, want a duration such as 30s or 5m", asked)
		}
	}
	asked := cmp.Or(values.Get("most"), "50")
	if q.Most, err = strconv.Atoi(asked); err != nil || q.Most < 1 || q.Most > MostSessions {
		return q, fmt.Errorf("\"most\" is %.60q, want 1 to %d", asked, MostSessions)
	}
	return q, nil
}

func (q *SessionQuery) asking() string {
	pairs := []string{"session", q.Session, "tenant", q.Tenant, "account", q.Account, "provider", q.Provider, "state", q.State}
	if q.IP.IsValid() {
		pairs = append(pairs, "ip", q.IP.String())
	}
	if q.MX.IsValid() {
		pairs = append(pairs, "mx", q.MX.String())
	}
	if q.Held != 0 {
		pairs = append(pairs, "held", q.Held.String())
	}
	if q.Most != 0 {
		pairs = append(pairs, "most", strconv.Itoa(q.Most))
	}
	return asking(pairs...)
}

// Sessions gives the sessions that run.
func (c *Client) Sessions(ctx context.Context, q SessionQuery) (Sessions, error) {
	return answer[Sessions](ctx, c, http.MethodGet, "/v1/sessions"+q.asking(), nil)
}
