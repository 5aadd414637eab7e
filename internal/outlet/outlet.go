package outlet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/session"
	"kanmon/internal/store/keep"
	"kanmon/internal/who/mailbox"
)

// An Outlet is what the sessions of one configuration leave through. It is safe for concurrent use.
type Outlet struct {
	router     *route.Router
	dialer     Dialer
	ownAddress func(netip.Addr) bool
	providers  *provider.Lookup
	rules      *classify.Rules
	handlings  []Handling
	block      standing.Block
	tenants    int            // configured
	domains    map[string]int // of each provider with a name
	resets     resets
	probes     probes
	shaping    *shaping // nil: nothing is counted of what providers take
	tightened  func(Tightened)
	known      knownWays

	// Of the state.
	learnt   *learnt
	book     *standing.Book
	pins     *keep.Memory[pinKey, netip.Addr]
	forecast *route.Forecast
	dials    *dials
	paths    *paths
	stuck    *stuck
	ports    *portless
	absences *absences
	warm     *warm.Book
	shares   *route.Shares
	warming  warmings
	rescues  *rescues
	sites    *sites
	times    Times
}

// Options are what an [Outlet] is made from.
type Options struct {
	State      *State
	Routes     route.Config // without Absent and Shares, which are the state's
	Dialer     Dialer
	OwnAddress func(netip.Addr) bool // tells the addresses of this host, that an MSA on it may have; nil: nobody asks
	Providers  []provider.Provider
	Resolver   provider.Resolver // nil: this host's
	Wait       time.Duration     // how long a session waits for the provider of a recipient's domain, where it is asked for; 0: 20 ms
	Rules      *classify.Rules
	Handlings  []Handling     // by the number of the route; 0: without one
	Block      standing.Block // what is one netblock
	Shaping    Shaping
}

// A Dialer connects from a sending IP.
type Dialer interface {
	DialFrom(ctx context.Context, from netip.Addr, destination netip.AddrPort) (session.Outbound, error)
}

const defaultWait = 20 * time.Millisecond

// New makes an Outlet. An error is a name that the routes use and do not have.
func New(o Options) (*Outlet, error) {
	o.Routes.Absent, o.Routes.Shares = o.State.absences.missing, o.State.shares
	router, err := route.NewRouter(o.Routes)
	if err != nil {
		return nil, err
	}
	return &Outlet{
		router: router, dialer: o.Dialer, ownAddress: o.OwnAddress, rules: o.Rules, handlings: o.Handlings, block: o.Block,
		providers: provider.New(provider.Config{
			Set: provider.NewSet(o.Providers), Resolver: o.Resolver, Wait: cmp.Or(o.Wait, defaultWait),
			Addresses: o.State.learnt.addresses, MXs: o.State.learnt.mxs,
		}),
		tenants: len(o.Routes.Tenants), domains: domainsOf(o.Providers), shaping: o.Shaping.begin(o.State.rooms), tightened: o.State.tightened,
		learnt: o.State.learnt, book: o.State.book, pins: o.State.learnt.pins, forecast: o.State.learnt.forecast, dials: &o.State.dials, paths: &o.State.paths, stuck: &o.State.stuck, ports: &o.State.ports,
		absences: o.State.absences, warm: o.State.warm, shares: o.State.shares, rescues: o.State.rescues, sites: o.State.sites,
		times: o.State.times,
	}, nil
}

// domainsOf says of how many recipient domains each provider is known.
func domainsOf(providers []provider.Provider) map[string]int {
	domains := map[string]int{}
	for _, p := range providers {
		domains[p.Name] = len(p.Domains)
	}
	return domains
}

// Close ends the lookups that are under way.
func (o *Outlet) Close() { o.providers.Close() }

// Router returns what says whose a mail is.
func (o *Outlet) Router() *route.Router { return o.router }

// Providers returns what is known of whose MX is whose.
func (o *Outlet) Providers() *provider.Lookup { return o.providers }

// dialChosen connects from the sending IP of the chosen pool that may be used.
func (w *way) dialChosen(ctx context.Context, choice route.Choice, req *session.DialRequest) (session.Outbound, error) {
	if choice.Pool == "" { // observe mode: the kernel chooses, and has no other
		if len(req.Avoid) > 0 {
			return session.Outbound{}, session.ErrNoOtherIP
		}
		return w.dialUnseen(ctx)
	}
	if req.From.IsValid() {
		return w.dialAgain(ctx, choice, req)
	}
	var own error                           // kanmon's own trouble with the sending IPs tried so far
	var full *session.NoRoom                // at the first of those that the provider takes no more from
	var over netip.Addr                     // warms up, and takes the mail beyond its amount if it is chosen again
	for ask := *req; ; ask.Further = true { // nothing is counted twice
		ip, probing, err := w.permitted(choice, &ask)
		if err != nil {
			switch {
			case full != nil && req.Rescue: // it does not wait, and what the record says of it is this
				err = fmt.Errorf("%w has room: %s: %s", session.ErrNoOtherIP, full.Note.Rule, full.Note.Why)
			case full != nil:
				err = full
			case own != nil:
				err = own
			}
			return session.Outbound{}, fmt.Errorf("dial %s from pool %s: %w", w.destination(), choice.Pool, err)
		}
		out, err := w.dialAs(ctx, choice, ip, req, probing, over)
		switch no := noRoom(err); {
		case errors.Is(err, errAmountTaken):
			if !req.Rescue {
				over = ip.Address
				continue
			}
		case no != nil && w.isPinned(choice, &ask, ip.Address):
			return out, err
		case no != nil:
			full = soonest(full, no)
		case !w.o.unusable(err, ip.Address, w.mx()) || ctx.Err() != nil:
			return movedFor(out, full), err
		default:
			own = err
		}
		choice = choice.Without(ip.Address)
	}
}

// dialAs connects from a sending IP, as its probe or not.
func (w *way) dialAs(ctx context.Context, choice route.Choice, ip route.SendingIP, req *session.DialRequest, probing bool, over netip.Addr) (session.Outbound, error) {
	var p *probe
	if probing {
		p = w.probeAt(w.key(ip.Address))
	}
	var out session.Outbound
	var l *lane
	var notes []event.Note
	var beyond []event.Note
	var err error
	if !req.From.IsValid() { // else the mail has that already
		beyond, err = w.reserve(ip.Address, req, over)
	}
	if err == nil {
		l, notes, err = w.enterLane(&choice, ip.Address, req)
	}
	if err == nil {
		if out, err = w.dialFrom(ctx, choice, ip, req); err != nil {
			w.leaveLane(l)
		}
	}
	if err != nil {
		if !req.From.IsValid() {
			w.notFrom(ip.Address)
		}
		w.failed(p)
		return out, err
	}
	out.Notes = append(beyond, notes...)
	tries := w.probe != nil || !choice.IsOnly() // else nothing is tried that it could leave, or come back to
	if !tries && l == nil {
		return out, nil
	}
	if tries {
		w.connected(p)
	}
	closed := out.Closed
	out.Closed = func() {
		if tries {
			w.disconnected(p)
		}
		w.leaveLane(l)
		if closed != nil {
			closed()
		}
	}
	return out, nil
}

// permitted returns the sending IP to dial from, and whether the session probes it or will with its mail. Those that the
// MX does not let connect come late, and those that it has refused in this session last: that may have been another tenant's mail. A
// rescue cannot have these, nor those that are known to be shut out. Before these come those that it has lately refused with other mail
// of the tenant.
func (w *way) permitted(choice route.Choice, req *session.DialRequest) (ip route.SendingIP, probing bool, err error) {
	how, ips := w.o.handlings[choice.Number], choice.IPs()
	if i := w.destined(choice, how, req, ips); i >= 0 {
		return ips[i], false, nil
	}
	turned := w.turnedAway(&choice, how, req)
	var untried, last, shut, tried []route.SendingIP
	for _, ip := range ips {
		switch {
		case slices.Contains(req.Avoid, ip.Address):
			tried = append(tried, ip)
		case w.o.isShut(how, ip.Address, w.mx()):
			if !req.Rescue || !w.o.dials.shutsOut(w.mx().Unmap(), ip.Address) && !w.o.paths.isDead(ip.Address) {
				shut = append(shut, ip)
			}
		case slices.Contains(turned, ip.Address):
			last = append(last, ip)
		default:
			untried = append(untried, ip)
		}
	}
	untried = append(untried, last...)
	who := w.candidate(&choice)
	ip, probing, found := w.firstPermitted(untried, how, req, who)
	if !found {
		ip, probing, found = w.firstPermitted(shut, how, req, who)
	}
	switch {
	case found:
		return ip, probing, nil
	case req.Rescue:
		return ip, false, session.ErrNoOtherIP
	}
	if ip, probing, found = w.firstPermitted(tried, how, req, who); !found {
		return ip, false, session.ErrSuspended
	}
	return ip, probing, nil
}

// firstPermitted returns the first that may be used. One that is slowed, and has had its share, or warms up, and has had its amount, is used if there
// is no other: the mail would only wait for it. So is one that warms up in place of one that the times have the session pass over. A rescue goes without.
func (w *way) firstPermitted(ips []route.SendingIP, how Handling, req *session.DialRequest, who candidate) (first route.SendingIP, probing, found bool) {
	at, inPlace := w.placeOf(req.Recipient), false
	for _, ip := range ips {
		key := w.o.key(ip.Address, at.mx)
		alsoThere := w.o.peekAt(how, ip.Address, at.domains)
		if alsoThere.Answer == standing.No || w.o.peekInParts(how, ip.Address, &at).Answer == standing.No {
			continue
		}
		permit := w.o.may(how, key)
		permit.Share = min(permit.Share, alsoThere.Share)
		part := w.portionOf(permit, how, ip.Address, &at)
		switch {
		case permit.Answer == standing.No:
			if w.probeOf(key) != 0 {
				return ip, true, true
			}
		case w.hasWarmed(ip.Address, &at), inPlace && w.o.isWarming(ip.Address, &at):
			if !found && !req.Rescue {
				first, found = ip, true
			}
		case permit.Answer == standing.Probe:
			if inShare(permit, w.session, ip.Address) && w.tries(key, who, req.SenderKnown) {
				return ip, true, true
			}
		case part == inPortion:
			return ip, false, true
		case !found && !req.Rescue:
			first, found = ip, true
		}
		inPlace = inPlace || part == spared && permit.Answer == standing.Yes
	}
	return first, false, found
}

// may asks the standing. It gives no probe away.
func (o *Outlet) may(how Handling, key standing.Key) standing.Permit {
	switch {
	case how.Heeds():
		return o.book.Peek(key)
	case o.book.Barred(key):
		return standing.Permit{Answer: standing.No}
	default:
		return standing.Permit{Answer: standing.Yes, Share: 1}
	}
}

// query is what is known of a mail. DNS is asked only where a route needs to know the provider.
func (w *way) query(req *session.DialRequest) route.Query {
	at := place{provider: w.o.providers.At(w.mx())}
	return w.queryAt(&at, req)
}

// queryAt is query where it is known whose the MX is.
func (w *way) queryAt(at *place, req *session.DialRequest) route.Query {
	q := route.Query{
		Owner: req.Owner, Source: w.source, Port: w.port, Destination: w.destination(), Sender: req.Sender, SenderKnown: req.SenderKnown,
		RecipientDomain: mailbox.DomainOf(req.Recipient), Provider: at.provider, Suspicion: scoreOf(req.Suspicion), Pool: req.Pool,
	}
	if q.Provider == "" && q.RecipientDomain != "" && len(q.RecipientDomain) <= maxDomain && w.o.router.NeedsProvider(q) {
		q.Provider = w.o.providers.Find(context.Background(), q.RecipientDomain, w.o.asker(q)).Provider
	}
	return q
}

// scoreOf is a suspicion as routes compare it.
func scoreOf(s *event.Suspicion) float64 {
	if s == nil {
		return -1
	}
	return s.Score
}

// foresee takes the choice that the MSA's next sender would get, as far as what it has sent before tells: where senders decide, and none is
// known yet. Only within the pool: whose mail it is, and which route holds, is not to be guessed.
func (o *Outlet) foresee(choice route.Choice, q route.Query) route.Choice {
	if !choice.BySender || q.SenderKnown {
		return choice
	}
	domain, found := o.forecast.SenderDomain(errand(q))
	if !found {
		return choice
	}
	if q.Sender, q.SenderKnown = "", true; domain != "" {
		q.Sender = "@" + domain
	}
	if guessed, err := o.router.Choose(q); err == nil && guessed.Pool == choice.Pool && guessed.Number == choice.Number {
		return guessed
	}
	return choice
}

// foretell remembers which sending IP was right for a mail.
func (o *Outlet) foretell(choice route.Choice, q route.Query, ip netip.Addr) {
	if o.isForetold(&choice, &q) {
		e := errand(q)
		e.Tenant = choice.Tenant
		o.forecast.Note(e, mailbox.DomainOf(q.Sender), ip)
	}
}

// isForetold reports whether the forecast is told of a mail.
func (o *Outlet) isForetold(choice *route.Choice, q *route.Query) bool {
	return choice.BySender && q.SenderKnown && len(q.Sender) <= maxMailbox
}

// maxMailbox bounds what is remembered of a sender (RFC 5321 §4.5.3.1.3).
const maxMailbox = 256

func errand(q route.Query) route.Errand {
	return route.Errand{Source: q.Source, Port: q.Port, MX: q.Destination.Addr(), Provider: q.Provider}
}

// destined returns the index of the sending IP that a mail is to leave from before all others: the one that it was told to come back
// from or, before its sender is known, the one that is likely to be its sender's. -1: there is none, or it may not be used.
func (w *way) destined(choice route.Choice, how Handling, req *session.DialRequest, ips []route.SendingIP) int {
	at := w.placeOf(req.Recipient)
	ip := w.pinned(choice, how, req, at)
	if !ip.IsValid() {
		if ip = w.renewing(); ip.IsValid() && (slices.Contains(req.Avoid, ip) || w.o.stands(how, ip, at).Answer == standing.No) {
			ip = netip.Addr{}
		}
	}
	if !ip.IsValid() && choice.BySender && !req.SenderKnown {
		ip = w.o.forecast.IP(route.Errand{Source: w.source, Port: w.port, MX: at.mx, Provider: at.provider})
		permit := w.o.stands(how, ip, at)
		if permit.Answer != standing.Yes || w.portionOf(permit, how, ip, &at) != inPortion || w.hasWarmed(ip, &at) || slices.Contains(req.Avoid, ip) || w.o.isShut(how, ip, at.mx) {
			return -1
		}
	}
	return slices.IndexFunc(ips, func(s route.SendingIP) bool { return ip.IsValid() && s.Address == ip })
}
