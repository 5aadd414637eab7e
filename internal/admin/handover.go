package admin

import (
	"context"
	"net/http"
)

// A HandedOver is what has begun with a handover. Times are in seconds.
type HandedOver struct {
	Sessions int     `json:"sessions"` // that go on
	Notice   float64 `json:"notice_s"` // until no new ones are taken
	Soft     float64 `json:"soft_s"`   // behind that, until a drain begins
	Sockets  bool    `json:"sockets"`  // systemd holds them: what comes waits there, or another process takes it
}

func (s *Server) handOver(w http.ResponseWriter, r *http.Request) {
	var none struct{}
	if !s.read(w, r, &none) {
		return
	}
	begun, err := s.process.HandOver(peerOf(r.Context()))
	if err != nil {
		s.refuseOrder(w, err)
		return
	}
	s.answer(w, r, begun)
}

// HandOver has the process end behind its sessions.
func (c *Client) HandOver(ctx context.Context) (HandedOver, error) {
	return answer[HandedOver](ctx, c, http.MethodPost, "/v1/handover", struct{}{})
}
