package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// A TryOrder is what a person wants to see: how one MX answers each sending IP. No message is ever sent.
type TryOrder struct {
	MX        netip.Addr `json:"mx,omitzero"`         // instead of Domain
	Domain    string     `json:"domain,omitempty"`    // the MX that its mail is tried at first
	From      string     `json:"from,omitempty"`      // which sending IPs: an address, a network, or the name of a pool; "": all
	Sender    string     `json:"sender,omitempty"`    // in MAIL; "<>": the null sender; "": nothing is said behind EHLO
	Recipient string     `json:"recipient,omitempty"` // in RCPT; "": none is named
	Reason    string     `json:"reason,omitempty"`
}

// A Try is how an MX has answered, or answers.
type Try struct {
	ID        string        `json:"try"`
	At        time.Time     `json:"at"`
	By        string        `json:"by"`
	MX        netip.Addr    `json:"mx"`
	Host      string        `json:"host,omitempty"` // its name, where a domain was named
	Domain    string        `json:"domain,omitempty"`
	Provider  string        `json:"provider,omitempty"`
	Sender    string        `json:"sender,omitempty"`
	Recipient string        `json:"recipient,omitempty"`
	Over      bool          `json:"over"`
	Dialogues []TryDialogue `json:"dialogues"`          // one of each sending IP
	LeftOut   []TryLeftOut  `json:"left_out,omitempty"` // sending IPs without one
}

// A TryLeftOut is a sending IP that was not tried.
type TryLeftOut struct {
	IP  netip.Addr `json:"ip"`
	Why string     `json:"why"`
}

// A TryDialogue is what was said between one sending IP and the MX.
type TryDialogue struct {
	IP     netip.Addr `json:"ip"`
	EHLO   string     `json:"ehlo"`             // the IP's own name
	Stands string     `json:"stands,omitempty"` // how it stands at the provider; "": active
	State  string     `json:"state"`            // one of the Try… constants
	Ended  string     `json:"ended,omitempty"`  // what has ended it too early
	TLS    string     `json:"tls,omitempty"`    // version and cipher suite; "": in clear
	Steps  []TryStep  `json:"steps,omitempty"`
}

// States of a dialogue.
const (
	TryWaiting = "waiting" // for its turn, or an answer
	TryLetIn   = "let_in"  // nothing was refused
	TryRefused = "refused" // by a reply
	TryFailed  = "failed"  // without one
)

// A TryStep is a command and its answer.
type TryStep struct {
	Phase string  `json:"phase"`          // as the records name it
	Said  string  `json:"said,omitempty"` // the command
	Took  float64 `json:"took_s"`         // seconds, from the command to the last octet of the reply
	Code  int     `json:"code,omitempty"`
	Reply string  `json:"reply,omitempty"` // all of it, sanitised; lines separated by \n

	// What a refusal means.
	Class   string `json:"class,omitempty"`
	Scope   string `json:"scope,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Meaning string `json:"meaning,omitempty"`
	Advice  string `json:"advice,omitempty"`
	Counts  bool   `json:"counts,omitempty"` // of a customer's mail it would count against the sending IP
}

func (o *TryOrder) check() error {
	switch {
	case o.MX.IsValid() == (o.Domain != ""):
		return errors.New("want either an \"mx\", an address, or a \"domain\", whose MX is then asked for")
	case o.Recipient != "" && o.Sender == "":
		return errors.New("a \"recipient\" wants a \"sender\", \"<>\" for the null sender: RCPT comes behind MAIL")
	case len(o.Reason) > maxReason || !printable(o.Reason):
		return errBadReason
	}
	return nil
}

func (s *Server) try(w http.ResponseWriter, r *http.Request) {
	var o TryOrder
	if !s.read(w, r, &o) {
		return
	}
	o.MX = o.MX.Unmap()
	who := peerOf(r.Context())
	err := o.check()
	var begun Try
	if err == nil {
		begun, err = s.mxs.Try(r.Context(), o, who)
	}
	if err != nil {
		s.refuseOrder(w, err)
		return
	}
	s.log.Info("tried by the operator", "mx", begun.MX, "provider", begun.Provider, "sending_ips", len(begun.Dialogues), "reason", o.Reason, "who", who)
	s.answer(w, r, begun)
}

func (s *Server) showTry(w http.ResponseWriter, r *http.Request) {
	tried, err := s.mxs.Tried(r.PathValue("try"))
	if err != nil {
		s.refuseOrder(w, err)
		return
	}
	s.answer(w, r, tried)
}

// Try has kanmon begin to ask an MX how it answers each sending IP.
func (c *Client) Try(ctx context.Context, o TryOrder) (Try, error) {
	return answer[Try](ctx, c, http.MethodPost, "/v1/tries", o)
}

// Tried gives one of the last tries, as far as it is.
func (c *Client) Tried(ctx context.Context, id string) (Try, error) {
	return answer[Try](ctx, c, http.MethodGet, "/v1/tries/"+url.PathEscape(id), nil)
}
