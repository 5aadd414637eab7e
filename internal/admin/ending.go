package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// What comes of an order to end a session.
const (
	SessionEnded = "ended" // it runs no more
	SessionWaits = "waits" // the MX has its message: it ends behind the reply
	SessionSoon  = "ends"  // it has heard, and ends as soon as its MSA has read why
)

// A SessionEnd is what has come of an order to end a session.
type SessionEnd struct {
	Session string `json:"session"`
	Came    string `json:"came"`
}

type endOrder struct {
	Reason string `json:"reason"`
}

func (s *Server) endSession(w http.ResponseWriter, r *http.Request) {
	var o endOrder
	if !s.read(w, r, &o) {
		return
	}
	switch {
	case strings.TrimSpace(o.Reason) == "":
		s.refuse(w, http.StatusBadRequest, errors.New("the end of a session wants a \"reason\": its mail comes again, and somebody will ask why"))
		return
	case len(o.Reason) > maxReason || !printable(o.Reason):
		s.refuse(w, http.StatusBadRequest, errBadReason)
		return
	}
	who := peerOf(r.Context())
	came, err := s.process.EndSession(r.Context(), r.PathValue("session"), o.Reason, who)
	if err != nil {
		s.refuseOrder(w, err)
		return
	}
	s.log.Info("changed by the operator", "request", r.URL.Path, "came", came.Came, "reason", o.Reason, "who", who)
	s.answer(w, r, came)
}

// EndSession has a session end, and says what has come of that so far.
func (c *Client) EndSession(ctx context.Context, session, reason string) (SessionEnd, error) {
	return answer[SessionEnd](ctx, c, http.MethodPost, "/v1/sessions/"+url.PathEscape(session)+"/end", endOrder{reason})
}
