package route

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/whose"
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
	Shares  *Shares  // nil: all have what their weights say
}

// A Query is what is known of a mail so far. What is not known yet matches no condition about it.
type Query struct {
	Owner           *whose.Owner   // whose it is; nil: that is to be found out by what follows
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

// IPs returns all sending IPs of the pool and the destination's family that this host has, best first. Who must avoid one takes the
// next: that, too, is the same one each time.
func (c Choice) IPs() []SendingIP {
	if c.from == nil {
		return nil
	}
	return c.from.order(c.key, c.without)
}

// Has reports whether a sending IP is of the pool and the destination's family, and this host has it. It does not allocate.
func (c Choice) Has(ip netip.Addr) bool {
	if _, gone := c.without[ip]; gone || c.from == nil {
		return false
	}
	return slices.ContainsFunc(c.from.list, func(m candidate) bool { return m.Address == ip })
}

// Without returns the choice as it would be if this host did not have the sending IP.
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

// IsOnly reports whether there is but one sending IP of the pool and the destination's family.
func (c Choice) IsOnly() bool { return c.from != nil && len(c.from.list) == 1 }

// A Router decides which sending IP a mail leaves from. It does no lookups, is immutable and safe for concurrent use.
type Router struct {
	pools   []addressPool
	deflt   *addressPool
	whose   *whose.Tenants
	tenants []tenant // by number, from 1; 0: nobody's
	routes  []route
	observe bool
	absent  *Absence
	shares  *Shares

	bySender bool      // a route goes by whole senders
	doubts   []float64 // the least suspicion of each route that goes by it
}

// A tenant is what the choice has to know of one.
type tenant struct {
	name   string
	number int
	hash   uint64 // of the name
	pool   *addressPool
	folds  *mailbox.Fold
}

// isNobody reports whether it stands for who is no tenant's.
func (t *tenant) isNobody() bool { return t.number == 0 }

// An addressPool is a pool in the form in which it is chosen from.
type addressPool struct {
	Pool
	ipv4, ipv6 candidates
	none       error // no sending IP of the family
}

// NewRouter makes a Router. An error is a name that the configuration uses and does not have.
func NewRouter(c Config) (*Router, error) {
	r := &Router{observe: true, absent: c.Absent, shares: c.Shares}
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
	if err := r.meet(c.Tenants, c.Unknown); err != nil {
		return nil, err
	}
	for i := range c.Routes {
		compiled, err := newRoute(&c.Routes[i], c.Tenants, r.pool)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Routes[i].Name, err)
		}
		r.routes = append(r.routes, compiled)
		r.bySender = r.bySender || len(compiled.Senders) > 0
		if compiled.SuspicionMin > 0 {
			r.doubts = append(r.doubts, compiled.SuspicionMin)
		}
	}
	return r, nil
}

// meet makes the tenants known.
func (r *Router) meet(list []Tenant, unknown string) (err error) {
	r.tenants = []tenant{{pool: r.deflt}}
	var all []whose.Tenant
	for i, t := range list {
		p, err := r.pool(t.Pool)
		if err != nil {
			return fmt.Errorf("tenant %q: %w", t.Name, err)
		}
		r.tenants = append(r.tenants, tenant{t.Name, i + 1, hashText(t.Name), p, t.Fold})
		all = append(all, whose.Tenant{Name: t.Name, Port: t.Port, Sources: t.Sources, SenderDomains: t.SenderDomains, AllSenders: t.AllSenders})
	}
	r.whose, err = whose.New(all, unknown)
	return err
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

// Choose returns pool and sending IP for what is known of a mail. [session.ErrNoSendingIP] is seen if the pool has none
// of the destination's family, or this host only those of the other one, and [session.ErrNotOnHost] if this host has
// none of the pool: the choice then tells the rest. Another error is a pool that was asked for and is not there. Choose
// does not allocate, but for a sender with something to fold where a route goes by senders.
func (r *Router) Choose(q Query) (choice Choice, err error) {
	f := r.factsOf(&q)
	choice.Tenant = f.tenant.name
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

// Owner says whose a mail is.
func (r *Router) Owner(q Query) *whose.Owner {
	if q.Owner != nil {
		return q.Owner
	}
	var sender whose.Sender
	if q.SenderKnown {
		sender = whose.SenderOf(q.Sender)
	}
	return r.whose.Find(q.Source, q.Port, sender)
}

// Behind returns all tenants that mail from an MSA may be of, whoever its sender is. It costs a look at each tenant.
func (r *Router) Behind(q Query) []string {
	if r.Owner(q).Apart {
		return []string{q.Source.String()}
	}
	return r.whose.Behind(q.Source, q.Port)
}

// Doubts is how many routes a suspicion is enough for: two mails that are alike but for that, and have as many, get the same choice.
func (r *Router) Doubts(suspicion float64) (enough int) {
	for _, least := range r.doubts {
		if suspicion >= least {
			enough++
		}
	}
	return enough
}

// Explain is Choose with the reasons.
func (r *Router) Explain(q Query) (choice Choice, err error) {
	f := r.factsOf(&q)
	choice.Tenant = f.tenant.name
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
		p = f.tenant.pool
	}
	return r.fill(choice, f, p)
}

// fallBack is what holds where no route does.
func (r *Router) fallBack(choice *Choice, f *facts) error {
	choice.Route = "default pool"
	if !f.tenant.isNobody() {
		choice.Route = "pool of the tenant"
	}
	return r.fill(choice, f, f.tenant.pool)
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
	choice.from, choice.key, choice.without = from.with(r.shares.now()), r.key(f, p), r.absent.now()
	best, found := choice.from.first(choice.key, choice.without)
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

// other returns the sending IPs of the other family.
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
	if !f.tenant.isNobody() {
		from = f.tenant.hash
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
	tenant       *tenant
	senderDomain string // "" for the null sender, and where it is not known
	account      string // of the sender; "" where no route asks
}

func (r *Router) factsOf(q *Query) facts {
	f := facts{Query: q, destination: q.Destination.Addr().Unmap(), tenant: &r.tenants[r.Owner(*q).Number()]}
	if q.SenderKnown {
		f.senderDomain = mailbox.DomainOf(q.Sender)
	}
	if q.SenderKnown && r.bySender {
		f.account, _ = f.tenant.folds.Account(q.Sender)
	}
	return f
}
