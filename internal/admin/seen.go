package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Listed is the state of a sending IP that a public list has which kanmon asks on its own, and Misnamed of one whose names in the DNS do not
// agree. Neither keeps mail from leaving.
const (
	Listed   = "listed"
	Misnamed = "misnamed"
)

// A Sighting is how others see a sending IP: a list, or by its names. Without an IP it is how a list itself is.
type Sighting struct {
	IP      netip.Addr `json:"ip,omitzero"`
	List    string     `json:"list,omitempty"` // "": its names
	State   string     `json:"state"`          // as sighting in docs/ref/record.md
	Bad     bool       `json:"bad"`            // somebody has to do something about it
	Since   time.Time  `json:"since,omitzero"`
	Asked   time.Time  `json:"asked,omitzero"` // when there was an answer last
	Names   []string   `json:"names,omitempty"`
	Answers []string   `json:"answers,omitempty"` // of the list
	Why     string     `json:"why,omitempty"`
	Fails   string     `json:"fails,omitempty"` // why there was no answer, if there was none when it was asked last
}

func (s *Server) listSightings(w http.ResponseWriter, r *http.Request) {
	s.answerSightings(w, r, netip.Addr{})
}

func (s *Server) showSightings(w http.ResponseWriter, r *http.Request) {
	if ip, ok := s.ip(w, r); ok {
		s.answerSightings(w, r, ip)
	}
}

func (s *Server) answerSightings(w http.ResponseWriter, r *http.Request, ip netip.Addr) {
	all, err := s.ips.Sightings(ip)
	if err != nil {
		s.refuse(w, http.StatusNotFound, err)
		return
	}
	if all == nil {
		all = []Sighting{}
	}
	s.answer(w, r, all)
}

// Sightings gives how others see the sending IPs, and how the lists that are asked are; or with an address how one IP is seen.
func (c *Client) Sightings(ctx context.Context, ip netip.Addr) ([]Sighting, error) {
	path := "/v1/sightings"
	if ip.IsValid() {
		path = "/v1/ips/" + url.PathEscape(ip.String()) + "/sightings"
	}
	return answer[[]Sighting](ctx, c, http.MethodGet, path, nil)
}
