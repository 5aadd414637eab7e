package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/policy"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/who/mailbox"
)

// lastChanges is how many lines of the audit are shown with a sender.
const lastChanges = 10

// senders is what the admin API works on for tenants and accounts.
type senders struct{ *Daemon }

// absent reports that nobody is known: kanmon lets everybody send.
func (s *senders) absent() bool { return !s.policy.Active() && len(s.policy.List()) == 0 }

var errNoTenants = &admin.Error{Status: http.StatusNotFound, Err: errors.New("no tenant is configured: kanmon lets everybody send; add a [[tenant]] to its configuration")}

// Tenants implements [admin.Senders].
func (s *senders) Tenants() ([]admin.Sender, error) {
	if s.absent() {
		return nil, errNoTenants
	}
	names := slices.Clone(s.policy.Tenants())
	for _, one := range s.policy.List() {
		if one.Subject.Account == "" && !slices.Contains(names, one.Subject.Tenant) {
			names = append(names, one.Subject.Tenant) // no longer configured, and blocked, say
		}
	}
	accounts := s.accounts()
	var all []admin.Sender
	for _, name := range names {
		x := s.policy.Explain(contain.Subject{Tenant: name})
		shown := s.shown(&x)
		shown.Accounts = accounts[name]
		all = append(all, shown)
	}
	return all, nil
}

// accounts counts those of each tenant that are contained, blocked or exempt.
func (s *senders) accounts() map[string]int {
	n := map[string]int{}
	for _, one := range s.policy.List() {
		if one.Subject.Account != "" {
			n[one.Subject.Tenant]++
		}
	}
	return n
}

// Accounts implements [admin.Senders].
func (s *senders) Accounts(tenant string) ([]admin.Sender, error) {
	if s.absent() {
		return nil, errNoTenants
	}
	if tenant != "" {
		if err := s.known(tenant); err != nil {
			return nil, err
		}
	}
	var all []admin.Sender
	for _, one := range s.policy.List() {
		if one.Subject.Account == "" || tenant != "" && one.Subject.Tenant != tenant {
			continue
		}
		x := s.policy.Explain(one.Subject)
		all = append(all, s.shown(&x))
	}
	return s.withMarked(all, tenant), nil
}

// withMarked adds the accounts and domains that are marked.
func (s *senders) withMarked(all []admin.Sender, tenant string) []admin.Sender {
	for _, m := range s.policy.Marks() {
		listed := slices.ContainsFunc(all, func(one admin.Sender) bool { return one.Subject == shownSubject(m.Subject) })
		if m.Account == "" || listed || tenant != "" && m.Tenant != tenant {
			continue
		}
		x := s.policy.Explain(m.Subject)
		all = append(all, s.shown(&x))
	}
	slices.SortFunc(all, func(a, b admin.Sender) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Account, b.Account))
	})
	return all
}

func shownSubject(of contain.Subject) admin.Subject {
	return admin.Subject{Tenant: of.Tenant, Account: of.Account}
}

// shown is a sender with its mark.
func (s *senders) shown(x *contain.Explanation) admin.Sender {
	out := shownSender(x)
	out.Mark = s.mark(x.Subject)
	out.Note = s.note(&out)
	return out
}

// note tells of orders that are in memory alone.
func (s *senders) note(of *admin.Sender) string {
	if s.policy.Kept() || of.Block == nil && of.Exempt == nil && of.Allow == nil && (of.Mark == nil || of.Mark.Hand == nil) {
		return ""
	}
	return notKept("senders")
}

// mark returns what holds for a sender; nil where nothing was said of it.
func (s *senders) mark(of contain.Subject) *admin.Mark {
	m, own := s.policy.MarkOf(of)
	if m.Kind == contain.Plain && m.By == "" {
		return nil
	}
	out := &admin.Mark{Kind: m.Kind.String()}
	if !own {
		out.Of = cmp.Or(m.Account, "tenant")
	}
	if m.By != "" {
		out.Hand = &admin.ByHand{At: m.At, By: m.By, Why: m.Why}
	}
	return out
}

// Sender implements [admin.Senders].
func (s *senders) Sender(asked admin.Subject) (admin.SenderDetail, error) {
	of, err := s.find(asked)
	if err != nil {
		return admin.SenderDetail{}, err
	}
	x := s.policy.Explain(of)
	shown := shownDetail(&x)
	shown.Mark = s.mark(of)
	shown.Note = s.note(&shown.Sender)
	if counts := s.policy.CountsFor(of); counts != of.Account {
		shown.CountsFor = counts
	}
	if of.Account == "" || of.Account == contain.NullSender {
		if asked, dead := s.policy.Callouts(of.Tenant); asked > 0 {
			shown.Callouts = &admin.Callouts{Asked: asked, Dead: dead}
		}
	}
	shown.Suspicion = shownSuspicion(s.policy.Suspicion(of))
	if of.Account != "" {
		shown.Limits = shownUses(s.policy.Usages(of))
	} else {
		shown.Accounts = s.accounts()[of.Tenant]
	}
	shown.Limits = append(shown.Limits, shownUses(s.policy.Usages(contain.Subject{Tenant: of.Tenant}))...)
	// Without the audit there is all the rest to be seen, and an order that this is the answer to has been carried out.
	// Whoever asks for the audit itself is told what keeps it.
	shown.Changes, _ = s.Changes(admin.Subject{Tenant: of.Tenant, Account: of.Account}, netip.Addr{}, lastChanges)
	return shown, nil
}

func shownSuspicion(s *event.Suspicion) *admin.Suspicion {
	if s == nil {
		return nil
	}
	out := &admin.Suspicion{Score: s.Score, Capped: s.Capped, Parts: []admin.Suspect{}}
	for i := range s.Parts {
		p := &s.Parts[i]
		out.Parts = append(out.Parts, admin.Suspect{Ground: p.Ground.String(), P: p.P, N: p.N, Of: p.Of, Says: p.Says()})
	}
	return out
}

// Carry implements [admin.SenderOrders].
func (s *senders) Carry(asked admin.Subject, o admin.Order, who string) (admin.Subject, error) {
	of, err := s.find(asked)
	if err != nil {
		return asked, err
	}
	switch o.Do {
	case "block":
		err = s.policy.Block(of, o.Until, who, o.Reason)
	case "unblock":
		err = s.policy.Unblock(of, who, o.Reason)
	case "exempt":
		err = s.policy.Exempt(of, o.Until, who, o.Reason)
	case "unexempt":
		err = s.policy.Unexempt(of, who, o.Reason)
	case "allow":
		err = s.policy.Allow(of, o.Until, who, o.Reason)
	case "withdraw":
		err = s.policy.Withdraw(of, who, o.Reason)
	case "limit":
		err = s.policy.SetLimit(of, o.Limit, o.Amount, who, o.Reason)
	case "kind":
		err = s.setKind(of, o, who)
	default:
		err = fmt.Errorf("unknown order %q", o.Do)
	}
	return admin.Subject{Tenant: of.Tenant, Account: of.Account}, withStatus(err)
}

func (s *senders) setKind(of contain.Subject, o admin.Order, who string) error {
	if o.Kind == admin.KindDefault {
		return s.policy.SetKind(of, nil, who, o.Reason)
	}
	var kind contain.Kind
	if err := kind.UnmarshalText([]byte(o.Kind)); err != nil {
		return err
	}
	return s.policy.SetKind(of, &kind, who, o.Reason)
}

// withStatus says whose doing an error is. What has none of these causes is the daemon's own: most of all a disk.
func withStatus(err error) error {
	for cause, status := range map[error]int{
		policy.ErrTenant: http.StatusNotFound, policy.ErrLimit: http.StatusNotFound, policy.ErrAmount: http.StatusBadRequest, policy.ErrNoStore: http.StatusNotFound,
		policy.ErrKind: http.StatusBadRequest, policy.ErrAccount: http.StatusBadRequest,
		contain.ErrSubject: http.StatusNotFound, contain.ErrNothing: http.StatusNotFound, contain.ErrPast: http.StatusBadRequest, contain.ErrFull: http.StatusServiceUnavailable,
	} {
		if errors.Is(err, cause) {
			return &admin.Error{Status: status, Err: err}
		}
	}
	return err
}

// Changes implements [admin.SenderOrders].
func (s *senders) Changes(asked admin.Subject, ip netip.Addr, most int) ([]admin.Change, error) {
	of := contain.Subject{}
	if asked != (admin.Subject{}) {
		var err error
		if of, err = s.find(asked); err != nil {
			return nil, err
		}
	}
	all, err := s.policy.Audit(of, ip, most)
	if err != nil {
		return nil, withStatus(fmt.Errorf("read the audit: %w", err))
	}
	var shown []admin.Change
	for _, c := range all {
		shown = append(shown, admin.Change{
			At: c.At, By: c.By, Subject: admin.Subject{Tenant: c.Subject.Tenant, Account: c.Subject.Account},
			IP: c.IP, Provider: c.Provider, Did: c.Did, Before: c.Before, After: c.After, Why: c.Why,
		})
	}
	return shown, nil
}

// find returns the subject that is meant: an account without a tenant is the only tenant's, or of the only one whose account
// of this name is contained, blocked or exempt.
func (s *senders) find(asked admin.Subject) (contain.Subject, error) {
	of := contain.Subject{Tenant: asked.Tenant, Account: asked.Account}
	if mailbox.Named(of.Account) == mailbox.Unreadable && of.Account != mailbox.Unreadable {
		return of, &admin.Error{Status: http.StatusBadRequest, Err: fmt.Errorf("%q is not the name of an account: want one address, or a login name", of.Account)}
	}
	if s.absent() {
		return of, errNoTenants
	}
	if of.Tenant != "" {
		return s.policy.Normal(of), s.known(of.Tenant)
	}
	tenants := s.policy.Tenants()
	if len(tenants) != 1 {
		tenants = nil
		for _, one := range s.policy.List() {
			if of.Account != "" && one.Subject == s.policy.Normal(contain.Subject{Tenant: one.Subject.Tenant, Account: of.Account}) {
				tenants = append(tenants, one.Subject.Tenant)
			}
		}
	}
	switch len(tenants) {
	case 1:
		of.Tenant = tenants[0]
		return s.policy.Normal(of), nil
	case 0:
		return of, &admin.Error{Status: http.StatusBadRequest, Err: fmt.Errorf("cannot tell which tenant account %q belongs to: add --tenant", of.Account)}
	default:
		return of, &admin.Error{Status: http.StatusBadRequest, Err: fmt.Errorf("%s have an account %q: add --tenant", strings.Join(tenants, " and "), of.Account)}
	}
}

// known refuses a tenant that is neither configured nor remembered: a slip would show as one in order.
func (s *senders) known(tenant string) error {
	if slices.Contains(s.policy.Tenants(), tenant) || s.policy.Explain(contain.Subject{Tenant: tenant}).Known {
		return nil
	}
	return &admin.Error{Status: http.StatusNotFound, Err: fmt.Errorf("%w: %q", policy.ErrTenant, tenant)}
}

func shownSender(x *contain.Explanation) admin.Sender {
	out := admin.Sender{
		Subject: admin.Subject{Tenant: x.Subject.Tenant, Account: x.Subject.Account},
		Level:   x.Level.String(), InForce: x.Answer.Level.String(), Would: x.Answer.Would.String(),
		ByTenant: x.Answer.Tenant && x.Subject.Account != "", Blocked: x.Answer.Hand,
		Block: shownHand(x.Block), Exempt: shownHand(x.Exempt), Allow: shownHand(x.Allow),
	}
	if x.Level > contain.Normal {
		out.Since = x.Since
	}
	if x.Last != nil {
		out.Why = x.Last.Why
	}
	return out
}

func shownHand(h *contain.ByHand) *admin.ByHand {
	if h == nil {
		return nil
	}
	return &admin.ByHand{At: h.At, Until: h.Until, By: h.By, Why: h.Why}
}

func shownDetail(x *contain.Explanation) admin.SenderDetail {
	out := admin.SenderDetail{
		Sender: shownSender(x), Known: x.Known, Signal: string(x.Signal), Strikes: x.Strikes, DownIn: max(0, x.DownIn),
		Readings: []admin.Reading{}, Usual: admin.Usual(x.Usual), Hour: admin.Counts(x.Hour), Day: admin.Counts(x.Day),
		Distinct: x.Distinct, Counting: x.Counting, Allowance: x.Allowance, AllowanceFrom: x.AllowanceFrom, Octets: x.Octets, Recipients: x.Recipients,
		Samples: shownSamples(x.Samples), Limits: []admin.LimitUse{},
	}
	for i := range x.Readings {
		out.Readings = append(out.Readings, shownReading(&x.Readings[i]))
	}
	if l := x.Last; l != nil {
		out.Last = &admin.Decision{
			At: l.At, From: l.From.String(), To: l.To.String(), Enforced: l.Enforced.String(), By: l.By, Why: l.Why,
			Looks: shownLooks(l.Looks), Reading: shownReading(&l.Reading), Samples: shownSamples(l.Samples), Number: l.Transaction,
		}
		if l.Session != 0 {
			out.Last.Session = event.ID(l.Session).String()
		}
	}
	return out
}

func shownLooks(k contain.Kind) string {
	if k == contain.Plain {
		return ""
	}
	return k.String()
}

func shownReading(r *contain.Reading) admin.Reading {
	return admin.Reading{
		Signal: string(r.Signal), Window: r.Window, Bad: r.Bad, Cases: r.Cases, Share: r.Share, Low: r.Low, Providers: r.Providers,
		Accounts: r.Accounts, Named: r.Named, Elsewhere: r.Elsewhere, Level: r.Level.String(), Overwhelming: r.Overwhelming, Threshold: r.Threshold,
	}
}

func shownSamples(all []contain.Sample) []admin.Sample {
	var shown []admin.Sample
	for _, s := range all {
		shown = append(shown, admin.Sample(s))
	}
	return shown
}

func shownUses(all []policy.Usage) []admin.LimitUse {
	var shown []admin.LimitUse
	for _, u := range all {
		provider := ""
		if u.Rule.Scope.At() == limit.AtProvider {
			provider = u.Subject.To
		}
		shown = append(shown, admin.LimitUse{
			Name: u.Rule.Name, Provider: provider, Scope: u.Rule.Scope.String(), Measure: u.Rule.Measure.String(), Amount: u.Rule.Amount, Configured: u.Configured,
			Per: u.Rule.Per, Enforced: u.Enforced, Used: u.Used, Max: u.Max, Free: u.Free, Room: u.Now.OK, Wait: u.Now.Wait,
		})
	}
	slices.SortStableFunc(shown, func(a, b admin.LimitUse) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Provider, b.Provider))
	})
	return shown
}
