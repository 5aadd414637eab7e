package daemon

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/classify"
	"kanmon/internal/config"
	"kanmon/internal/egress"
	"kanmon/internal/provider"
	"kanmon/internal/session"
	"kanmon/internal/standing"
)

// An outlet decides which sending IP a mail leaves from, and learns from what MXs say to it. It joins pools and routes,
// providers, classification and standing into what sessions ask for: their Dialer, Mover and Judge.
type outlet struct {
	router    *egress.Router
	dialer    *egress.Dialer
	providers *provider.Lookup
	rules     *classify.Rules
	book      *standing.Book
	handlings []config.Handling // by the number of the route; 0: without one
	resets    resets
	probes    probes
}

// providerWait is how long a session waits for the provider of a recipient's domain, where a route asks for it.
const providerWait = 20 * time.Millisecond

// Dial implements [session.Dialer].
func (o *outlet) Dial(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
	choice, err := o.router.Choose(o.query(req))
	if err != nil {
		return session.Outbound{}, fmt.Errorf("dial %s: %w", req.Destination, err)
	}
	if choice.Pool == "" { // observe mode: the kernel chooses, and has no other
		if len(req.Avoid) > 0 {
			return session.Outbound{}, session.ErrNoOtherIP
		}
		return o.dialer.DialFrom(ctx, egress.SendingIP{}, req.Destination)
	}
	ip, probe, err := o.permitted(choice, req)
	if err != nil {
		return session.Outbound{}, fmt.Errorf("dial %s from pool %s: %w", req.Destination, choice.Pool, err)
	}
	if probe == 0 {
		return o.dialer.DialFrom(ctx, ip, req.Destination)
	}
	key := o.key(ip.Address, req.Destination.Addr())
	o.probes.began(key, probe, req.Session)
	out, err := o.dialer.DialFrom(ctx, ip, req.Destination)
	if err != nil {
		o.endProbe(key, probe)
		return out, err
	}
	closed := out.Closed
	out.Closed = func() {
		time.AfterFunc(probeRedial, func() { o.endProbe(key, probe) })
		if closed != nil {
			closed()
		}
	}
	return out, nil
}

// probeRedial is how long a session may take to connect again: in plain text, after TLS has failed.
const probeRedial = 5 * time.Second

// endProbe gives a probe up that has told nothing; one that has is not changed by it.
func (o *outlet) endProbe(key standing.Key, probe uint64) {
	if o.probes.ended(key, probe) {
		o.book.Abandon(key, probe)
	}
}

// probeOf gives the number of the probe of the key that this session is, as long as that is under way; 0 otherwise.
func (o *outlet) probeOf(key standing.Key, s session.ID) uint64 {
	if probe := o.probes.of(key, s); probe != 0 && o.book.Probing(key, probe) {
		return probe
	}
	return 0
}

// permitted gives the sending IP to dial from, and if the session is the one that probes it the number of the probe. Those that the
// MX has refused in this session come last: that may have been another tenant's mail. A rescue cannot have them.
func (o *outlet) permitted(choice egress.Choice, req session.DialRequest) (ip egress.SendingIP, probe uint64, err error) {
	how := o.handlings[choice.Number]
	var untried, tried []egress.SendingIP
	for _, ip := range choice.IPs() {
		if slices.Contains(req.Avoid, ip.Address) {
			tried = append(tried, ip)
		} else {
			untried = append(untried, ip)
		}
	}
	ip, probe, found := o.firstPermitted(untried, how, req)
	switch {
	case found:
		return ip, probe, nil
	case req.Rescue:
		return ip, 0, session.ErrNoOtherIP
	}
	if ip, probe, found = o.firstPermitted(tried, how, req); !found {
		return ip, 0, session.ErrSuspended
	}
	return ip, probe, nil
}

// firstPermitted gives the first that may be used. One that is slowed, and has had its share, is used if there is no other: the
// mail would only wait for it.
func (o *outlet) firstPermitted(ips []egress.SendingIP, how config.Handling, req session.DialRequest) (first egress.SendingIP, probe uint64, found bool) {
	for _, ip := range ips {
		key := o.key(ip.Address, req.Destination.Addr())
		permit := o.may(how, key, o.book.May)
		switch {
		case permit.Answer == standing.No:
			if probe := o.probeOf(key, req.Session); probe != 0 {
				return ip, probe, true
			}
		case inShare(permit, req.Session, ip.Address):
			return ip, permit.Probe, true
		case !found:
			first, found = ip, true
		}
	}
	return first, 0, found
}

// inShare says whether a session is of the part of all sessions that the sending IP may take. The draw is the session's own and always
// the same: what Dial passes over, MayStay does not send the session back to.
func inShare(permit standing.Permit, s session.ID, ip netip.Addr) bool {
	if permit.Share >= 1 {
		return true
	}
	low := ip.As16()
	return rand.New(rand.NewPCG(uint64(s), binary.BigEndian.Uint64(low[8:]))).Float64() < permit.Share
}

// may asks the standing: its May, or its Peek.
func (o *outlet) may(how config.Handling, key standing.Key, ask func(standing.Key) standing.Permit) standing.Permit {
	switch {
	case how.Heeds():
		return ask(key)
	case o.book.Barred(key):
		return standing.Permit{Answer: standing.No}
	default:
		return standing.Permit{Answer: standing.Yes, Share: 1}
	}
}

// MayStay implements [session.Mover]: the sending IP must be of the pool, and usable or probed by this very session. It must give way to
// the sender's own in a pool that is sticky by sender, and to any other where this MX has refused it. Where nothing is held
// against the IPs it does not allocate: it is asked for every mail.
func (o *outlet) MayStay(req session.DialRequest, sendingIP netip.Addr) bool {
	choice, err := o.router.Choose(o.query(req))
	if err != nil {
		return false
	}
	if choice.Pool == "" {
		return true
	}
	if !choice.Has(sendingIP) {
		return false
	}
	how, mx := o.handlings[choice.Number], req.Destination.Addr()
	probing := false
	if o.peek(how, sendingIP, mx).Answer != standing.Yes {
		if probing = o.probeOf(o.key(sendingIP, mx), req.Session) != 0; !probing {
			return false
		}
	}
	better := func(ip egress.SendingIP) bool {
		return ip.Address != sendingIP && !slices.Contains(req.Avoid, ip.Address) && o.worthMoving(how, ip.Address, &req)
	}
	if slices.Contains(req.Avoid, sendingIP) {
		return !slices.ContainsFunc(choice.IPs(), better)
	}
	return probing || !choice.BySender || !better(choice.IP)
}

// worthMoving says whether a sending IP is worth a new connection: Dial must then give it. One whose suspension has run out is, too,
// as long as nobody probes it: where the senders decide, it may be the first choice of no other connection.
func (o *outlet) worthMoving(how config.Handling, ip netip.Addr, req *session.DialRequest) bool {
	permit := o.peek(how, ip, req.Destination.Addr())
	return permit.Answer != standing.No && inShare(permit, req.Session, ip)
}

// peek is may without the beginning of a probe.
func (o *outlet) peek(how config.Handling, ip, mx netip.Addr) standing.Permit {
	var name [64]byte
	if o.book.Blameless(ip, o.appendProvider(name[:0], mx)) {
		return standing.Permit{Answer: standing.Yes, Share: 1}
	}
	return o.may(how, o.key(ip, mx), o.book.Peek)
}

// query is what is known of a mail. DNS is asked only where a route needs to know the provider.
func (o *outlet) query(req session.DialRequest) egress.Query {
	q := egress.Query{
		Source: req.Source, Port: req.Port, Destination: req.Destination, Sender: req.Sender, SenderKnown: req.SenderKnown,
		RecipientDomain: domainOf(req.Recipient), Provider: o.providers.At(req.Destination.Addr()), Suspicion: -1, Pool: req.Pool,
	}
	if q.Provider == "" && q.RecipientDomain != "" && len(q.RecipientDomain) <= maxDomain && o.router.NeedsProvider(q) {
		q.Provider = o.providers.Find(context.Background(), q.RecipientDomain).Provider
	}
	return q
}

func domainOf(mailbox string) string {
	return mailbox[strings.LastIndexByte(mailbox, '@')+1:]
}

// key is what a sending IP's standing at a destination goes by: the provider whose MX this is known to be, else the one MX address.
// What a recipient's domain says does not count: any host can be given mail for any domain.
func (o *outlet) key(ip, mx netip.Addr) standing.Key {
	return standing.Key{IP: ip, Provider: o.provider(mx)}
}

func (o *outlet) provider(mx netip.Addr) string { return string(o.appendProvider(nil, mx)) }

func (o *outlet) appendProvider(b []byte, mx netip.Addr) []byte {
	if name := o.providers.At(mx); name != "" {
		return append(b, name...)
	}
	return mx.Unmap().AppendTo(append(b, "mx:"...))
}

// learn looks up whose MXs a domain has, in the background, so that the next refusal by one of them counts for its provider.
func (o *outlet) learn(domain string) {
	if len(domain) <= maxDomain && strings.Contains(domain, ".") {
		o.providers.Find(over, domain)
	}
}

// maxDomain is the length of the longest domain name (RFC 1035 §2.3.4).
const maxDomain = 253

// over is a context that is over: nobody waits.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Judge implements [session.Judge].
func (o *outlet) Judge(r session.MXRefusal) session.Judgement {
	tenant, how := o.whose(r)
	j := session.Judgement{Observe: how.Rescue == config.RescueObserve || !r.SendingIP.IsValid()}
	o.learn(domainOf(string(r.Recipient)))
	key := o.key(r.SendingIP, r.Destination.Addr())
	if r.Code == 0 {
		j.Class, j.Rule = classify.IPReputation.String(), "connection refused or reset"
		j.Rescue = o.resets.add(r.Destination.Addr(), r.SendingIP, tenant) && how.Rescue != config.RescueOff
		return j
	}
	own := r.Own() // another kanmon's word is about its own sending IPs
	v := o.rules.Classify(replyQuery(&r, key.Provider))
	j.Class, j.Rule = v.Class.String(), v.Rule
	if r.SendingIP.IsValid() {
		o.book.Observe(standing.Evidence{
			IP: r.SendingIP, Provider: key.Provider, Tenant: tenant, Destination: destinationOf(r), Class: j.Class, Scope: v.Scope.String(),
			Suspend: v.Suspend.String(), Lists: listsOf(v.Lists), Rule: v.Rule, Sample: string(r.Text), Own: own,
		})
	}
	ours := !own && v.Suspend != classify.No && (v.Class == classify.IPBlocklisted || v.Class == classify.IPReputation)
	if ours && how.Rescue != config.RescueOff {
		j.Rescue, j.Soften = true, how.Soften
	}
	return j
}

// Accepted implements [session.Judge].
func (o *outlet) Accepted(destination netip.AddrPort, sendingIP netip.Addr) {
	if !sendingIP.IsValid() {
		return
	}
	key := o.key(sendingIP, destination.Addr())
	o.book.Succeeded(key, "")
	for _, r := range o.resets.others(destination.Addr(), sendingIP) { // it is not the MX, then
		o.book.Observe(standing.Evidence{
			IP: r.sendingIP, Provider: key.Provider, Tenant: r.tenant, Destination: "mx:" + destination.Addr().String(),
			Class: classify.IPReputation.String(), Scope: classify.ScopeIP.String(), Suspend: classify.May.String(), Rule: "connection refused or reset",
		})
	}
}

// whose says who sent the mail, where no tenant is configured the MSA, and what its route says about refusals.
func (o *outlet) whose(r session.MXRefusal) (tenant string, how config.Handling) {
	choice, _ := o.router.Choose(o.query(session.DialRequest{
		Source: r.Source, Port: r.Port, Destination: r.Destination, Sender: string(r.Sender), SenderKnown: r.Sender != nil, Recipient: string(r.Recipient),
	})) // tenant and route are told with an error, too
	return cmp.Or(choice.Tenant, r.Source.String()), o.handlings[choice.Number]
}

func destinationOf(r session.MXRefusal) string {
	if len(r.Recipient) > 0 {
		return strings.ToLower(domainOf(string(r.Recipient)))
	}
	return "mx:" + r.Destination.Addr().String()
}

func listsOf(named []classify.List) (lists []standing.List) {
	for _, l := range named {
		lists = append(lists, standing.List{Name: l.Name, Zone: l.Zone, Weight: l.Weight.String()})
	}
	return lists
}

// publicOnly gives an address as MXs see it; the zero Addr where that is not known, because it will be translated.
func publicOnly(ip netip.Addr) netip.Addr {
	if ip.IsPrivate() {
		return netip.Addr{}
	}
	return ip
}
