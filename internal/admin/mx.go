package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// An MX is what kanmon remembers of the TLS of one. A time that is over means that the next session tries the better form again.
type MX struct {
	MX             netip.Addr  `json:"mx"`
	Known          bool        `json:"known"`                     // false: nothing is remembered, and all below is empty
	TLSWorked      time.Time   `json:"tls_worked,omitzero"`       // when it last answered inside TLS
	ClassicalUntil time.Time   `json:"classical_until,omitzero"`  // no post-quantum key share is offered
	ClassicalCause string      `json:"classical_cause,omitempty"` // one of the Classical… constants
	NoTicketsUntil time.Time   `json:"no_tickets_until,omitzero"` // no session is resumed: it broke the connection
	PlainUntil     time.Time   `json:"plain_until,omitzero"`      // TLS is not tried, but where it must be
	Hung           time.Time   `json:"hung,omitzero"`             // when a handshake last got no answer
	Strikes        int         `json:"strikes"`                   // failures that count toward plain text
	Failures       []MXFailure `json:"failures,omitempty"`        // the last few, the newest last
	Tester         string      `json:"tester,omitempty"`          // session that tries the better form now
	TestEnds       time.Time   `json:"test_ends,omitzero"`        // when another one may
}

// Why an MX is offered classical key exchanges only.
const (
	ClassicalNoOther = "no_other" // it has taken none of the others
	ClassicalFailed  = "failed"   // the handshake failed with a post-quantum key share
)

// An MXFailure is one failure of TLS.
type MXFailure struct {
	At    time.Time `json:"at"`
	Phase string    `json:"phase"`
	Cause string    `json:"cause"`          // as it was said
	Why   string    `json:"why,omitempty"`  // one of a few words for it, as the records have them
	Lack  bool      `json:"lack,omitempty"` // an MSA with OpenSSL may have TLS where this is why
}

// PlainMXs are the MXs whose TLS has failed and not worked since. kanmon gives them mail in plain text, and none where TLS must be.
type PlainMXs struct {
	MXs        []MX      `json:"mxs"`
	Remembered int       `json:"remembered"` // MXs in all, with TLS that works or not
	Since      time.Time `json:"since"`      // from when on kanmon remembers: its start
}

// MXs is what the daemon knows of MXs.
type MXs interface {
	MX(addr netip.Addr) MX
	// Try begins to ask one how it answers each sending IP, in somebody's name.
	Try(ctx context.Context, o TryOrder, who string) (Try, error)
	// Tried gives one of the last tries, as far as it is.
	Tried(id string) (Try, error)
	PlainMXs() PlainMXs
	Domains
}

func (s *Server) showMX(w http.ResponseWriter, r *http.Request) {
	if addr, ok := s.ip(w, r); ok {
		s.answer(w, r, s.mxs.MX(addr))
	}
}

func (s *Server) listPlainMXs(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, s.mxs.PlainMXs())
}

// PlainMXs gives the MXs whose TLS has failed and not worked since.
func (c *Client) PlainMXs(ctx context.Context) (PlainMXs, error) {
	return answer[PlainMXs](ctx, c, http.MethodGet, "/v1/mxs", nil)
}

// MX gives what is remembered of the TLS of an MX.
func (c *Client) MX(ctx context.Context, addr netip.Addr) (MX, error) {
	return answer[MX](ctx, c, http.MethodGet, "/v1/mxs/"+url.PathEscape(addr.String()), nil)
}
