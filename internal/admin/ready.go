package admin

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// A Readiness is the answer of a kanmon that should get mail. One that should not refuses the question, with why.
type Readiness struct {
	Ready bool `json:"ready"` // always
}

func (s *Server) showReady(w http.ResponseWriter, r *http.Request) {
	if why := s.process.Unready(); why != "" {
		s.refuse(w, http.StatusServiceUnavailable, errors.New(why))
		return
	}
	s.answer(w, r, Readiness{true})
}

// readyWithin is how long the answer is waited for: what moves addresses or routes asks each second, and takes no answer for "no".
const readyWithin = 700 * time.Millisecond

// Ready returns nil if this kanmon should get mail, and else why not. It returns within a second, whatever hangs.
func (c *Client) Ready(ctx context.Context) error {
	hasty := Client{c.socket, c.http, c.person}
	hasty.http.Timeout = readyWithin
	_, err := answer[Readiness](ctx, &hasty, http.MethodGet, "/v1/ready", nil)
	return err
}
