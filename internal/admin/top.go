package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"time"
)

// A Top is what happens now, at a glance.
type Top struct {
	At       time.Time `json:"at"`
	Status   Status    `json:"status"`
	Sessions Sessions  `json:"sessions"` // that are asked for

	// Of these, the ones with most that are held first; TopGroups of each at most.
	Providers  []TopGroup `json:"providers"`
	SendingIPs []TopGroup `json:"sending_ips"`
	Tenants    []TopGroup `json:"tenants"`

	Flow     Flow         `json:"flow"`
	Refusals []TopRefusal `json:"refusals"` // since Flow.Since, those that came last first
	News     []TopNews    `json:"news"`     // likewise: TopMostNews at most
}

// TopGroups is how many groups, and refusals, are told of at most.
const TopGroups = 50

// A TopGroup are sessions that have something in common.
type TopGroup struct {
	Name     string  `json:"name"` // "": of which it is not known
	Sessions int     `json:"sessions"`
	Held     int     `json:"held"`
	Longest  float64 `json:"longest_s"` // seconds that one of them is held
}

// Before orders groups: those first that have most that are held.
func (g *TopGroup) Before(other *TopGroup) int {
	return cmp.Or(cmp.Compare(other.Held, g.Held), cmp.Compare(other.Sessions, g.Sessions), cmp.Compare(g.Name, other.Name))
}

// A Flow is what has become of mail since somebody began to look.
type Flow struct {
	Since     time.Time `json:"since"`
	Mails     uint64    `json:"mails"` // that have ended, whatever became of them
	Delivered uint64    `json:"delivered"`
	Deferred  uint64    `json:"deferred"`
	Refused   uint64    `json:"refused"`
	Other     uint64    `json:"other"` // recipients to whom none of that has happened, as are the ones before
}

// ClassOwn is the class of what kanmon has refused or deferred by itself.
const ClassOwn = "kanmon"

// A TopRefusal are refusals of a provider's MXs that mean the same, or of kanmon's own on the way to it.
type TopRefusal struct {
	Provider  string     `json:"provider,omitempty"`
	SendingIP netip.Addr `json:"sending_ip,omitzero"` // of the last one
	Tenant    string     `json:"tenant,omitempty"`    // likewise
	Code      int        `json:"code"`                // likewise
	Class     string     `json:"class"`
	Rule      string     `json:"rule,omitempty"`
	Count     uint64     `json:"count"`
	Last      time.Time  `json:"last"`
}

// TopMostNews is how much news is told at most.
const TopMostNews = 50

// A TopNews is what happened beside the mail: what a record of this type has, in short.
type TopNews struct {
	At        time.Time  `json:"at"`
	Type      string     `json:"type"` // of docs/ref/record.md
	SendingIP netip.Addr `json:"sending_ip,omitzero"`
	Provider  string     `json:"provider,omitempty"`
	List      string     `json:"list,omitempty"`
	Tenant    string     `json:"tenant,omitempty"`
	Account   string     `json:"account,omitempty"`
	What      string     `json:"what"` // state or action
	Was       string     `json:"was,omitempty"`
	By        string     `json:"by,omitempty"`
	Why       string     `json:"why,omitempty"`
}

// Matches reports whether news concerns what is asked for: news of all concerns everybody.
func (n *TopNews) Matches(q *SessionQuery) bool {
	about := func(want, is string) bool { return want == "" || is == "" || want == is }
	return about(q.Tenant, n.Tenant) && about(q.Account, n.Account) && about(q.Provider, n.Provider) && (!q.IP.IsValid() || !n.SendingIP.IsValid() || q.IP == n.SendingIP)
}

func (s *Server) top(w http.ResponseWriter, r *http.Request) {
	q, err := sessionQuery(r.URL.Query())
	if err == nil {
		var top Top
		if top, err = s.process.Top(q); err == nil {
			s.answer(w, r, top)
			return
		}
	}
	s.refuse(w, http.StatusBadRequest, err)
}

// Top gives what happens now. What becomes of mail is counted from the first call on, for as long as the calls go on.
func (c *Client) Top(ctx context.Context, q SessionQuery) (Top, error) {
	return answer[Top](ctx, c, http.MethodGet, "/v1/top"+q.asking(), nil)
}
