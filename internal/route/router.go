package route

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"kanmon/internal/mailbox"
	"kanmon/internal/session"
)

// DefaultPool is the pool of mail that belongs to no tenant and to no route.
const DefaultPool = "default"

// A SendingIP is a local address that mail may leave from.
type SendingIP struct {
	Address netip.Addr
	Name    string // EHLO name; it must match the address's PTR record
}

// A Pool is a named set of sending IPs.
type Pool struct {
	Name     string
	IPs      []WeightedIP
	BySender bool // the sender's domain is part of what the choice depends on
	HighRisk bool // it takes mail whose reputation should not hit others
}

// A WeightedIP is a sending IP and its share of a pool.
type WeightedIP struct {
	SendingIP
	Weight int // against the others of its family; 0 counts as 1
}

// A Tenant is found by the listener, by the MSA's address, and among several behind one address by the sender's domain.
type Tenant struct {
	Name          string
	Port          uint16 // of a listener of its own; 0: none
	Sources       []netip.Prefix
	SenderDomains []string // "acme.example", "*.acme.example" for all below; none: every sender of the sources
	AllSenders    bool     // with SenderDomains: other senders of the sources are its own, too, unless they are another tenant's
	Pool          string
	Fold          *mailbox.Fold // finds the accounts of its senders; nil: mailbox.Default
}

// A Route gives mail to a pool if all its conditions hold. Of the values of a list one must; an empty list is no condition.
type Route struct {
	Name             string // as it is told to the operator
	Tenants          []string
	Senders          []string // whole addresses: senders that are written so, and all whose account it is
	SenderDomains    []string // as Tenant.SenderDomains
	NullSender       bool
	RecipientDomains []string
	Providers        []string
	Destinations     []netip.Prefix
	SuspicionMin     float64 // 0: no condition
	Pool             string  // "": the one that the mail would have without the route
}

// Config is what a [Router] is made from. The first route that matches wins, else the tenant's pool, else the pool
// "default". Addresses and domains may be in any form that package mailbox reads.
type Config struct {
	Pools   []Pool // none, or none with an address: observe mode
	Tenants []Tenant
	Unknown string // the tenant whose the mail is that no tenant claims; "": nobody's
	Routes  []Route
	Absent  *Absence // nil: this host has all sending IPs
}

// A Query is what is known of a mail so far. What is not known yet matches no condition about it.
type Query struct {
	Source          netip.Addr     // the MSA
	Port            uint16         // of the listener that took the session; 0: not known
	Destination     netip.AddrPort // the MX; an unspecified address stands for any of its family
	Sender          string         // envelope sender, as mailbox.Form gives it; "": the null sender
	SenderKnown     bool
	RecipientDomain string  // as mailbox.Domain gives it; "": not known yet
	Provider        string  // "": none, or not known
	Suspicion       float64 // 0 to 1; below 0: not known
	Pool            string  // it must leave from this one, whatever the routes say; "": as they say
}

// A Choice is a pool, and the sending IP of it that the mail leaves from.
type Choice struct {
	Tenant   string // "": nobody's
	Pool     string // "" in observe mode
	HighRisk bool
	BySender bool      // the pool's choice depends on the sender's domain
	Route    string    // "route 3 (line 41)", "pool of the tenant" or "default pool"
	Number   int       // of the route, from 1; 0: none
	IP       SendingIP // the best one of the destination's family; the zero SendingIP in observe mode
	Why      []string  // each route tried and why it did not match; of Explain only

	from    *candidates
	key     uint64
	without map[netip.Addr]struct{} // of from; shared, and never changed
}

// IPs gives all sending IPs of the pool and the destination's family that this host has, best first. Who must avoid one takes the
// next: that, too, is the same one each time.
func (c Choice) IPs() []SendingIP {
	if c.from == nil {
		return nil
	}
	return c.from.order(c.key, c.without)
}

// Has says whether a sending IP is of the pool and the destination's family, and this host has it. It does not allocate.
func (c Choice) Has(ip netip.Addr) bool {
	if _, gone := c.without[ip]; gone || c.from == nil {
		return false
	}
	return slices.ContainsFunc(c.from.list, func(m candidate) bool { return m.Address == ip })
}

// Without gives the choice as it would be if this host did not have the sending IP.
func (c Choice) Without(ip netip.Addr) Choice {
	fewer := maps.Clone(c.without)
	if fewer == nil {
		fewer = make(map[netip.Addr]struct{}, 1)
	}
	fewer[ip] = struct{}{}
	c.without = fewer
	c.IP = SendingIP{}
	if best, found := c.from.first(c.key, fewer); found {
		c.IP = c.from.list[best].SendingIP
	}
	return c
}

// IsOnly says whether there is but one sending IP of the pool and the destination's family.
func (c Choice) IsOnly() bool { return c.from != nil && len(c.from.list) == 1 }

// A Router decides which sending IP a mail leaves from. It does no lookups, is immutable and safe for concurrent use.
type Router struct {
	pools   []addressPool
	deflt   *addressPool
	tenants tenants
	routes  []route
	observe bool
	absent  *Absence

	bySender bool // a route goes by whole senders
}

// An addressPool is a pool in the form in which it is chosen from.
type addressPool struct {
	Pool
	ipv4, ipv6 candidates
	none       error // no sending IP of the family
}

// NewRouter makes a Router. An error is a name that the configuration uses and does not have.
func NewRouter(c Config) (*Router, error) {
	r := &Router{observe: true, absent: c.Absent}
	for _, p := range c.Pools {
		r.observe = r.observe && len(p.IPs) == 0
		none := fmt.Errorf("pool %q: %w", p.Name, session.ErrNoSendingIP)
		if len(c.Pools) == 1 {
			none = session.ErrNoSendingIP
		}
		r.pools = append(r.pools, addressPool{p, newCandidates(p.IPs, netip.Addr.Is4), newCandidates(p.IPs, netip.Addr.Is6), none})
	}
	var err error
	if r.deflt, err = r.pool(DefaultPool); err != nil && !r.observe {
		return nil, err
	}
	if r.tenants, err = newTenants(c.Tenants, c.Unknown, r.pool); err != nil {
		return nil, err
	}
	for i := range c.Routes {
		compiled, err := newRoute(&c.Routes[i], c.Tenants, r.pool)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Routes[i].Name, err)
		}
		r.routes = append(r.routes, compiled)
		r.bySender = r.bySender || len(compiled.Senders) > 0
	}
	return r, nil
}

func (r *Router) pool(name string) (*addressPool, error) {
	i := slices.IndexFunc(r.pools, func(p addressPool) bool { return p.Name == name })
	if i < 0 && r.observe {
		return nil, nil
	}
	if i < 0 {
		return nil, fmt.Errorf("there is no pool %q", name)
	}
	return &r.pools[i], nil
}

// Choose gives pool and sending IP for what is known of a mail. [session.ErrNoSendingIP] is seen if the pool has none of the
// destination's family, or this host only those of the other one, and [session.ErrNotOnHost] if this host has none of the pool: the choice then tells
// the rest. Another error is a pool that was asked for and is not there. Choose does not
// allocate, but for a sender with something to fold where a route goes by senders.
func (r *Router) Choose(q Query) (choice Choice, err error) {
	f := r.factsOf(&q)
	choice.Tenant = r.tenants.name(f.tenant)
	if q.Pool != "" {
		choice.Route = "pool that was asked for"
		p, err := r.pool(q.Pool)
		if err != nil { // to fall back to another pool would send doubtful mail from the good addresses
			return choice, err
		}
		return choice, r.fill(&choice, &f, p)
	}
	for i := range r.routes {
		if v, _, _ := r.routes[i].test(&f); v == matches {
			err = r.take(&choice, &f, i)
			return choice, err
		}
	}
	err = r.fallBack(&choice, &f)
	return choice, err
}

// An Owner is whose a mail is.
type Owner struct {
	Tenant    string // "": nobody's
	Unclaimed bool   // with Tenant: no tenant claims the mail, and it is that of the one for all others
	Later     bool   // with Tenant "": the sender's domain may tell
	Spoofed   string // the tenant that names the sender's domain as its own, if this one does not
}

// Owner says whose a mail is, for all who ask: the gate, the choice of the sending IP, the judge of refusals, the operator. The
// listener is trusted most, and then the MSA's address; the sender's domain decides only among those behind it. Where there are
// no tenants each MSA is one, by its address.
func (r *Router) Owner(q Query) Owner {
	if len(r.tenants.list) == 0 {
		return Owner{Tenant: q.Source.String()}
	}
	f := r.factsOf(&q)
	o := Owner{Tenant: r.tenants.name(f.tenant), Unclaimed: f.unclaimed}
	if o.Tenant == "" {
		o.Later = f.later
		return o
	}
	if owner := r.tenants.owner(f.senderDomain); owner != nobody && owner != f.tenant && !r.tenants.names(f.tenant, f.senderDomain) {
		o.Spoofed = r.tenants.name(owner)
	}
	return o
}

// Behind gives all tenants that mail from an MSA may be of, whoever its sender is. It costs a look at each tenant.
func (r *Router) Behind(q Query) []string {
	if len(r.tenants.list) == 0 {
		return []string{q.Source.String()}
	}
	return r.tenants.behind(q.Port, q.Source.Unmap())
}

// Explain is Choose with the reasons.
func (r *Router) Explain(q Query) (choice Choice, err error) {
	f := r.factsOf(&q)
	choice.Tenant = r.tenants.name(f.tenant)
	for i := range r.routes {
		v, failed, missing := r.routes[i].test(&f)
		if v == matches {
			err = r.take(&choice, &f, i)
			return choice, err
		}
		choice.Why = append(choice.Why, r.routes[i].Name+": "+r.routes[i].why(&f, choice.Tenant, failed, missing))
	}
	err = r.fallBack(&choice, &f)
	return choice, err
}

// take lets a route decide.
func (r *Router) take(choice *Choice, f *facts, i int) error {
	choice.Route, choice.Number = r.routes[i].Name, i+1
	p := r.routes[i].pool
	if r.routes[i].Pool == "" {
		p = r.poolWithout(f)
	}
	return r.fill(choice, f, p)
}

// fallBack is what holds where no route does.
func (r *Router) fallBack(choice *Choice, f *facts) error {
	choice.Route = "default pool"
	if f.tenant != nobody {
		choice.Route = "pool of the tenant"
	}
	return r.fill(choice, f, r.poolWithout(f))
}

// poolWithout is the pool of mail that no route has one for.
func (r *Router) poolWithout(f *facts) *addressPool {
	if f.tenant != nobody {
		return r.tenants.list[f.tenant].pool
	}
	return r.deflt
}

// fill chooses within the pool.
func (r *Router) fill(choice *Choice, f *facts, p *addressPool) error {
	if r.observe {
		choice.Route = "observe mode: no sending IP is configured"
		return nil
	}
	choice.Pool, choice.HighRisk, choice.BySender = p.Name, p.HighRisk, p.BySender
	from := p.of(f.destination)
	if len(from.list) == 0 {
		return p.none
	}
	choice.from, choice.key, choice.without = from, r.key(f, p), r.absent.now()
	best, found := from.first(choice.key, choice.without)
	switch {
	case found:
		choice.IP = from.list[best].SendingIP
		return nil
	case p.other(from).hasAny(choice.without):
		return p.none // the MSA goes on to the MX's address of the other family
	default:
		return fmt.Errorf("pool %s: %w", p.Name, session.ErrNotOnHost)
	}
}

func (p *addressPool) of(destination netip.Addr) *candidates {
	if destination.Is4() {
		return &p.ipv4
	}
	return &p.ipv6
}

// other gives the sending IPs of the other family.
func (p *addressPool) other(than *candidates) *candidates {
	if than == &p.ipv4 {
		return &p.ipv6
	}
	return &p.ipv4
}

// key is what the choice within a pool depends on. As long as tenant, sender domain and provider are not known it is the
// pair of addresses, and the choice is that of a gateway without pools.
func (r *Router) key(f *facts, p *addressPool) uint64 {
	from := hashAddr(f.Source)
	if f.tenant != nobody {
		from = r.tenants.list[f.tenant].hash
	}
	if p.BySender && f.senderDomain != "" {
		from = mix(from, hashText(f.senderDomain))
	}
	to := hashAddr(f.destination)
	if f.Provider != "" {
		to = hashText(f.Provider)
	}
	return pairKey(from, to)
}

// facts are a Query in the form that conditions need.
type facts struct {
	*Query
	destination  netip.Addr
	tenant       int // index, or nobody
	unclaimed    bool
	later        bool   // the sender's domain may tell whose it is
	senderDomain string // "" for the null sender, and where it is not known
	account      string // of the sender; "" where no route asks
}

func (r *Router) factsOf(q *Query) facts {
	f := facts{Query: q, destination: q.Destination.Addr().Unmap()}
	if q.SenderKnown {
		f.senderDomain = mailbox.DomainOf(q.Sender)
	}
	f.find(r)
	if q.SenderKnown && r.bySender {
		f.account, _ = r.tenants.fold(f.tenant).Account(q.Sender)
	}
	return f
}

// find finds whose mail it is.
func (f *facts) find(r *Router) {
	source := f.Source.Unmap()
	if f.tenant = r.tenants.find(f.Port, source, f.senderDomain); f.tenant != nobody {
		return
	}
	if f.later = !f.SenderKnown && r.tenants.shared.find(source) != nobody; !f.later {
		f.tenant, f.unclaimed = r.tenants.unknown, r.tenants.unknown != nobody
	}
}
