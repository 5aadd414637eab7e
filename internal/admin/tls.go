package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// What comes of the TLS with an MX, as far as is known without a connection to it.
const (
	TLSAsksNothing = "nothing"      // any TLS will do, and none, too
	TLSAsksProof   = "proof"        // the MX must prove its name, or its key, once it is connected to
	TLSAsksTLS     = "tls"          // TLS, whatever the certificate
	TLSRefused     = "refused"      // mail to the domain is not sent there: 451
	TLSWould       = "would_refuse" // it would not be, if the mode were "enforce"
)

// A TLSDomain is what a recipient's domain asks of its MXs, step by step.
type TLSDomain struct {
	Domain      string      `json:"domain"`
	Destination netip.Addr  `json:"destination,omitzero"` // that the question was about; none: about all MXs
	Mode        string      `json:"mode"`                 // observe or enforce; "": there is no [tls_policy]
	Refused     bool        `json:"refused"`              // mail would be refused in mode enforce, as far as is known
	Instead     string      `json:"instead,omitempty"`    // what counts in place of the domain's word: exempt, overridden, named, passthrough
	Resolver    TLSResolver `json:"resolver"`

	MX       string    `json:"mx"` // of the question for MX records: found, no data, no such name, failed
	MXError  string    `json:"mx_error,omitempty"`
	Bogus    bool      `json:"bogus,omitempty"`    // DNSSEC finds an answer forged
	Signed   bool      `json:"signed"`             // the MX records, or that there are none, are validated
	Alias    string    `json:"alias,omitempty"`    // where the domain leads
	Null     bool      `json:"null_mx,omitempty"`  // it takes no mail (RFC 7505)
	Implicit bool      `json:"implicit,omitempty"` // it is its own MX
	More     bool      `json:"more,omitempty"`     // there are more MXs than are looked at
	DANE     bool      `json:"dane"`               // TLSA records count
	Hosts    []TLSHost `json:"hosts"`
	Heard    time.Time `json:"heard,omitzero"` // when the oldest answer came
	Until    time.Time `json:"until,omitzero"` // how long the answers are used

	MTASTS      bool       `json:"mta_sts"`                // policies are asked for
	Policy      *TLSPolicy `json:"policy,omitempty"`       // of MTA-STS
	PolicyKnown bool       `json:"policy_known"`           // without a policy: there is none; else nobody knows
	PolicyWhy   string     `json:"policy_why,omitempty"`   // why it is not there, or not the newest, as in RFC 8460
	PolicyError string     `json:"policy_error,omitempty"` // for people

	Seen *TLSRefusal `json:"seen,omitempty"` // what would have been refused in the last seven days
}

// A TLSResolver is how the DNS resolver is.
type TLSResolver struct {
	Answers   bool      `json:"answers"`
	Validates bool      `json:"validates"` // DNSSEC: without that there is no DANE
	Lost      bool      `json:"lost,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Why       string    `json:"why,omitempty"`
}

// A TLSHost is an MX of a domain. One without a name is an address that is none of the domain's.
type TLSHost struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Here      bool         `json:"here,omitempty"`    // the destination is one of them
	Gone      bool         `json:"gone,omitempty"`    // it has no address
	Signed    bool         `json:"signed"`            // its addresses are validated
	Base      string       `json:"base,omitempty"`    // where its TLSA records are
	Records   int          `json:"records,omitempty"` // of TLSA
	Usable    []string     `json:"usable,omitempty"`  // of them, as they stand in the DNS
	Unknown   bool         `json:"unknown,omitempty"` // whether there are any, nobody knows
	Error     string       `json:"error,omitempty"`   // why not
	InPolicy  bool         `json:"in_policy"`         // of MTA-STS
	Asks      string       `json:"asks"`              // nothing, tls, proof, refused, would_refuse
	By        string       `json:"by,omitempty"`      // as the policy in docs/ref/record.md
	Why       string       `json:"why,omitempty"`     // with refused and would_refuse: as the reason there
	Detail    string       `json:"detail,omitempty"`  // for people
	Tried     netip.Addr   `json:"for,omitzero"`      // the address that this is about
}

// A TLSPolicy is one of MTA-STS.
type TLSPolicy struct {
	Domain  string    `json:"domain"`
	Mode    string    `json:"mode"` // none, testing, enforce
	ID      string    `json:"id"`
	MX      []string  `json:"mx"`
	Fetched time.Time `json:"fetched"`
	Until   time.Time `json:"until"`
	Used    time.Time `json:"used,omitzero"` // the day of its last mail
	Next    time.Time `json:"next,omitzero"` // when it is fetched anew
	Owner   string    `json:"owner,omitempty"`
	Why     string    `json:"why,omitempty"` // the newest could not be had
	Error   string    `json:"error,omitempty"`
}

// A TLSRefusal is what would have been refused, had the mode been "enforce".
type TLSRefusal struct {
	Domain  string     `json:"domain"`       // "": of recipients whose domain cannot be read
	Of      string     `json:"of,omitempty"` // without a domain: the tenant that writes so, or its MSA
	MX      netip.Addr `json:"mx"`           // the last one
	Policy  string     `json:"policy"`
	Why     string     `json:"why"`
	Detail  string     `json:"detail,omitempty"`
	Perhaps bool       `json:"perhaps,omitempty"` // another connection might have done better; mode "enforce" makes it
	Times   int        `json:"times"`
	First   time.Time  `json:"first"`
	Last    time.Time  `json:"last"`
}

// Domains is what the daemon knows of what recipients' domains ask of their MXs.
type Domains interface {
	// DomainTLS asks all of it, and waits for that. Without a destination it is about all MXs.
	DomainTLS(ctx context.Context, domain string, destination netip.Addr) (TLSDomain, error)
	// TLSPolicies are those of MTA-STS that are kept.
	TLSPolicies() ([]TLSPolicy, error)
	// TLSRefusals are what mode "observe" has let pass in the last seven days.
	TLSRefusals() ([]TLSRefusal, error)
	// RefreshTLS has a policy fetched now.
	RefreshTLS(ctx context.Context, domain string) error
	// ForgetTLS forgets a policy: the next mail looks it up.
	ForgetTLS(domain, reason, who string) error
}

// tlsPatience bounds a question that strangers' servers answer.
const tlsPatience = 25 * time.Second

func (s *Server) handleDomains(mux *doors) {
	mux.open(MaySearch, "GET /v1/domains/{domain}/tls", s.showDomain)
	mux.open(MayAct, "POST /v1/domains/{domain}/tls/refresh", s.refreshDomain)
	mux.open(MayAct, "POST /v1/domains/{domain}/tls/forget", s.forgetDomain)
	mux.open(MayLook, "GET /v1/tls/policies", s.listTLSPolicies)
	mux.open(MayLook, "GET /v1/tls/refusals", s.listTLSRefusals)
}

func (s *Server) showDomain(w http.ResponseWriter, r *http.Request) {
	var destination netip.Addr
	if asked := r.URL.Query().Get("destination"); asked != "" {
		var err error
		if destination, err = netip.ParseAddr(asked); err != nil {
			s.refuse(w, http.StatusBadRequest, fmt.Errorf("\"destination\" is %q, want an IP address", asked))
			return
		}
	}
	s.answerDomain(w, r, destination.Unmap(), nil)
}

func (s *Server) refreshDomain(w http.ResponseWriter, r *http.Request) {
	var none struct{}
	if !s.read(w, r, &none) {
		return
	}
	s.answerDomain(w, r, netip.Addr{}, func(ctx context.Context, domain string) error {
		if err := s.mxs.RefreshTLS(ctx, domain); err != nil {
			return err
		}
		s.log.Info("TLS policy refreshed by the operator", "domain", domain, "who", peerOf(r.Context()))
		return nil
	})
}

func (s *Server) forgetDomain(w http.ResponseWriter, r *http.Request) {
	var c struct {
		Reason string `json:"reason"`
	}
	if !s.read(w, r, &c) {
		return
	}
	switch {
	case strings.TrimSpace(c.Reason) == "":
		s.refuse(w, http.StatusBadRequest, errors.New("this wants a \"reason\": mail may go where it would have been refused, and somebody will ask why"))
		return
	case len(c.Reason) > maxReason || !printable(c.Reason):
		s.refuse(w, http.StatusBadRequest, errBadReason)
		return
	}
	domain, ok := s.domain(w, r)
	if !ok {
		return
	}
	who := peerOf(r.Context())
	if err := s.mxs.ForgetTLS(domain, c.Reason, who); err != nil {
		s.refuseFor(w, err)
		return
	}
	s.log.Info("TLS policy forgotten by the operator", "domain", domain, "reason", c.Reason, "who", who)
	s.answer(w, r, struct{}{})
}

// answerDomain does what is to be done, and shows what a domain asks. Strangers' servers are asked for it.
func (s *Server) answerDomain(w http.ResponseWriter, r *http.Request, destination netip.Addr, first func(context.Context, string) error) {
	domain, ok := s.domain(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), tlsPatience)
	defer cancel()
	connection, end := http.NewResponseController(w), time.Now().Add(tlsPatience+patience)
	if err := errors.Join(connection.SetReadDeadline(end), connection.SetWriteDeadline(end)); err != nil {
		s.log.Warn("a question about a domain may take longer than its answer can wait", "error", err)
	}
	if first != nil {
		if err := first(ctx, domain); err != nil {
			s.refuseFor(w, err)
			return
		}
	}
	shown, err := s.mxs.DomainTLS(ctx, domain, destination)
	if err != nil {
		s.refuseFor(w, err)
		return
	}
	s.answer(w, r, shown)
}

func (s *Server) domain(w http.ResponseWriter, r *http.Request) (string, bool) {
	name := r.PathValue("domain")
	if len(name) > maxSubject || !printable(name) {
		s.refuse(w, http.StatusBadRequest, fmt.Errorf("%.40q is no domain", name))
		return "", false
	}
	return name, true
}

func (s *Server) listTLSPolicies(w http.ResponseWriter, r *http.Request) {
	all, err := s.mxs.TLSPolicies()
	if err != nil {
		s.refuseFor(w, err)
		return
	}
	if all == nil {
		all = []TLSPolicy{}
	}
	s.answer(w, r, all)
}

func (s *Server) listTLSRefusals(w http.ResponseWriter, r *http.Request) {
	all, err := s.mxs.TLSRefusals()
	if err != nil {
		s.refuseFor(w, err)
		return
	}
	if all == nil {
		all = []TLSRefusal{}
	}
	s.answer(w, r, all)
}

// DomainTLS gives what a recipient's domain asks of its MXs, or with an address of one.
func (c *Client) DomainTLS(ctx context.Context, domain string, destination netip.Addr) (TLSDomain, error) {
	asked := ""
	if destination.IsValid() {
		asked = destination.String()
	}
	return answer[TLSDomain](ctx, c.forDomains(), http.MethodGet, tlsPath(domain, "")+asking("destination", asked), nil)
}

// RefreshTLS has the domain's policy of MTA-STS fetched, and gives what the domain asks then.
func (c *Client) RefreshTLS(ctx context.Context, domain string) (TLSDomain, error) {
	return answer[TLSDomain](ctx, c.forDomains(), http.MethodPost, tlsPath(domain, "/refresh"), struct{}{})
}

// ForgetTLS has the domain's policy of MTA-STS forgotten.
func (c *Client) ForgetTLS(ctx context.Context, domain, reason string) error {
	_, err := answer[struct{}](ctx, c, http.MethodPost, tlsPath(domain, "/forget"), struct {
		Reason string `json:"reason"`
	}{reason})
	return err
}

// TLSPolicies gives the policies of MTA-STS that are kept.
func (c *Client) TLSPolicies(ctx context.Context) ([]TLSPolicy, error) {
	return answer[[]TLSPolicy](ctx, c, http.MethodGet, "/v1/tls/policies", nil)
}

// TLSRefusals gives what mode "observe" has let pass in the last seven days.
func (c *Client) TLSRefusals(ctx context.Context) ([]TLSRefusal, error) {
	return answer[[]TLSRefusal](ctx, c, http.MethodGet, "/v1/tls/refusals", nil)
}

// forDomains is the client with the time that strangers' servers may take.
func (c *Client) forDomains() *Client {
	patient := &Client{c.socket, c.http, c.person}
	patient.http.Timeout = tlsPatience + patience
	return patient
}

func tlsPath(domain, do string) string { return "/v1/domains/" + url.PathEscape(domain) + "/tls" + do }
