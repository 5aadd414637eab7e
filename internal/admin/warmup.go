package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// States of a sending IP with warm_up.
const (
	Warming = "warming" // it takes over mail step by step
	Waiting = "waiting for its first day"
	Warm    = "warm" // it takes its whole part of the mail
)

// A WarmUp is how far along a sending IP with warm_up is. Days are in UTC, as "2026-12-01".
type WarmUp struct {
	IP      netip.Addr    `json:"ip"`
	State   string        `json:"state"` // Warming, Waiting or Warm
	Plan    string        `json:"plan"`
	Step    int           `json:"step"`
	Steps   int           `json:"steps"`
	Share   float64       `json:"share"` // of the senders that it will have, 0 to 1
	Begun   string        `json:"begun,omitempty"`
	Since   string        `json:"since,omitempty"`   // the step
	Repeats int           `json:"repeats,omitempty"` // of the step
	Why     string        `json:"why,omitempty"`     // it was repeated, or begun anew
	Finding string        `json:"finding,omitempty"` // of today: the step will be repeated
	Mails   int           `json:"mails"`             // today
	Amount  int           `json:"amount"`            // of today
	Used    string        `json:"used,omitempty"`    // when mail last left from it
	Ends    string        `json:"ends,omitempty"`    // when it will be warm, if it goes on like this
	Note    string        `json:"note,omitempty"`    // on Ends
	Classes []WarmUpClass `json:"classes,omitempty"`
}

// A WarmUpClass is a provider, or all other destinations together.
type WarmUpClass struct {
	Provider string    `json:"provider"` // "": all others
	Step     int       `json:"step"`
	Mails    int       `json:"mails"`             // today
	Amount   int       `json:"amount"`            // of today; 0: as many as there are
	Over     int       `json:"over,omitempty"`    // of Mails, beyond the amount
	Tried    int       `json:"tried"`             // in the step: accepted, or refused for the IP
	Accepted int       `json:"accepted"`          // of Tried
	Rests    time.Time `json:"rests,omitzero"`    // nothing is sent there before
	Finding  string    `json:"finding,omitempty"` // of today: it will repeat the step
}

// A WarmUpOrder is what an operator has a warm-up do.
type WarmUpOrder struct {
	Step   int    `json:"step,omitempty"`   // go on at this one
	Finish bool   `json:"finish,omitempty"` // it is warm
	Reason string `json:"reason"`
}

func (o *WarmUpOrder) check() error {
	switch {
	case strings.TrimSpace(o.Reason) == "":
		return errors.New("an order about a warm-up wants a \"reason\": receivers will see more or less mail from the IP, and somebody will ask why")
	case len(o.Reason) > maxReason || !printable(o.Reason):
		return errBadReason
	case o.Finish == (o.Step != 0):
		return errors.New("want either a \"step\", 1 for the first, or \"finish\"")
	case o.Step < 0:
		return errors.New("the first step is 1")
	}
	return nil
}

func (s *Server) listWarmUps(w http.ResponseWriter, r *http.Request) {
	s.answerWarmUps(w, r, netip.Addr{})
}

func (s *Server) showWarmUp(w http.ResponseWriter, r *http.Request) {
	if ip, ok := s.ip(w, r); ok {
		s.answerWarmUps(w, r, ip)
	}
}

func (s *Server) answerWarmUps(w http.ResponseWriter, r *http.Request, ip netip.Addr) {
	all, err := s.ips.WarmUps(ip)
	if err != nil {
		s.refuse(w, http.StatusNotFound, err)
		return
	}
	if all == nil {
		all = []WarmUp{}
	}
	s.answer(w, r, all)
}

func (s *Server) orderWarmUp(w http.ResponseWriter, r *http.Request) {
	ip, ok := s.ip(w, r)
	if !ok {
		return
	}
	var o WarmUpOrder
	if !s.read(w, r, &o) {
		return
	}
	who := peerOf(r.Context())
	err := o.check()
	if err == nil {
		err = s.ips.WarmUp(ip, o, who)
	}
	if err != nil {
		s.refuseOrder(w, err)
		return
	}
	s.log.Info("changed by the operator", "request", r.URL.Path, "step", o.Step, "finish", o.Finish, "reason", o.Reason, "who", who)
	s.answerWarmUps(w, r, ip)
}

// WarmUps gives how far along all sending IPs with warm_up are, or with an address one of them.
func (c *Client) WarmUps(ctx context.Context, ip netip.Addr) ([]WarmUp, error) {
	path := "/v1/warm-ups"
	if ip.IsValid() {
		path = warmUpPath(ip)
	}
	return answer[[]WarmUp](ctx, c, http.MethodGet, path, nil)
}

// OrderWarmUp has a warm-up go on elsewhere, or end.
func (c *Client) OrderWarmUp(ctx context.Context, ip netip.Addr, o WarmUpOrder) ([]WarmUp, error) {
	return answer[[]WarmUp](ctx, c, http.MethodPost, warmUpPath(ip), o)
}

func warmUpPath(ip netip.Addr) string { return "/v1/ips/" + url.PathEscape(ip.String()) + "/warm-up" }
