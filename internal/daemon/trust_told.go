package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/outlet/trust"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/policy"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// byOperator is in whose part an operator's question counts.
const byOperator = "operator"

// What of strangers' texts is shown.
const (
	mostShownName = 255 // octets of a name
	mostShownText = 300
)

var (
	errNoTLSPolicy = &admin.Error{Status: http.StatusNotFound, Err: errors.New("nothing is asked of MXs: kanmon's configuration has no [tls_policy], and no [[destination]] with tls = \"verify\"")}
	errNoPolicies  = &admin.Error{Status: http.StatusNotFound, Err: errors.New("MTA-STS policies are not asked for: kanmon's configuration has no [tls_policy], or mta_sts = false in it")}
)

// asking gives the generation that asks something of MXs, and what ends the use of it.
func (o *operator) asking() (g *generation, done func(), err error) {
	if g = o.d.enter(); g == nil {
		return nil, nil, errNoTLSPolicy
	}
	done = func() { o.d.leave(g) }
	if g.trust == nil {
		done()
		return nil, nil, errNoTLSPolicy
	}
	return g, done, nil
}

// keeping is asking, where policies of MTA-STS are kept.
func (o *operator) keeping() (k *keptPolicies, done func(), err error) {
	g, done, err := o.asking()
	if err != nil {
		return nil, nil, errNoPolicies
	}
	if g.trust.policies == nil {
		done()
		return nil, nil, errNoPolicies
	}
	return g.trust.policies, done, nil
}

func domainForm(name string) (string, error) {
	form, ok := mailbox.Domain(name)
	if !ok {
		return "", &admin.Error{Status: http.StatusBadRequest, Err: fmt.Errorf("%q is no domain", event.Printable(name, mostShownName))}
	}
	return form, nil
}

// DomainTLS implements [admin.Domains]. All MXs are those with an IPv4 address, and where there is none those with an IPv6 address.
func (o *operator) DomainTLS(ctx context.Context, name string, destination netip.Addr) (admin.TLSDomain, error) {
	domain, err := domainForm(name)
	if err != nil {
		return admin.TLSDomain{}, err
	}
	g, done, err := o.asking()
	if err != nil {
		return admin.TLSDomain{}, err
	}
	defer done()
	e := o.explain(ctx, g, domain, destination)
	if !destination.IsValid() && e.Unasked == event.TrustUnasked && !addressed(e) {
		if six := o.explain(ctx, g, domain, netip.IPv6Unspecified()); addressed(six) {
			e = six
		}
	}
	return o.shownDomain(g, e, destination), nil
}

func (o *operator) explain(ctx context.Context, g *generation, domain string, mx netip.Addr) *trust.Explanation {
	rule := session.Destination{}
	if mx.IsValid() {
		rule = g.engine.Destination(mx)
	}
	return g.trust.Explain(ctx, session.TrustQuestion{Domain: domain, MX: netip.AddrPortFrom(mx, 25), Rule: rule, By: byOperator})
}

// addressed reports whether any MX has an address of the family that was asked for.
func addressed(e *trust.Explanation) bool {
	for i := range e.Hosts {
		if len(e.Hosts[i].Addrs) > 0 {
			return true
		}
	}
	return false
}

func (o *operator) shownDomain(g *generation, e *trust.Explanation, destination netip.Addr) admin.TLSDomain {
	s := admin.TLSDomain{
		Domain: e.Domain, Destination: destination, Mode: g.trust.mode, Instead: e.Unasked.String(), Resolver: shownResolver(e.Resolver),
		MX: e.MX.String(), MXError: shownErr(e.Err), Bogus: e.Bogus, Signed: e.Signed, Alias: event.Printable(e.Alias, mostShownName), Null: e.Null,
		Implicit: e.Implicit, More: e.More, DANE: e.DANE, Hosts: []admin.TLSHost{}, Heard: e.Heard, Until: e.Until,
		MTASTS: g.trust.policies != nil, PolicyKnown: e.PolicyKnown, PolicyWhy: e.PolicyWhy.String(), PolicyError: shownErr(e.PolicyErr),
	}
	if e.Policy != nil {
		p := shownPolicy(e.Domain, e.Policy)
		s.Policy = &p
	}
	if destination.IsValid() && g.engine.Destination(destination).Passthrough {
		s.Instead = "passthrough"
	}
	s.Hosts = shownHosts(e, destination, s.Instead == "passthrough")
	s.Refused = isRefused(s.Hosts)
	for _, r := range o.d.trusting.wouldRefuse() {
		if r.Domain == e.Domain {
			seen := shownRefusal(&r)
			s.Seen = &seen
		}
	}
	return s
}

// shownHosts are the MXs, and what each must prove. Where none is known, or the destination is none of them, there is one without a name.
func shownHosts(e *trust.Explanation, destination netip.Addr, unseen bool) (all []admin.TLSHost) {
	here := false
	for i := range e.Hosts {
		h := shownHost(&e.Hosts[i])
		here = here || h.Here
		switch {
		case unseen:
			h.Asks = admin.TLSAsksNothing
		case destination.IsValid():
			if h.Here {
				asked(e, &h, destination)
			}
		case len(h.Addresses) > 0:
			asked(e, &h, h.Addresses[0])
		case !h.Gone:
			asked(e, &h, netip.Addr{})
		}
		all = append(all, h)
	}
	if !unseen && !here && (destination.IsValid() || len(e.Hosts) == 0) {
		one := admin.TLSHost{}
		asked(e, &one, destination)
		all = append(all, one)
	}
	return all
}

// asked says what comes of an MX, as far as that does not depend on what it shows in TLS: a leg in plain text is judged for it.
func asked(e *trust.Explanation, h *admin.TLSHost, mx netip.Addr) {
	h.Tried = mx
	if !mx.IsValid() {
		mx = netip.IPv4Unspecified()
	}
	v := e.Judge(session.TrustLeg{Offered: true, MX: netip.AddrPortFrom(mx, 25), Now: time.Now()})
	h.Asks = admin.TLSAsksNothing
	if v.Told == nil {
		return
	}
	if h.By = v.Told.Policy.String(); v.Told.Verdict != event.TrustRefused && v.Told.Verdict != event.TrustWouldRefuse {
		return
	}
	switch v.Told.Why {
	case event.DNSFailed, event.DNSSECInvalid, event.NotInPolicy, event.NoMX:
		h.Why, h.Detail, h.Asks = v.Told.Why.String(), v.Told.Detail, admin.TLSRefused
		if v.Pass {
			h.Asks = admin.TLSWould
		}
	default:
		if h.Asks = admin.TLSAsksProof; v.Told.Policy == event.TrustEncrypted {
			h.Asks = admin.TLSAsksTLS
		}
	}
}

// isRefused reports whether no MX is left to which mail to a domain may go. A policy that is being tested refuses nothing.
func isRefused(all []admin.TLSHost) (refused bool) {
	for i := range all {
		switch h := &all[i]; {
		case h.Asks == "": // nobody dials it
		case h.By == event.TrustTesting.String(), h.Asks != admin.TLSRefused && h.Asks != admin.TLSWould:
			return false
		default:
			refused = true
		}
	}
	return refused
}

func shownHost(x *trust.ExplainedHost) admin.TLSHost {
	h := admin.TLSHost{
		Name: event.Printable(x.Name, mostShownName), Addresses: x.Addrs, Here: x.Here, Gone: x.Gone, Signed: x.Signed,
		Base: event.Printable(x.Base, mostShownName), Records: x.Records, Unknown: x.Unknown, Error: shownErr(x.Err), InPolicy: x.Allowed,
	}
	for _, r := range x.Usable {
		h.Usable = append(h.Usable, shownTLSA(r))
	}
	return h
}

// shownTLSA is a record as a zone file has it.
func shownTLSA(r dns.TLSA) string {
	const most = 64 // octets of data: those of a digest
	return fmt.Sprintf("%d %d %d %x", r.Usage, r.Selector, r.Type, r.Data[:min(len(r.Data), most)])
}

func shownResolver(s dns.State) admin.TLSResolver {
	return admin.TLSResolver{Answers: s.Answers, Validates: s.Validates, Lost: s.Lost, Since: s.Since, Why: event.Printable(s.Why, mostShownText)}
}

func shownErr(err error) string {
	if err == nil {
		return ""
	}
	return event.Printable(err.Error(), mostShownText)
}

func shownPolicy(domain string, p *sts.Policy) admin.TLSPolicy {
	shown := admin.TLSPolicy{Domain: domain, Mode: p.Mode.String(), ID: event.Printable(p.ID, mostShownName), MX: []string{}, Fetched: p.Fetched, Until: p.Until}
	for _, pattern := range p.MX {
		shown.MX = append(shown.MX, event.Printable(pattern, mostShownName))
	}
	return shown
}

func shownRefusal(r *trust.Refusal) admin.TLSRefusal {
	return admin.TLSRefusal{
		Domain: event.Printable(r.Domain, mostShownName), Of: event.Printable(r.Of, mostShownName), MX: r.MX, Policy: r.Policy.String(), Why: r.Why.String(), Detail: r.Detail,
		Perhaps: r.Perhaps, Times: r.Times, First: r.First, Last: r.Last,
	}
}

// TLSPolicies implements [admin.Domains].
func (o *operator) TLSPolicies() (all []admin.TLSPolicy, err error) {
	k, done, err := o.keeping()
	if err != nil {
		return nil, err
	}
	defer done()
	for _, one := range k.List() {
		p := shownPolicy(event.Printable(one.Domain, mostShownName), one.Policy)
		p.Used, p.Next, p.Owner, p.Why, p.Error = one.Used, one.Next, one.Owner, one.Why.String(), shownErr(one.Err)
		all = append(all, p)
	}
	return all, nil
}

// TLSRefusals implements [admin.Domains].
func (o *operator) TLSRefusals() (all []admin.TLSRefusal, err error) {
	_, done, err := o.asking()
	if err != nil {
		return nil, err
	}
	done()
	for _, r := range o.d.trusting.wouldRefuse() {
		all = append(all, shownRefusal(&r))
	}
	return all, nil
}

// RefreshTLS implements [admin.Domains].
func (o *operator) RefreshTLS(ctx context.Context, name string) error {
	domain, err := domainForm(name)
	if err != nil {
		return err
	}
	k, done, err := o.keeping()
	if err != nil {
		return err
	}
	defer done()
	if _, err = k.Refresh(ctx, domain); err != nil {
		return &admin.Error{Status: http.StatusServiceUnavailable, Err: err}
	}
	return nil
}

// ForgetTLS implements [admin.Domains].
func (o *operator) ForgetTLS(name, reason, who string) error {
	domain, err := domainForm(name)
	if err != nil {
		return err
	}
	k, done, err := o.keeping()
	if err != nil {
		return err
	}
	defer done()
	before := ""
	for _, one := range k.List() {
		if one.Domain == domain {
			before = fmt.Sprintf("%s: MTA-STS %s until %s", domain, one.Policy.Mode, one.Policy.Until.UTC().Format(time.RFC3339))
		}
	}
	known, err := k.Forget(domain)
	switch {
	case !known:
		return &admin.Error{Status: http.StatusNotFound, Err: fmt.Errorf("nothing is known of an MTA-STS policy of %s", domain)}
	case err != nil:
		err = &admin.Error{Status: http.StatusInternalServerError, Err: fmt.Errorf("it is forgotten, and a restart may know it again: %w", err)}
	}
	c := policy.Change{By: who, Did: "tls forget", Before: cmp.Or(before, domain+": no MTA-STS policy"), After: domain + ": not known", Why: reason}
	if unkept := o.d.policy.AuditOrder(c); unkept != nil {
		err = errors.Join(err, &admin.Error{Status: http.StatusInternalServerError, Err: unkept})
	}
	return err
}

// unresolved is what is not normal of the resolver, where something is asked of MXs.
func (o *operator) unresolved() []admin.Problem {
	g, done, err := o.asking()
	if err != nil {
		return nil
	}
	defer done()
	return resolverProblems(g.trust.resolver.State(), g.trust.mode)
}

// resolverProblems judges a resolver. One that has never validated is as the host was set up: kanmon check tells of it.
func resolverProblems(s dns.State, mode string) []admin.Problem {
	waits := "what recipients' domains ask of MXs is not known"
	if mode == string(config.TLSEnforce) {
		waits = "mail to domains whose MXs may ask for DANE waits"
	}
	what := ""
	switch {
	case s.Since.IsZero(): // nobody has looked yet
	case !s.Answers:
		what = "no DNS resolver answers: "
	case s.Lost:
		what = "the DNS resolver has stopped validating DNSSEC: "
	}
	if what == "" {
		return nil
	}
	return []admin.Problem{{ID: "resolver", Do: "see to the resolver: " + event.Printable(s.Why, mostShownText), What: what + waits}}
}
