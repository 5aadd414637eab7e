package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// A Shaping is how sending IPs stand with what providers take from each of them.
type Shaping struct {
	Mode  string  `json:"mode"` // of [shaping]: on, observe, off
	Takes []Takes `json:"takes"`
}

// Takes is how a sending IP stands with one of a provider's limits.
type Takes struct {
	IP       netip.Addr `json:"ip"`
	Provider string     `json:"provider"`
	Count    string     `json:"count"`           // of what, as in [[shaping_limit]]
	Amount   int64      `json:"amount"`          // that is known; 0: nobody knows one
	Every    string     `json:"every,omitempty"` // of what is counted in a time
	Kept     bool       `json:"kept"`            // kanmon keeps to it; else it is only known
	Now      int64      `json:"now"`             // how much of it there may be: Amount, or what replies have left of it; 0: any
	Used     int64      `json:"used"`            // of what is counted for all connections together
	Since    time.Time  `json:"since,omitzero"`  // when a reply, or timing, has last taken from it
	ByTime   bool       `json:"by_time,omitempty"`
	Source   string     `json:"source,omitempty"`
}

func (s *Server) listShaping(w http.ResponseWriter, r *http.Request) {
	s.answerShaping(w, r, netip.Addr{})
}

func (s *Server) showShaping(w http.ResponseWriter, r *http.Request) {
	if ip, ok := s.ip(w, r); ok {
		s.answerShaping(w, r, ip)
	}
}

func (s *Server) answerShaping(w http.ResponseWriter, r *http.Request, ip netip.Addr) {
	shaping, err := s.ips.Shaping(ip)
	if err != nil {
		s.refuse(w, http.StatusNotFound, err)
		return
	}
	if shaping.Takes == nil {
		shaping.Takes = []Takes{}
	}
	s.answer(w, r, shaping)
}

// Shaping gives what of providers' limits all sending IPs use, or with an address one of them.
func (c *Client) Shaping(ctx context.Context, ip netip.Addr) (Shaping, error) {
	path := "/v1/shaping"
	if ip.IsValid() {
		path = "/v1/ips/" + url.PathEscape(ip.String()) + "/shaping"
	}
	return answer[Shaping](ctx, c, http.MethodGet, path, nil)
}
