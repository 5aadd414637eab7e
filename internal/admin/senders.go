package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Bounds of what is said of a sender.
const (
	maxSubject = 320 // octets of a name: those of the longest address (RFC 5321 §4.5.3.1)
	maxReason  = 255
	maxChanges = 10_000
)

var errBadReason = fmt.Errorf("want a \"reason\" of at most %d octets in one line", maxReason)

func (s *Server) handleSenders(mux *doors) {
	mux.open(MayLook, "GET /v1/tenants", s.listTenants)
	mux.open(MayLook, "GET /v1/tenants/{tenant}", s.showSender)
	mux.open(MayAct, "POST /v1/tenants/{tenant}/{do}", s.carry)
	mux.open(MaySearch, "GET /v1/accounts", s.listAccounts)
	mux.open(MaySearch, "GET /v1/accounts/{account}", s.showSender)
	mux.open(MayAct, "POST /v1/accounts/{account}/{do}", s.carry)
	mux.open(MaySearch, "GET /v1/audit", s.listChanges)
}

func (s *Server) listTenants(w http.ResponseWriter, r *http.Request) {
	all, err := s.senders.Tenants()
	s.answerList(w, r, all, err)
}

func (s *Server) listAccounts(w http.ResponseWriter, r *http.Request) {
	all, err := s.senders.Accounts(r.URL.Query().Get("tenant"))
	s.answerList(w, r, all, err)
}

func (s *Server) answerList(w http.ResponseWriter, r *http.Request, all []Sender, err error) {
	if err != nil {
		s.refuseFor(w, err)
		return
	}
	if all == nil {
		all = []Sender{}
	}
	s.answer(w, r, all)
}

func (s *Server) showSender(w http.ResponseWriter, r *http.Request) {
	if of, ok := s.subject(w, r); ok {
		s.answerSender(w, r, of)
	}
}

func (s *Server) answerSender(w http.ResponseWriter, r *http.Request, of Subject) {
	x, err := s.senders.Sender(of)
	if err != nil {
		s.refuseFor(w, err)
		return
	}
	s.answer(w, r, x)
}

func (s *Server) listChanges(w http.ResponseWriter, r *http.Request) {
	of, ok := s.subject(w, r)
	if !ok {
		return
	}
	var ip netip.Addr
	if asked := r.URL.Query().Get("ip"); asked != "" {
		var err error
		if ip, err = netip.ParseAddr(asked); err != nil || of != (Subject{}) {
			s.refuse(w, http.StatusBadRequest, fmt.Errorf("\"ip\" is %q, want an IP address, and neither tenant nor account with it", asked))
			return
		}
	}
	most, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("most"), "20"))
	if err != nil || most < 1 || most > maxChanges {
		s.refuse(w, http.StatusBadRequest, fmt.Errorf("\"most\" is %q, want 1 to %d", r.URL.Query().Get("most"), maxChanges))
		return
	}
	all, err := s.orders.Changes(of, ip.Unmap(), most)
	if err != nil {
		s.refuseFor(w, err)
		return
	}
	if all == nil {
		all = []Change{}
	}
	s.answer(w, r, all)
}

// carry has an order carried out, logs who gave it, and shows what came of it.
func (s *Server) carry(w http.ResponseWriter, r *http.Request) {
	of, ok := s.subject(w, r)
	if !ok {
		return
	}
	do := r.PathValue("do")
	if !slices.Contains([]string{"block", "unblock", "exempt", "unexempt", "limit", "kind", "allow", "withdraw"}, do) {
		s.refuse(w, http.StatusNotFound, fmt.Errorf("%q cannot be done: want block, unblock, exempt, unexempt, limit, kind, allow or withdraw", do))
		return
	}
	var body order
	if !s.read(w, r, &body) {
		return
	}
	o, err := body.checked(do, s.now())
	if err != nil {
		s.refuse(w, http.StatusBadRequest, err)
		return
	}
	who := peerOf(r.Context())
	if of, err = s.orders.Carry(of, o, who); err != nil {
		s.refuseFor(w, err)
		return
	}
	s.log.Info("changed by the operator", "request", r.URL.Path, "tenant", of.Tenant, "account", of.Account, "until", o.Until,
		"limit", o.Limit, "amount", o.Amount, "kind", o.Kind, "reason", o.Reason, "who", who)
	s.answerSender(w, r, of)
}

// An order is the body of a request that changes a sender.
type order struct {
	For    string `json:"for,omitempty"`
	Until  string `json:"until,omitempty"`
	Limit  string `json:"limit,omitempty"`
	Amount *int64 `json:"amount,omitempty"`
	Kind   string `json:"kind,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// checked refuses what an order has no use for: who sends it means something that would not happen.
func (b *order) checked(do string, now time.Time) (o Order, err error) {
	switch {
	case do == "allow" && (b.For+b.Until == "" || strings.TrimSpace(b.Reason) == ""):
		return o, errors.New("an allowance wants \"for\" or \"until\", and a \"reason\": spam passes meanwhile, and somebody will ask why")
	case do != "block" && do != "exempt" && do != "allow" && b.For+b.Until != "":
		return o, fmt.Errorf("%s has no end: want neither \"for\" nor \"until\"", do)
	case do != "limit" && (b.Limit != "" || b.Amount != nil):
		return o, fmt.Errorf("%s is about no limit: want neither \"limit\" nor \"amount\"", do)
	case do == "limit" && (b.Limit == "" || b.Amount == nil):
		return o, errors.New("want the \"limit\"'s name and its \"amount\", 0 for that of the configuration")
	case do != "kind" && b.Kind != "":
		return o, fmt.Errorf("%s is about no kind: want no \"kind\"", do)
	case do == "kind" && !slices.Contains([]string{KindList, KindForwarder, KindNone, KindDefault}, b.Kind):
		return o, fmt.Errorf("\"kind\" is %q, want list, forwarder, none, or default for that of the configuration", b.Kind)
	case do == "kind" && strings.TrimSpace(b.Reason) == "":
		return o, errors.New("a kind wants a \"reason\": it changes what is evidence, and somebody will ask why")
	case do == "block" && strings.TrimSpace(b.Reason) == "":
		return o, errors.New("a block wants a \"reason\": all mail of the sender waits, and somebody will ask why")
	case len(b.Reason) > maxReason || !printable(b.Reason):
		return o, errBadReason
	}
	o = Order{Do: do, Limit: b.Limit, Kind: b.Kind, Reason: b.Reason}
	if b.Amount != nil {
		if o.Amount = *b.Amount; o.Amount < 0 {
			return o, fmt.Errorf("\"amount\" is %d, want a positive number, or 0 for that of the configuration", o.Amount)
		}
	}
	o.Until, err = end(b.For, b.Until, now)
	return o, err
}

// end is when what is for a time, or until one, ends; never if neither is said.
func end(lasts, until string, now time.Time) (time.Time, error) {
	switch {
	case lasts != "" && until != "":
		return time.Time{}, errors.New("want \"for\" or \"until\", not both")
	case lasts != "":
		d, err := time.ParseDuration(lasts)
		if err != nil || d <= 0 {
			return time.Time{}, fmt.Errorf("\"for\" is %q, want a duration such as 90m or 2h", lasts)
		}
		return now.Add(d), nil
	case until != "":
		t, err := time.Parse(time.RFC3339, until)
		if err != nil || !t.After(now) {
			return time.Time{}, fmt.Errorf("\"until\" is %q, want a time to come such as 2026-07-01T18:00:00+09:00", until)
		}
		return t, nil
	}
	return time.Time{}, nil
}

// subject reads whose sending a request is about.
func (s *Server) subject(w http.ResponseWriter, r *http.Request) (Subject, bool) {
	of := Subject{Tenant: r.PathValue("tenant")}
	if of.Tenant == "" {
		asked := r.URL.Query()
		of = Subject{Tenant: asked.Get("tenant"), Account: cmp.Or(r.PathValue("account"), asked.Get("account"))}
	}
	for _, name := range []string{of.Tenant, of.Account} {
		if len(name) > maxSubject || !printable(name) {
			s.refuse(w, http.StatusBadRequest, fmt.Errorf("%.40q… is no tenant and no account", name))
			return of, false
		}
	}
	return of, true
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) })
}

// refuseFor answers with the error's own status. What is none of the operator's doing is logged, too.
func (s *Server) refuseFor(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var own *Error
	if errors.As(err, &own) {
		status = own.Status
	}
	if status >= http.StatusInternalServerError {
		s.log.Error("request of the operator failed", "error", err)
	}
	s.refuse(w, status, err)
}
