package route

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"kanmon/internal/who/mailbox"
)

// A verdict is what a route says to a Query.
type verdict uint8

const (
	fails verdict = iota // whatever comes
	open                 // as long as something is not known
	matches
)

// A condition is a kind of condition of a route, as a bit.
type condition uint8

const (
	byTenant condition = 1 << iota
	byDestination
	bySender
	bySenderDomain
	byNullSender
	byRecipientDomain
	byProvider
	bySuspicion
)

// What of a mail is known later than the rest.
const (
	needSender    = bySender | bySenderDomain | byNullSender
	needRecipient = byRecipientDomain | byProvider
)

// A route in the form in which it is tested.
type route struct {
	Route
	members                         []int // numbers of Tenants
	senderDomains, recipientDomains mailbox.Domains
	conditions                      condition
	pool                            *addressPool
}

func newRoute(c *Route, tenants []Tenant, poolOf func(string) (*addressPool, error)) (route, error) {
	r := route{Route: *c, senderDomains: mailbox.NewDomains(c.SenderDomains), recipientDomains: mailbox.NewDomains(c.RecipientDomains)}
	for _, name := range c.Tenants {
		i := slices.IndexFunc(tenants, func(t Tenant) bool { return t.Name == name })
		if i < 0 {
			return r, fmt.Errorf("there is no tenant %q", name)
		}
		r.members = append(r.members, i+1)
	}
	r.Senders = nil
	for _, address := range c.Senders {
		if form := mailbox.Form([]byte(address)); form != mailbox.Unreadable {
			r.Senders = append(r.Senders, form)
		}
	}
	for bit, is := range map[condition]bool{
		byTenant: len(c.Tenants) > 0, byDestination: len(c.Destinations) > 0,
		bySender: len(c.Senders) > 0, bySenderDomain: len(c.SenderDomains) > 0, byNullSender: c.NullSender,
		byRecipientDomain: len(c.RecipientDomains) > 0, byProvider: len(c.Providers) > 0, bySuspicion: c.SuspicionMin > 0,
	} {
		if is {
			r.conditions |= bit
		}
	}
	var err error
	if c.Pool != "" {
		r.pool, err = poolOf(c.Pool)
	}
	return r, err
}

// test compares the route with what is known: the condition that fails, or all conditions that nothing is known for yet.
func (r *route) test(f *facts) (v verdict, failed, missing condition) {
	for rest := r.conditions; rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		switch r.holds(bit, f) {
		case fails:
			return fails, bit, 0
		case open:
			missing |= bit
		}
	}
	if missing != 0 {
		return open, 0, missing
	}
	return matches, 0, 0
}

// holds tests one condition.
func (r *route) holds(c condition, f *facts) verdict {
	known, is := true, false
	switch c {
	case byTenant:
		is = slices.Contains(r.members, f.tenant.number)
	case byDestination:
		known = !f.destination.IsUnspecified()
		is = slices.ContainsFunc(r.Destinations, func(n netip.Prefix) bool { return n.Contains(f.destination) })
	case bySender:
		known, is = f.SenderKnown, slices.Contains(r.Senders, f.Sender) || f.SenderKnown && slices.Contains(r.Senders, f.account)
	case bySenderDomain:
		known, is = f.SenderKnown, r.senderDomains.Has(f.senderDomain)
	case byNullSender:
		known, is = f.SenderKnown, f.Sender == mailbox.Null
	case byRecipientDomain:
		known, is = f.RecipientDomain != "", r.recipientDomains.Has(f.RecipientDomain)
	case byProvider:
		known = f.Provider != "" || f.RecipientDomain != ""
		is = f.Provider != "" && slices.Contains(r.Providers, f.Provider)
	case bySuspicion:
		is = f.Suspicion >= r.SuspicionMin // which no unknown score is
	}
	switch {
	case !known:
		return open
	case is:
		return matches
	default:
		return fails
	}
}

// why says what kept a route from matching a mail of the tenant.
func (r *route) why(f *facts, tenant string, failed, missing condition) string {
	switch failed {
	case byTenant:
		return differs("tenant", tenant, r.Tenants)
	case byDestination:
		return fmt.Sprintf("the MX %s is not in %s", f.destination, oneOf(texts(r.Destinations)))
	case bySender:
		return differs("sender", f.Sender, r.Senders)
	case bySenderDomain:
		return differs("sender domain", f.senderDomain, r.SenderDomains)
	case byNullSender:
		return "the sender is not null"
	case byRecipientDomain:
		return differs("recipient domain", f.RecipientDomain, r.RecipientDomains)
	case byProvider:
		return differs("provider", cmp.Or(f.Provider, "none that is known"), r.Providers)
	case bySuspicion:
		if f.Suspicion < 0 {
			return "no suspicion score is known"
		}
		return fmt.Sprintf("the suspicion score %g is below %g", f.Suspicion, r.SuspicionMin)
	}
	switch {
	case missing&needSender != 0:
		return "the sender is not known"
	case missing&needRecipient != 0:
		return "the recipient is not known"
	default:
		return "the MX's address is not known"
	}
}

func differs(what, is string, wanted []string) string {
	if is == "" {
		is = "none"
	}
	return fmt.Sprintf("the %s is %s, not %s", what, is, oneOf(wanted))
}

// oneOf keeps long lists readable.
func oneOf(list []string) string {
	if len(list) <= 3 {
		return strings.Join(list, " or ")
	}
	return "one of " + strconv.Itoa(len(list))
}

func texts(list []netip.Prefix) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return out
}
